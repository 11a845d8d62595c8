"""A run directory: everything about one fit, in files that are safe to open."""

from __future__ import annotations

import json
import shutil
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import tomli_w
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..core import Flow
from ..documents import read_json
from ..models.build import build
from ..words import printable
from .atomic import write_text
from .checkpoint import load_weights
from .description import read_config
from .directory import Config, Directory
from .lock import LOCK, occupants, reserve

if TYPE_CHECKING:
    from ..data import Schema, WholeSchema
    from ..data.request import Request


ROWS = "rows.safetensors"  # which rows are in which split
DESCRIPTION = ("config.toml", "schema.json")  # with them, a directory is a run


class Run(Directory):
    """The directory of one fit: ``config.toml``, ``schema.json``, ``model.safetensors``, ``metrics.jsonl`` and ``state/``.

    Nothing in it is a pickle, and every file is replaced atomically: a crash leaves a run that can be loaded.

    Attributes:
        path: the directory.
        config: tables ``data``, ``model`` and ``train``, with all options resolved.
        schema: of the data.

    Example::

        >>> run = Run.load("runs/demo")
        >>> run.flow.sample((5,)).shape
        torch.Size([5, 64])
    """

    def __init__(self, path: str | Path, config: Config, schema: Schema | WholeSchema):
        super().__init__(path, config)
        self.schema = schema

    @classmethod
    def create(cls, path: str | Path, config: Config, schema: Schema | WholeSchema, overwrite: bool = False) -> Run:
        """A new directory; options that are ``None`` are left out of its config.toml.

        Raises:
            ValueError: the path exists, and ``overwrite`` is False or it is not a run; or a training is writing into it.
        """
        path = Path(path)
        check_free(path, overwrite)
        run = cls(path, {table: {k: v for k, v in values.items() if v is not None} for table, values in config.items()}, schema)
        with reserve(path):
            check_free(path, overwrite)  # again, now that nobody else can take it
            write_text(path / "schema.json", json.dumps(schema.to_json(), indent=1) + "\n")
            run.clear()
            run.state.parent.mkdir()
            write_text(path / "config.toml", tomli_w.dumps(run.config))  # last: with it the directory is a run
        return run

    def __repr__(self) -> str:
        model, data = (self.config.get(table, {}).get(key, "?") for table, key in (("model", "name"), ("data", "source")))
        return f"Run({str(self.path)!r}, {model} of {printable(data)}, {'trained' if self.weights.is_file() else 'without weights yet'})"

    def clear(self) -> None:
        """Remove what trainings write, and nothing else: the directory is as good as new for another one."""
        for name in ("model.safetensors", "metrics.jsonl", "scores.json", "report.html", ROWS):
            (self.path / name).unlink(missing_ok=True)
        for name in ("state", "figures"):
            folder = self.path / name
            folder.unlink() if folder.is_symlink() else shutil.rmtree(folder, ignore_errors=True)

    def discard(self) -> None:
        """Remove the run: its files, and the directory if nothing else is in it."""
        self.clear()
        for name in DESCRIPTION:
            (self.path / name).unlink(missing_ok=True)
        if not occupants(self.path):
            (self.path / LOCK).unlink(missing_ok=True)
            self.path.rmdir()

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """An existing run.

        Raises:
            ValueError: not a run, or one of its files is damaged.
        """
        from ..data import DataError, schema_from_json

        path = Path(path)
        if not path.exists():
            raise ValueError(f"{path}: no such run; see what is in {path.parent}, or make one with fit")
        if not _is_run(path):
            raise ValueError(f"{path}: is not a run (no config.toml and schema.json); give the directory that fit wrote")
        try:
            schema = schema_from_json(read_json(path / "schema.json"))
        except DataError as error:
            raise ValueError(f"{path / 'schema.json'}: {error}") from None
        return cls(path, read_config(path / "config.toml"), schema)

    @property
    def request(self) -> Request:
        """What was asked of the data."""
        from ..data.request import Request

        return Request.from_table(self.config["data"])

    @cached_property
    def flow(self) -> Flow:
        """The fitted flow, in eval mode.

        Raises:
            ValueError: the weights are missing, truncated, or another model's.
        """
        if not self.weights.is_file():
            raise ValueError(f"{self.path}: has no model.safetensors yet; train it further with fit --resume")
        try:
            tensors = load_file(self.weights)
        except (SafetensorError, OSError, ValueError) as error:
            raise ValueError(f"{self.weights}: truncated or not a model ({error}); fit again, or put the original file back") from None
        try:
            flow = build(self.config, self.schema, most=sum(t.numel() for t in tensors.values()))
            load_weights(flow, tensors)
        except (RuntimeError, ValueError) as error:
            told = " ".join(str(error).split())[:300]
            raise ValueError(f"{self.weights}: does not fit the model in config.toml ({told}); put the original file back") from None
        return flow.eval()

    def save_weights(self, tensors: dict[str, Tensor]) -> None:
        """Write weights by name; :attr:`flow` will be built anew from them."""
        super().save_weights(tensors)
        self.__dict__.pop("flow", None)


def is_free(path: Path) -> bool:
    """Whether there is nothing at ``path``, an empty directory, or a training that was killed before it was a run."""
    inside = occupants(path)
    began = (path / LOCK).exists() and inside <= {"state", "schema.json"}
    return not path.exists() or (path.is_dir() and (not inside or began))


def check_free(path: Path, overwrite: bool) -> None:
    """Raise ValueError if there is something at ``path`` that a new run would have to replace, and may not."""
    if is_free(path):
        return
    if not _is_run(path):
        raise ValueError(f"{path}: is not a run (no config.toml and schema.json), so it is not overwritten; choose another place")
    if not overwrite:
        raise ValueError(f"{path}: exists; use --overwrite to replace it or --resume to go on, or choose another place")


def _is_run(path: Path) -> bool:
    return all((path / name).is_file() for name in DESCRIPTION)
