"""Both editions of the book side by side."""
