"""What training minimises: modules from a batch to one loss."""

from .distillation import Distillation
from .likelihood import MaximumLikelihood
from .reverse import ReverseKL
from .sequence import SequenceDistillation

__all__ = ["Distillation", "MaximumLikelihood", "ReverseKL", "SequenceDistillation"]
