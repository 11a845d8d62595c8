"""The evidence lower bound of a VAE taken apart."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .. import likelihoods
from ..core import Chain, Distribution, Flow, join
from ..distributions import Given
from ..distributions.vamp import log_prob_at_each
from ..objectives.apart import Behind
from ..transforms import VAE
from .likelihood import entering, log_likelihood, settled

if TYPE_CHECKING:
    from ..data import Rows

ACTIVE = 0.01  # variance of a unit's mean over the rows, above which it is active (Burda et al.)
MOST = 2048  # rows of a posterior whose n^2 densities have to be asked for one by one
BLOCK = 2**22  # numbers in a block of pairs
GAP_ROWS = 200  # rows of which the posterior gap is measured


@dataclass(frozen=True)
class Surgery:
    """What a bound consists of, means over rows in nats: ``bound = reconstruction - mutual_information - marginal_kl``.

    Attributes:
        rows: n, whose encoders make up the aggregated posterior.
        bound: of one draw.
        reconstruction: ``log p(x|z)``.
        mutual_information: between row and latent under the encoder, at most ``log n``.
        marginal_kl: from the aggregated posterior to the prior: what a better prior can gain.
        stderr: of the bound.
        cap: ``log n``.
        active: latents whose posterior mean varies by more than 0.01 over the rows.
        units: latents.
        draws: K of the importance-weighted bound, 0 if it was not asked for.
        tight: that bound, on ``tight_rows`` rows.
        gap: from the bound of one draw to it, on the same rows: about ``KL(q(z|x) || p(z|x))``.
        gap_stderr: of the gap.
        tight_rows: how many.
    """

    rows: int
    bound: float
    reconstruction: float
    mutual_information: float
    marginal_kl: float
    stderr: float
    cap: float
    active: int
    units: int
    draws: int = 0
    tight: float | None = None
    gap: float | None = None
    gap_stderr: float | None = None
    tight_rows: int = 0

    def to_json(self) -> dict[str, Any]:
        """As a dictionary that JSON can hold."""
        return asdict(self)


def surgery(flow: Flow, rows: Rows, *, draws: int = 0, seed: int = 0) -> Surgery:
    r"""The bound of a model with one VAE, taken apart on rows (ELBO surgery).

    ``mean_i KL(q(z|x_i) || p) = I_q + KL(q_agg || p)``: the mutual information ``I_q = mean_i E[log q(z|x_i) - log q_agg(z)]`` and the
    divergence of the aggregated posterior ``q_agg = 1/n sum_i q(z|x_i)`` from the prior, with one draw z of each row in all terms.
    q_agg is the exact mixture over all n encoders, the row's own included: an estimate from a batch would cap I at the logarithm of
    its size. I is at most ``log n`` in any case.

    Cost: ``n^2 D`` multiplications for normal posteriors. Of others, which are asked for the density of n given latents in each of
    n rows, 2,048 rows are taken at most.

    References: ELBO surgery, Hoffman, Johnson, 2016 (workshop); active units: Burda, Grosse, Salakhutdinov, 2015, arXiv:1509.00519.

    Arguments:
        flow: a model whose one random layer is a VAE.
        rows: to take the bound apart on.
        draws: K, for the posterior gap by the importance-weighted bound, on 200 rows; 0 for none.
        seed: of the draws, and of the rows where not all are taken.

    Raises:
        ValueError: a model without a VAE, or with other random layers, or no rows.

    Example::

        >>> found = surgery(run.flow, data.test)
        >>> found.mutual_information <= found.cap
        True
    """
    at, vae = the_vae(flow)
    if not len(rows):
        raise ValueError("surgery: expected at least one row, got none; check the split")
    if _normal(vae.encoder) is None and len(rows) > MOST:
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
        rows = rows.pick(order[:MOST].sort().values.numpy())
    with settled(flow, seed), torch.no_grad():
        found = [_terms(flow, at, vae, *part) for part in _batches(flow, rows)]
        z, seen, centers, reconstruction, log_q, log_p = (torch.cat(column) for column in zip(*found, strict=True))
        own = log_q.double() - math.log(len(z))  # its own term of the mixture, which rounding must not lose
        log_aggregate = torch.maximum(aggregated(vae.encoder, z, seen), own)
    bound = (reconstruction + log_p - log_q).double()
    extra: dict[str, Any] = {}
    if draws:
        some = rows.pick(torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed + 1))[:GAP_ROWS].numpy())
        tight = log_likelihood(flow, some, samples=draws, seed=seed)
        difference = tight - log_likelihood(flow, some, seed=seed + 1)
        extra = {"draws": draws, "tight": float(tight.mean()), "gap": float(difference.mean()), "tight_rows": len(tight)}
        extra["gap_stderr"] = float(difference.std()) / math.sqrt(len(tight))
    return Surgery(
        rows=len(z),
        bound=float(bound.mean()),
        reconstruction=float(reconstruction.double().mean()),
        mutual_information=float((log_q.double() - log_aggregate).mean()),
        marginal_kl=float((log_aggregate - log_p.double()).mean()),
        stderr=float(bound.std()) / math.sqrt(len(bound)),
        cap=math.log(len(z)),
        active=_active(centers),
        units=z[0].numel(),
        **extra,
    )


def the_vae(flow: Flow) -> tuple[int, VAE]:
    """Where the VAE stands among a flow's layers, and the layer.

    Raises:
        ValueError: there is none, or another random layer beside it.
    """
    if (found := find_vae(flow)) is None:
        names = ", ".join(type(layer).__name__ for layer in flow.transform.transforms if layer.stochastic_forward) or "none"
        raise ValueError(f"parts of the bound: expected a model with one VAE as its only random layer, got {names}; fit --model vae")
    return found


def find_vae(flow: Flow) -> tuple[int, VAE] | None:
    """As :func:`the_vae`; None where there is none, or another random layer beside it."""
    random = [(i, layer) for i, layer in enumerate(flow.transform.transforms) if layer.stochastic_forward]
    (at, layer) = random[0] if len(random) == 1 else (0, None)
    return (at, layer) if isinstance(layer, VAE) else None


@torch.no_grad()
def active_units(flow: Flow, x: Tensor, context: Tensor | None = None) -> tuple[int, int] | None:
    """How many latents of a VAE are active on rows as they enter it, ``(active, all)``: of the others every row has the same mean."""
    if find_vae(flow) is None:
        return None
    centers = posterior_draws(flow, x, context)[1]
    return _active(centers), centers[0].numel()


def _active(centers: Tensor) -> int:
    """How many numbers of the centers ``(n, *shape)`` vary over the rows."""
    return int((centers.double().flatten(1).var(0) > ACTIVE).sum())


def aggregated(encoder: Distribution, z: Tensor, seen: Tensor) -> Tensor:
    """``log 1/n sum_j q(z_i | x_j)`` of each z, float64 ``(M,)``, from what the encoder makes of the n rows ``(n, ...)``, in blocks."""
    if (normal := _normal(encoder)) is not None:
        return _aggregated_normal(*normal, z, seen)
    if isinstance(encoder, Flow):  # without its embedding, which has been
        encoder = Flow(encoder.base, *encoder.transform.transforms, shape=encoder.shape, context=seen.shape[1:])
    step = max(1, BLOCK // (len(seen) * z[0].numel()))
    found = [log_prob_at_each(encoder, some, seen).double().logsumexp(1) for some in z.split(step)]
    return torch.cat(found) - math.log(len(seen))


def _normal(encoder: Distribution) -> tuple[Given, likelihoods.Normal] | None:
    """The encoder without its embedding, and its likelihood, if that is a normal one with no layers behind it."""
    bare = encoder.base if isinstance(encoder, Flow) and not encoder.transform.transforms else encoder
    return (bare, bare.likelihood) if isinstance(bare, Given) and isinstance(bare.likelihood, likelihoods.Normal) else None


def _aggregated_normal(encoder: Given, likelihood: likelihoods.Normal, z: Tensor, seen: Tensor) -> Tensor:
    """By two matrix products: ``-1/2 sum_d (z - mu)^2 / sigma^2`` opened up, in float64 since large terms cancel."""
    h = encoder.parameters_of(seen).double().flatten(2)
    mean, log_scale = likelihood.moments(h)
    precision, z = (-2 * log_scale).exp(), z.double().flatten(1)
    middle = z.mean(0)
    mean, z = mean - middle, z - middle
    constant = (mean.square() * precision).sum(1) + 2 * log_scale.sum(1) + z.shape[1] * math.log(2 * math.pi)
    parts = []
    for some in z.split(max(1, BLOCK // len(seen))):
        square = some.square() @ precision.mT - 2 * some @ (mean * precision).mT + constant
        parts.append((-0.5 * square).logsumexp(1))
    return torch.cat(parts) - math.log(len(seen))


def _batches(flow: Flow, rows: Rows, size: int = 256) -> list[tuple[Tensor, Tensor | None]]:
    parts = []
    for start in range(0, len(rows), size):
        context = None if rows.context is None else rows.context[start : start + size]
        parts.append(entering(flow, rows.x[start : start + size], context))
    return parts


def posterior_draws(flow: Flow, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    """A latent drawn for each row as it enters the flow, and the center of its posterior."""
    z, _, center, *_ = _terms(flow, *the_vae(flow), x, context)
    return z, center


def _terms(flow: Flow, at: int, vae: VAE, x: Tensor, context: Tensor | None) -> tuple[Tensor, ...]:
    """A draw z of each row, what the encoder sees of it, its center, ``log p(x|z)``, ``log q(z|x)`` and ``log p(z)``."""
    context = None if context is None else flow.embedding(context)
    x, ldj = Chain(*flow.transform.transforms[:at])(x, context)
    seen = vae.encoder.embedding(join(x, context))
    z, log_q = vae.encoder.draw(len(x), seen)
    log_p = Behind(flow, at + 1, context, []).log_prob(z)
    return z, seen, vae.encoder.center(len(x), seen), ldj + vae.decoder.log_prob(x, join(z, context)), log_q, log_p
