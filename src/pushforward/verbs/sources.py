"""What data a verb was given: a table or images, how they are read, and how a run remembers it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..data import Data, ImageSchema, Schema, is_images, load_images
from ..data import load as load_data
from ..data.image_density import PREFIX, absolute
from ..data.tables import IN_MEMORY
from ..models import IMAGE_MODELS

UNSAID = (None, False, "error")  # what stands for nothing said about it
TABLE = ("columns", "exclude", "context", "kinds", "missing", "seed", "weight")  # what a table is read by
IMAGES = ("context", "seed", "bits", "size", "crop", "gray")  # what images are read by


def as_images(data: Any, model: str | None) -> bool:
    """Whether data are read as images: by what they are, or by the model where they can be either (``digits``).

    Raises:
        ValueError: images for a model of tables.
    """
    pictures = is_images(data)
    if pictures and model is not None and model not in IMAGE_MODELS:
        remedy = f"choose one of {', '.join(IMAGE_MODELS)}, or give the pixels as a table"
        raise ValueError(f"fit: {model} is a model of tables, and {_called(data)} holds images; {remedy}")
    return pictures or model in IMAGE_MODELS


def settings_of(pictures: bool, given: Mapping[str, Any]) -> dict[str, Any]:
    """What was said about reading the data, as a run remembers it: without what does not concern this kind of data.

    Raises:
        ValueError: something was said that only concerns the other kind.
    """
    known, other = (IMAGES, TABLE) if pictures else (TABLE, IMAGES)
    for name in other:
        if name not in known and given[name] not in UNSAID:
            what = "tables, and these are images" if pictures else "images, and this is a table"
            raise ValueError(f"fit: {name} is about {what}; leave it out")
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
    return {name: plain[name] for name in known} | {name: where(given[name]) for name in ("valid", "test")}


def read_source(
    data: Any,
    settings: Mapping[str, Any],
    pictures: bool,
    valid: Any = None,
    test: Any = None,
    schema: Schema | ImageSchema | None = None,
) -> Data:
    """The splits; ``settings`` as :func:`settings_of` gives them, ``schema`` that of a fitted run if rows are to be read as its own."""
    options = {key: settings[key] for key in (IMAGES if pictures else TABLE) if settings.get(key) is not None}
    if not pictures:
        assert not isinstance(schema, ImageSchema)
        return load_data(data, **options, valid=valid, test=test, schema=schema)
    if isinstance(options.get("size"), list):
        options["size"] = tuple(options["size"])
    read = load_images(data, **options, valid=valid, test=test)
    if schema is not None and read.schema != schema:
        raise ValueError(f"fit: the images of {_called(data)} are {read.schema}, but the run's are {schema}; give images like the run's")
    return read


def where(source: Any) -> str | list[str] | None:
    """A source as config.toml remembers it: a name, an absolute path or several, or that it was an object."""
    if source is None:
        return None
    if isinstance(source, list | tuple) and source and all(isinstance(item, str | Path) for item in source):
        return [str(Path(item).resolve()) for item in source]
    if not isinstance(source, str | Path):
        return IN_MEMORY
    if str(source).startswith(PREFIX):
        return absolute(str(source))
    return str(Path(source).resolve()) if Path(source).exists() or "*" in str(source) else str(source)


def _called(data: Any) -> str:
    return str(data) if isinstance(data, str | Path) else type(data).__name__
