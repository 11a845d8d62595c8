"""What layers between data and a random latent have in common: a bound that can be taken apart."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

from torch import Tensor

from ..core import LogDensity, Transform


class Parts(NamedTuple):
    """A bound taken apart, ``log p(x) >= reconstruction - kl.sum(1)`` on average.

    Attributes:
        z: the latent that was drawn.
        reconstruction: ``log p(x|z)``, ``(B,)``.
        kl: of each group of latents from its prior, ``(B, groups)``; the groups of a hierarchy, the only one of a VAE.
    """

    z: Tensor
    reconstruction: Tensor
    kl: Tensor


class Latent(Transform):
    """A layer whose x -> z draws from a posterior q(z|x), and whose z -> x draws from p(x|z): ``ldj = log p(x|z) - log q(z|x)``."""

    stochastic_forward = True
    stochastic_inverse = True
    entries = (*Transform.entries, "parts")

    @abstractmethod
    def parts(self, x: Tensor, context: Tensor | None, prior: LogDensity) -> Parts:
        """The bound's terms, given what is behind the layer; divergences in closed form where there is one."""
