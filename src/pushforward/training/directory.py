"""The files that a training leaves and goes on from: weights, checkpoint, metrics, and what was decided."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tomli_w
from torch import Tensor, nn

from .atomic import write_tensors, write_text
from .checkpoint import weights

Config = dict[str, dict[str, Any]]


class Directory:
    """``config.toml``, ``model.safetensors``, ``metrics.jsonl`` and ``state/`` in one place; every file is replaced atomically.

    Attributes:
        path: the directory.
        config: what config.toml holds.
    """

    def __init__(self, path: str | Path, config: Config):
        self.path, self.config = Path(path), config

    @property
    def weights(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def state(self) -> Path:
        """The checkpoint to resume from."""
        return self.path / "state" / "last.safetensors"

    def save(self, flow: nn.Module) -> None:
        """Write the weights of the flow."""
        self.save_weights(weights(flow))

    def save_weights(self, tensors: dict[str, Tensor]) -> None:
        """Write weights by name."""
        write_tensors(self.weights, tensors, {"format": "pushforward model 1"})

    def decide(self, table: str, **options: Any) -> None:
        """Write down what was decided while running, in config.toml."""
        self.config.setdefault(table, {}).update(options)
        self.config = {name: {k: v for k, v in values.items() if v is not None} for name, values in self.config.items()}
        write_text(self.path / "config.toml", tomli_w.dumps(self.config))

    def log(self, record: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        path = self.path / "metrics.jsonl"
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise OSError(f"{path}: could not be written ({error.strerror}); free some space and resume") from error

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a last line torn by a crash is passed over."""
        path = self.path / "metrics.jsonl"
        records = []
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return records

    def rewind(self, step: int) -> list[dict[str, Any]]:
        """Forget the metrics after a step (of a run that goes on from there), and return the others."""
        records = [record for record in self.metrics() if record["step"] <= step]
        text = "".join(json.dumps(record) + "\n" for record in records)
        path = self.path / "metrics.jsonl"
        if path.exists() and path.read_text(encoding="utf-8") != text:
            write_text(path, text)
        return records
