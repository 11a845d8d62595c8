"""Other libraries of flows, for tests beside them; a test that asks for one that is not installed is skipped."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import pytest
from torch.distributions import Distribution


def library(*names: str) -> Any:
    """What these modules hold, all in one; the import leaves torch as it was (zuko's takes the checks off all its distributions)."""
    before = {name: vars(Distribution)[name] for name in ("_validate_args", "arg_constraints")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [pytest.importorskip(name) for name in names]
    for name, value in before.items():
        setattr(Distribution, name, value)
    return SimpleNamespace(**{name: value for module in found for name, value in vars(module).items()})


def zuko() -> Any:
    return library("zuko.nn", "zuko.distributions", "zuko.transforms", "zuko.flows", "zuko.lazy", "zuko")


def nflows() -> Any:
    return library("nflows.nn.nets", "nflows.distributions", "nflows.transforms", "nflows.flows")
