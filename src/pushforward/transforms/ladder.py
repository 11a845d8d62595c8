"""A hierarchy of latent maps as one layer: read upwards, modelled downwards."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from ..core import Distribution, LogDensity, join, sum_event, zeros
from ..likelihoods import Normal
from ..likelihoods.base import bounded
from .autoregressive import Autoregressive
from .latent import Latent, Parts

if TYPE_CHECKING:
    from ..nets import LadderBlock


FindNoise = Callable[[Tensor, Tensor], Tensor]  # mean and log deviation of noise to the noise


class LatentMap(NamedTuple):
    """One latent map z of a batch, each ``(B, Z, *space)``: its noise, ``log q(z|x)``, the prior's log-scale, an estimate of KL(q || p)."""

    eps: Tensor
    log_q: Tensor
    scale: Tensor
    kl: Tensor


class LadderVAE(Latent):
    r"""x to the noise of all latent maps, top first: ``z_l ~ q(z_l | x, z_>l)``, ``eps_l = (z_l - mu_l(z_>l)) / sigma_l(z_>l)``.

    ``ldj = log p(x | z) - sum_l [log q(z_l | x, z_>l) + log sigma_l]``: behind it a standard normal of all noise makes
    ``Flow(Normal((N,)), layer, shape=shape)`` the hierarchy with priors ``N(mu_l, sigma_l^2)``, whose log-likelihood is a bound. Data are
    read upwards through the blocks; the model goes downwards through the same ones, and so does the posterior, which adds both halves of
    its parameters up. A posterior is normal, or that through an autoregressive layer run the fast way (IAF), which reads the rest of the
    features.

    Shapes: x is ``(B, *shape)``, z is ``(B, N)`` with N the numbers of all maps. A context reaches x's way up, joined to it, and the top by
    ``given``. Cost: one pass of all nets to read x, one downward pass to draw; the ``ldj`` of what is drawn (:meth:`inverse`, not
    :meth:`generate`) inverts the autoregressive layers as well, position by position.

    :meth:`parts` has a group for each channel of each map, summed over space: what free bits leave free. Divergences are in closed form
    between normals, and of the draw for what a flow changes, which learns faster than draws of the whole. If what is behind the layer is
    no standard normal, the difference counts with the first group.

    References: Improving Variational Inference with Inverse Autoregressive Flow, Kingma, Salimans, Jozefowicz, Chen, Sutskever, Welling,
    2016, arXiv:1606.04934, section 5.1; Ladder Variational Autoencoders, Sønderby, Raiko, Maaløe, Sønderby, Winther, 2016, arXiv:1602.02282
    (there the halves are weighted by their precision). Departure: log-scales of priors and posteriors within +-5.

    Arguments:
        stem: a net from x, with the context joined, to what the lowest block reads.
        blocks: the nets of each latent map, from the bottom to the top (:class:`~pushforward.nets.LadderBlock`).
        decoder: the distribution of x given what leaves the lowest block on the way down.
        top: the shape of what enters the topmost block on the way down; it starts from learned numbers, one for each channel.
        flows: for each block, an autoregressive layer whose context is the features without their mean and log-scale; none for normal
            posteriors.
        given: a net from the context to the channels of the top.

    Raises:
        ValueError: no block, or another number of flows; with ``given``, a missing context.

    Example::

        >>> from pushforward import likelihoods, nets
        >>> maps = [nets.ConvLadderBlock((2, 4, 4), width=8) for _ in range(3)]
        >>> decoder = Given(likelihoods.Normal(), nn.Conv2d(8, 2, 1), (1, 4, 4), context=(8, 4, 4))
        >>> layer = LadderVAE(nn.Conv2d(1, 8, 3, padding=1), maps, decoder, (8, 4, 4))
        >>> z, ldj = layer(torch.randn(5, 1, 4, 4))
        >>> z.shape, ldj.shape
        (torch.Size([5, 96]), torch.Size([5]))
    """

    blocks: Sequence[LadderBlock]
    flows: Sequence[Autoregressive]

    def __init__(
        self,
        stem: nn.Module,
        blocks: Sequence[LadderBlock],
        decoder: Distribution,
        top: Sequence[int],
        flows: Sequence[Autoregressive] = (),
        given: nn.Module | None = None,
    ):
        super().__init__()
        if not blocks or len(flows) not in (0, len(blocks)):
            raise ValueError(f"LadderVAE: expected at least one block, and a flow for each or none, got {len(blocks)} and {len(flows)}")
        self.stem, self.decoder, self.given = stem, decoder, given
        self.blocks = nn.ModuleList(blocks)  # type: ignore[assignment]
        self.flows = nn.ModuleList(flows)  # type: ignore[assignment]
        self.shape = tuple(top)
        self.top = nn.Parameter(torch.zeros(1, top[0], *(1 for _ in top[1:])))
        self.normal = Normal()

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        maps, h = self._read(x, context)
        ldj = self.decoder.log_prob(x, h)
        for found in maps:
            ldj = ldj - sum_event(found.log_q + found.scale)
        return noise_of(maps), ldj

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        known, h = self._drawn(z, context)
        x, log_p = self.decoder.sample_and_log_prob((), h)
        ldj = zeros(z) - log_p
        for (value, scale, down), (block, flow), up in zip(known, self._levels(), self._features(x, context), strict=True):
            posterior, seen = self._posterior(block, up + down)
            if flow is not None:
                value, back = flow.inverse(value, seen)
                ldj = ldj + back
            ldj = ldj + sum_event(self.normal.log_prob(value, posterior) + scale)
        return x, ldj

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return noise_of(self._read(x, context, random=False)[0])

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        h = self._drawn(z, context)[1]
        return self.decoder.center(len(h), self.decoder.embedding(h))

    def generate(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self.decoder.sample((), self._drawn(z, context)[1])

    def parts(self, x: Tensor, context: Tensor | None, prior: LogDensity) -> Parts:
        maps, h = self._read(x, context)
        z = noise_of(maps)
        first, *others = [found.kl.unsqueeze(-1).flatten(2).sum(2) for found in maps]  # (B, Z)
        other = sum_event(-0.5 * z.square() - 0.5 * math.log(2 * math.pi)) - prior.log_prob(z)
        first = torch.cat([first[:, :1] + other.unsqueeze(1), first[:, 1:]], 1)
        return Parts(z, self.decoder.log_prob(x, h), torch.cat([first, *others], 1))

    def visit(self, find: FindNoise, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The noise of all maps of x, top first, ``(B, N)``: ``find(mean, log_std) -> eps`` gets the posterior of one map's, each
        ``(B, Z, *space)``. What is found may be drawn, or known and coded.

        Raises:
            ValueError: posteriors are flows.
        """
        if len(self.flows):
            raise ValueError("LadderVAE: visit finds latents by normals, but there are flows behind them; build it without")
        found, h = [], self._start(len(x), context)
        for (block, _), up in zip(self._levels(), self._features(x, context), strict=True):
            prior, down, rest = block.down(h)
            center, scale = self._moments(self._shaped(block, prior))
            mean, wide = self._moments(self._posterior(block, up + down)[0])
            eps = find((mean - center) * (-scale).exp(), wide - scale)
            found.append(eps.flatten(1))
            h = block.merge(h, center + eps * scale.exp(), rest)
        return torch.cat(found, 1)

    def below(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """What the decoder is given: what leaves the lowest block on the way down from noise z."""
        return self._drawn(z, context)[1]

    def _read(self, x: Tensor, context: Tensor | None, random: bool = True) -> tuple[list[LatentMap], Tensor]:
        """Upwards, then downwards with a draw of each posterior, or its center; and what leaves below."""
        maps, h = [], self._start(len(x), context)
        for (block, flow), up in zip(self._levels(), self._features(x, context), strict=True):
            prior, down, rest = block.down(h)
            center, scale = self._moments(self._shaped(block, prior))
            posterior, seen = self._posterior(block, up + down)
            z = self.normal.draw(posterior) if random else self.normal.center(posterior)
            log_q = self.normal.log_prob(z, posterior)
            mean, wide = self._moments(posterior)
            eps = (z - center) * (-scale).exp()
            kl = scale - wide + 0.5 * (torch.expm1(2 * (wide - scale)) + ((mean - center) * (-scale).exp()).square())
            if flow is not None:  # in closed form up to here; what the flow adds is of the draw, and nothing while it is the identity
                z, slope = flow.terms(z, seen)
                log_q, before, eps = log_q - slope, eps, (z - center) * (-scale).exp()
                kl = kl + 0.5 * (eps.square() - before.square()) - slope
            maps.append(LatentMap(eps, log_q, scale, kl))
            h = block.merge(h, z, rest)
        return maps, h

    def _drawn(self, z: Tensor, context: Tensor | None) -> tuple[list[tuple[Tensor, Tensor, Tensor]], Tensor]:
        """Downwards from noise: each latent map, the log-scale of its prior and the features of the way down; and what leaves below."""
        known, h, levels = [], self._start(len(z), context), self._levels()
        for (block, _), eps in zip(levels, z.split([math.prod(block.latent) for block, _ in levels], 1), strict=True):
            prior, down, rest = block.down(h)
            center, scale = self._moments(self._shaped(block, prior))
            value = center + eps.unflatten(1, block.latent) * scale.exp()
            known.append((value, scale, down))
            h = block.merge(h, value, rest)
        return known, h

    def _levels(self) -> list[tuple[LadderBlock, Autoregressive | None]]:
        """From the top to the bottom."""
        flows: list[Autoregressive | None] = [*self.flows] or [None for _ in self.blocks]
        return list(zip(self.blocks, flows, strict=True))[::-1]

    def _features(self, x: Tensor, context: Tensor | None) -> list[Tensor]:
        """Of the way up, from the top to the bottom."""
        h, found = self.stem(join(x, context)), []
        for block in self.blocks:
            features, h = block.up(h)
            found.append(features)
        return found[::-1]

    def _start(self, rows: int, context: Tensor | None) -> Tensor:
        """What enters the topmost block on the way down."""
        top = self.top
        if self.given is not None:
            if context is None:
                raise ValueError("LadderVAE: needs a context, got none; give one row for each row of x")
            top = top + self.given(context).reshape(rows, *self.top.shape[1:])
        return top.expand(rows, *self.shape)

    def _posterior(self, block: LadderBlock, features: Tensor) -> tuple[Tensor, Tensor]:
        """The parameters of the normal posterior, and what a flow behind it reads."""
        normal, seen = features.tensor_split([2 * block.latent[0]], 1)
        return self._shaped(block, normal), seen.to(self.top.dtype)

    def _shaped(self, block: LadderBlock, numbers: Tensor) -> Tensor:
        """Of a normal, ``(B, 2 Z, *space) -> (B, 2, Z, *space)``."""
        return numbers.to(self.top.dtype).unflatten(1, (2, block.latent[0]))

    def _moments(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-scale."""
        return parameters[:, 0], bounded(parameters[:, 1], self.normal.bound)

    def extra_repr(self) -> str:
        return f"top={self.shape}"


def noise_of(maps: Sequence[LatentMap]) -> Tensor:
    """``(B, N)``, top first."""
    return torch.cat([found.eps.flatten(1) for found in maps], 1)
