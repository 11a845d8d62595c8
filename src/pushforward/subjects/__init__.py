"""Kinds of data, each behind the same functions, so that a verb asks once what it has before it and never again."""

from __future__ import annotations

from typing import Any, Protocol

from ..data import ImageSchema, Schema, SoundSchema, is_images, is_sounds
from ..data.request import Request
from ..models import IMAGE_MODELS, SOUND_MODELS
from .image_subject import ImageSubject
from .scored import Scored
from .sound_subject import SoundSubject
from .subject import Example, Subject
from .table_subject import TableSubject

__all__ = ["Example", "ImageSubject", "Scored", "SoundSubject", "Subject", "TableSubject", "subject_for", "subject_of"]

SUBJECTS: dict[type, type[Subject]] = {Schema: TableSubject, ImageSchema: ImageSubject, SoundSchema: SoundSubject}


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
        ValueError: data for a model of others.
    """
    source = request.source
    kind = SoundSubject if request.sound is not None or is_sounds(source) else ImageSubject if is_images(source) else TableSubject
    if model is None:
        return kind
    wanted = SoundSubject if model in SOUND_MODELS else ImageSubject if model in IMAGE_MODELS else TableSubject
    if kind is wanted or (kind is TableSubject and wanted is ImageSubject):  # arrays may be either
        return wanted
    fitting = {SoundSubject: SOUND_MODELS, ImageSubject: IMAGE_MODELS}.get(kind)
    remedy = f"choose one of {', '.join(fitting)}" if fitting else "give sound files"
    others = ", or give the pixels as a table" if kind is ImageSubject else ""
    raise ValueError(f"fit: {model} is a model of {wanted.plural}, and {request.called} holds {kind.noun}; {remedy}{others}")
