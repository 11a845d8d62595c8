"""The evidence lower bound as a loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..core import Flow
from .apart import has_latent, taken_apart
from .likelihood import weighted_mean


class ELBO(nn.Module):
    r"""Minus the evidence lower bound, ``E_q[-log p(x|z)] + beta KL(q(z|x) || p(z))``, in nats per row.

    The divergence is taken in closed form where q and p are normal *and only there*; else it is ``log q(z|x) - log p(z)`` of the draw. In
    training beta rises linearly to its value during the first ``warmup`` of the plan, and ``free_bits`` leaves the first nats of
    each group of latents free: of its divergence, averaged over the batch (over a process's part of it), only what is above counts,
    ``max(free_bits, mean KL)``.
    In evaluation the loss is the plain bound, whatever the options: that is what weights are judged by.

    Cost: a draw of the encoder, a density of decoder and prior.

    References: Auto-Encoding Variational Bayes, Kingma, Welling, 2013, arXiv:1312.6114; beta: Higgins et al., beta-VAE, 2017; free
    bits: Improving Variational Inference with Inverse Autoregressive Flow, Kingma et al., 2016, arXiv:1606.04934, appendix C.8;
    warm-up: Ladder Variational Autoencoders, Sønderby et al., 2016, arXiv:1602.02282.

    Arguments:
        flow: a model with a VAE, or another layer with a random latent, in its chain.
        beta: the weight of the divergence.
        warmup: the share of the plan during which beta rises from 0.
        free_bits: nats of each group of latents that cost nothing, 0 for none.

    Raises:
        ValueError: a model without a random latent, or options out of their range.

    Example::

        >>> from pushforward import likelihoods
        >>> encoder = Given(likelihoods.Normal(), nn.Linear(5, 4), (2,), context=5)
        >>> decoder = Given(likelihoods.Normal(), nn.Linear(2, 10), (5,), context=2)
        >>> ELBO(Flow(Normal((2,)), VAE(encoder, decoder), shape=(5,)))(torch.randn(8, 5)).shape
        torch.Size([])
    """

    def __init__(self, flow: Flow, *, beta: float = 1.0, warmup: float = 0.0, free_bits: float = 0.0):
        super().__init__()
        if not has_latent(flow):
            raise ValueError("ELBO: the model has no random latent; train it by train.objective=likelihood, or choose a VAE")
        if not (beta >= 0 and 0 <= warmup <= 1 and free_bits >= 0):
            raise ValueError(
                f"ELBO: expected beta and free_bits of at least 0 and a warmup in [0, 1], got {beta}, {free_bits} and {warmup}"
            )
        self.flow = flow
        self.beta, self.warmup, self.free_bits = beta, warmup, free_bits

    def forward(self, x: Tensor, context: Tensor | None = None, weight: Tensor | None = None, progress: Tensor | float = 1.0) -> Tensor:
        """The loss; ``progress`` is the share of the plan that is done."""
        reconstruction, groups = taken_apart(self.flow, x, context)
        if not self.training:
            return weighted_mean(sum(groups) - reconstruction, weight)
        beta = self.beta * torch.as_tensor(progress).div(self.warmup).clamp(max=1.0) if self.warmup else self.beta
        kl = torch.stack([weighted_mean(group, weight) for group in groups])
        kl = kl.clamp_min(self.free_bits) if self.free_bits else kl  # a divergence of draws may be below zero
        return beta * kl.sum() - weighted_mean(reconstruction, weight)
