"""What the command line does, each verb as one call; a verb is imported when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import names_of

if TYPE_CHECKING:
    from .asking import impute, nats_by_column, predict
    from .choosing import recommend
    from .comparing import gallery
    from .completing import complete
    from .compressing import Compressed, Decompressed, compress, decompress
    from .distilling import comparison, distill
    from .editing import edit
    from .fitting import fit
    from .image_rows import Strip
    from .judge import bound_parts, diagnose, evaluate
    from .listing import list_data, list_models, list_presets
    from .paired import Comparison, compare
    from .picturing import Reconstructed, interpolate, reconstruct
    from .planning import Forecast, plan, print_forecast
    from .publishing import pull, push
    from .runs import load, results
    from .sampling import sample
    from .scoring import Scored, score
    from .scoring_cost import ScoringForecast, plan_scoring
    from .show import print_by_column, print_comparison, print_parts, print_scores

__all__ = [
    "Comparison",
    "Compressed",
    "Decompressed",
    "Forecast",
    "Reconstructed",
    "Scored",
    "ScoringForecast",
    "Strip",
    "bound_parts",
    "compare",
    "comparison",
    "complete",
    "compress",
    "decompress",
    "diagnose",
    "distill",
    "edit",
    "evaluate",
    "fit",
    "gallery",
    "impute",
    "interpolate",
    "list_data",
    "list_models",
    "list_presets",
    "load",
    "nats_by_column",
    "plan",
    "plan_scoring",
    "predict",
    "print_by_column",
    "print_comparison",
    "print_forecast",
    "print_parts",
    "print_scores",
    "pull",
    "push",
    "recommend",
    "reconstruct",
    "results",
    "sample",
    "score",
]

# file -> what it gives; the same list as above, for the interpreter
__getattr__ = names_of(
    __name__,
    {
        "asking": "impute nats_by_column predict",
        "choosing": "recommend",
        "comparing": "gallery",
        "completing": "complete",
        "compressing": "Compressed Decompressed compress decompress",
        "distilling": "comparison distill",
        "editing": "edit",
        "fitting": "fit",
        "image_rows": "Strip",
        "judge": "bound_parts diagnose evaluate",
        "listing": "list_data list_models list_presets",
        "paired": "Comparison compare",
        "picturing": "Reconstructed interpolate reconstruct",
        "planning": "Forecast plan print_forecast",
        "publishing": "pull push",
        "runs": "load results",
        "sampling": "sample",
        "scoring": "Scored score",
        "scoring_cost": "ScoringForecast plan_scoring",
        "show": "print_by_column print_comparison print_parts print_scores",
    },
)
