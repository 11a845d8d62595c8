"""The ResNet VAE with inverse autoregressive posteriors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from torch import nn

from ..core import Flow
from ..distributions import Given, Normal
from ..nets import MLP, ConvLadderBlock, LadderStem, MaskedConvNet
from ..nets.conv2d import conv2d
from ..nets.patches import OutOfPatches
from ..transforms import Autoregressive, LadderVAE
from ..univariate import Affine
from .images import image
from .pixels import spread
from .recipe import recipe

Step = Literal["iaf", "normal"]


@recipe
def iaf_vae(
    shape: Sequence[int],
    *,
    levels: int = 256,
    latents: int = 8,
    blocks: int = 4,
    width: int = 32,
    patch: int = 2,
    posterior: Step = "iaf",
    components: int = 1,
    context: int = 0,
) -> Flow:
    """ResNet VAE: a ladder of latent maps, read upwards, drawn downwards, each posterior an IAF step (2016, arXiv:1606.04934).

    ``log p(x) >= E_q[log p(x|z) + sum_l log p(z_l|z_>l) - log q(z_l|x, z_>l)]``. Images of whole numbers ``(B, C, H, W)``; ``log_prob`` is
    a bound, which ``samples=K`` tightens. It takes one pass up and one down, and a sample one pass down, without a loop over pixels. Train
    it by the bound with free bits, ``train.free_bits=0.25`` nats of each channel of each map, or the maps near the top are never used.

    Caveats: latents are several times the pixels (``blocks * latents / patch^2`` for each site), so that ``encode`` compresses nothing.

    Reference: Improving Variational Inference with Inverse Autoregressive Flow, Kingma, Salimans, Jozefowicz, Chen, Sutskever, Welling,
    2016, arXiv:1606.04934, section 5 and its code. Departures: patches as sites where the code has a convolution of stride 2; no weight
    normalization; each pixel has a scale of its own, and the channels of a pixel are tied; masked convolutions of
    :class:`~pushforward.nets.MaskedConvNet`.

    Arguments:
        shape: of an image, ``(C, H, W)``, whose sides ``patch`` divides.
        levels: the pixels are whole numbers ``0..levels-1``.
        latents: channels of each latent map (32 in the paper).
        blocks: latent maps, one for each residual block (20 in the paper).
        width: channels of the residual blocks (160 in the paper).
        patch: the side of a patch of pixels that is one site of all maps (2 in the paper).
        posterior: "iaf", a normal through an autoregressive step over channels and sites, or "normal".
        components: logistics of a pixel with more than two levels.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no image's, or ``patch`` does not divide its sides; an option is not of the kind that its annotation says.

    Example::

        >>> iaf_vae((1, 8, 8), levels=2, latents=2, blocks=2, width=8).log_prob(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2])
    """
    channels, height, breadth = image(shape, patch)
    sites = (height // patch, breadth // patch)
    likelihood, _ = spread(channels, levels, "auto", components, few=2)
    ladder = [ConvLadderBlock((latents, *sites), width=width, topmost=i + 1 == blocks) for i in range(blocks)]
    head = nn.Sequential(nn.ELU(), conv2d(width, likelihood.params * channels * patch**2, gain=0.0), OutOfPatches(patch))
    layer = LadderVAE(
        LadderStem(channels, levels, width=width, patch=patch, context=context),
        ladder,
        Given(likelihood, head, shape, context=(width, *sites)),
        (width, *sites),
        [_iaf_step((latents, *sites), width) for _ in range(blocks)] if posterior == "iaf" else (),
        MLP(context, width, width=width, depth=1) if context else None,
    )
    return Flow(Normal((blocks * latents * math.prod(sites),)), layer, shape=shape, context=context)


def _iaf_step(latent: tuple[int, int, int], width: int) -> Autoregressive:
    net = MaskedConvNet(latent, Affine.params, width=width + width % 2, depth=1, kernel=3, context=width, in_turn=True)
    return Autoregressive(Affine(), net)
