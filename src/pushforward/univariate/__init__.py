"""Monotone scalar maps, with no parameters of their own."""

from .activations import Exp, LeakyReLU, Log, Logit, Sigmoid, Softplus, Tanh
from .affine import Additive, Affine, Gate
from .base import Univariate
from .bernstein import Bernstein
from .compose import Compose
from .cubic_spline import CubicSpline
from .floor_affine import FloorAffine
from .free_spline import SoftclipSpline, SoftplusSpline
from .linear_spline import LinearSpline
from .mixture import GaussianMixtureCDF, LogisticMixtureCDF
from .mixture_quantile import MixtureQuantile
from .polynomial import OddPolynomial, SumOfSquares
from .quadratic_spline import QuadraticSpline
from .sigmoidal import DeepSigmoidal, DenseSigmoidal
from .spline import RationalQuadratic
from .tails import LinearTails
from .unconstrained import UnconstrainedMonotonic

__all__ = [
    "Additive",
    "Affine",
    "Bernstein",
    "Compose",
    "CubicSpline",
    "DeepSigmoidal",
    "DenseSigmoidal",
    "Exp",
    "FloorAffine",
    "Gate",
    "GaussianMixtureCDF",
    "LeakyReLU",
    "LinearSpline",
    "LinearTails",
    "Log",
    "LogisticMixtureCDF",
    "Logit",
    "MixtureQuantile",
    "OddPolynomial",
    "QuadraticSpline",
    "RationalQuadratic",
    "Sigmoid",
    "SoftclipSpline",
    "Softplus",
    "SoftplusSpline",
    "SumOfSquares",
    "Tanh",
    "UnconstrainedMonotonic",
    "Univariate",
]
