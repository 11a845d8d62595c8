"""Learned rotations: by reflections, and by the exponential of a skew matrix."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..core import Transform, full_precision, zeros
from ..words import check_counts
from .channels import mix, solve_triangular
from .checks import expect_channels


class Householder(Transform):
    r"""An orthogonal map of the channels by K reflections, ``z = H_1 ... H_K x``, ``H_k = I - 2 v_k v_k^T / |v_k|^2``; ``ldj = 0``.

    The product is formed at once as ``Q = I - V^T S^-1 V``, with the vectors as the rows of V and S upper triangular, of
    entries ``v_i^T v_j`` above the diagonal and ``|v_i|^2 / 2`` on it (the compact WY form): no loop over reflections.

    Shapes: ``(B, D, *space)``, the same matrix at every position. Cost: D^2 multiplications per position in either direction
    (the inverse is the transpose) and ``2 K D (K + D)`` once per pass at most; nothing for the log-determinant. Exact.

    The determinant is ``(-1)^K`` throughout. Vectors start as equal random pairs, whose reflections cancel: an even K starts
    as the identity (up to rounding), an odd one as a single reflection. The length of a vector doesn't matter, however small;
    a vector of exact zeros reflects nothing and gets no gradient.

    Reference: Improving Variational Auto-Encoders using Householder Flow, Tomczak, Welling, 2016, arXiv:1611.09630 (there the
    vectors come from an encoder; here they are parameters).

    Arguments:
        dim: the number of channels.
        reflections: K; by default the largest even number up to ``dim``, which reaches every rotation.

    Raises:
        ValueError: ``reflections`` is negative, or x has another number of channels.

    Example::

        >>> z, ldj = Householder(3, 2)(torch.randn(8, 3))
        >>> z.shape, ldj.shape
        (torch.Size([8, 3]), torch.Size([8]))
    """

    def __init__(self, dim: int, reflections: int | None = None):
        super().__init__()
        check_counts("Householder", dim=dim)
        count = dim - dim % 2 if reflections is None else reflections
        if count < 0:
            raise ValueError(f"Householder: reflections must be >= 0, got {count}")
        self.dim = dim
        self.vectors = nn.Parameter(torch.randn((count + 1) // 2, dim).repeat_interleave(2, 0)[:count].clone())

    def matrix(self) -> Tensor:
        """Q: ``(D, D)``."""
        return reflections(self.vectors)

    @full_precision
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        expect_channels("Householder", self.dim, x)
        return mix(x, self.matrix()), zeros(x)

    @full_precision
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        expect_channels("Householder", self.dim, z)
        return mix(z, self.matrix().mT), zeros(z)

    def extra_repr(self) -> str:
        return f"{self.dim}, reflections={self.vectors.shape[0]}"


class Orthogonal(Transform):
    r"""A rotation of the channels, ``z = exp(A - A^T) x``; ``ldj = 0``.

    A is strictly upper triangular (the rest of ``weight`` is never read): D (D-1) / 2 numbers, the dimension of the group.
    Every rotation is reached, none with determinant -1: put a Permute of odd sign beside it. The identity at the start.

    Shapes: ``(B, D, *space)``, the same matrix at every position. Cost: D^2 multiplications per position in either direction
    (the inverse is the transpose) and some 10 products of D x D matrices once per pass; nothing for the log-determinant.
    Exact to the precision of the exponential, which is that of the dtype.

    Reference: Cheap Orthogonal Constraints in Neural Networks, Lezcano-Casado, Martínez-Rubio, 2019, arXiv:1901.08428.

    Arguments:
        dim: the number of channels.

    Raises:
        ValueError: x has another number of channels.

    Example::

        >>> z, ldj = Orthogonal(3)(torch.randn(8, 3))
        >>> z.shape, ldj.shape
        (torch.Size([8, 3]), torch.Size([8]))
    """

    def __init__(self, dim: int):
        super().__init__()
        check_counts("Orthogonal", dim=dim)
        self.weight = nn.Parameter(torch.zeros(dim, dim))

    def matrix(self) -> Tensor:
        """Q: ``(D, D)``."""
        upper = self.weight.triu(1)
        return torch.linalg.matrix_exp(upper - upper.mT)

    @full_precision
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        expect_channels("Orthogonal", self.weight.shape[0], x)
        return mix(x, self.matrix()), zeros(x)

    @full_precision
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        expect_channels("Orthogonal", self.weight.shape[0], z)
        return mix(z, self.matrix().mT), zeros(z)

    def extra_repr(self) -> str:
        return str(self.weight.shape[0])


def reflections(vectors: Tensor) -> Tensor:
    """``H_1 ... H_K`` of the vectors ``(*batch, K, D)``, ``(*batch, D, D)``; one of exact zeros reflects nothing."""
    # a common factor of v cancels, so it is taken out as a constant: squares of tiny and huge entries stay finite
    largest = vectors.detach().abs().amax(-1, keepdim=True)
    v = vectors / largest.clamp_min(torch.finfo(largest.dtype).tiny)  # |v|^2 >= 1 unless v = 0
    gram = v @ v.mT
    s = gram.triu(1) + (gram.diagonal(dim1=-2, dim2=-1) / 2).clamp_min(0.25).diag_embed()
    identity = torch.eye(v.shape[-1], dtype=v.dtype, device=v.device)
    return identity - solve_triangular(v.mT, s, upper=True) @ v


def orthonormal(columns: Tensor) -> Tensor:
    """The Q of ``columns = Q R`` with a positive diagonal of R, ``(*batch, D, M)``: a smooth function, whatever LAPACK's signs are.

    Exact to rounding however close to dependent the columns are, as the log-determinant of a Sylvester layer needs it. The iteration of its
    paper for the nearest orthogonal matrix, ``Q (1 + (1 - Q^T Q) / 2)``, takes the more rounds the smaller the least singular value.
    """
    q, r = torch.linalg.qr(columns)
    return q * torch.where(r.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0).unsqueeze(-2)
