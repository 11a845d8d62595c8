"""WaveNet where the answer is known, and the speed of what it remembers."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch
from torch import Tensor

from pushforward.distributions import Causal
from pushforward.likelihoods import Normal
from pushforward.models import wavenet
from pushforward.nets import WaveNet

A, B = 1.5, -0.8  # x_t = A x_{t-1} + B x_{t-2} + noise of deviation 1


def autoregression(rows: int, length: int, seed: int) -> tuple[Tensor, float]:
    """Windows ``(rows, 1, length)`` of an AR(2) process in its steady state, and their mean exact log-likelihood."""
    noise = np.random.default_rng(seed).normal(size=(rows, length + 300))
    x = np.zeros_like(noise)
    for t in range(2, x.shape[1]):
        x[:, t] = A * x[:, t - 1] + B * x[:, t - 2] + noise[:, t]
    x = x[:, 300:]
    variance = (1 - B) / ((1 + B) * ((1 - B) ** 2 - A**2))
    covariance = variance * np.array([[1, A / (1 - B)], [A / (1 - B), 1]])
    start = torch.distributions.MultivariateNormal(torch.zeros(2).double(), torch.tensor(covariance)).log_prob(torch.tensor(x[:, :2]))
    rest = -0.5 * (noise[:, 302:] ** 2 + math.log(2 * math.pi)).sum(1)
    return torch.tensor(x).unsqueeze(1).float(), float((start.numpy() + rest).mean())


@pytest.mark.slow
def test_a_process_of_known_entropy_rate():
    """Within 0.01 nats a sample of the truth."""
    torch.manual_seed(0)
    x, _ = autoregression(4000, 100, 0)
    test, truth = autoregression(2000, 100, 1)
    model = Causal(Normal(), WaveNet((1, 100), 2, width=24, depth=3), (1, 100))
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    steps = 900
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(steps):
        loss = -model.log_prob(x[torch.randint(len(x), (64,))]).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 100.0)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        gap = (truth - float(model.log_prob(test).mean())) / 100
    assert -0.001 < gap < 0.01, gap


@pytest.mark.slow
@torch.no_grad()
def test_a_second_of_sound_is_drawn_in_less_than_a_minute():
    """8,000 samples of the small preset's size, from what it remembers."""
    torch.manual_seed(0)
    model = wavenet((1, 8000), width=32, depth=8, cycles=2, skip=64)
    start = time.process_time()
    assert model.sample((1,)).shape == (1, 1, 8000)
    assert time.process_time() - start < 60
