"""What the command line does, each verb as one call."""

from __future__ import annotations

from ..presets.recommend import recommend
from .comparing import gallery
from .distilling import comparison, distill
from .editing import edit
from .fitting import fit
from .image_rows import Strip
from .judge import diagnose, evaluate
from .listing import list_data, list_models, list_presets
from .picturing import Reconstructed, interpolate, reconstruct
from .planning import Forecast, plan, print_forecast
from .runs import load, results
from .sampling import sample
from .scoring import Scored, score
from .show import print_scores

__all__ = [
    "Forecast",
    "Reconstructed",
    "Scored",
    "Strip",
    "comparison",
    "diagnose",
    "distill",
    "edit",
    "evaluate",
    "fit",
    "gallery",
    "interpolate",
    "list_data",
    "list_models",
    "list_presets",
    "load",
    "plan",
    "print_forecast",
    "print_scores",
    "recommend",
    "reconstruct",
    "results",
    "sample",
    "score",
]
