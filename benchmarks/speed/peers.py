"""Who takes part."""

from __future__ import annotations

from . import ours, peer_freia, peer_nflows, peer_normflows, peer_zuko
from .torch_works import Builder

BUILDERS: dict[str, Builder] = {
    "pushforward": ours.build,
    "zuko": peer_zuko.build,
    "nflows": peer_nflows.build,
    "normflows": peer_normflows.build,
    "FrEIA": peer_freia.build,
}
UNCOMPILED = ("nflows", "normflows")  # with splines: graphs break at each boolean mask, and compiling did not end in four minutes
LIBRARIES = (*BUILDERS, "flowjax")
