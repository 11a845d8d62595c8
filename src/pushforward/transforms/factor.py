"""Multi-scale models that keep every dimension of z."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..core import Transform, join
from ..core.transform import Call
from .split import Split


class Factor(Transform):
    r"""Parts the channels: some leave through ``part``, a transform conditional on the others, which go on through ``rest``.

    ``z_left = part(x_left; join(x_kept, context))``, ``z_kept = rest(x_kept; context)``, ``ldj`` is the sum of both. The density is
    ``p(x_kept) p(x_left | x_kept)``, each given by its own layers. z holds every channel in the place of the x it came from, so
    that encoding and decoding are exact, unlike a layer that drops what it has factored out (:class:`Slice`).
    The two must keep the shape of what they get. Kind of likelihood: that of the two. Cost: that of the two, and two copies of x.

    Reference: Density Estimation using Real NVP, Dinh, Sohl-Dickstein, Bengio, 2016, arXiv:1605.08803, section 3.6 (there
    z_left = x_left).

    Arguments:
        keep: how many leading channels go on, or which (a tuple of indices).
        part: the layer of the channels that leave; its context is the kept channels joined with the context.
        rest: the layer of the channels that go on.

    Raises:
        ValueError: x has no channels to leave, or a layer changes the shape.

    Example::

        >>> layer = Factor(2, Elementwise(Affine(), (1,)), LULinear(2))
        >>> z, ldj = layer(torch.randn(8, 3))
        >>> z.shape, ldj.shape
        (torch.Size([8, 3]), torch.Size([8]))
    """

    def __init__(self, keep: int | Sequence[int], part: Transform, rest: Transform):
        super().__init__()
        self.split = Split("Factor", keep)
        self.part = part
        self.rest = rest

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.through(lambda layer, x, context: layer(x, context), x, context)

    def through(self, call: Call, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        kept, left = self.split(x)
        z_left, part = call(self.part, left, join(kept, context))
        z_kept, rest = call(self.rest, kept, context)
        return self._whole(x, z_kept, z_left), part + rest

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z_kept, z_left = self.split(z)
        kept, rest = self.rest.inverse(z_kept, context)
        left, part = self.part.inverse(z_left, join(kept, context))
        return self._whole(z, kept, left), part + rest

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        kept, left = self.split(x)
        return self._whole(x, self.rest.encode(kept, context), self.part.encode(left, join(kept, context)))

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        z_kept, z_left = self.split(z)
        kept = self.rest.decode(z_kept, context)
        return self._whole(z, kept, self.part.decode(z_left, join(kept, context)))

    def initialize(self, x: Tensor, context: Tensor | None = None, inverse: bool = False) -> None:
        kept, left = self.split(x)
        self.rest.initialize(kept, context, inverse)
        if inverse:
            kept, _ = self.rest.inverse(kept, context)
        self.part.initialize(left, join(kept, context), inverse)

    def _whole(self, x: Tensor, kept: Tensor, left: Tensor) -> Tensor:
        whole = self.split.inverse(kept, left)
        if whole.shape != x.shape:
            raise ValueError(
                f"Factor: part and rest must keep the shape of what they get, but {tuple(x.shape)} became {tuple(whole.shape)}"
            )
        return whole
