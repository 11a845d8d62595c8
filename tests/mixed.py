"""A small table of columns of every kind, with gaps, and an any-order model that starts from it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch

from pushforward.data import load
from pushforward.models import any_order

WORDS = [f"word {i}" for i in range(20)]


def mixed_table(rows: int = 600) -> pa.Table:
    """Two words that nearly say the same, cents that depend on them, a number and a time with gaps that go together, a truth value."""
    rng = np.random.default_rng(0)
    word = rng.geometric(0.25, rows).clip(max=20) - 1
    absent = rng.random(rows) < 0.3
    return pa.table(
        {
            "word": [WORDS[i] for i in word],
            "half <b>": [("low", "high")[int(i > 1)] for i in word],
            "price": 5 * word.clip(max=5) + rng.integers(0, 20, rows) / 4,
            "height": pa.array(rng.standard_normal(rows), mask=absent),
            "when": pa.array(18_519 * 86_400 + rng.integers(0, 400, rows) * 86_400, pa.timestamp("s"), mask=absent),
            "member": rng.random(rows) < 0.5,
            "always": ["here"] * rows,
        }
    )


def mixed_data(rows: int = 600, **options):
    return load(mixed_table(rows), **{"missing": "keep"} | options)


def started(data, **options):
    """The model before training: independent columns, each with its own distribution."""
    torch.manual_seed(0)
    schema = data.schema
    supports = [column.kind.support() for column in schema.columns]
    sizes = {"cells": 24, "fine": 4, "width": 16, "depth": 1, "rank": 4} | options
    flow = any_order(schema.shape, supports, context=schema.context_width, **sizes)
    if schema.context:
        flow = flow.prepend(shape=schema.shape, context=schema.context_shape, embed=schema.embed())
    flow.initialize(data.train.x, data.train.context)
    return flow.eval()


def perturbed(data, **options):
    """Whose nets say something."""
    flow = started(data, **options)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return flow
