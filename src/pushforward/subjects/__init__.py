"""Kinds of data, each behind the same functions, so that a verb asks once what it has before it and never again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ..data import ImageSchema, Schema, SoundSchema, is_images, is_sounds
from ..data.request import Request
from ..models import IMAGE_MODELS, LATENT_MODELS, LATENT_VECTOR_MODELS, SOUND_MODELS, TABLE_MODELS, VECTOR_MODELS
from .image_subject import ImageSubject
from .scored import Scored
from .sound_subject import SoundSubject
from .subject import Example, Subject
from .table_subject import TableSubject

__all__ = ["Example", "ImageSubject", "Scored", "SoundSubject", "Subject", "TableSubject", "subject_for", "subject_of"]

MODELS_OF: dict[type[Subject], Mapping[str, object]] = {
    TableSubject: VECTOR_MODELS | TABLE_MODELS | LATENT_VECTOR_MODELS,
    ImageSubject: IMAGE_MODELS | LATENT_MODELS,
    SoundSubject: SOUND_MODELS,
}
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
    wanted = [subject for subject, models in MODELS_OF.items() if model in models]
    if kind is TableSubject and ImageSubject in wanted:  # arrays and names may be either
        about_images = any(name not in TableSubject.reads for name in request.said() if name in ImageSubject.reads)
        return ImageSubject if about_images or TableSubject not in wanted else TableSubject
    if kind in wanted or not wanted:  # a name that nothing has is told with those that there are
        return kind
    remedy = "give sound files" if kind is TableSubject else f"choose one of {', '.join(MODELS_OF[kind])}"
    others = ", or give the pixels as a table" if kind is ImageSubject else ""
    raise ValueError(f"fit: {model} is a model of {wanted[0].plural}, and {request.called} holds {kind.noun}; {remedy}{others}")
