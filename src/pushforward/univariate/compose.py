"""One scalar map after the other."""

from __future__ import annotations

from torch import Tensor

from .base import Univariate


class Compose(Univariate):
    """``z = g(f(x; h_f); h_g)``, with the parameters of f before those of g; log derivatives add up.

    Arguments:
        first: f.
        second: g.

    Example::

        >>> curve = Compose(MixtureQuantile(4, "logistic"), Affine())
        >>> curve.params, curve.forward(torch.randn(8, 3), torch.randn(8, 14, 3))[0].shape
        (14, torch.Size([8, 3]))
    """

    def __init__(self, first: Univariate, second: Univariate):
        self.first, self.second = first, second
        self.params = first.params + second.params
        self.identity = (*first.identity, *second.identity)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        a, b = h.split([self.first.params, self.second.params], 1)
        y, first = self.first.forward(x, a)
        z, second = self.second.forward(y, b)
        return z, first + second

    def inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        a, b = h.split([self.first.params, self.second.params], 1)
        y, second = self.second.inverse(z, b)
        x, first = self.first.inverse(y, a)
        return x, first + second
