"""Layers that lose information for good."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..core import Distribution, Transform, join
from .split import Split


class Slice(Transform):
    r"""Drops channels, ``(x_kept, x_dropped) -> x_kept``; ``ldj = log p(x_dropped | x_kept)``, given by a decoder.

    The inverse samples them: it returns x with draws of the decoder in their places, and minus their log density. The
    likelihood is exact if the decoder's is. Shapes: ``(B, C, *space) -> (B, K, *space)``. Cost: that of the decoder, and a copy of x.
    There is no way back to the x that came in; :class:`Factor` keeps one.

    Reference: SurVAE Flows, Nielsen, Jaini, Hoogeboom, Winther, Welling, 2020, arXiv:2007.02731 (tensor slicing as an
    inference surjection).

    Arguments:
        keep: how many leading channels go on, or which (a tuple of indices).
        decoder: the distribution of the dropped channels, of shape ``(C-K, *space)``; if it takes a context, that is
            the kept channels joined with the context.

    Raises:
        ValueError: x has no channels to drop, or the decoder's shapes don't fit.

    Example::

        >>> z, ldj = Slice(2, Normal((1,)))(torch.randn(8, 3))
        >>> z.shape, ldj.shape
        (torch.Size([8, 2]), torch.Size([8]))
    """

    stochastic_inverse = True

    def __init__(self, keep: int | Sequence[int], decoder: Distribution):
        super().__init__()
        self.split = Split("Slice", keep)
        self.decoder = decoder

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        kept, dropped = self.split(x)
        return kept, log_prob_given(self.decoder, dropped, kept, context)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        dropped, log_prob = draw_given(self.decoder, z, context)
        return self.split.inverse(z, dropped), -log_prob

    def initialize(self, x: Tensor, context: Tensor | None = None, inverse: bool = False) -> None:
        if not inverse:  # there the decoder draws what it would start from
            kept, dropped = self.split(x)
            self.decoder.initialize(dropped, self.decoder.seen(join(kept, context)))


def log_prob_given(decoder: Distribution, x: Tensor, known: Tensor, context: Tensor | None) -> Tensor:
    """``log p(x | known, context)`` of each row, ``(B,)``; a decoder without a context reads neither."""
    return decoder.log_prob(x, decoder.seen(join(known, context)))


def draw_given(decoder: Distribution, known: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    """A draw of the decoder for each row of what is known, and its log density."""
    seen = decoder.seen(join(known, context))
    return decoder.sample_and_log_prob((known.shape[0],) if seen is None else (), seen)


def center_given(decoder: Distribution, known: Tensor, context: Tensor | None) -> Tensor:
    """A typical value of the decoder for each row of what is known, without noise; a draw where it has no natural choice."""
    seen = decoder.seen(join(known, context))
    return decoder.center(known.shape[0], None if seen is None else decoder.embedding(seen))
