"""Directions of the latent that stand for an attribute, and moves along them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..core import Flow
from .passes import BATCH, decode, each, encode


def mean_difference(flow: Flow, x: Tensor, y: Tensor, context: Tensor | None = None, *, batch: int = BATCH) -> Tensor:
    r"""From the mean latent of the rows without an attribute to that of the rows with it, ``mean z(y=1) - mean z(y=0)``: ``(*base.shape)``.

    Strength 1 carries the one mean to the other. Everything that goes along with the attribute in the data goes along in the
    direction too. Cost: one pass of all rows; memory for one batch.

    Reference: Glow, Kingma, Dhariwal, 2018, arXiv:1807.03039, section 5.1.

    Arguments:
        flow: the model.
        x: rows ``(N, *shape)``.
        y: whether each has the attribute, ``(N,)``, bool or 0 and 1.
        context: raw contexts of a conditional flow.
        batch: rows in a pass.

    Raises:
        ValueError: y has another length, or rows with or without the attribute are absent.

    Example::

        >>> direction = mean_difference(flow, images, labels == 7)
        >>> edit(flow, images[:4], direction, [-1, 0, 1]).shape
        torch.Size([4, 3, 1, 28, 28])
    """
    has = _attribute("mean_difference", x, y)
    sums = torch.zeros(2, *flow.base.shape, dtype=torch.float64)
    for start in range(0, len(x), batch):
        part = slice(start, start + batch)
        z = encode(flow, x[part], None if context is None else context[part], batch=batch).double().cpu()
        for side in (0, 1):
            sums[side] += (z * _column(has[part] == bool(side), z)).sum(0)
    return _back(flow, sums[1] / has.sum() - sums[0] / (~has).sum())


def linear_probe(flow: Flow, x: Tensor, y: Tensor, context: Tensor | None = None, *, l2: float = 0.01, batch: int = BATCH) -> Tensor:
    r"""The direction that a logistic regression on z reads an attribute from: ``(*base.shape)``.

    Each number of z is standardized, ``min_w mean log-loss + l2/2 |w|^2`` found, and the weights w taken back to z. The direction is
    ``d = w (w.m) / (w.w)`` with ``m`` the difference of the two mean latents: the shortest step that carries the mean logit of the rows
    without the attribute to that of the rows with it, so strength 1 is comparable with :func:`mean_difference`. Unlike that, it leaves
    alone what merely goes along with the attribute, and it is the shorter: edits are subtler.

    Cost: one pass of all rows, and a convex fit; memory for all latents, ``N D`` numbers of float32, three times over.

    Reference: Understanding intermediate layers using linear classifier probes, Alain, Bengio, 2016, arXiv:1610.01644.

    Arguments: as :func:`mean_difference`, and
        l2: the penalty; a large one gives the standardized difference of the means.

    Raises:
        ValueError: as :func:`mean_difference`, or l2 is not positive.
    """
    from sklearn.linear_model import LogisticRegression

    has = _attribute("linear_probe", x, y).numpy()
    if not l2 > 0:
        raise ValueError(
            f"linear_probe: expected a penalty l2 above 0, got {l2:g}; without one the weights of separable classes are infinite"
        )
    z = encode(flow, x, context, batch=batch).flatten(1).cpu().numpy()
    mean, deviation = z.mean(0, dtype=np.float64), z.std(0, dtype=np.float64)
    deviation[deviation == 0] = 1.0
    difference = z[has].mean(0, dtype=np.float64) - z[~has].mean(0, dtype=np.float64)
    white = ((z - mean) / deviation).astype(z.dtype)
    fitted = LogisticRegression(C=1 / (l2 * len(z)), max_iter=2000).fit(white, has)
    weights = fitted.coef_[0].astype(np.float64) / deviation
    norm = float(weights @ weights)
    if norm == 0:
        raise ValueError("linear_probe: the latent tells nothing of the attribute; give more rows, or a smaller penalty l2")
    direction = torch.from_numpy(weights * float(weights @ difference) / norm)
    return _back(flow, direction.reshape(flow.base.shape))


def separation(flow: Flow, x: Tensor, y: Tensor, direction: Tensor, context: Tensor | None = None, *, batch: int = BATCH) -> float:
    """How well a direction tells rows with an attribute from those without: the area under the ROC curve of ``z . direction``.

    It is the chance that a row with the attribute lies further along than one without: 0.5 says nothing, 1 says it all. Of rows that
    the direction was not made from, it says whether the direction means the attribute.
    """
    from sklearn.metrics import roc_auc_score

    has = _attribute("separation", x, y)
    along = direction.flatten()
    places = []
    for start in range(0, len(x), batch):
        part = slice(start, start + batch)
        z = encode(flow, x[part], None if context is None else context[part], batch=batch)
        places.append((z.flatten(1) @ along.to(z)).cpu())
    return float(roc_auc_score(has.numpy(), torch.cat(places).double().numpy()))


def edit(
    flow: Flow, x: Tensor, direction: Tensor, strengths: Sequence[float], context: Tensor | None = None, *, batch: int = BATCH
) -> Tensor:
    """Rows moved along a direction of the latent, ``decode(encode(x) + s direction)``: ``(N, len(strengths), *shape)``.

    Strength 0 is the row itself. Cost: a pass for each row, an inverse pass for each strength.

    Raises:
        ValueError: the direction has not the shape of z, or there are no strengths.
    """
    if direction.shape != flow.base.shape:
        raise ValueError(f"edit: expected a direction of shape {tuple(flow.base.shape)}, as z has, got {tuple(direction.shape)}")
    if not len(strengths):
        raise ValueError("edit: expected at least one strength, got none; 0 is the row itself")
    z = encode(flow, x, context, batch=batch).unsqueeze(1)
    s = torch.tensor(list(strengths), dtype=z.dtype, device=z.device).reshape(1, -1, *(1 for _ in direction.shape))
    moved = (z + s * direction.to(z)).flatten(0, 1)
    return decode(flow, moved, each(context, len(strengths)), batch=batch).reshape(len(x), len(strengths), *flow.shape)


def swap(flow: Flow, x: Tensor, context: Tensor, other: Tensor, *, batch: int = BATCH) -> Tensor:
    """Rows with another context: encoded with their own, decoded with the other, ``(N, *shape)``.

    In a class-conditional flow z holds what the label doesn't say (a handwriting, a pose), and this keeps it.

    Arguments:
        flow: a conditional model.
        x: rows.
        context: their raw contexts, one for each row.
        other: the raw contexts to decode with, one for each row, or one for all (a single row).

    Raises:
        ValueError: the flow has no context, or contexts don't fit.
    """
    if flow.context_shape is None:
        raise ValueError("swap: this flow has no context; fit one with a label as context, or use edit with a direction")
    z = encode(flow, x, context, batch=batch)
    return decode(flow, z, other.expand(len(x), *other.shape[1:]) if len(other) == 1 else other, batch=batch)


def _attribute(who: str, x: Tensor, y: Tensor) -> Tensor:
    """y as bool on the CPU."""
    if y.shape != x.shape[:1]:
        raise ValueError(f"{who}: expected y of shape ({len(x)},), one for each row, got {tuple(y.shape)}")
    has = y.cpu().bool()
    if has.all() or not has.any():
        raise ValueError(f"{who}: all {len(x)} rows are {'with' if has.all() else 'without'} the attribute; give rows of both kinds")
    return has


def _column(flags: Tensor, z: Tensor) -> Tensor:
    return flags.to(z.dtype).reshape(-1, *(1 for _ in z.shape[1:]))


def _back(flow: Flow, direction: Tensor) -> Tensor:
    """A direction in the dtype and on the device of the flow."""
    dtype, device = flow.entry
    return direction.to(device, dtype)
