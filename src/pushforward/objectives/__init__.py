"""What training minimises: modules from a batch to one loss."""

from .likelihood import MaximumLikelihood

__all__ = ["MaximumLikelihood"]
