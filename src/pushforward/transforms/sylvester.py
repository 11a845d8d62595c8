"""Several planar moves at once, in an orthogonal frame."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core import Transform, full_precision, sum_event
from .amortized import Amortized
from .orthogonal import Householder, Orthogonal, orthonormal, reflections
from .planar import check_floor, log_slope, steer, unbend

Kind = Literal["orthogonal", "householder", "triangular"]


class Sylvester(Transform):
    r"""``z = x + Q R tanh(S Q^T x + b)``: M columns Q of an orthogonal matrix, and R and S upper triangular, ``M x M``.

    ``ldj = sum_i log(1 + r_ii s_ii (1 - tanh^2((S Q^T x + b)_i)))``: by Sylvester's identity, ``det(I + A B) = det(I + B A)``, a
    triangular determinant of size M. One column is a Planar whose u is parallel to its w.

    Invertible whatever the parameters: ``r_ii s_ii > floor - 1``, by the map that Planar applies to its u. Every learned number is
    bounded: diagonals by ``+-bound``, the rest by ``+-bound / sqrt(M)``. The paper leaves them free, but a triangular inverse loses
    digits exponentially in M then (for entries of N(0, 9) and M = 20 float32 comes back wrong by 6 and more).

    ``kind`` says where Q comes from: "orthogonal" is the exponential of a skew matrix (the paper's is an iterative projection),
    "householder" a product of reflections, and "triangular" the first M columns of the identity, which cost nothing; change the
    order of the features between such layers, as the paper does.

    Shapes: vectors ``(B, D)``. Cost: ``2 D M + M^2`` multiplications per row, and D^3 once per pass for Q ("triangular": M^2 alone);
    O(M) for the log-determinant; exact. The inverse finds ``Q^T x`` from its last number to its first, by M scalar equations as
    Planar's, with exact gradients: M steps of some 20 evaluations of a tanh. The identity at the start (R = 0).

    With a net, R, S and b differ from row to row. Q is shared by all, or ``amortized`` as in the paper, of each row its own from M vectors
    of D numbers: "householder" reflects by them, "orthogonal" orthonormalizes them (by QR, exact in one go, where the paper iterates
    towards the nearest orthogonal matrix). Both reach every Q (M = D reflections those of one determinant), for some ``4 D M^2``
    multiplications per row, and ``D^2 M`` more by reflections.

    Caveats: x moves inside the M columns of Q only, so "triangular" leaves all but the first M features as they are.

    Reference: Sylvester Normalizing Flows for Variational Inference, van den Berg, Hasenclever, Tomczak, Welling, 2018,
    arXiv:1803.05649.

    Arguments:
        dim: the number of features D.
        rank: the number of columns M, up to D.
        kind: "orthogonal", "householder" or "triangular".
        net: from the context to ``M^2 + 2 M`` numbers for each row, which are added to the constants behind R, S and b, and if
            ``amortized`` to ``D M`` more behind Q (:func:`sylvester_numbers`).
        floor: what slopes stay above, in (0, 1).
        bound: of the entries of R and S.
        amortized: Q comes from the same numbers; not for "triangular", whose Q is fixed.

    Raises:
        ValueError: a rank outside of 1..D, an unknown kind, a floor outside of (0, 1), a bound that is not positive and finite; an
            amortized "triangular"; x of another shape; with a net, a context that is missing or does not fit.

    Example::

        >>> layer = Sylvester(3, rank=2)
        >>> z, ldj = layer(torch.randn(8, 3))
        >>> z.shape, ldj.shape
        (torch.Size([8, 3]), torch.Size([8]))
    """

    def __init__(
        self,
        dim: int,
        rank: int,
        kind: Kind = "orthogonal",
        net: nn.Module | None = None,
        floor: float = 0.1,
        bound: float = 2.0,
        amortized: bool = False,
    ):
        super().__init__()
        check_floor("Sylvester", floor)
        if not 1 <= rank <= dim:
            raise ValueError(f"Sylvester: rank must be in 1..{dim}, the number of features, got {rank}")
        if kind not in get_args(Kind):
            raise ValueError(f"Sylvester: kind must be one of {', '.join(get_args(Kind))}, got {kind!r}")
        if not 0 < bound < math.inf:
            raise ValueError(f"Sylvester: bound must be positive and finite, got {bound}")
        if amortized and kind == "triangular":
            raise ValueError(
                "Sylvester: the Q of kind 'triangular' is fixed; use kind 'orthogonal' or 'householder', or leave out amortized"
            )
        self.dim, self.rank, self.kind, self.floor, self.bound, self.amortized = dim, rank, kind, floor, bound, amortized
        self.frame: Orthogonal | Householder | None = None
        if kind == "orthogonal" and not amortized:
            self.frame = Orthogonal(dim)
            nn.init.normal_(self.frame.weight)
        elif kind == "householder" and not amortized:
            self.frame = Householder(dim)
            nn.init.normal_(self.frame.vectors)
        vectors = torch.randn(rank * dim if amortized else 0)
        start = torch.cat([torch.zeros(rank * rank), torch.ones(rank), torch.randn(rank), vectors])
        self.h = Amortized("Sylvester", dim, start, net)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._there(x, self.h(x, context).to(x.dtype))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._back(z, self.h(z, context).to(z.dtype))

    @full_precision
    def _there(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        outer, inner, product, bias, frame = self._unpack(h)
        bend = torch.tanh(torch.einsum("bij,bj->bi", inner, self._into(x, frame)) + bias)
        move = torch.einsum("bij,bj->bi", outer, bend)
        return x + self._out_of(move, frame), sum_event(log_slope(product, bend))

    @full_precision
    def _back(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        outer, inner, product, bias, frame = self._unpack(h)
        image = self._into(z, frame)  # y + R tanh(S y + b), of y = Q^T x
        y, s, slopes = image, bias.expand_as(image), []
        for i in reversed(range(self.rank)):  # what rows above i owe to i and to those after it is taken off as it gets known
            argument, slope = unbend(inner[:, i, i] * y[:, i] + s[:, i], product[:, i])
            y = y - outer[:, :, i] * torch.tanh(argument).unsqueeze(1)  # y_i is done
            s = s + inner[:, :, i] * y[:, i : i + 1]
            slopes.append(slope)
        return z + self._out_of(y - image, frame), sum_event(torch.stack(slopes, 1))

    def _unpack(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        """R and S, (1 or B, M, M), the products of their diagonals and b, (1 or B, M), and Q."""
        numbers, bias, vectors = h.split([self.rank**2 + self.rank, self.rank, h.shape[1] - self.rank**2 - 2 * self.rank], 1)
        square, diagonal = (torch.tanh(numbers / self.bound) * self.bound).split([self.rank**2, self.rank], 1)
        square = square.unflatten(1, (self.rank, self.rank))  # above the diagonal R, below it S^T
        first, product = steer(square.diagonal(dim1=1, dim2=2).unsqueeze(2), diagonal.unsqueeze(2), self.floor)
        rest = square * self.rank**-0.5
        outer = rest.triu(1) + torch.diag_embed(first.squeeze(2))
        inner = rest.tril(-1).mT + torch.diag_embed(diagonal)
        return outer, inner, product.squeeze(2), bias, self._frame(vectors)

    def _frame(self, vectors: Tensor) -> Tensor | None:
        """Q: ``(D, M)``, or of each row ``(1 or B, D, M)`` from M vectors of D numbers."""
        if self.amortized:
            rows = vectors.unflatten(1, (self.rank, self.dim))
            return orthonormal(rows.mT) if self.kind == "orthogonal" else reflections(rows)[:, :, : self.rank]
        if self.frame is None:
            return None
        q = self.frame.matrix()[:, : self.rank]
        # the inverse stands on Q^T Q = I: one step of the paper's iteration takes the exponential's rounding off
        return 1.5 * q - 0.5 * q @ (q.mT @ q)

    def _into(self, x: Tensor, frame: Tensor | None) -> Tensor:
        if frame is None:
            return x[:, : self.rank]
        return x @ frame if frame.dim() == 2 else torch.einsum("bd,bdm->bm", x, frame)

    def _out_of(self, y: Tensor, frame: Tensor | None) -> Tensor:
        if frame is None:
            return F.pad(y, (0, self.dim - self.rank))
        return y @ frame.mT if frame.dim() == 2 else torch.einsum("bm,bdm->bd", y, frame)

    def extra_repr(self) -> str:
        own = ", amortized" if self.amortized else ""
        return f"{self.dim}, rank={self.rank}, kind={self.kind!r}, floor={self.floor}, bound={self.bound}{own}"


def sylvester_numbers(dim: int, rank: int, amortized: bool = False) -> int:
    """How many numbers a net gives a :class:`Sylvester` layer for each row."""
    return rank**2 + 2 * rank + (dim * rank if amortized else 0)
