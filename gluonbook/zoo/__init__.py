"""The papers' nets beside the sections', all nets by name, and GluonCV's models with weights."""

from .gluoncv import from_gluoncv
from .models import get_model, list_models

__all__ = ["from_gluoncv", "get_model", "list_models"]
