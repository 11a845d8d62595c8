"""How far kernels and plain paths are from float64's plain path: ``python tests/kernel_numerics.py`` prints the table.

At a knot of a spline, a number moved by rounding is another number's density: float32 can't do better than the exact value somewhere
within rounding. So a miss is the distance to all the values that float64 takes within 4 roundings of the largest number in play.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor

import pushforward.univariate as pu
from pushforward import kernels

SPLINES = [(8, 1e-2, 5.0), (8, 1e-2, 50.0), (16, 1e-3, 5.0), (64, 1e-3, 50.0), (16, 3e-4, 5.0), (8, 1e-4, 5.0)]  # bins, floor, scale of h
BOUND = 5.0
MIXTURES: dict[str, Callable[[], pu.Univariate]] = {
    "MixtureQuantile": lambda: pu.MixtureQuantile(5),
    "MixtureQuantile, logistic": lambda: pu.MixtureQuantile(5, "logistic"),
    "GaussianMixtureCDF": lambda: pu.GaussianMixtureCDF(5),
    "LogisticMixtureCDF": lambda: pu.LogisticMixtureCDF(5),
}
DIRECTIONS = ("forward", "inverse")
DTYPES = (torch.float32, torch.float64)
Case = tuple[Tensor, Tensor]  # numbers (N, 1) and parameters (N, params, 1), in float64, each a float32 too


def spline_cases(bins: int, floor: float, scale: float, direction: str, rows: int = 500) -> tuple[pu.RationalQuadratic, dict[str, Case]]:
    torch.manual_seed(0)
    spline = pu.RationalQuadratic(bins, BOUND, floor)
    h = (scale * torch.randn(rows, spline.params, 1)).double()
    shares = h[:, : 2 * bins].unflatten(1, (2, bins)).softmax(2) * (1 - bins * floor) + floor
    end = torch.full((rows, 1, 1), BOUND, dtype=torch.float64)
    near = torch.nextafter(end.float(), torch.zeros(())).double()
    places = {
        "inside": BOUND * (2 * torch.rand(rows, 4, 1) - 1).double(),
        "knots": (2 * BOUND * shares.cumsum(2) - BOUND)[:, DIRECTIONS.index(direction), :-1].float().double(),
        "bounds": torch.cat([-end, end, -near, near], 1),
        "tails": torch.cat([-1.5 * end, 1.001 * end, 1e6 * end], 1),
    }
    return spline, {place: (y.reshape(-1, 1), h.repeat_interleave(y.shape[1], 0)) for place, y in places.items()}


def mixture_cases(name: str, direction: str, rows: int = 200) -> tuple[pu.Univariate, dict[str, Case]]:
    torch.manual_seed(0)
    mixture = MIXTURES[name]()
    h = (torch.tensor(mixture.identity).view(1, -1, 1) + torch.randn(rows, mixture.params, 1)).double()
    if "CDF" in name and direction == "inverse":
        places = {"inside": 0.01 + 0.98 * torch.rand(rows, 4, 1), "zero": torch.full((rows, 1, 1), 0.5)}
    else:
        far = torch.tensor([-1e3, -30.0, 30.0, 1e3] if "CDF" not in name else [-8.0, 8.0]).view(1, -1, 1)
        places = {"inside": 2 * torch.randn(rows, 4, 1), "zero": torch.zeros(rows, 1, 1), "tails": far.expand(rows, -1, 1)}
    return mixture, {place: (y.double().reshape(-1, 1), h.repeat_interleave(y.shape[1], 0)) for place, y in places.items()}


def found(univariate: pu.Univariate, direction: str, case: Case, dtype: torch.dtype, plain: bool) -> list[Tensor]:
    """Value, log derivative, and the gradients of their sum by the number and by h, in float64."""
    y, h = (t.to(dtype).requires_grad_() for t in case)
    with kernels.without() if plain else nullcontext():
        out, slope = getattr(univariate, direction)(y, h)
        return [t.detach().double() for t in (out, slope, *torch.autograd.grad(out.sum() + slope.sum(), (y, h)))]


def misses(univariate: pu.Univariate, direction: str, case: Case, dtype: torch.dtype, most: float) -> dict[str, list[float]]:
    """The largest miss of each path, of value and log derivative, and of gradients relative to their size; NaN counts as infinite."""
    y, h = case
    step = 4 * torch.finfo(dtype).eps * most
    moved = [found(univariate, direction, (y + step * k / 4, h), torch.float64, True) for k in range(-4, 5)]
    result = {}
    for path in ("plain", "kernel"):
        result[path] = []
        for kind, values in enumerate(found(univariate, direction, case, dtype, path == "plain")):
            exact = torch.stack([m[kind] for m in moved])
            low, high = exact.amin(0), exact.amax(0)
            miss = torch.maximum(low - values, values - high).clamp_min(0)
            size = (1 + torch.maximum(low.abs(), high.abs())).flatten(1).amax(1) if kind > 1 else 1.0
            result[path].append((miss.flatten(1).amax(1) / size).nan_to_num(torch.inf).max().item())
    return result


def worst(dtype: torch.dtype, path: str, cases: dict[str, tuple[pu.Univariate, Case]], most: float) -> list[float]:
    found = [misses(univariate, direction, case, dtype, most)[path] for direction, (univariate, case) in cases.items()]
    return [max(kind) for kind in zip(*found, strict=True)]


def row(name: str, both: dict[str, tuple[pu.Univariate, dict[str, Case]]], most: float) -> None:
    """A line for each place, the worse of both directions."""
    for place in dict.fromkeys(place for _, cases in both.values() for place in cases):
        cases = {direction: (univariate, found[place]) for direction, (univariate, found) in both.items() if place in found}
        plain, kernel, double = (worst(*how, cases, most) for how in ((DTYPES[0], "plain"), (DTYPES[0], "kernel"), (DTYPES[1], "kernel")))
        columns = [f"{a:.1e}, {b:.1e}" for a, b in zip(plain, kernel, strict=True)]
        print(f"| {name} | {place} | {' | '.join(columns)} | {double[0]:.1e} | {double[1]:.1e} | {max(double[2:]):.1e} |", flush=True)


def main() -> None:
    columns = ("map", "where", "value", "log derivative", "gradient of x", "gradient of h", "float64: value", "log derivative", "gradients")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for bins, floor, scale in SPLINES:
        name = f"spline, {bins} bins, floor {floor:g}, h of {scale:g}"
        row(name, {direction: spline_cases(bins, floor, scale, direction) for direction in DIRECTIONS}, BOUND)
    for name in MIXTURES:
        row(name, {direction: mixture_cases(name, direction) for direction in DIRECTIONS}, 0.1 if "CDF" in name else 1.0)


if __name__ == "__main__":
    main()
