"""The bound of a model with a random latent, taken apart."""

from __future__ import annotations

from torch import Tensor

from ..core import Flow, zeros
from ..transforms import Latent


def has_latent(flow: Flow) -> bool:
    """Whether a layer of the model draws a latent whose bound can be taken apart."""
    return any(isinstance(layer, Latent) for layer in flow.transform.transforms)


class Behind:
    """The layers of a flow from number ``start`` on, and its base, at one context: the prior of the latent that enters them.

    With a list of ``groups``, the bound of a further latent layer among them is taken apart: its divergences go to the list,
    and what is left is the density given that latent.
    """

    def __init__(self, flow: Flow, start: int, context: Tensor | None, groups: list[Tensor]):
        self.flow, self.start, self.context, self.groups = flow, start, context, groups

    def log_prob(self, x: Tensor, /) -> Tensor:
        """``(B, *shape) -> (B,)``."""
        total, layers = zeros(x), self.flow.transform.transforms
        for i in range(self.start, len(layers)):
            layer = layers[i]
            if isinstance(layer, Latent):
                last = i + 1 == len(layers) and self.flow.base.context_shape is None
                inner: list[Tensor] = []
                parts = layer.parts(x, self.context, self.flow.base if last else Behind(self.flow, i + 1, self.context, inner))
                self.groups += [*parts.kl.unbind(1), *inner]
                return total + parts.reconstruction
            x, ldj = layer(x, self.context)
            total = total + ldj
        return total + self.flow.base.log_prob(x, self.flow.base.seen(self.context))


def taken_apart(flow: Flow, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
    """``log p(x|z)``, ``(B,)``, and the divergence of each group of latents from its prior, ``(B,)``: their difference is the bound.

    Raises:
        ValueError: rows that do not fit, or a missing context.
    """
    flow.check(x, context)
    groups: list[Tensor] = []
    reconstruction = Behind(flow, 0, None if context is None else flow.embedding(context), groups).log_prob(x)
    return reconstruction, groups
