"""Every picture that this package draws, from plain numbers."""
