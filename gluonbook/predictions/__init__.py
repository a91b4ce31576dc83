"""A trained net at work: images classified and counted."""
