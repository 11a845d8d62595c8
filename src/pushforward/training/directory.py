"""The files that a training leaves and goes on from: weights, checkpoint, metrics, and what was decided."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import TypedDict

from ..documents import validated
from .atomic import remedy, write_tensors, write_text
from .checkpoint import weights


class Record(TypedDict):
    """A line of metrics.jsonl, as far as everybody relies on it."""

    __pydantic_config__ = {"extra": "allow"}  # type: ignore[misc]

    step: Annotated[int, Field(ge=0)]
    loss: float | None
    valid: float | None
    lr: float


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
            raise OSError(f"{path}: could not be written ({error.strerror}); {remedy(error)}") from error

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl, up to the first that is none: a last line may be torn by a crash."""
        records: list[dict[str, Any]] = []
        for line in self._lines():
            try:
                record = json.loads(line)
                validated(Record, record, "metrics.jsonl", strict=True)
                records.append(record)
            except (ValueError, RecursionError):
                break
        return records

    def rewind(self, step: int) -> list[dict[str, Any]]:
        """Forget the metrics after a step (of a run that goes on from there), and return the others."""
        records = [record for record in self.metrics() if record["step"] <= step]
        text = "".join(json.dumps(record) + "\n" for record in records)
        if self._lines() != text.splitlines():
            write_text(self.path / "metrics.jsonl", text)
        return records

    def _lines(self) -> list[str]:
        path = self.path / "metrics.jsonl"
        return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
