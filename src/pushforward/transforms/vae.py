"""The variational autoencoder as a layer."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core import Distribution, LogDensity, copies, join
from .latent import Latent, Parts


class VAE(Latent):
    r"""``x -> z ~ q(z|x)``, and back ``z -> x ~ p(x|z)``; ``ldj = log p(x|z) - log q(z|x)``.

    ``Flow(prior, VAE(encoder, decoder), shape=shape)`` is the model: its ``log_prob`` is the evidence lower bound of one draw,
    ``log p(x|z) + log p(z) - log q(z|x)``, and with ``samples=K`` the importance-weighted bound, which rises to ``log p(x)`` with K. Any
    distributions do: a flow as encoder (a flow posterior), as decoder, as prior; a causal model as decoder (PixelVAE). Layers behind
    this one belong to the prior; another VAE among them makes a hierarchy.

    ``encode`` takes the center of q(z|x), the mean of a normal, and ``decode`` that of p(x|z), the medians of its numbers; a decoder that
    goes number by number has none and draws. Cost: a draw of the encoder with its log density, and a density of the decoder;
    ``inverse`` asks the encoder for the density of a given z, which takes D passes for an inverse autoregressive posterior, and
    ``generate`` does not.

    References: Auto-Encoding Variational Bayes, Kingma, Welling, 2013, arXiv:1312.6114; as a layer: SurVAE Flows, Nielsen, Jaini,
    Hoogeboom, Winther, Welling, 2020, arXiv:2007.02731; K draws: Importance Weighted Autoencoders, Burda, Grosse, Salakhutdinov, 2015,
    arXiv:1509.00519.

    Arguments:
        encoder: q(z|x), a distribution of z whose context is x, or x joined with the layer's context.
        decoder: p(x|z), a distribution of x whose context is z, or z joined with the layer's context.

    Raises:
        ValueError: an encoder or a decoder without a context, or an encoder whose density is not exact: a bound on log q would
            stand on the wrong side.

    Example::

        >>> from pushforward import likelihoods
        >>> encoder = Given(likelihoods.Normal(), nn.Linear(5, 4), (2,), context=5)
        >>> decoder = Given(likelihoods.Normal(), nn.Linear(2, 10), (5,), context=2)
        >>> model = Flow(Normal((2,)), VAE(encoder, decoder), shape=(5,))
        >>> model.log_prob(torch.randn(8, 5), samples=10).shape, model.kind
        (torch.Size([8]), 'bound')
    """

    def __init__(self, encoder: Distribution, decoder: Distribution):
        super().__init__()
        for name, part, reads in (("encoder", encoder, "x"), ("decoder", decoder, "z")):
            if part.context_shape is None:
                raise ValueError(
                    f"VAE: expected an {name} that reads {reads}, got one without context; build it with context=shape of {reads}"
                )
        if encoder.kind != "exact":
            raise ValueError(f"VAE: expected an encoder of kind 'exact', got {encoder.kind!r}; take out its random layers")
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, log_q = self.encoder.sample_and_log_prob((), join(x, context))
        return z, self.decoder.log_prob(x, join(z, context)) - log_q

    def draws(self, x: Tensor, context: Tensor | None, samples: int) -> tuple[Tensor, Tensor]:
        seen = copies(self.encoder.embedding(join(x, context)), samples)
        z, log_q = self.encoder.draw(len(seen), seen)
        return z, self.decoder.log_prob(copies(x, samples), join(z, None if context is None else copies(context, samples))) - log_q

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, log_p = self.decoder.sample_and_log_prob((), join(z, context))
        return x, self.encoder.log_prob(z, join(x, context)) - log_p

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.encoder.center(len(x), self.encoder.embedding(join(x, context)))

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self.decoder.center(len(z), self.decoder.embedding(join(z, context)))

    def generate(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self.decoder.sample((), join(z, context))

    def parts(self, x: Tensor, context: Tensor | None, prior: LogDensity) -> Parts:
        z, kl = self.encoder.draw_and_kl(prior, len(x), self.encoder.embedding(join(x, context)))
        return Parts(z, self.decoder.log_prob(x, join(z, context)), kl.unsqueeze(1))

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None, inverse: bool = False) -> None:
        """Start the encoder from standard normal latents beside x, and the decoder from x beside latents that the encoder then draws."""
        if inverse:
            x = self.generate(x, context)
        given = join(x, context)
        self.encoder.initialize(torch.randn(len(x), *self.encoder.shape, dtype=x.dtype, device=x.device), given)
        self.decoder.initialize(x, join(self.encoder.sample((), given), context))
