"""Kinds of data, each behind the same functions, so that a verb asks once what it has before it and never again."""

from __future__ import annotations

from typing import Any, Protocol

from ..data import ImageSchema, Schema, is_images
from ..data.request import Request
from ..models import IMAGE_MODELS
from .image_subject import ImageSubject
from .scored import Scored
from .subject import Example, Subject
from .table_subject import TableSubject

__all__ = ["Example", "ImageSubject", "Scored", "Subject", "TableSubject", "subject_for", "subject_of"]

SUBJECTS: dict[type, type[Subject]] = {Schema: TableSubject, ImageSchema: ImageSubject}


class Described(Protocol):
    """What has a schema: a run, or data that were read."""

    @property
    def schema(self) -> Any: ...


def subject_of(described: Described) -> Subject:
    """The kind of data that a run was fitted to, or that data are.

    Example::

        >>> subject_of(load("moons")).noun
        'a table'
    """
    return SUBJECTS[type(described.schema)](described.schema)


def subject_for(request: Request, model: str | None) -> type[Subject]:
    """The kind of data that were asked for: by what they are, or by the model where they can be either (``digits``).

    Raises:
        ValueError: images for a model of tables.
    """
    pictures = is_images(request.source)
    if pictures and model is not None and model not in IMAGE_MODELS:
        remedy = f"choose one of {', '.join(IMAGE_MODELS)}, or give the pixels as a table"
        raise ValueError(f"fit: {model} is a model of tables, and {request.called} holds images; {remedy}")
    return ImageSubject if pictures or model in IMAGE_MODELS else TableSubject
