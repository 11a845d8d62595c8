"""From a configuration and a schema to a flow."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_buffer_registration_hook, register_module_parameter_registration_hook

from ..core import Flow
from . import IMAGE_MODELS, LATENT_MODELS, LATENT_VECTOR_MODELS, MODELS, SOUND_MODELS, TABLE_MODELS, VECTOR_MODELS

if TYPE_CHECKING:
    from ..data import Schema
    from ..data.whole_schema import WholeSchema

USUAL = 1024  # widths, steps and bins up to here make no layer that is dangerous by itself


def build(config: Mapping[str, Mapping[str, Any]], schema: Schema | WholeSchema, most: int | None = None) -> Flow:
    """The flow that a configuration describes: the recipe's layers behind the data's own preprocessing.

    A recipe for images or sounds takes the whole numbers themselves, and gets their levels.

    Arguments:
        config: its ``model`` table holds the recipe's ``name`` and options.
        schema: of the data.
        most: numbers that parameters and buffers may hold together, such as those of the file that they are to come from.

    Raises:
        ValueError: an unknown recipe, one for other data, or a flow of more numbers.
    """
    options = dict(config["model"])
    name = options.pop("name")
    if name not in MODELS:
        raise ValueError(f"build: expected a model among {', '.join(MODELS)}, got {name!r}")
    shape = tuple(schema.shape)
    what, fitting = {
        1: (f"rows of {shape[0]} columns", VECTOR_MODELS | TABLE_MODELS | LATENT_VECTOR_MODELS),
        2: (f"sounds of shape {shape}", SOUND_MODELS),
        3: (f"images of shape {shape}", IMAGE_MODELS | LATENT_MODELS),
    }[len(shape)]
    if name not in fitting:
        raise ValueError(f"build: {name} is not a model of {what}; choose one of {', '.join(fitting)}")
    if len(shape) > 1:
        options["levels"] = cast("WholeSchema", schema).levels
    if most is None:
        return _assemble(name, options, schema)
    largest = max((value for key, value in options.items() if isinstance(value, int) and key != "levels"), default=0)
    if largest > max(most, USUAL):
        raise ValueError(f"build: an option of {largest:,} makes a flow of more than {most:,} numbers")
    if max(largest, options.get("levels", 0)) > USUAL:  # first where tensors take no room; of levels there may be many and no tensor
        with _bounded(most), torch.device("meta"):
            _assemble(name, options, schema)
    with _bounded(most):
        return _assemble(name, options, schema)


def _assemble(name: str, options: Mapping[str, Any], schema: Schema | WholeSchema) -> Flow:
    if name in TABLE_MODELS:  # they take the numbers as they are
        supports = [column.kind.support() for column in cast("Schema", schema).columns]
        flow = TABLE_MODELS[name](schema.shape, supports, context=schema.context_width, **options)
        return flow.prepend(context=schema.context_shape, embed=schema.embed())
    flow = MODELS[name](schema.shape, context=schema.context_width, **options)
    return flow.prepend(*schema.layers(), shape=schema.shape, context=schema.context_shape, embed=schema.embed())


@contextmanager
def _bounded(most: int) -> Iterator[None]:
    """ValueError as soon as what modules of this thread register holds more numbers."""
    thread, total = threading.get_ident(), 0
    sizes: dict[tuple[int, str], int] = {}  # of what is registered under a name, again and again while shapes are tried out

    def count(module: nn.Module, name: str, tensor: Tensor | None) -> None:
        nonlocal total
        if tensor is not None and threading.get_ident() == thread:
            total += tensor.numel() - sizes.get((id(module), name), 0)
            sizes[id(module), name] = tensor.numel()
            if total > 4 * most + 2**16:  # normed weights are there twice while they are made, and so are parts that get replaced
                raise ValueError(f"build: the flow has more than {most:,} numbers")

    handles = [register_module_parameter_registration_hook(count), register_module_buffer_registration_hook(count)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
