"""Tables larger than memory or than one process: answers in part files, pure functions of their rows, which any engine may make."""

from .engines import Engine
from .job import Job, into_parts, seed_of, summary
from .operations import Imputation, Operation, Prediction, Sampling, Scoring
from .shards import Shard, shards_of, shards_to_draw

__all__ = [
    "Engine",
    "Imputation",
    "Job",
    "Operation",
    "Prediction",
    "Sampling",
    "Scoring",
    "Shard",
    "into_parts",
    "seed_of",
    "shards_of",
    "shards_to_draw",
    "summary",
]
