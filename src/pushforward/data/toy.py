"""Two-dimensional toy densities with known entropies, in the definitions of FFJORD.

Reference: FFJORD: Free-form Continuous Dynamics for Scalable Reversible Generative Models, Grathwohl, Chen, Bettencourt,
Sutskever, Duvenaud, 2018, arXiv:1810.01367 (the densities of its published code). Rows here are independent draws: where the
original places a fixed number of points on each part of a curve, a part is drawn at random for each row.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from ..words import listing, nearest
from .errors import DataError

Array = np.ndarray


def eight_gaussians(n: int, rng: Generator) -> Array:
    """Eight equal Gaussians of standard deviation 0.5 on a circle of radius 4, all divided by 1.414."""
    angle = rng.integers(8, size=n) * (np.pi / 4)
    return (4 * _circle(angle) + 0.5 * rng.standard_normal((n, 2))) / 1.414


def circles(n: int, rng: Generator) -> Array:
    """Two circles of radius 3 and 1.5, noise 0.24."""
    radius = rng.choice([3.0, 1.5], n)
    return radius[:, None] * _circle(_turn(n, rng)) + 0.24 * rng.standard_normal((n, 2))


def rings(n: int, rng: Generator) -> Array:
    """Four circles of radius 0.75, 1.5, 2.25 and 3, noise 0.08."""
    radius = 0.75 * rng.integers(1, 5, size=n)
    return radius[:, None] * _circle(_turn(n, rng)) + 0.08 * rng.standard_normal((n, 2))


def moons(n: int, rng: Generator) -> Array:
    """Two interleaved half circles of radius 2, noise 0.2."""
    arc = _circle(np.pi * rng.random(n))
    upper = rng.random(n) < 0.5
    curve = np.where(upper[:, None], arc, np.array([1.0, 0.5]) - arc)
    return 2 * (curve + 0.1 * rng.standard_normal((n, 2))) + np.array([-1.0, -0.2])


def swissroll(n: int, rng: Generator) -> Array:
    """A spiral of one and a half turns, ``t (cos t, sin t) / 5`` with t uniform in (1.5 pi, 4.5 pi), noise 0.2."""
    t = 1.5 * np.pi * (1 + 2 * rng.random(n))
    return (t[:, None] * _circle(t) + rng.standard_normal((n, 2))) / 5


def two_spirals(n: int, rng: Generator) -> Array:
    """Two spirals of one and a half turns each, thickened by a box of side 1/6 and by noise 0.1."""
    t = 3 * np.pi * np.sqrt(rng.random(n))
    arm = np.stack([-np.cos(t), np.sin(t)], 1) * t[:, None] + 0.5 * rng.random((n, 2))
    side = rng.choice([-1.0, 1.0], n)
    return side[:, None] * arm / 3 + 0.1 * rng.standard_normal((n, 2))


def pinwheel(n: int, rng: Generator) -> Array:
    """Five Gaussian arms, 0.6 along and 0.2 across, each bent by a rotation that grows with the radius."""
    along = 1 + 0.3 * rng.standard_normal(n)
    across = 0.1 * rng.standard_normal(n)
    angle = rng.integers(5, size=n) * (2 * np.pi / 5) + 0.25 * np.exp(along)
    cos, sin = np.cos(angle), np.sin(angle)
    return 2 * np.stack([along * cos + across * sin, across * cos - along * sin], 1)


def checkerboard(n: int, rng: Generator) -> Array:
    """Uniform on eight of the sixteen squares of side 2 that fill (-4, 4) x (-4, 4)."""
    across = 4 * rng.random(n) - 2
    up = rng.random(n) - 2 * rng.integers(2, size=n) + np.floor(across) % 2
    return 2 * np.stack([across, up], 1)


TOYS: dict[str, Callable[[int, Generator], Array]] = {
    "8gaussians": eight_gaussians,
    "circles": circles,
    "rings": rings,
    "moons": moons,
    "swissroll": swissroll,
    "2spirals": two_spirals,
    "pinwheel": pinwheel,
    "checkerboard": checkerboard,
}

SIZES = (200_000, 20_000, 50_000)  # rows of train, valid, test

# By quadrature of the known densities (tests/test_toys.py); the digits shown are exact.
ENTROPY = {
    "8gaussians": 2.83188,
    "circles": 3.26814,
    "rings": 2.62318,
    "moons": 2.39388,
    "swissroll": 2.66965,
    "2spirals": 2.64545,
    "pinwheel": 2.31779,
    "checkerboard": float(np.log(32)),
}


def entropy(name: str) -> float:
    """The differential entropy of a toy in nats: no model's mean test log-likelihood is above minus this.

    Example::

        >>> round(entropy("checkerboard"), 4)
        3.4657
    """
    if name not in ENTROPY:
        raise DataError(f"entropy: {name!r} is not a toy{nearest(name, ENTROPY)} (toys: {listing(ENTROPY)})")
    return ENTROPY[name]


def _circle(angle: Array) -> Array:
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def _turn(n: int, rng: Generator) -> Array:
    return 2 * np.pi * rng.random(n)
