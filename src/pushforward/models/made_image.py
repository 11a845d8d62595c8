"""MADE over the pixels of an image."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow
from ..nets import MADE, Flattened
from .pixels import Level, causal_image
from .recipe import recipe


@recipe
def made_image(
    shape: Sequence[int],
    *,
    levels: int = 2,
    width: int = 1024,
    depth: int = 1,
    pixel: Level = "auto",
    components: int = 5,
    context: int = 0,
) -> Flow:
    """MADE: each pixel given all before it, by one masked dense net (Germain et al., 2015, arXiv:1502.03509).

    ``p(x) = prod_i p(x_i | x_{<i})``, pixel by pixel and channel by channel from the top left. Images of whole numbers
    ``(B, C, H, W)``; ``log_prob`` is the exact log probability, in one pass; a sample takes a step for each number, with the arithmetic of
    one pass in all.

    Caveats: weights belong to one place each, so that many images are needed and large ones cost much. There is no latent.

    Reference: MADE: Masked Autoencoder for Distribution Estimation, Germain, Gregor, Murray, Larochelle, 2015, arXiv:1502.03509.
    Departures: one order and one set of masks.

    Arguments:
        shape: of an image, ``(C, H, W)``.
        levels: the pixels are whole numbers ``0..levels-1``.
        width: hidden units per layer (8000 in the paper).
        depth: hidden layers (1 or 2 in the paper).
        pixel: "categorical", a probability for each level; a "mixture" of discretized logistics; "auto" takes the mixture for more than
            32 levels. Two levels are bits.
        components: logistics of a mixture.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no image's; an option is not of the kind that its annotation says.

    Example::

        >>> made_image((1, 8, 8), width=32).log_prob(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2])
    """

    def net(params: int, in_turn: bool) -> Flattened:
        return Flattened(shape, lambda dim: MADE(dim, params, width=width, depth=depth, context=context))

    return causal_image(shape, net, levels=levels, pixel=pixel, components=components, context=context, tied=False)
