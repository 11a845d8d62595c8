"""Figures of data, samples and fitted flows: each function returns a matplotlib Figure, and `save` writes it."""

from .curves import learning_curves, likelihoods, score_dots
from .gallery import Exhibit, exhibition, wall
from .images import extremes, sheets
from .pictures import Picture, pictures
from .plane import densities, profile, warp
from .strips import contact_sheet, reconstructions, strips, temperatures
from .style import save
from .tables import conditionals, marginals, pairs, telling, uniformity

__all__ = [
    "Exhibit",
    "Picture",
    "conditionals",
    "contact_sheet",
    "densities",
    "exhibition",
    "extremes",
    "learning_curves",
    "likelihoods",
    "marginals",
    "pairs",
    "pictures",
    "profile",
    "reconstructions",
    "save",
    "score_dots",
    "sheets",
    "strips",
    "telling",
    "temperatures",
    "uniformity",
    "wall",
    "warp",
]
