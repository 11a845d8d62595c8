"""The variational lossy autoencoder."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ..core import Flow
from ..distributions import Given
from ..likelihoods import Normal
from ..nets import GatedMLP, MaskedConvNet, Row
from ..nets.mlp import linear
from ..transforms import VAE
from .images import image
from .maf import maf
from .pixels import causal_decoder, spread
from .recipe import recipe


@recipe
def vlae(
    shape: Sequence[int],
    *,
    levels: int = 256,
    latent: int = 32,
    window: int = 3,
    maps: int = 16,
    width: int = 300,
    depth: int = 2,
    prior_steps: int = 4,
    prior_width: int = 320,
    components: int = 5,
    context: int = 0,
) -> Flow:
    """Variational lossy autoencoder: a decoder that sees near pixels only, so that z holds the rest (Chen et al., 2016, arXiv:1611.02731).

    ``p(x|z) = prod_i p(x_i | z, x_near)``, the pixels above and to the left within a small window, and an autoregressive flow as the prior
    of z. What the window can tell, texture, is not worth a nat of z; what it can't, the shape of things, is in z. Images of whole numbers
    ``(B, C, H, W)``; ``log_prob`` is a bound, which ``samples=K`` tightens, in one pass of each net; a sample takes a step for each number
    of z and each pixel. ``reconstruct`` keeps the form and draws the texture anew.

    Reference: Variational Lossy Autoencoder, Chen, Kingma, Salimans, Duan, Dhariwal, Schulman, Sutskever, Abbeel, 2016,
    arXiv:1611.02731. Departures: gated dense nets (residual convolutions there), and :class:`~pushforward.nets.MaskedConvNet` with one
    hidden layer.

    Arguments:
        shape: of an image, ``(C, H, W)``.
        levels: the pixels are whole numbers ``0..levels-1``.
        latent: numbers of z.
        window: how many rows above and columns to either side a pixel reads.
        maps: channels of the decoder's masked convolution, and of the map that z becomes.
        width: units of the gated nets of encoder and decoder.
        depth: their layers.
        prior_steps: autoregressive layers of the prior.
        prior_width: hidden units of their masked nets.
        components: logistics of a pixel with more than 32 levels.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no image's; an option is not of the kind that its annotation says.

    Example::

        >>> vlae((1, 8, 8), levels=2, latent=4, maps=8, width=16, prior_width=16).log_prob(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2])
    """
    channels, *sites = image(shape)
    likelihood, in_turn = spread(channels, levels, "auto", components)
    reading = Row(shape, 2 / levels, 1 / levels - 1)
    trunk = nn.Sequential(reading, GatedMLP(reading.width + context, width=width, depth=depth))
    base = Given(Normal(), linear(width, 2 * latent), (latent,), context=width)
    encoder = Flow(base, context=(channels + context, *sites), embed=trunk)
    net = MaskedConvNet(shape, likelihood.params, width=maps + maps % 2, depth=0, kernel=2 * window + 1, context=maps, in_turn=in_turn)
    decoder = causal_decoder(net, likelihood, shape, maps, inputs=latent + context, width=width, depth=depth)
    prior = maf((latent,), steps=prior_steps, width=prior_width, depth=1, context=context)
    return Flow(prior.base, VAE(encoder, decoder), *prior.transform.transforms, shape=shape, context=context)
