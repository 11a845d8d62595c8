"""The importance-weighted bound as a loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..core import Chain, Flow, copies, join, substituted
from ..transforms import VAE
from .apart import Behind, has_latent
from .likelihood import weighted_mean


class IWAE(nn.Module):
    r"""Minus the importance-weighted bound, ``-log 1/K sum_k p(x, z_k) / q(z_k|x)`` with ``z_k ~ q(z|x)``, in nats per row.

    It rises to ``log p(x)`` with K, but the share of signal in the encoder's gradient falls. ``doubly`` takes the doubly reparameterised
    gradient: the encoder learns through the draws alone, each with the square of its normalized weight, unbiased and of less variance;
    with K = 1 this is sticking the landing. It asks for ``log q(z|x)`` at a z that is given, which takes D passes for an inverse
    autoregressive posterior. In evaluation the loss is the same bound of K draws:
    a model that was trained by it can have a poor bound of one draw.

    Cost: K times that of the bound; ``doubly`` another density of the encoder.

    References: Importance Weighted Autoencoders, Burda, Grosse, Salakhutdinov, 2015, arXiv:1509.00519; Doubly Reparameterized Gradient
    Estimators, Tucker, Lawson, Gu, Maddison, 2018, arXiv:1810.04152; Sticking the Landing, Roeder, Wu, Duvenaud, 2017, arXiv:1703.09194.

    Arguments:
        flow: a model with a VAE; for ``doubly`` the only random layer that is learned.
        draws: K.
        doubly: the doubly reparameterised gradient.

    Raises:
        ValueError: a model without a random latent, no draws, or ``doubly`` for a model with other random layers to learn.

    Example::

        >>> from pushforward import likelihoods
        >>> encoder = Given(likelihoods.Normal(), nn.Linear(5, 4), (2,), context=5)
        >>> decoder = Given(likelihoods.Normal(), nn.Linear(2, 10), (5,), context=2)
        >>> IWAE(Flow(Normal((2,)), VAE(encoder, decoder), shape=(5,)), draws=5, doubly=True)(torch.randn(8, 5)).shape
        torch.Size([])
    """

    def __init__(self, flow: Flow, *, draws: int = 5, doubly: bool = False):
        super().__init__()
        if not has_latent(flow):
            raise ValueError("IWAE: the model has no random latent; train it by train.objective=likelihood, or choose a VAE")
        if draws < 1:
            raise ValueError(f"IWAE: expected at least one draw, got {draws}")
        random = [layer for layer in flow.transform.transforms if layer.stochastic_forward]
        learned = [type(layer).__name__ for layer in random if any(True for _ in layer.parameters())]
        if doubly and learned != ["VAE"]:
            raise ValueError(f"IWAE: doubly needs one VAE as the only learned random layer, got {', '.join(learned)}; leave doubly out")
        self.flow = flow
        self.draws, self.doubly = draws, doubly

    def forward(self, x: Tensor, context: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        if not (self.doubly and self.training):
            return weighted_mean(-self.flow.log_prob(x, context, samples=self.draws), weight)
        rows = len(x)
        z, log_weights = self._weighed(copies(x, self.draws), None if context is None else copies(context, self.draws))
        share = log_weights.detach().unflatten(0, (self.draws, rows)).softmax(0)
        log_weights = log_weights.unflatten(0, (self.draws, rows))
        z.register_hook(lambda gradient: gradient * share.to(z.dtype).reshape(-1, *(1 for _ in z.shape[1:])))
        return weighted_mean(math.log(self.draws) - log_weights.logsumexp(0), weight)

    def _weighed(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Draws z and ``log p(x, z) - log q(z|x)``, which depends on the encoder through z alone."""
        self.flow.check(x, context)
        context = None if context is None else self.flow.embedding(context)
        layers = self.flow.transform.transforms
        at, vae = next((i, layer) for i, layer in enumerate(layers) if isinstance(layer, VAE))
        x, ldj = Chain(*layers[:at])(x, context)
        given = join(x, context)
        z, _ = vae.encoder.sample_and_log_prob((), given)
        log_q = substituted(vae.encoder, torch.Tensor.detach, z, given)
        prior = Behind(self.flow, at + 1, context, []).log_prob(z)
        return z, ldj + vae.decoder.log_prob(x, join(z, context)) + prior - log_q
