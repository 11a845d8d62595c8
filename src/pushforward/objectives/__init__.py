"""What training minimises: modules from a batch to one loss."""

from .choice import Objective, choose_objective
from .distillation import Distillation
from .elbo import ELBO
from .iwae import IWAE
from .likelihood import MaximumLikelihood
from .reverse import ReverseKL

__all__ = ["ELBO", "IWAE", "Distillation", "MaximumLikelihood", "Objective", "ReverseKL", "choose_objective"]
