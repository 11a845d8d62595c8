"""What the command line does, each verb as one call."""

from __future__ import annotations

from .comparing import gallery
from .distilling import comparison, distill
from .fitting import fit
from .judge import diagnose, evaluate
from .listing import list_data, list_models, list_presets
from .recommending import recommend
from .runs import load, results
from .sampling import sample
from .scoring import Scored, score
from .show import print_scores

__all__ = [
    "Scored",
    "comparison",
    "diagnose",
    "distill",
    "evaluate",
    "fit",
    "gallery",
    "list_data",
    "list_models",
    "list_presets",
    "load",
    "print_scores",
    "recommend",
    "results",
    "sample",
    "score",
]
