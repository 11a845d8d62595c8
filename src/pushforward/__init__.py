"""Normalizing flows and exact likelihoods, for tables and images: the whole interface on one page.

A name is imported when it is first used, so that ``import pushforward`` and ``pushforward --help`` cost nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adapters import as_pyro, as_sbi
    from .core import Chain, Distribution, Flow, Inverse, Transform
    from .distributions import Beta, ConditionalNormal, FromTorch, GaussianMixture, Normal, StudentT, Uniform
    from .estimator import FlowDensity
    from .models import gaussian, gaussian_mixture, iaf, maf, nice, nsf, real_nvp
    from .nets import MADE, MLP, ResidualMLP
    from .objectives import MaximumLikelihood
    from .training import Run
    from .transforms import (
        ActNorm,
        Autoregressive,
        Cast,
        Columns,
        Coupling,
        Dequantize,
        Elementwise,
        Factor,
        LULinear,
        Permute,
        Reverse,
        Slice,
        Standardize,
    )
    from .univariate import Additive, Affine, RationalQuadratic, Univariate
    from .verbs import diagnose, evaluate, fit, list_data, list_models, list_presets, load, results, sample, score

__version__ = "0.1.0"

# room -> what it gives; the same list as above, for the interpreter
_ROOMS = {
    "core": "Chain Distribution Flow Inverse Transform",
    "univariate": "Additive Affine RationalQuadratic Univariate",
    "transforms": "ActNorm Autoregressive Cast Columns Coupling Dequantize Elementwise Factor LULinear Permute Reverse Slice Standardize",
    "nets": "MADE MLP ResidualMLP",
    "distributions": "Beta ConditionalNormal FromTorch GaussianMixture Normal StudentT Uniform",
    "models": "gaussian gaussian_mixture iaf maf nice nsf real_nvp",
    "objectives": "MaximumLikelihood",
    "training": "Run",
    "verbs": "diagnose evaluate fit list_data list_models list_presets load results sample score",
    "estimator": "FlowDensity",
    "adapters": "as_pyro as_sbi",
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = [
    "ActNorm",
    "Additive",
    "Affine",
    "Autoregressive",
    "Beta",
    "Cast",
    "Chain",
    "Columns",
    "ConditionalNormal",
    "Coupling",
    "Dequantize",
    "Distribution",
    "Elementwise",
    "Factor",
    "Flow",
    "FlowDensity",
    "FromTorch",
    "GaussianMixture",
    "Inverse",
    "LULinear",
    "MADE",
    "MLP",
    "MaximumLikelihood",
    "Normal",
    "Permute",
    "RationalQuadratic",
    "ResidualMLP",
    "Reverse",
    "Run",
    "Slice",
    "Standardize",
    "StudentT",
    "Transform",
    "Uniform",
    "Univariate",
    "as_pyro",
    "as_sbi",
    "diagnose",
    "evaluate",
    "fit",
    "gaussian",
    "gaussian_mixture",
    "iaf",
    "list_data",
    "list_models",
    "list_presets",
    "load",
    "maf",
    "nice",
    "nsf",
    "real_nvp",
    "results",
    "sample",
    "score",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
        globals()[name] = value
        return value
    if name in _ROOMS or name in ("data", "doctor", "evaluation"):
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
