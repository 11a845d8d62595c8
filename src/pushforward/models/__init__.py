"""Recipes: one paper, one short file, one function ``(shape, *, options) -> Flow``. The imports below are the registry."""

from __future__ import annotations

from collections.abc import Callable

from ..core import Flow
from .bnaf import bnaf
from .gaussian import gaussian
from .gaussian_mixture import gaussian_mixture
from .iaf import iaf
from .maf import maf
from .mixture_cdf import mixture_cdf
from .naf import naf
from .nice import nice
from .nsf import nsf
from .planar import planar
from .radial import radial
from .real_nvp import real_nvp
from .sos import sos
from .sylvester import sylvester
from .umnn import umnn

MODELS: dict[str, Callable[..., Flow]] = {
    f.__name__: f
    for f in (bnaf, gaussian, gaussian_mixture, iaf, maf, mixture_cdf, naf, nice, nsf, planar, radial, real_nvp, sos, sylvester, umnn)
}

__all__ = [
    "MODELS",
    "bnaf",
    "gaussian",
    "gaussian_mixture",
    "iaf",
    "maf",
    "mixture_cdf",
    "naf",
    "nice",
    "nsf",
    "planar",
    "radial",
    "real_nvp",
    "sos",
    "sylvester",
    "umnn",
]
