"""Every net of this package by its name, and GluonCV's models with their weights."""

from .gluoncv import from_gluoncv
from .models import get_model, list_models

__all__ = ["from_gluoncv", "get_model", "list_models"]
