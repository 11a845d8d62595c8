"""What data a verb was given: a table or images, and how they are read."""

from __future__ import annotations

from typing import Any

from ..data import Data, ImageSchema, Schema, is_images, load, load_images
from ..data.request import Request
from ..models import IMAGE_MODELS

TABLE = ("columns", "exclude", "context", "kinds", "missing", "seed", "weight", "valid", "test")  # what a table is read by
IMAGES = ("context", "seed", "bits", "size", "crop", "gray", "valid", "test")  # what images are read by


def as_images(request: Request, model: str | None) -> bool:
    """Whether data are read as images: by what they are, or by the model where they can be either (``digits``).

    Raises:
        ValueError: images for a model of tables.
    """
    pictures = is_images(request.source)
    if pictures and model is not None and model not in IMAGE_MODELS:
        remedy = f"choose one of {', '.join(IMAGE_MODELS)}, or give the pixels as a table"
        raise ValueError(f"fit: {model} is a model of tables, and {request.called} holds images; {remedy}")
    return pictures or model in IMAGE_MODELS


def settings_of(pictures: bool, request: Request) -> dict[str, Any]:
    """What was asked of the data, as a run remembers it: without what does not concern this kind of data.

    Raises:
        ValueError: something was said that only concerns the other kind.
    """
    known = IMAGES if pictures else TABLE
    for name in request.said():
        if name not in known:
            what = "tables, and these are images" if pictures else "images, and this is a table"
            raise ValueError(f"fit: {name} is about {what}; leave it out")
    return request.to_table(known)


def read_source(request: Request, pictures: bool, schema: Schema | ImageSchema | None = None) -> Data:
    """The splits; ``schema`` is that of a fitted run if rows are to be read as its own."""
    if not pictures:
        assert not isinstance(schema, ImageSchema)
        return load(request.source, **request.arguments(TABLE), schema=schema)
    read = load_images(request.source, **request.arguments(IMAGES))
    if schema is not None and read.schema != schema:
        raise ValueError(f"fit: the images of {request.called} are {read.schema}, but the run's are {schema}; give images like the run's")
    return read
