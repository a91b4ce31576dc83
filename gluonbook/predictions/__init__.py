"""A trained net at work: images classified, counted and drawn."""
