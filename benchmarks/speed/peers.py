"""Who takes part."""

from __future__ import annotations

import itertools

from . import ours, peer_freia, peer_nflows, peer_normflows, peer_zuko
from .cases import SPLINES
from .torch_works import Builder

BUILDERS: dict[str, Builder] = {
    "pushforward": ours.build,
    "zuko": peer_zuko.build,
    "nflows": peer_nflows.build,
    "normflows": peer_normflows.build,
    "FrEIA": peer_freia.build,
}
# Not compiled: the spline's graphs break at each boolean mask, and compiling did not end in four minutes; zuko's ended the process.
UNCOMPILED = {*itertools.product(("nflows", "normflows"), SPLINES), ("zuko", "real_nvp")}
LIBRARIES = (*BUILDERS, "flowjax")
