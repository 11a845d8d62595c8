"""Rows to latents and back, in batches of bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import Flow
from ..distributions import SplitPrior
from ..evaluation import entering, settled

BATCH = 128  # rows in a pass: the activations of a deep image flow take some megabytes for each


def encode(flow: Flow, x: Tensor, context: Tensor | None = None, *, batch: int = BATCH) -> Tensor:
    """The latents of rows, ``(N, *shape) -> (N, *base.shape)``: ``flow.encode`` in batches, without gradient, in eval mode.

    x may hold whole numbers of any dtype and lie on another device. Dequantized rows are encoded from the centre of their bin.

    Raises:
        ValueError: the model has no latent (:func:`check_latent`).
    """
    check_latent("latent", flow)

    def some(rows: Tensor, given: Tensor | None) -> Tensor:
        return flow.encode(*entering(flow, rows, given))

    return passes(flow, some, x, context, batch)


def decode(flow: Flow, z: Tensor, context: Tensor | None = None, *, batch: int = BATCH) -> Tensor:
    """The rows of latents, ``(N, *base.shape) -> (N, *shape)``: ``flow.decode`` in batches, without gradient, in eval mode."""

    def some(rows: Tensor, given: Tensor | None) -> Tensor:
        return flow.decode(rows, None if given is None else entering(flow, rows, given)[1])

    return passes(flow, some, z, context, batch)


def check_latent(who: str, flow: Flow) -> None:
    """Raise ValueError if a model describes whole numbers by whole numbers: one after the other, or by a bijection of them."""
    if flow.base.support.is_discrete:
        if isinstance(flow.base, SplitPrior):
            raise ValueError(
                f"{who}: the latents of this model are whole numbers, with nothing between two of them; choose a flow, such as glow"
            )
        remedy = "choose a flow, such as glow; sample --keep completes images with this one"
        raise ValueError(f"{who}: this model draws one number after the other and has no latent; {remedy}")


@torch.no_grad()
def passes(flow: Flow, some: Callable[[Tensor, Tensor | None], Tensor], x: Tensor, context: Tensor | None, batch: int) -> Tensor:
    """``some(x, context)`` over batches of rows, one under the other."""
    if context is not None and len(context) != len(x):
        raise ValueError(f"latent: expected one context for each of {len(x)} rows, got {len(context)}; repeat or pick the contexts")
    if not len(x):
        raise ValueError("latent: expected at least one row, got none")
    with settled(flow, 0):
        starts = range(0, len(x), max(1, batch))
        return torch.cat([some(x[i : i + batch], None if context is None else context[i : i + batch]) for i in starts])


def each(context: Tensor | None, count: int) -> Tensor | None:
    """Every context row ``count`` times in a row, beside ``(N, count, ...)`` flattened."""
    return None if context is None else context.repeat_interleave(count, 0)


@dataclass(frozen=True)
class Reconstruction:
    """Rows after encoding and decoding, and how far they are from what they were.

    Attributes:
        x: the rows that came back, ``(N, *shape)``.
        error: the largest absolute difference of a number, before rounding.
        wrong: how many numbers differ after rounding to whole ones.
        exact: how many rows have none that differ after rounding.
    """

    x: Tensor
    error: float
    wrong: int
    exact: int


def reconstruct(flow: Flow, x: Tensor, context: Tensor | None = None, *, batch: int = BATCH) -> Reconstruction:
    """Rows through the latent and back, ``decode(encode(x))``: for a bijection rounding errors only, for whole numbers none.

    Cost: a pass each way.

    Example::

        >>> back = reconstruct(flow, images)
        >>> back.error, back.wrong, back.exact == len(images)
        (0.0, 0, True)
    """

    def some(rows: Tensor, given: Tensor | None) -> Tensor:
        rows, given = entering(flow, rows, given)
        return flow.decode(flow.encode(rows, given), given)

    back = passes(flow, some, x, context, batch)
    original = entering(flow, x, None)[0]
    error = (back - original).abs()
    wrong = (back.round() != original.round()).flatten(1).sum(1)
    return Reconstruction(back, float(error.max()), int(wrong.sum()), int((wrong == 0).sum()))
