"""The contract: Transform, Chain, Inverse, Distribution, Flow."""

from .condition import Conditioned
from .distribution import Distribution, LogDensity, set_aside_infinite
from .flow import Flow, refresh
from .moments import Estimate
from .precision import full_precision
from .substituted import substituted
from .term import DataDependent, Hooked, start_rows
from .transform import Chain, Inverse, Transform, copies, join, sum_event, zeros

__all__ = [
    "Chain",
    "Conditioned",
    "DataDependent",
    "Distribution",
    "Estimate",
    "Flow",
    "Hooked",
    "Inverse",
    "LogDensity",
    "Transform",
    "copies",
    "full_precision",
    "join",
    "refresh",
    "set_aside_infinite",
    "start_rows",
    "substituted",
    "sum_event",
    "zeros",
]
