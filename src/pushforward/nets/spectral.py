"""Linear maps whose norm is kept below a coefficient."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core import Hooked, full_precision
from ..words import check_counts
from .mlp import linear

POWERS = 4, 4, 8  # of a Gram matrix, one after the other by squaring: between them lengths are taken out, so that nothing vanishes


class SpectralMap(Hooked):
    """``x -> W x / max(s / c, 1) + b`` with the norm s of W, so that distances grow by at most c; what is within it is left alone.

    s is ``<G, W>``, where the buffer G is the gradient of the norm of W at the last :meth:`refresh`: there it gives the norm itself, since
    norms are homogeneous, and the norm's gradient, for one product with each weight. Of other weights it is too small, if anything, since
    norms are convex. A forward pass changes nothing.

    Reference: Spectral Normalization for Generative Adversarial Networks, Miyato, Kataoka, Koyama, Yoshida, 2018, arXiv:1802.05957; "only
    if it is too large": Regularisation of Neural Networks by Enforcing Lipschitz Continuity, Gouk, Frank, Pfahringer, Cree, 2018,
    arXiv:1804.04368, and Invertible Residual Networks, Behrmann, Grathwohl, Chen, Duvenaud, Jacobsen, 2018, arXiv:1811.00995.

    Attributes:
        coefficient: c.
        weight, bias: W and b.
        gradient: G.
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d, coefficient: float):
        super().__init__()
        if not coefficient > 0:
            raise ValueError(f"{type(self).__name__}: expected a coefficient above 0, got {coefficient}")
        self.coefficient = coefficient
        self.weight, self.bias = layer.weight, layer.bias
        self.gradient: Tensor
        self.register_buffer("gradient", torch.zeros_like(layer.weight, requires_grad=False))

    def normalized(self) -> Tensor:
        """The weight as it is used."""
        return self.weight / ((self.gradient * self.weight).sum() / self.coefficient).clamp(min=1)

    def transposed(self) -> Callable[[Tensor], Tensor]:
        """The product with the transposed map, of K vectors: ``(K, B, outputs, ...) -> (K, B, inputs, ...)``."""
        raise NotImplementedError(f"{type(self).__name__} does not define transposed")

    @torch.no_grad()
    def refresh(self) -> None:
        """Bring G up to date with W."""
        self.gradient.copy_(self._norm_gradient(self.weight))

    def _norm_gradient(self, weight: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not define _norm_gradient")


class SpectralLinear(SpectralMap):
    """A fully connected layer ``(B, inputs) -> (B, outputs)`` that makes distances grow by at most ``coefficient``.

    Its norm is Schatten's, ``(sum_i s_i^p)^(1/p)`` of the singular values, with p = 258: never below the largest of them, and above by at
    most 2 % of 128 that are equal. It takes the 128th power of ``W^T W``, by squaring: as good as that many power iterations from
    all sides. So after :meth:`refresh` the bound holds up to rounding, whatever the weights. Cost: 10 products of matrices.

    Reference: Efficient Bound of Lipschitz Constant for Convolutional Layers by Gram Iteration, Delattre, Barthélemy, Araujo, Allauzen,
    2023, arXiv:2305.16173.
    Departure: the papers estimate the largest singular value, from below, by a few power iterations that go on from the last ones.

    Arguments:
        inputs, outputs: features.
        coefficient: bound of the norm.
        zero: start at zero.

    Raises:
        ValueError: a size below 1, or no positive coefficient.

    Example::

        >>> layer = SpectralLinear(3, 16, coefficient=0.9)
        >>> bool(torch.linalg.matrix_norm(layer.normalized(), 2) <= 0.9 + 1e-6)
        True
    """

    def __init__(self, inputs: int, outputs: int, *, coefficient: float = 1.0, zero: bool = False):
        check_counts("SpectralLinear", inputs=inputs, outputs=outputs)
        super().__init__(linear(inputs, outputs, zero=zero), coefficient)
        self.refresh()

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.normalized(), self.bias)

    def transposed(self) -> Callable[[Tensor], Tensor]:
        weight = self.normalized()
        return lambda v: v @ weight

    @full_precision
    def _norm_gradient(self, weight: Tensor) -> Tensor:
        return schatten_gradient(weight)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]}, {self.weight.shape[0]}, coefficient={self.coefficient:g}"


def schatten_gradient(weight: Tensor) -> Tensor:
    """The gradient of ``(tr (W^H W)^129)^(1/258)``, traces of a stack of matrices added up; its product with W is that norm. Zero at 0."""
    tiny = torch.finfo(weight.dtype).tiny
    wide = weight.shape[-2] < weight.shape[-1]
    unit = weight / torch.linalg.vector_norm(weight).clamp(min=tiny)  # the gradient does not depend on the length
    gram = unit @ unit.mH if wide else unit.mH @ unit
    power, log = gram, 0.0  # (W^H W)^k is power times e^log
    for exponent in POWERS:
        length = torch.linalg.vector_norm(power).clamp(min=tiny)
        power, log = torch.linalg.matrix_power(power / length, exponent), exponent * (log + length.log())
    trace = (power * gram.conj()).real.sum()
    norm = ((log + trace.log()) / (2 * math.prod(POWERS) + 2)).exp()
    return (power @ unit if wide else unit @ power) * (norm / trace.clamp(min=tiny))
