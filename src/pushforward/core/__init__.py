"""The contract: Transform, Chain, Inverse, Distribution, Flow."""

from .condition import Conditioned
from .distribution import Distribution, LogDensity, set_aside_infinite
from .flow import Flow, refresh, with_derived_state
from .moments import Estimate
from .patches import into_patches, out_of_patches
from .precision import full_precision
from .readable import readable
from .substituted import substituted
from .term import DataDependent, Hooked, Solved, refined, start_rows, unwatched
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
    "Solved",
    "Transform",
    "copies",
    "full_precision",
    "into_patches",
    "join",
    "out_of_patches",
    "readable",
    "refined",
    "refresh",
    "with_derived_state",
    "set_aside_infinite",
    "start_rows",
    "substituted",
    "sum_event",
    "unwatched",
    "zeros",
]
