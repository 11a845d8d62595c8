"""What training minimises: modules from a batch to one loss."""

from .choice import Objective, choose_objective
from .distillation import Distillation
from .elbo import ELBO
from .flow_matching import FlowMatching
from .iwae import IWAE
from .likelihood import MaximumLikelihood
from .regularized import RegularizedLikelihood
from .reverse import ReverseKL
from .sequence import SequenceDistillation

__all__ = [
    "ELBO",
    "IWAE",
    "Distillation",
    "FlowMatching",
    "MaximumLikelihood",
    "Objective",
    "RegularizedLikelihood",
    "ReverseKL",
    "SequenceDistillation",
    "choose_objective",
]
