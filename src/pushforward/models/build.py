"""From a configuration and a schema to a flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from ..core import Flow
from . import IMAGE_MODELS, MODELS

if TYPE_CHECKING:
    from ..data import ImageSchema, Schema


def build(config: Mapping[str, Mapping[str, Any]], schema: Schema | ImageSchema) -> Flow:
    """The flow that a configuration describes: the recipe's layers behind the data's own preprocessing.

    A recipe for images takes the whole numbers themselves, and gets their levels.

    Arguments:
        config: its ``model`` table holds the recipe's ``name`` and options.
        schema: of the data.

    Raises:
        ValueError: an unknown recipe, or one for other data.
    """
    options = dict(config["model"])
    name = options.pop("name")
    if name not in MODELS:
        raise ValueError(f"build: expected a model among {', '.join(MODELS)}, got {name!r}")
    pictures = len(schema.shape) > 1
    if pictures != (name in IMAGE_MODELS):
        fitting = [key for key in MODELS if (key in IMAGE_MODELS) == pictures]
        what = f"images of shape {tuple(schema.shape)}" if pictures else f"rows of {schema.shape[0]} columns"
        raise ValueError(f"build: {name} is not a model of {what}; choose one of {', '.join(fitting)}")
    if pictures:
        options["levels"] = cast("ImageSchema", schema).levels
    flow = MODELS[name](schema.shape, context=schema.context_width, **options)
    return flow.prepend(*schema.layers(), shape=schema.shape, context=schema.context_shape, embed=schema.embed())
