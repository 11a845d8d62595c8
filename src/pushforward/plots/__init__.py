"""Figures of data, samples and fitted flows: each function returns a matplotlib Figure, and `save` writes it."""

from .curves import learning_curves, likelihoods, score_dots
from .gallery import Picture, gallery
from .images import extremes, sheets
from .plane import densities, profile, warp
from .style import save
from .tables import conditionals, marginals, pairs, telling, uniformity

__all__ = [
    "Picture",
    "conditionals",
    "densities",
    "extremes",
    "gallery",
    "learning_curves",
    "likelihoods",
    "marginals",
    "pairs",
    "profile",
    "save",
    "score_dots",
    "sheets",
    "telling",
    "uniformity",
    "warp",
]
