"""Recipes: one paper, one short file, one function ``(shape, *, options) -> Flow``. The imports below are the registry."""

from __future__ import annotations

from collections.abc import Callable

from ..core import Flow
from .gaussian import gaussian
from .gaussian_mixture import gaussian_mixture
from .iaf import iaf
from .maf import maf
from .nice import nice
from .nsf import nsf
from .real_nvp import real_nvp

MODELS: dict[str, Callable[..., Flow]] = {f.__name__: f for f in (gaussian, gaussian_mixture, iaf, maf, nice, nsf, real_nvp)}

__all__ = ["MODELS", "gaussian", "gaussian_mixture", "iaf", "maf", "nice", "nsf", "real_nvp"]
