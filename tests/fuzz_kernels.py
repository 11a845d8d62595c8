"""Random cases of the kernels against the plain paths: ``python tests/fuzz_kernels.py CASES SEED``.

Shapes, orders, contexts, runs of layers, bins, dtypes, strides, threads, and numbers that are NaN, infinite or huge. Values and
gradients must agree with the plain path's to 1e-9 relative in float64 (1e-2 in float32), and what the inverse finds must lead back. Rows
of data that are not finite or huge are left out, since there the plain path has infinity times a mask's zero, or sums in another order; so
are gradients of parameters in their company, and all of a case whose parameters are like that. It prints a line for each difference, and
what it has seen.
"""

from __future__ import annotations

import collections
import random
import sys

import torch
from torch import Tensor

import pushforward.nets as pn
import pushforward.transforms as pt
import pushforward.univariate as pu
from pushforward import kernels
from pushforward.core import Chain

ODD = (float("nan"), float("inf"), -float("inf"), 1e30, -1e30, 1e-30, 0.0, -0.0)
LIMIT = 1_000_000  # numbers in a case


def size(most: int) -> int:
    """Small ones more often."""
    return int(most ** random.random() + random.random() / 2)


def strided(x: Tensor) -> Tensor:
    """The same numbers in another layout."""
    how = random.randrange(4)
    if how == 1:
        return x.transpose(0, -1).contiguous().transpose(0, -1)
    if how == 2:
        return torch.stack([x, torch.full_like(x, torch.nan)], -1)[..., 0]
    if how == 3 and x.dim() == 4:
        return x.contiguous(memory_format=torch.channels_last)
    return x


def spoiled(x: Tensor, scale: float) -> Tensor:
    """Some numbers replaced by odd ones, in some cases."""
    x = x * scale
    if x.numel() and random.random() < 0.3:
        for _ in range(random.randrange(1, 4)):
            x.view(-1)[random.randrange(x.numel())] = random.choice(ODD)
    return x


def masked_case(dtype: torch.dtype) -> tuple[str, torch.nn.Module, Tensor, Tensor | None]:
    dim, width, depth, batch = (
        size(2000 if random.random() < 0.005 else 40),
        size(4096 if random.random() < 0.005 else 100),
        size(4),
        size(200),
    )
    spline, residual = random.random() < 0.5, random.random() < 0.4
    bins = random.randint(2, 64 if random.random() < 0.1 else 10)
    bound = random.choice((0.5, 3.0, 50.0)) if spline else random.choice((0.1, 5.0, float("inf")))
    univariate = pu.RationalQuadratic(bins, bound, min(1e-2, 0.5 / bins)) if spline else pu.Affine(bound)
    dim, width, depth = max(1, dim), max(1, width), max(1, depth)
    if dim * univariate.params * width + depth * width * width > LIMIT or dim * univariate.params * batch > LIMIT:
        return masked_case(dtype)
    context = size(5) if dim == 1 or random.random() < 0.4 else 0
    coupled = dim > 1 and random.random() < 0.4
    if coupled:
        mask = random.sample([1, 0, *random.choices((0, 1), k=dim - 2)], dim)
        dense = pn.ResidualMLP if residual else pn.MLP
        net = dense(sum(mask) + context, univariate.params * (dim - sum(mask)), width=width, depth=depth)
        layer = pt.Coupling(mask, univariate, net).to(dtype)
    else:
        context = max(1, context) if dim == 1 else context
        order = random.sample(range(dim), dim)
        made = pn.MADE(dim, univariate.params, width=width, depth=depth, context=context, order=order, residual=residual)
        layer = pt.Autoregressive(univariate, made).to(dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn_like(parameter) * random.choice((0.1, 1.0)) / max(1, parameter.shape[-1]) ** 0.5)
            if random.random() < 0.03:
                spoiled(parameter.data, 1.0)
    x = strided(spoiled(torch.randn(batch, dim, dtype=dtype), random.choice((0.1, 1.0, 10.0))))
    kind = "coupling" if coupled else "masked"
    name = f"{kind} D {dim} width {width} depth {depth} bins {bins if spline else 0} residual {residual} context {context} rows {batch}"
    return name, layer, x, torch.randn(batch, context, dtype=dtype) if context else None


def run_case(dtype: torch.dtype) -> tuple[str, torch.nn.Module, Tensor, Tensor | None]:
    """Some layers one after the other, with linear maps between."""
    dim, batch = random.randint(2, size(30) + 2), max(1, size(200))
    linear = (pt.ActNorm, pt.LULinear, lambda dim: pt.Permute(random.sample(range(dim), dim)), pt.Reverse)
    layers: list[pt.Transform] = []
    for _ in range(random.randint(1, 3)):
        layers += [random.choice(linear)(dim) for _ in range(random.randrange(3))]
        univariate = pu.RationalQuadratic(random.randint(2, 8), 3.0) if random.random() < 0.5 else pu.Affine(random.choice((1.0, 5.0)))
        width, residual = max(1, size(60)), random.random() < 0.4
        if random.random() < 0.5:
            net = (pn.ResidualMLP if residual else pn.MLP)(1, univariate.params * (dim - 1), width=width, depth=1)
            layers.append(pt.Coupling([1] + [0] * (dim - 1), univariate, net))
        else:
            layers.append(pt.Autoregressive(univariate, pn.MADE(dim, univariate.params, width=width, residual=residual)))
    layers += [random.choice(linear)(dim) for _ in range(random.randrange(2))]
    chain = Chain(*layers).to(dtype)
    with torch.no_grad():
        for parameter in chain.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1 / max(1, parameter.shape[-1]) ** 0.5)
    names = " ".join(type(layer).__name__ for layer in layers)
    return f"run D {dim} rows {batch}: {names}", chain, strided(spoiled(torch.randn(batch, dim, dtype=dtype), 1.0)), None


class Given(torch.nn.Module):
    """A scalar map with parameters of its own, as a layer."""

    def __init__(self, univariate: pu.Univariate, h: Tensor):
        super().__init__()
        self.univariate = univariate
        self.h = torch.nn.Parameter(h)

    def forward(self, x: Tensor, context: None = None) -> tuple[Tensor, Tensor]:
        return self.univariate.forward(x, self.h)

    def inverse(self, z: Tensor, context: None = None) -> tuple[Tensor, Tensor]:
        return self.univariate.inverse(z, self.h)


def scalar_case(dtype: torch.dtype) -> tuple[str, torch.nn.Module, Tensor, Tensor | None]:
    which, count = random.choice(("spline", "gaussian", "logistic", "gaussian-cdf", "logistic-cdf")), size(64)
    shape = (size(60), max(1, size(12)), *(max(1, size(6)) for _ in range(random.choice((0, 0, 1, 2)))))
    univariate: pu.Univariate
    if which == "spline":
        bins = max(2, count)
        univariate = pu.RationalQuadratic(bins, random.choice((0.5, 3.0, 50.0)), min(1e-2, 0.5 / bins))
    elif "cdf" in which:
        univariate = (pu.GaussianMixtureCDF if which[0] == "g" else pu.LogisticMixtureCDF)(max(1, count))
    else:
        univariate = pu.MixtureQuantile(max(1, count), which)  # type: ignore[arg-type]
    broadcast = [1 if random.random() < 0.2 else n for n in shape]
    h = torch.tensor(univariate.identity, dtype=dtype).view(1, -1, *(1 for _ in shape[1:]))
    h = h + torch.randn(broadcast[0], univariate.params, *broadcast[1:], dtype=dtype) * random.choice((0.1, 1.0))
    if random.random() < 0.1:
        h = spoiled(h, 1.0)
    x = strided(spoiled(torch.randn(shape, dtype=dtype), random.choice((0.1, 1.0, 3.0))))
    return f"{which} {count} x {tuple(shape)} h {tuple(h.shape)}", Given(univariate, strided(h)), x, None


def results(layer: torch.nn.Module, x: Tensor, context: Tensor | None, z: Tensor) -> dict[str, Tensor]:
    """Value, log derivative and gradients, and the inverse of z."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    out, ldj = layer(x, context)
    generator = torch.Generator().manual_seed(0)
    g_out, g_ldj = (torch.randn(t.shape, generator=generator, dtype=t.dtype) for t in (out, ldj))
    parameters = dict(layer.named_parameters())
    slopes = torch.autograd.grad((out, ldj), (x, *parameters.values()), (g_out, g_ldj), allow_unused=True)
    found = {"z": out, "ldj": ldj, **{f"gradient of {name}": g for name, g in zip(("x", *parameters), slopes) if g is not None}}
    with torch.no_grad():
        found["x"], found["inverse ldj"] = layer.inverse(z, context)
    return {name: t.detach() for name, t in found.items()}


def tame(x: Tensor) -> Tensor:
    """Rows of numbers that are finite and not huge."""
    return (x.abs() < 1e12).flatten(1).all(1)


def worst(a: Tensor, b: Tensor, rows: Tensor) -> float:
    """The largest difference in those rows, relative to a row's greatest number; NaN counts as infinite."""
    a, b = a[rows].flatten(1), b[rows].flatten(1)
    if not a.numel():
        return 0.0
    return ((a - b).abs().amax(1) / (1 + b.abs().amax(1))).nan_to_num(torch.inf).max().item()


def compare(
    layer: torch.nn.Module, found: dict[str, Tensor], plain: dict[str, Tensor], x: Tensor, context: Tensor | None, z: Tensor
) -> list[str]:
    tolerance = 1e-9 if x.dtype == torch.float64 else 1e-2
    rows = tame(x) & tame(plain["z"]) & tame(plain["gradient of x"])
    every = torch.ones(1, dtype=torch.bool)
    errors = {key: worst(found[key], plain[key], rows) for key in ("z", "gradient of x")}
    errors["ldj"] = worst(found["ldj"].unsqueeze(1), plain["ldj"].unsqueeze(1), rows)
    if rows.all():
        errors |= {
            key: worst(found[key][None], b[None], every)
            for key, b in plain.items()
            if key.startswith("gradient") and key != "gradient of x"
        }
    with kernels.without(), torch.no_grad():
        back, ldj = layer.double()(found["x"].double(), None if context is None else context.double())
        layer.to(x.dtype)
    rows &= tame(found["x"]) & tame(back)
    steep = (ldj if ldj.shape == back.shape else ldj.abs().unsqueeze(1)).exp()  # x has as many digits as its dtype, and z that many less
    rounding = 100 * torch.finfo(x.dtype).eps * (1 + found["x"].double().abs()) * steep
    miss = ((back - z.double()).abs() - rounding.expand_as(back)).clamp_min(0)
    errors["z of x"] = worst(z.double() + miss, z.double(), rows)
    return [f"{key} differs by {error:.2g}" for key, error in errors.items() if not error <= tolerance]


def run(cases: int, seed: int) -> int:
    random.seed(seed)
    torch.manual_seed(seed)
    seen, differ = collections.Counter[str](), 0
    for case in range(cases):
        dtype = torch.float64 if random.random() < 0.7 else torch.float32
        torch.set_num_threads(random.randint(1, 8))
        name, layer, x, context = random.choice((masked_case, run_case, scalar_case))(dtype)
        with kernels.without():
            with torch.no_grad():
                z = layer(x, context)[0]
            if isinstance(layer, Given) and "cdf" in name:
                z = z.clamp(1e-12, 1 - 1e-12)
            plain = results(layer, x, context, z)
        found = results(layer, x, context, z)
        seen[name.split()[0]] += 1
        if not all(tame(p[None]).all() for p in layer.parameters()):
            seen["odd parameters"] += 1
            continue
        seen["odd rows"] += not tame(x).all()
        lines = compare(layer, found, plain, x, context, z)
        if lines:
            differ += 1
            print(f"case {case} of seed {seed}: {name} {dtype}: {'; '.join(lines)}", flush=True)
    print(f"{cases:,} cases, {differ} differences; {dict(seen)}")
    return differ


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]), int(sys.argv[2])) > 0)
