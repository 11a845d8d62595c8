"""Normalizing flows and exact likelihoods, for tables and images: the whole interface on one page.

A name is imported when it is first used, so that ``import pushforward`` and ``pushforward --help`` cost nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adapters import as_pyro, as_sbi
    from .conversion import convert
    from .core import Chain, Distribution, Flow, Inverse, Transform
    from .distributions import Beta, Causal, Free, FromTorch, GaussianMixture, Given, Normal, StudentT, Uniform
    from .estimator import FlowDensity
    from .imputer import FlowImputer
    from .nets import MADE, MLP, ResidualMLP
    from .objectives import ELBO, IWAE, MaximumLikelihood
    from .training import Run, fit_density
    from .transforms import (
        VAE,
        ActNorm,
        Autoregressive,
        Coupling,
        Dequantize,
        Elementwise,
        LULinear,
        Permute,
    )
    from .univariate import Additive, Affine, RationalQuadratic, Univariate
    from .verbs import (
        bound_parts,
        compare,
        compress,
        decompress,
        diagnose,
        distill,
        edit,
        evaluate,
        fit,
        gallery,
        impute,
        interpolate,
        list_data,
        list_models,
        list_presets,
        load,
        plan,
        predict,
        pull,
        push,
        reconstruct,
        results,
        sample,
        score,
    )

__version__ = "0.1.0"

# room -> what it gives; the same list as above, for the interpreter
_ROOMS = {
    "core": "Chain Distribution Flow Inverse Transform",
    "univariate": "Additive Affine RationalQuadratic Univariate",
    "transforms": "ActNorm Autoregressive Coupling Dequantize Elementwise LULinear Permute VAE",
    "nets": "MADE MLP ResidualMLP",
    "distributions": "Beta Causal Free FromTorch GaussianMixture Given Normal StudentT Uniform",
    "objectives": "ELBO IWAE MaximumLikelihood",
    "training": "Run fit_density",
    "verbs": "bound_parts compare compress decompress diagnose distill edit evaluate fit gallery impute interpolate list_data list_models"
    " list_presets load plan predict pull push reconstruct results sample score",
    "estimator": "FlowDensity",
    "imputer": "FlowImputer",
    "adapters": "as_pyro as_sbi",
    "conversion": "convert",
}
_OTHERS = ("data", "doctor", "evaluation", "latent", "likelihoods", "models")
_HOME = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = [
    "ELBO",
    "IWAE",
    "VAE",
    "ActNorm",
    "Additive",
    "Affine",
    "Autoregressive",
    "Beta",
    "Causal",
    "Chain",
    "Coupling",
    "Dequantize",
    "Distribution",
    "Elementwise",
    "Flow",
    "FlowDensity",
    "FlowImputer",
    "Free",
    "FromTorch",
    "GaussianMixture",
    "Given",
    "Inverse",
    "LULinear",
    "MADE",
    "MLP",
    "MaximumLikelihood",
    "Normal",
    "Permute",
    "RationalQuadratic",
    "ResidualMLP",
    "Run",
    "StudentT",
    "Transform",
    "Uniform",
    "Univariate",
    "as_pyro",
    "as_sbi",
    "bound_parts",
    "compare",
    "compress",
    "convert",
    "decompress",
    "diagnose",
    "distill",
    "edit",
    "evaluate",
    "fit",
    "fit_density",
    "gallery",
    "impute",
    "interpolate",
    "list_data",
    "list_models",
    "list_presets",
    "load",
    "plan",
    "predict",
    "pull",
    "push",
    "reconstruct",
    "results",
    "sample",
    "score",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
        globals()[name] = value
        return value
    if name in _ROOMS or name in _OTHERS:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_ROOMS, *_OTHERS, *(name for name in globals() if name.startswith("__"))})
