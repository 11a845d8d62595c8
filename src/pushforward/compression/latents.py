"""What bits-back coding asks of layers with random latents."""

from __future__ import annotations

import math
from itertools import takewhile

import numpy as np
from torch import Size, Tensor

from .. import likelihoods
from ..core import Chain, Distribution, Flow, Transform, join
from ..distributions import Causal, DiagonalMixture, Given, Multiscale, Normal, VampPrior
from ..likelihoods import Discrete
from ..transforms import VAE, LadderVAE
from ..transforms.ladder import FindNoise
from .grid_layers import why_not_on_grid


def why_not_bits_back(flow: Flow) -> str:
    """What keeps a flow from bits-back coding, as the end of a sentence; nothing if it can be coded."""
    latents, behind = latents_and_prior(flow)
    if not latents:
        return "it does not begin with a random latent"
    if behind and not isinstance(flow.base, Normal):
        return f"its prior is a flow over {type(flow.base).__name__}, and not over normals"
    if name := why_not_on_grid(Chain(*behind)):
        return f"its prior has a layer {name}, which has no form on a grid; fit it with model.prior=standard, mixture, vamp or real_nvp"
    for i, layer in enumerate(latents):
        if isinstance(layer, LadderVAE) and len(layer.flows):
            return "its posterior is a flow; fit it with model.posterior=normal"
        if isinstance(layer, VAE) and not _is_normal(layer.encoder):
            return "its posterior is a flow; fit it with model.posterior=gaussian"
        decoder = within(layer.decoder)
        if i and not _is_normal(layer.decoder):
            return "its latents are not normal given those above"
        if not i and not (isinstance(decoder, Given | Causal | Multiscale) and isinstance(decoder.likelihood, Discrete)):
            return "its rows are real numbers, and have a density instead of probabilities"
    base = flow.base
    if not (isinstance(base, Normal | DiagonalMixture) or (isinstance(base, VampPrior) and _is_normal(base.encoder))):
        return f"its prior {type(base).__name__} gives bins no probabilities"
    return ""


def latents_and_prior(flow: Flow) -> tuple[list[VAE | LadderVAE], list[Transform]]:
    """The layers with random latents that a flow begins with, and those behind, which belong to the prior."""
    layers = list(flow.transform.transforms)
    found = list(takewhile(lambda layer: isinstance(layer, VAE | LadderVAE), layers))
    return [layer for layer in found if isinstance(layer, VAE | LadderVAE)], layers[len(found) :]


def within(part: Distribution) -> Distribution:
    """What a flow without layers, which embeds a context, has as its base."""
    return part.base if isinstance(part, Flow) and not part.transform.transforms else part


def latent_shape(layer: VAE | LadderVAE) -> Size:
    """Of the latents of one row."""
    return layer.encoder.shape if isinstance(layer, VAE) else Size((sum(group_sizes(layer)),))


def group_sizes(layer: VAE | LadderVAE) -> list[int]:
    """How many latents share a width: those of a channel."""
    shapes = [layer.encoder.shape] if isinstance(layer, VAE) else [block.latent for block in reversed(layer.blocks)]
    return [math.prod(shape[1:]) for shape in shapes for _ in range(shape[0])]


def visit_posterior(layer: VAE | LadderVAE, find: FindNoise, x: Tensor, context: Tensor | None) -> Tensor:
    """Latents of x, found by their normal posteriors: one call for a VAE, one for each map of a ladder, top first."""
    if isinstance(layer, LadderVAE):
        return layer.visit(find, x, context)
    return find(*normal_moments(layer.encoder, join(x, context)))


def seen_by_decoder(layer: VAE | LadderVAE, z: Tensor, context: Tensor | None) -> Tensor:
    """What the decoder reads, embedded."""
    given = layer.below(z, context) if isinstance(layer, LadderVAE) else join(z, context)
    return layer.decoder.embedding(given)


def normal_moments(part: Distribution, context: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log deviation of normals given a raw context."""
    base = within(part)
    assert isinstance(base, Given) and isinstance(base.likelihood, likelihoods.Normal)
    return base.likelihood.moments(base.parameters_of(part.embedding(context)))


def prior_components(prior: Distribution) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-weights ``(K,)``, means and deviations ``(K, D)`` of a mixture of diagonal normals."""
    if isinstance(prior, DiagonalMixture):
        return prior.logits.log_softmax(0).numpy(), prior.mean.flatten(1).numpy(), prior.scales().flatten(1).numpy()
    assert isinstance(prior, VampPrior)
    mean, scale = normal_moments(prior.encoder, prior.inputs.rows())
    return np.zeros(len(mean)), mean.flatten(1).numpy(), scale.exp().flatten(1).numpy()


def _is_normal(part: Distribution) -> bool:
    base = within(part)
    return isinstance(base, Given) and isinstance(base.likelihood, likelihoods.Normal)
