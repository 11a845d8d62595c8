"""Samples nearer to the mode than those of the model."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..core import Flow
from ..distributions import Causal, Normal
from ..evaluation import settled
from .passes import BATCH, decode


def sample(
    flow: Flow, n: int, temperature: float = 1.0, context: Tensor | None = None, *, seed: int | None = None, batch: int = BATCH
) -> Tensor:
    r"""Samples at a temperature T, ``x = g(T e)`` with ``e ~ N(0, 1)``, in the order of ``flow.sample((n,), context)``.

    T = 1 are the model's own samples; below it they crowd around the latent's centre: smoother, more alike. Where the log-determinant
    is the same for all x (additive couplings) this is sampling from ``p(x)^(1/T^2)``, normalized; for other flows it is a habit that
    makes good pictures. What left through a :class:`Factor` is scaled too, its conditional standardization being a layer like any
    other. The same seed gives the same ``e`` at every temperature.

    Shapes: ``(n, *context_batch, *event)``. Cost: one inverse pass per sample, in batches, without gradient.

    References: Image Transformer, Parmar et al., 2018, arXiv:1802.05751; Glow, Kingma, Dhariwal, 2018, arXiv:1807.03039, section 6.

    Arguments:
        flow: the model; its base is :class:`Normal`, or the temperature 1.
        n: how many, for each context.
        temperature: the factor of the standard deviation of z, 0 (the centre, always the same) or more.
        context: raw contexts ``(*batch, *context_shape)`` of a conditional flow.
        seed: of the noise; the generator's state is restored. Without it the noise goes on from where the generator is.
        batch: samples in a pass.

    Raises:
        ValueError: another base at a temperature other than 1, a temperature below 0, or a context that is missing or doesn't fit.

    Example::

        >>> sample(flow, 16, temperature=0.7).shape
        torch.Size([16, 3, 32, 32])
    """
    if flow.base.support.is_discrete or isinstance(flow.base, Causal):
        if temperature != 1:
            raise ValueError("sample: this model describes whole numbers and has no latent to scale; leave the temperature out")
        with settled(flow, int(torch.randint(2**31, ())) if seed is None else seed):
            return flow.sample((n,), context)
    flat, shape = flow._flat(context)
    rows = n * math.prod(shape)
    if seed is None:
        z = heated(flow, rows, temperature)
    else:
        with settled(flow, seed):
            z = heated(flow, rows, temperature)
    given = None if flat is None else flat.repeat(n, *(1 for _ in flat.shape[1:]))
    return decode(flow, z, given, batch=batch).reshape(n, *shape, *flow.shape)


def heated(flow: Flow, n: int, temperature: float = 1.0) -> Tensor:
    """Latents ``(n, *base.shape)`` of a temperature: standard normals times it.

    Raises:
        ValueError: the base is not normal, or the temperature is below 0 or not finite.
    """
    if not 0 <= temperature < math.inf:
        raise ValueError(f"latent: expected a temperature of 0 or more, got {temperature:g}; 0.7 is common, 1 is the model itself")
    if not isinstance(flow.base, Normal):
        if temperature != 1 or flow.base.context_shape is not None:
            raise ValueError(
                f"latent: expected a normal base to scale, got {type(flow.base).__name__}; sample at temperature 1 with flow.sample"
            )
        return flow.base.sample((n,))
    with torch.no_grad():
        return temperature * flow.base.sample((n,))
