"""Variational autoencoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from torch import nn

from .. import likelihoods
from ..core import Distribution, Flow
from ..distributions import Given, PseudoInputs, VampPrior
from ..nets import GatedMLP, MaskedConvNet, Row
from ..transforms import VAE
from .images import image
from .pixels import causal_decoder, spread
from .posteriors import Posterior, Prior, posterior_of, prior_of
from .recipe import recipe

Decoder = Literal["independent", "pixel_cnn"]


@recipe
def vae(
    shape: Sequence[int],
    *,
    levels: int = 256,
    latent: int = 40,
    prior: Prior = "standard",
    posterior: Posterior = "gaussian",
    decoder: Decoder = "independent",
    width: int = 300,
    depth: int = 2,
    posterior_steps: int = 4,
    prior_steps: int | None = None,
    rank: int = 16,
    components: int = 100,
    maps: int = 16,
    blocks: int = 2,
    context: int = 0,
) -> Flow:
    """Variational autoencoder, for images and rows, with flows as prior and as posterior (Kingma, Welling, 2013, arXiv:1312.6114).

    ``log p(x) >= E_q(z|x)[log p(x|z) + log p(z) - log q(z|x)]``. Images of whole numbers ``(B, C, H, W)`` or rows ``(B, D)``;
    ``log_prob`` is a bound, which ``samples=K`` tightens. A density takes a draw of the encoder and a pass of the decoder, a sample a pass
    of the prior and of the decoder. Trained by the bound (``train.objective=elbo``, its default here), or by that of K draws (``iwae``).

    Caveats: a better prior pays more than a better posterior, and costs nothing when encoding (Xu et al., 2019, arXiv:1905.13452). A
    decoder that goes pixel by pixel may leave nothing for z to say.

    References: Auto-Encoding Variational Bayes, Kingma, Welling, 2013, arXiv:1312.6114; posteriors: Rezende, Mohamed, 2015,
    arXiv:1505.05770 (planar, radial), van den Berg et al., 2018, arXiv:1803.05649 (Sylvester), Kingma et al., 2016, arXiv:1606.04934
    (IAF); PixelVAE: Gulrajani et al., 2016, arXiv:1611.05013; VampPrior and nets: Tomczak, Welling, 2017, arXiv:1705.07120.

    Arguments:
        shape: of an image, ``(C, H, W)``, or of a row, ``(D,)``.
        levels: the pixels of an image are whole numbers ``0..levels-1``.
        latent: numbers of z.
        prior: "standard", a learned "mixture" of Gaussians, "vamp", a mixture of the encoder's own posteriors, or a recipe of vectors such
            as "real_nvp", "maf", "nsf".
        posterior: "gaussian" (diagonal), "full" (its covariance), or layers behind a diagonal one: "planar", "radial", "sylvester",
            "householder" and "triangular" (Sylvester's three kinds), "coupling", "iaf".
        decoder: numbers that are "independent" given z, or a "pixel_cnn" that reads z as well (images only). Two levels are bits, more are
            discretized logistics, rows are normal with a scale of their own.
        width: units of the gated nets.
        depth: their layers.
        posterior_steps: layers of a flow posterior.
        prior_steps: layers of a flow prior; by default what its recipe takes.
        rank: of Sylvester's layers.
        components: of a mixture, or pseudo-inputs of "vamp".
        maps: channels of the PixelCNN.
        blocks: its residual blocks.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no image's or row's; "pixel_cnn" for rows, "vamp" with a context; an option is not of the kind that its
            annotation says.

    Example::

        >>> vae((1, 8, 8), levels=2, latent=4, width=16, prior="real_nvp", posterior="iaf").log_prob(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2])
    """
    rows = len(shape) == 1
    if rows and decoder == "pixel_cnn":
        raise ValueError("vae: a decoder pixel_cnn is for images; rows take decoder=independent")
    if context and prior == "vamp":
        raise ValueError("vae: the pseudo-inputs of prior=vamp have no context; choose another prior, such as mixture")
    channels, inputs, nets = shape[0] if rows else image(shape)[0], latent + context, {"width": width, "depth": depth}
    reading = Row(shape) if rows else Row(shape, 2 / levels, 1 / levels - 1)
    pseudo = PseudoInputs(shape, components, None if rows else (0.0, levels - 1.0)) if prior == "vamp" else None
    trunk = nn.Sequential(*([] if pseudo is None else [pseudo]), reading, GatedMLP(reading.width + context, **nets))
    joined = (channels + context, *shape[1:])
    encoder = posterior_of(posterior, latent, trunk=trunk, features=width, context=joined, steps=posterior_steps, rank=rank)
    likelihood, in_turn = (likelihoods.Normal(), False) if rows else spread(channels, levels, "auto", 1, few=2, tied=decoder == "pixel_cnn")
    decode: Distribution
    if decoder == "pixel_cnn":
        net = MaskedConvNet(shape, likelihood.params, width=maps, depth=blocks, context=maps, in_turn=in_turn)
        decode = causal_decoder(net, likelihood, shape, maps, inputs=inputs, **nets)
    else:
        outputs = (likelihood.params * channels, *shape[1:])
        net_of_z = nn.Sequential(GatedMLP(inputs, math.prod(outputs), **nets), nn.Unflatten(1, outputs))
        decode = Given(likelihood, net_of_z, shape, inputs)
    if pseudo is not None:
        return Flow(VampPrior(encoder, pseudo), VAE(encoder, decode), shape=shape)
    before = prior_of(prior, latent, components=components, steps=prior_steps, context=context)
    return Flow(before.base, VAE(encoder, decode), *before.transform.transforms, shape=shape, context=context)
