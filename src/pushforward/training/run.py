"""A run directory: everything about one fit, in files that are safe to open."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..core import Flow
from ..models import IMAGE_MODELS, MODELS
from .atomic import write_tensors, write_text
from .state import weights

if TYPE_CHECKING:
    from ..data import ImageSchema, Schema

Config = dict[str, dict[str, Any]]


def build(config: Config, schema: Schema | ImageSchema) -> Flow:
    """The flow that a configuration describes: the recipe's layers behind the data's own preprocessing.

    A recipe for images takes the whole numbers themselves, and gets their levels.

    Arguments:
        config: its ``model`` table holds the recipe's ``name`` and options.
        schema: of the data.

    Raises:
        ValueError: an unknown recipe, or one for other data.
    """
    from ..data import ImageSchema

    options = dict(config["model"])
    name = options.pop("name")
    if name not in MODELS:
        raise ValueError(f"build: expected a model among {', '.join(MODELS)}, got {name!r}")
    pictures = isinstance(schema, ImageSchema)
    if pictures != (name in IMAGE_MODELS):
        fitting = [key for key in MODELS if (key in IMAGE_MODELS) == pictures]
        what = f"images of shape {tuple(schema.shape)}" if pictures else f"rows of {schema.shape[0]} columns"
        raise ValueError(f"build: {name} is not a model of {what}; choose one of {', '.join(fitting)}")
    if isinstance(schema, ImageSchema):
        options["levels"] = schema.levels
    flow = MODELS[name](schema.shape, context=schema.context_width, **options)
    return flow.prepend(*schema.layers(), shape=schema.shape, context=schema.context_shape, embed=schema.embed())


class Run:
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
        self.path, self.config, self.schema = Path(path), config, schema

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

    @property
    def weights(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def state(self) -> Path:
        """The checkpoint to resume from."""
        return self.path / "state" / "last.safetensors"

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

    def save(self, flow: nn.Module) -> None:
        """Write the weights of the flow."""
        self.save_weights(weights(flow))

    def save_weights(self, tensors: dict[str, Tensor]) -> None:
        """Write weights by name; :attr:`flow` will be built anew from them."""
        write_tensors(self.weights, tensors, {"format": "pushforward model 1"})
        self.__dict__.pop("flow", None)

    def decide(self, table: str, **options: Any) -> None:
        """Write down what was decided while running, in config.toml."""
        self.config.setdefault(table, {}).update(options)
        write_text(self.path / "config.toml", tomli_w.dumps(self.config))

    def log(self, record: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        path = self.path / "metrics.jsonl"
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise OSError(f"{path}: could not be written ({error.strerror}); free some space and go on with --resume") from error

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


def _is_run(path: Path) -> bool:
    return (path / "config.toml").is_file() and (path / "schema.json").is_file()
