"""A run directory: everything about one fit, in files that are safe to open."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import tomli_w
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..core import Flow
from ..models.build import build
from .atomic import write_text
from .directory import Config, Directory

if TYPE_CHECKING:
    from ..data import ImageSchema, Schema


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

    def __init__(self, path: str | Path, config: Config, schema: Schema | ImageSchema):
        super().__init__(path, config)
        self.schema = schema

    @classmethod
    def create(cls, path: str | Path, config: Config, schema: Schema | ImageSchema, overwrite: bool = False) -> Run:
        """A new directory; options that are ``None`` are left out of its config.toml.

        Raises:
            ValueError: the path exists, and ``overwrite`` is False or it is not a run.
        """
        path = Path(path)
        if path.exists() and any(path.iterdir() if path.is_dir() else [path]):
            if not overwrite:
                raise ValueError(f"{path}: exists; use --overwrite to replace it or --resume to go on, or choose another place")
            if not _is_run(path):
                raise ValueError(f"{path}: is not a run (no config.toml and schema.json), so it is not overwritten; choose another place")
        config = {table: {k: v for k, v in values.items() if v is not None} for table, values in config.items()}
        run = cls(path, config, schema)
        path.parent.mkdir(parents=True, exist_ok=True)
        staging = path.with_name(path.name + ".tmp")  # made complete first, so that nothing is half-written
        shutil.rmtree(staging, ignore_errors=True)
        try:
            (staging / "state").mkdir(parents=True)
            write_text(staging / "schema.json", json.dumps(schema.to_json(), indent=1) + "\n")
            write_text(staging / "config.toml", tomli_w.dumps(config))
            old = path.with_name(path.name + ".old")
            if path.exists():
                shutil.rmtree(old, ignore_errors=True)
                os.replace(path, old)
            os.replace(staging, path)
            shutil.rmtree(old, ignore_errors=True)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        return run

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """An existing run.

        Raises:
            ValueError: not a run, or one of its files is damaged.
        """
        from ..data import schema_from_json

        path = Path(path)
        if not path.exists():
            raise ValueError(f"{path}: no such run; see what is in {path.parent}, or make one with fit")
        if not _is_run(path):
            raise ValueError(f"{path}: is not a run (no config.toml and schema.json); give the directory that fit wrote")
        try:
            config = tomllib.loads((path / "config.toml").read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path / 'config.toml'}: not valid TOML ({error}); put the original file back") from None
        try:
            schema = schema_from_json(json.loads((path / "schema.json").read_text(encoding="utf-8")))
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path / 'schema.json'}: not a schema ({error!r}); put the original file back") from None
        return cls(path, config, schema)

    @cached_property
    def flow(self) -> Flow:
        """The fitted flow, in eval mode.

        Raises:
            ValueError: the weights are missing, truncated, or another model's.
        """
        if not self.weights.exists():
            raise ValueError(f"{self.path}: has no model.safetensors yet; train it further with --resume")
        flow = build(self.config, self.schema)
        try:
            flow.load_state_dict(load_file(self.weights))
        except SafetensorError as error:
            raise ValueError(f"{self.weights}: truncated or not a model ({error}); fit again, or put the original file back") from None
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            raise ValueError(f"{self.weights}: does not fit the model in config.toml ({reason}); put the original file back") from None
        return flow.eval()

    def save_weights(self, tensors: dict[str, Tensor]) -> None:
        """Write weights by name; :attr:`flow` will be built anew from them."""
        super().save_weights(tensors)
        self.__dict__.pop("flow", None)


def _is_run(path: Path) -> bool:
    return (path / "config.toml").is_file() and (path / "schema.json").is_file()
