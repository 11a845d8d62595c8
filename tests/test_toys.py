"""The toys against densities written down independently: a mixture along a curve, whose noise factorises over the two axes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtr

from pushforward.data import TOYS, DataError, entropy, load
from pushforward.data.toy import ENTROPY

ALL = pytest.mark.parametrize("name", TOYS)
POINTS = 1200  # of the quadrature along a curve


def curve(name: str) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Centres (K, 2), the sign of each centre's box, the side of that box and the Gaussian noise."""
    u = (np.arange(POINTS) + 0.5) / POINTS
    ring = np.exp(2j * np.pi * u)
    box, noise = 0.0, 0.0
    if name == "8gaussians":
        centres, noise = 4 / 1.414 * np.exp(2j * np.pi * np.arange(8) / 8), 0.5 / 1.414
    elif name == "circles":
        centres, noise = np.concatenate([3 * ring, 1.5 * ring]), 0.24
    elif name == "rings":
        centres, noise = np.concatenate([0.75 * k * ring for k in (1, 2, 3, 4)]), 0.08
    elif name == "moons":
        arc = np.exp(1j * np.pi * u)
        centres, noise = 2 * np.concatenate([arc, 1 + 0.5j - arc]) - 1 - 0.2j, 0.2
    elif name == "swissroll":
        t = 1.5 * np.pi * (1 + 2 * u)
        centres, noise = t * np.exp(1j * t) / 5, 0.2
    elif name == "2spirals":
        t = 3 * np.pi * np.sqrt(u)
        arm = -t * np.exp(-1j * t) / 3
        centres, box, noise = np.concatenate([arm, -arm]), 1 / 6, 0.1
    sign = np.concatenate([np.ones(len(centres) // 2), -np.ones(len(centres) // 2)])
    return np.stack([centres.real, centres.imag], 1), sign, box, noise


def axis_density(x: np.ndarray, centre: np.ndarray, sign: np.ndarray, box: float, noise: float) -> np.ndarray:
    """Density on one axis at x (N, 1) given each centre (K,): a Gaussian, or one smeared over a box."""
    if box:
        distance = (x - centre) * sign
        return (ndtr(distance / noise) - ndtr((distance - box) / noise)) / box
    return np.exp(-0.5 * ((x - centre) / noise) ** 2) / (noise * math.sqrt(2 * math.pi))


def pinwheel_density(x: np.ndarray) -> np.ndarray:
    """Undo scale and rotation: f = r (cos a, sin a) lands at the angle a - 0.25 exp(r cos a), whose slope is positive for
    all a at small radius, and as far as an arm reaches at large radius (what lies beyond the fold has mass below 1e-5)."""
    y = x / 2
    radius, total = np.hypot(y[:, 0], y[:, 1]), np.zeros(len(x))
    small = radius < 1.2
    fold = np.arcsin(np.minimum(0.58, 4 / (radius * np.exp(radius))))

    def bent(a):
        return a - 0.25 * np.exp(radius * np.cos(a))

    for k in range(5):
        target = np.arctan2(y[:, 1], y[:, 0]) + 2 * np.pi * k / 5
        target = bent(0.0) + (target - bent(0.0) + np.pi) % (2 * np.pi) - np.pi
        low, high = np.where(small, -7.0, -fold), np.where(small, 7.0, 0.62)
        for _ in range(50):
            a = (low + high) / 2
            above = bent(a) > target
            low, high = np.where(above, low, a), np.where(above, a, high)
        along, across = radius * np.cos(a), radius * np.sin(a)
        base = np.exp(-0.5 * ((along - 1) / 0.3) ** 2 - 0.5 * (across / 0.1) ** 2) / (2 * np.pi * 0.3 * 0.1)
        found = np.abs(bent(a) - target) < 1e-9
        total += found * base / np.abs(1 + 0.25 * np.exp(along) * across) / 4 / 5
    return total


def density(name: str, x: np.ndarray) -> np.ndarray:
    if name == "pinwheel":
        return pinwheel_density(x)
    if name == "checkerboard":
        dark = (np.floor(x[:, 0] / 2) + np.floor(x[:, 1] / 2)) % 2 == 0
        return np.where(dark & (np.abs(x) < 4).all(1), 1 / 32, 0.0)
    centres, sign, box, noise = curve(name)
    axes = [axis_density(x[:, i, None], centres[:, i], sign, box, noise) for i in (0, 1)]
    return (axes[0] * axes[1]).mean(1)


def entropy_on_a_grid(name: str, size: int = 700, reach: float = 5.5) -> tuple[float, float]:
    """(total mass, entropy) by the midpoint rule."""
    step = 2 * reach / size
    ticks = (np.arange(size) + 0.5) * step - reach
    if name == "pinwheel":
        p = density(name, np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2))
    else:
        centres, sign, box, noise = curve(name)
        across, up = (axis_density(ticks[:, None], centres[:, i], sign, box, noise) for i in (0, 1))
        p = across @ up.T / len(centres)
    p = p[p > 1e-300]
    return float(p.sum() * step**2), float(-(p * np.log(p)).sum() * step**2)


@pytest.mark.parametrize("name", [name for name in TOYS if name != "checkerboard"])
def test_entropy_by_quadrature(name):
    mass, value = entropy_on_a_grid(name, 350 if name == "pinwheel" else 700)
    assert mass == pytest.approx(1, abs=1e-4)
    assert value == pytest.approx(entropy(name), abs=5e-4)


def test_entropy_of_the_checkerboard():
    assert entropy("checkerboard") == pytest.approx(math.log(32))


@ALL
def test_draws_have_the_stated_density(name):
    """Cross entropy of draws against the density equals the entropy only if the two agree."""
    x = TOYS[name](2000, np.random.default_rng(1))
    surprise = -np.log(density(name, x))
    error = surprise.std() / math.sqrt(len(x))
    assert abs(surprise.mean() - entropy(name)) < 4 * error + 1e-4


@ALL
def test_draws_are_seeded_and_independent_rows(name):
    first, second, other = (TOYS[name](64, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first.shape == (64, 2) and first.dtype == np.float64
    np.testing.assert_array_equal(first, second)
    assert (first != other).all()


def test_load_a_toy():
    data = load("moons", seed=3)
    assert (len(data.train), len(data.valid), len(data.test)) == (200_000, 20_000, 50_000)
    assert data.name == "moons" and data.entropy == ENTROPY["moons"] and data.schema.shape == (2,)
    assert [column.kind.name for column in data.schema.columns] == ["real", "real"]
    assert not (data.train.x[:20_000] == data.valid.x).any()
    assert (load("moons", seed=3).test.x == data.test.x).all()


def test_unknown_toy():
    with pytest.raises(DataError, match="did you mean 'moons'"):
        entropy("moon")
    with pytest.raises(DataError, match="did you mean 'swissroll'"):
        load("swisroll")
