"""Which model, and on which machine: what both sides of a file must have in common."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..core import Flow


def digest_of_model(flow: Flow, settings: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """SHA-256 of a model's weights and buffers, its settings and the schema of its data."""
    found = hashlib.sha256(json.dumps([settings, schema], sort_keys=True, default=str).encode())
    for name, tensor in sorted(flow.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        found.update(f"\0{name} {values.dtype} {tuple(values.shape)}\0".encode())
        found.update(values.flatten().view(torch.uint8).numpy().tobytes() if values.numel() else b"")
    return found.hexdigest()


def machine_facts() -> dict[str, str]:
    """What the last bits of a computation may depend on."""
    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "numbers": "float64",
        "threads": "1",
    }
