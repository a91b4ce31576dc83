"""Every net of this package by its name."""

from .models import get_model, list_models

__all__ = ["get_model", "list_models"]
