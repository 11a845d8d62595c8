"""Small VAEs: one that is factor analysis, of which everything is known, and one whose bound is loose."""

from __future__ import annotations

import torch
from torch import nn

import pushforward.distributions as pd
import pushforward.likelihoods as pl
from pushforward.core import Distribution, Flow, Inverse
from pushforward.transforms import VAE, RowTriangular

D, LATENT, NOISE = 5, 2, 0.7


def perturbed(module, size: float = 0.3):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(size * torch.randn_like(parameter))
    return module


def close(a, b, tolerance: float = 1e-10):
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def log_scale(sigma: torch.Tensor, bound: float = 5.0) -> torch.Tensor:
    """The raw parameter whose bounded logarithm is that of sigma."""
    return bound * torch.atanh(sigma.log() / bound)


def gaussian(inputs: int, outputs: int) -> pd.Given:
    return pd.Given(pl.Normal(), nn.Linear(inputs, 2 * outputs), (outputs,), context=inputs)


def affine(mean_weight: torch.Tensor, mean_bias: torch.Tensor, sigma: torch.Tensor) -> pd.Given:
    """``N(W c + b, sigma^2)``."""
    made = gaussian(mean_weight.shape[1], mean_weight.shape[0]).double()
    with torch.no_grad():
        made.net.weight.copy_(torch.cat([mean_weight, torch.zeros_like(mean_weight)]))
        made.net.bias.copy_(torch.cat([mean_bias, log_scale(sigma)]))
    return made


def linear_gaussian() -> tuple[Flow, torch.distributions.MultivariateNormal]:
    """Factor analysis as a VAE with the exact posterior, which has a full covariance, and the law of x."""
    torch.manual_seed(0)
    w, b = torch.randn(D, LATENT, dtype=torch.float64), torch.randn(D, dtype=torch.float64)
    precision = torch.eye(LATENT, dtype=torch.float64) + w.mT @ w / NOISE**2
    covariance = precision.inverse()
    gain = covariance @ w.mT / NOISE**2
    factor = torch.linalg.cholesky(covariance)  # z = mean + L eps = L (L^-1 mean + eps)
    base = affine(torch.linalg.solve(factor, gain), -torch.linalg.solve(factor, gain @ b), torch.ones(LATENT, dtype=torch.float64))
    layer = RowTriangular(LATENT).double()
    with torch.no_grad():
        layer.h.constant.copy_(torch.cat([log_scale(factor.diagonal()), factor[1:2, 0]]))
    encoder = Flow(base, Inverse(layer), context=D)
    decoder = affine(w, b, torch.full((D,), NOISE, dtype=torch.float64))
    model = Flow(pd.Normal((LATENT,)).double(), VAE(encoder, decoder), shape=(D,))
    law = torch.distributions.MultivariateNormal(b, w @ w.mT + NOISE**2 * torch.eye(D, dtype=torch.float64))
    return model, law


def small(posterior: Distribution | None = None, prior: Flow | None = None) -> Flow:
    """A VAE whose bound is loose."""
    torch.manual_seed(1)
    encoder = posterior or gaussian(D, LATENT)
    before = prior or Flow(pd.Normal((LATENT,)))
    decoder = pd.Given(pl.Normal(), nn.Sequential(nn.Linear(LATENT, 8), nn.Tanh(), nn.Linear(8, 2 * D)), (D,), context=LATENT)
    return perturbed(Flow(before.base, VAE(encoder, decoder), *before.transform.transforms, shape=(D,)).double())


def rows(n: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, D, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
