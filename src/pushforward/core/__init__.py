"""The contract: Transform, Chain, Inverse, Distribution, Flow."""

from .condition import Conditioned
from .distribution import Distribution
from .flow import Flow
from .transform import Chain, Inverse, Transform, join, sum_event, zeros

__all__ = ["Chain", "Conditioned", "Distribution", "Flow", "Inverse", "Transform", "join", "sum_event", "zeros"]
