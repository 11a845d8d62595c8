"""What the command line does, each verb as one call."""

from __future__ import annotations

from .fit import fit
from .judge import diagnose, evaluate
from .listing import list_data, list_models, list_presets
from .runs import load, results
from .sample import sample
from .score import Scored, score

__all__ = ["Scored", "diagnose", "evaluate", "fit", "list_data", "list_models", "list_presets", "load", "results", "sample", "score"]
