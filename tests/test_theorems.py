"""The theorems of flow models as numbers: float64, quadrature or identities draw by draw, no training."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, MixtureSameFamily, kl_divergence
from torch.distributions import Normal as TorchNormal

import pushforward.distributions as pd
import pushforward.likelihoods as pl
import pushforward.nets as pn
import pushforward.transforms as pt
import pushforward.univariate as pu
from pushforward import kernels
from pushforward.core import Chain, Flow, Inverse
from pushforward.models import MODELS
from pushforward.objectives import MaximumLikelihood, ReverseKL


def perturbed(module: nn.Module, noise: float = 0.3) -> nn.Module:
    """In float64, every parameter moved by noise: nothing is the identity."""
    torch.manual_seed(0)
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    return module


def recipe(name: str, dim: int, noise: float = 0.3, **options) -> Flow:
    return perturbed(MODELS[name]((dim,), **{"width": 16, "depth": 1, **options}), noise)


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def mixture(weights: Tensor, means: Tensor, scales: Tensor) -> MixtureSameFamily:
    return MixtureSameFamily(Categorical(weights), TorchNormal(means, scales))


DATA = mixture(numbers(0.2, 0.5, 0.3), numbers(-2.0, 0.3, 1.5), numbers(0.4, 0.7, 0.3))
OTHER = mixture(numbers(0.6, 0.4), numbers(-1.0, 2.0), numbers(0.9, 0.5))


def line(reach: float = 14.0, points: int = 40_001) -> tuple[Tensor, Tensor]:
    """Points ``(N, 1)`` of the line and their quadrature weights ``(N,)``."""
    x = torch.linspace(-reach, reach, points, dtype=torch.float64)
    return x.unsqueeze(1), torch.full_like(x, 2 * reach / (points - 1))


def hermite(dim: int, order: int = 24) -> tuple[Tensor, Tensor]:
    """Nodes ``(order^dim, dim)`` and weights for expectations under a standard normal; exact for polynomials below ``2 order``."""
    from numpy.polynomial.hermite_e import hermegauss

    node, weight = (torch.from_numpy(part) for part in hermegauss(order))
    nodes = torch.cartesian_prod(*[node] * dim).reshape(-1, dim)
    return nodes, torch.cartesian_prod(*[weight / math.sqrt(2 * math.pi)] * dim).reshape(-1, dim).prod(1)


def jacobian(function, x: Tensor) -> Tensor:
    """Row by row, ``(B, D) -> (B, D, D)``: rows do not mix, so each output's sum has all rows' gradients."""
    x = x.detach().requires_grad_()
    return torch.stack([torch.autograd.grad(column.sum(), x, retain_graph=True)[0] for column in function(x).unbind(1)], 1)


def close(actual: Tensor, expected: Tensor | float, error: float = 1e-9) -> None:
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=torch.float64).expand_as(actual), atol=error, rtol=error)


# --- change of variables ---


def test_inverse_function_theorem():
    """The Jacobian of the inverse is the inverse of the Jacobian."""
    flow = recipe("real_nvp", 3, steps=3)
    x = torch.randn(4, 3, dtype=torch.float64)
    product = jacobian(flow.decode, flow.encode(x).detach()) @ jacobian(flow.encode, x)
    close(product, torch.eye(3, dtype=torch.float64).expand(4, 3, 3))


def test_composition_theorem():
    """The determinant of a composition is the product over its layers, each taken where the layers before it lead."""
    flow = recipe("nsf", 3, steps=2)
    x = torch.randn(4, 3, dtype=torch.float64)
    whole = torch.linalg.slogdet(jacobian(flow.encode, x))[1]
    total, at = torch.zeros(4, dtype=torch.float64), x
    for layer in flow.transform.transforms:
        total = total + torch.linalg.slogdet(jacobian(layer.encode, at))[1]
        at = layer.encode(at).detach()
    close(total, whole)
    close(flow.log_prob(x), flow.base.log_prob(at) + whole)


def test_one_dimensional_flows_are_universal():
    """A distribution function, then another's inverse, carries any density to any other: exactly, with nothing to fit."""

    def cdf(density: MixtureSameFamily) -> pt.Elementwise:
        parts = density.component_distribution
        layer = pt.Elementwise(pu.GaussianMixtureCDF(len(parts.loc), bound=50.0), (1,)).double()
        raw = 50.0 * torch.atanh(parts.scale.log() / 50.0)
        with torch.no_grad():
            layer.h.copy_(torch.cat([density.mixture_distribution.logits, parts.loc, raw]).view(1, -1, 1))
        return layer

    base = pd.FromTorch(
        mixture(OTHER.mixture_distribution.probs[None], OTHER.component_distribution.loc[None], OTHER.component_distribution.scale[None])
    )
    flow = Flow(base, cdf(DATA), Inverse(cdf(OTHER)))
    x = torch.linspace(-3.5, 2.5, 61, dtype=torch.float64).unsqueeze(1)
    close(flow.log_prob(x), DATA.log_prob(x[:, 0]), 1e-8)


# --- divergences ---


def test_forward_kl_is_maximum_likelihood():
    """``KL(p || q) = -H(p) - E_p log q``, as a number and as a gradient, where both sides are known in closed form."""
    flow = perturbed(Flow(pd.Normal((1,)), pt.Elementwise(pu.Affine(bound=math.inf), (1,))))
    shift, s = flow.transform.transforms[0].h.flatten()
    p, q = TorchNormal(numbers(0.7), numbers(1.3)), TorchNormal(-shift * (-s).exp(), (-s).exp())
    x, weight = line()
    loss = MaximumLikelihood(flow)(x, weight=weight * p.log_prob(x[:, 0]).exp())
    close(loss - p.entropy(), kl_divergence(p, q))
    close(
        torch.autograd.grad(loss, flow.transform.transforms[0].h)[0],
        torch.autograd.grad(kl_divergence(p, q).sum(), flow.transform.transforms[0].h)[0],
    )


def test_likelihood_gradient_is_that_of_the_forward_kl():
    """For any flow: the mean gradient over draws of p is the gradient of ``KL(p || q)``, within 4 standard errors."""
    flow = recipe("nsf", 1, steps=2, bins=4)
    parameters = [p for p in flow.parameters() if p.numel()]
    x, weight = line(points=8001)
    p = DATA.log_prob(x[:, 0])
    kl = (weight * p.exp() * (p - flow.log_prob(x))).sum()
    exact = torch.cat([g.flatten() for g in torch.autograd.grad(kl, parameters)])
    torch.manual_seed(1)
    means = torch.stack(
        [
            torch.cat([g.flatten() for g in torch.autograd.grad(MaximumLikelihood(flow)(DATA.sample((500, 1))), parameters)])
            for _ in range(60)
        ]
    )
    error = means.std(0) / math.sqrt(len(means))
    assert ((means.mean(0) - exact).abs() <= 4.5 * error + 1e-9).all() and exact.norm() > 0.1


def test_flow_kl_duality():
    """``KL(p_x || q_x)`` in data space is ``KL(p_z || base)`` in latent space, p_z the data carried there (two quadratures)."""
    flow = recipe("nsf", 1, steps=2, bins=4)
    with torch.no_grad():
        x, weight = line()
        p = DATA.log_prob(x[:, 0])
        in_data = (weight * p.exp() * (p - flow.log_prob(x))).sum()
        z, weight = line(reach=25.0, points=60_001)
        back, ldj = flow.transform.inverse(z)
        pushed = DATA.log_prob(back[:, 0]) + ldj  # log p_z, by the change of variables
        in_latent = (weight * pushed.exp() * (pushed - flow.base.log_prob(z))).sum()
        close((weight * pushed.exp()).sum(), 1.0, 1e-6)
    close(in_latent, in_data, 1e-6)  # knots of the spline leave corners in the integrand
    assert in_data > 0.1


def test_reverse_kl_in_latent_space():
    """``E_base[log p(z) - log|det dx/dz| - log pi(x)]`` is ``KL(q || pi)`` in data space, and what the objective estimates."""
    flow = recipe("nsf", 1, steps=2, bins=4)
    with torch.no_grad():
        x, weight = line(reach=25.0, points=60_001)
        q = flow.log_prob(x)
        in_data = (weight * q.exp() * (q - DATA.log_prob(x[:, 0]))).sum()
        z, weight = line()
        x, ldj = flow.transform.inverse(z)
        log_base = flow.base.log_prob(z)
        in_latent = (weight * log_base.exp() * (log_base - ldj - DATA.log_prob(x[:, 0]))).sum()
        close(in_latent, in_data, 1e-6)
        torch.manual_seed(0)
        objective = ReverseKL(flow, lambda x: DATA.log_prob(x[:, 0]) + 2.5, rows=1000)
        values = torch.stack([objective() for _ in range(60)]) + 2.5
    assert (values.mean() - in_data).abs() <= 4 * values.std() / math.sqrt(60)


# --- the family: coupling, autoregressive, inverse autoregressive, volume preserving ---


class Halves(pn.CausalNet):
    """A causal net that gives zeros for the first features and reads nothing else for the rest: a coupling's conditioner."""

    def __init__(self, net: nn.Module, kept: int, dim: int):
        super().__init__()
        self.net, self.kept, self.dim = net, kept, dim

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        h = self.net(x[:, : self.kept]).view(len(x), 2, -1)
        return torch.cat([torch.zeros_like(x[:, None, : self.kept]).expand(-1, 2, -1), h], 2).flatten(1)

    def unroll(self, solve, batch: int, context: Tensor | None = None) -> Tensor:
        x = torch.zeros(batch, self.dim, dtype=torch.float64)
        for i in range(self.dim):
            h = self(x).view(batch, 2, -1)
            x = torch.cat([x[:, :i], solve(i, h[:, :, i : i + 1]), x[:, i + 1 :]], 1)
        return x


def test_realnvp_is_a_gaussian_autoregressive_flow():
    """Parameters of zero for the kept features, and for the others parameters that read only those: the coupling, both ways."""
    net = perturbed(pn.MLP(2, 2 * 3, width=16))
    coupling = pt.Coupling([1, 1, 0, 0, 0], pu.Affine(), net).double()
    autoregressive = pt.Autoregressive(pu.Affine(), Halves(net, kept=2, dim=5)).double()
    x = torch.randn(8, 5, dtype=torch.float64)
    for ours, theirs in ((coupling, autoregressive), (coupling.inverse, autoregressive.inverse)):
        for a, b in zip(ours(x), theirs(x), strict=True):
            close(a, b, 1e-12)
    assert (coupling(x)[0] - x)[:, 2:].abs().max() > 0.1


def test_an_affine_autoregressive_layer_is_a_gaussian_autoregressive_model():
    """``x_j ~ N(mu_j(x_<j), sigma_j(x_<j)^2)``: the log density is the sum of the conditionals', sampling is theirs in turn."""
    layer = perturbed(pt.Autoregressive(pu.Affine(), pn.MADE(4, 2, width=16, order=[2, 0, 3, 1])))
    flow = Flow(pd.Normal((4,)), layer).double()
    x = torch.randn(8, 4, dtype=torch.float64)

    def conditionals(x: Tensor) -> TorchNormal:
        shift, raw = layer.net(x).view(-1, 2, 4).unbind(1)
        s = 5 * torch.tanh(raw / 5)
        return TorchNormal(-shift * (-s).exp(), (-s).exp())

    close(flow.log_prob(x), conditionals(x).log_prob(x).sum(1), 1e-12)
    z, drawn = torch.randn(8, 4, dtype=torch.float64), torch.zeros(8, 4, dtype=torch.float64)
    for j in (2, 0, 3, 1):
        p = conditionals(drawn)
        drawn = torch.where(torch.arange(4) == j, p.loc + p.scale * z, drawn)
    close(flow.decode(z), drawn, 1e-12)


def test_iaf_is_maf_the_other_way(monkeypatch):
    """Inverting all of a MAF's layers makes its encoder the decoder: what took a pass takes D steps, and the reverse."""
    maf = recipe("maf", 5, steps=3)
    iaf = Flow(maf.base, Inverse(maf.transform)).double()
    calls = {"pass": 0, "steps": 0}
    forward, unroll = pn.MADE._compute, pn.MADE.unroll

    def counted(name, function):
        def call(*args, **kwargs):
            calls[name] += 1
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(pn.MADE, "_compute", counted("pass", forward))
    monkeypatch.setattr(pn.MADE, "unroll", counted("steps", unroll))

    def cost(function, *args) -> dict[str, int]:
        calls.update({"pass": 0, "steps": 0})
        function(*args)
        return dict(calls)

    x = torch.randn(8, 5, dtype=torch.float64)
    fast, slow = {"pass": 3, "steps": 0}, {"pass": 0, "steps": 3}
    with kernels.without():  # in which a step costs no more than a pass
        assert cost(maf.log_prob, x) == fast and cost(maf.sample, (8,)) == slow
        assert cost(iaf.log_prob, x) == slow and cost(iaf.sample_and_log_prob, (8,)) == fast
    drawn, log_prob = iaf.sample_and_log_prob((8,))  # its own draws come with their density in a pass
    close(iaf.log_prob(drawn), log_prob)
    close(iaf.decode(maf.decode(x)), x)


class Regression(pn.CausalNet):
    """The linear causal net ``shift_i = sum_j B_ij x_j + b_i`` over ``j < i`` with constant log-scales."""

    def __init__(self, below: Tensor, shift: Tensor, log_scale: Tensor):
        super().__init__()
        for name, value in {"below": below.tril(-1), "shift": shift, "log_scale": log_scale}.items():
            self.register_buffer(name, value)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return torch.cat([x @ self.below.T + self.shift, self.log_scale.expand_as(x)], 1)

    def unroll(self, solve, batch: int, context: Tensor | None = None) -> Tensor:
        x = self.shift.new_zeros(batch, 0)
        for i in range(len(self.shift)):
            shift = x @ self.below[i, :i] + self.shift[i]
            x = torch.cat([x, solve(i, torch.stack([shift, self.log_scale[i].expand(batch)], 1)[..., None])], 1)
        return x


def test_maf_and_iaf_share_a_density():
    """A Gaussian has both forms: regressions of x on x before it (Sigma^-1's factor), or on noise before it (Sigma's)."""
    torch.manual_seed(0)
    factor = torch.randn(4, 4, dtype=torch.float64).tril() + 2 * torch.eye(4, dtype=torch.float64)
    mean = torch.randn(4, dtype=torch.float64)
    scale = factor.diagonal().abs().log()
    factor = factor * factor.diagonal().sign()
    inverse = torch.linalg.inv(factor)
    univariate = pu.Affine(bound=math.inf)
    maf = Flow(pd.Normal((4,)), pt.Autoregressive(univariate, Regression(inverse, -inverse @ mean, -scale))).double()
    iaf = Flow(pd.Normal((4,)), Inverse(pt.Autoregressive(univariate, Regression(factor, mean, scale)))).double()
    x = torch.randn(8, 4, dtype=torch.float64)
    expected = torch.distributions.MultivariateNormal(mean, scale_tril=factor).log_prob(x)
    close(maf.log_prob(x), expected)
    close(iaf.log_prob(x), expected)


def test_additive_couplings_preserve_volume():
    """Before its last scaling, NICE has a log-determinant of exactly zero, wherever it is."""
    flow = recipe("nice", 5)
    *couplings, scaling = flow.transform.transforms
    x = 10 * torch.randn(8, 5, dtype=torch.float64)
    y, ldj = Chain(*couplings)(x)
    assert not ldj.any() and (y - x).abs().max() > 0.1
    close(flow.transform(x)[1], scaling(y)[1], 0.0)


# --- flows and variational autoencoders ---


def elbo_of_blurred_flow(flow: Flow, x: Tensor, s: float, order: int = 24) -> Tensor:
    """The ELBO of the VAE with encoder ``N(f(x), s^2 I)`` and decoder ``N(g(z), s^2 J J^T)``, J the Jacobian of g at z."""
    noise, weight = hermite(x.shape[1], order)
    rows = []
    for row in x:
        z = (flow.encode(row[None]) + s * noise).detach()
        factor = s * jacobian(flow.decode, z)
        white = torch.linalg.solve(factor, row - flow.decode(z))
        constant = -0.5 * x.shape[1] * math.log(2 * math.pi)
        log_decoder = constant - 0.5 * white.square().sum(1) - torch.linalg.slogdet(factor)[1]
        log_encoder = constant - 0.5 * noise.square().sum(1) - x.shape[1] * math.log(s)
        rows.append((weight * (flow.base.log_prob(z) + log_decoder - log_encoder)).sum())
    return torch.stack(rows).detach()


def test_a_flow_is_a_vae_with_dirac_encoder_and_decoder():
    """As both shrink to points the ELBO goes to the flow's log-likelihood, as the square of their width."""
    net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 2))  # smooth, as the order of convergence needs
    flow = perturbed(Flow(pd.Normal((2,)), pt.LULinear(2), pt.Coupling([1, 0], pu.Affine(), net), pt.LULinear(2)))
    x = torch.randn(3, 2, dtype=torch.float64)
    expected = flow.log_prob(x).detach()
    errors = torch.stack([elbo_of_blurred_flow(flow, x, s) - expected for s in (0.04, 0.02, 0.01)])
    close(errors[:-1] / errors[1:], 4.0, 0.02)  # order 2
    assert errors[-1].abs().max() < 1e-3 < errors[0].abs().max()


def test_the_gap_of_an_affine_flow_as_vae():
    """Without curvature, only the blurred prior is left of the gap: ``D s^2 / 2`` exactly, at any width."""
    flow = perturbed(Flow(pd.Normal((3,)), pt.LULinear(3)))
    x = torch.randn(2, 3, dtype=torch.float64)
    for s in (1.0, 0.3):
        close(flow.log_prob(x).detach() - elbo_of_blurred_flow(flow, x, s, order=4), 3 * s**2 / 2)


def posteriors() -> tuple[TorchNormal, Tensor]:
    """Encoders ``q(z|x_i)`` of five data on a line, by a net."""
    encoder = perturbed(pd.Given(pl.Normal(), nn.Linear(2, 2), (1,), context=2), 1.0)
    x = torch.randn(5, 2, dtype=torch.float64)
    with torch.no_grad():
        mean, raw = encoder.net(x).unbind(1)
        z, _ = line(reach=40.0)
        q = TorchNormal(mean, (5 * torch.tanh(raw / 5)).exp())
        close(encoder.log_prob(z[:5], x), q.log_prob(z[:5, 0]))
    return q, x


def test_elbo_surgery():
    """The mean ``KL(q(z|x_i) || p)`` is ``KL(q_agg || p)`` plus the mutual information, which lies in ``[0, log n]``."""
    q, x = posteriors()
    z, weight = line(reach=40.0)
    log_q = q.log_prob(z)  # (N, n)
    log_agg = log_q.logsumexp(1) - math.log(len(x))
    prior = TorchNormal(numbers(0.0), numbers(1.0))
    mean_kl = kl_divergence(q, prior).mean()  # in closed form
    marginal = (weight * log_agg.exp() * (log_agg - prior.log_prob(z[:, 0]))).sum()
    information = (weight[:, None] * log_q.exp() * (log_q - log_agg[:, None])).sum(0).mean()
    close(marginal + information, mean_kl)
    assert 0 < information < math.log(len(x)) and marginal > 0.01


def test_the_aggregate_posterior_is_the_best_prior():
    """The KL term of the ELBO can't fall below the mutual information, and the aggregate posterior attains it."""
    q, x = posteriors()
    z, weight = line(reach=40.0)
    log_q = q.log_prob(z)
    log_agg = log_q.logsumexp(1) - math.log(len(x))

    def cost(log_prior: Tensor) -> Tensor:
        return (weight[:, None] * log_q.exp() * (log_q - log_prior[:, None])).sum(0).mean()

    best = cost(log_agg)
    for log_prior in (OTHER.log_prob(z[:, 0]), TorchNormal(q.mean.mean(), 1.0).log_prob(z[:, 0])):
        assert cost(log_prior) > best
    slope = torch.zeros_like(log_agg, requires_grad=True)  # any direction of change of the prior: the cost is stationary
    changed = log_agg + slope
    changed = changed - (weight * changed.exp()).sum().log()
    (gradient,) = torch.autograd.grad(cost(changed), slope)
    close(gradient, 0.0)


def test_a_flow_prior_is_a_flow_posterior():
    """``KL(q(z|x) || flow)`` is ``KL(flow's inverse of q(z|x) || normal)``, draw by draw."""
    encoder = perturbed(pd.Given(pl.Normal(), nn.Linear(2, 6), (3,), context=2), 0.5)
    prior = recipe("maf", 3)
    posterior = Flow(encoder, Inverse(prior.transform), context=2).double()
    c = torch.randn(6, 2, dtype=torch.float64)
    z, log_q = encoder.sample_and_log_prob((), c)
    latent, ldj = prior.transform(z)
    close(log_q - prior.log_prob(z), posterior.log_prob(latent, c) - prior.base.log_prob(latent))
    close(posterior.log_prob(latent, c), log_q - ldj)
    with pytest.raises(ValueError, match="context"):
        posterior.log_prob(latent)


# --- discrete data ---


def bins() -> tuple[Flow, Tensor, Tensor, Tensor]:
    """A flow on dequantized integers, the integers -20..20, and ``log p(y + u)`` ``(41, U)`` with quadrature weights of u."""
    from numpy.polynomial.legendre import leggauss

    layer = perturbed(pt.Elementwise(pu.GaussianMixtureCDF(3), (1,)))
    flow = Flow(pd.Uniform((1,)), pt.Dequantize(), layer).double()
    y = torch.arange(-20, 21, dtype=torch.float64).unsqueeze(1)
    node, weight = (torch.from_numpy(part) for part in leggauss(40))
    points = y + (node + 1) / 2  # (41, U)
    density = Flow(flow.base, layer)
    return flow, y, density.log_prob(points.reshape(-1, 1)).view_as(points).detach(), weight / 2


def test_a_distribution_function_gives_the_mass_of_bins():
    """``P(y) = F(y + 1) - F(y)`` is the density's integral over the bin, and sums to 1."""
    flow, y, log_density, weight = bins()
    cdf = flow.transform.transforms[1]
    mass = (cdf.encode(y + 1) - cdf.encode(y))[:, 0].detach()
    close((weight * log_density.exp()).sum(1), mass)
    close(mass.sum(), 1.0)


def test_uniform_dequantization_bounds_the_discrete_likelihood():
    """``E_u log p(y + u) <= log P(y)``; the gap is ``KL(uniform || p(u|y))``; flows with Dequantize estimate the left side."""
    flow, y, log_density, weight = bins()
    log_mass = (weight * log_density.exp()).sum(1).log()
    bound = (weight * log_density).sum(1)
    assert (bound <= log_mass).all() and (bound < log_mass - 1e-3).any()
    noise = log_density - log_mass[:, None]  # log p(u|y)
    close((weight * noise.exp()).sum(1), 1.0)
    close(log_mass - bound, -(weight * noise).sum(1))
    assert flow.kind == "bound"
    torch.manual_seed(0)
    near = y[18:24]
    draws = torch.stack([flow.log_prob(near) for _ in range(2000)]).detach()
    assert ((draws.mean(0) - bound[18:24]).abs() <= 4 * draws.std(0) / math.sqrt(2000)).all()
    assert (flow.log_prob(near, samples=20_000) - log_mass[18:24]).abs().max() < 0.02  # log-mean-exp of many is tight


def test_variational_dequantization_is_tight_at_the_posterior():
    """``E_q[log p(y + u) - log q(u|y)]`` lies below ``log P(y)`` for any q, and meets it for ``q = p(u|y)``; uniform is one q."""
    _, _, log_density, weight = bins()
    log_mass = (weight * log_density.exp()).sum(1).log()

    def bound(log_q: Tensor) -> Tensor:
        log_q = log_q - (weight * log_q.exp()).sum(1, keepdim=True).log()
        return (weight * log_q.exp() * (log_density - log_q)).sum(1)

    posterior = log_density - log_mass[:, None]
    close(bound(posterior), log_mass)
    half_way = bound(posterior / 2)
    uniform = bound(torch.zeros_like(posterior))
    assert (uniform <= half_way + 1e-12).all() and (half_way <= log_mass + 1e-12).all() and (half_way > uniform + 1e-3).any()
