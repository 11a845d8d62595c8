"""Classes of functions and what a layer of each can be: the Venn diagram of invertible maps, with one small fit for each class.

    python examples/function_classes.py                # half a minute; the picture goes to runs/figures, or to --out

Prints, for each fit, the root mean square error of the fitted map.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, Rectangle
from torch import Tensor

from pushforward import MADE, MLP, Affine, Autoregressive, Chain, Coupling, Transform
from pushforward.core import refresh
from pushforward.nets import LipschitzMLP, TimeMLP
from pushforward.plots import save
from pushforward.plots.style import DATA, INK, MODEL, THIRD, figure, number, style
from pushforward.transforms import Continuous, Mint, Residual

STEPS = 800
ANGLE = 1.0  # of the rotation, in radians


def steep(x: Tensor) -> Tensor:
    """Increasing, of slope 3 in the middle and 1/2 outside: no ``x + g(x)`` with ``|g'| < 1`` is as steep."""
    return 0.5 * x + 2.5 * torch.tanh(x)


def folded(x: Tensor) -> Tensor:
    """Lower triangular, not affine in ``x_2``: beyond one Gaussian autoregressive layer."""
    return torch.stack([steep(x[:, 0]), x[:, 1] + 0.8 * torch.tanh(2 * x[:, 1]) + 1.2 * torch.sin(1.5 * x[:, 0])], 1)


def bent(x: Tensor) -> Tensor:
    """What an affine coupling is: ``x_1`` stays, ``x_2`` is scaled and moved by functions of it."""
    return torch.stack([x[:, 0], x[:, 1] * torch.exp(0.5 * torch.sin(x[:, 0])) + torch.sin(1.5 * x[:, 0])], 1)


def turned(x: Tensor) -> Tensor:
    """A rotation: no triangle."""
    cos, sin = torch.tensor(ANGLE).cos(), torch.tensor(ANGLE).sin()
    return torch.stack([cos * x[:, 0] - sin * x[:, 1], sin * x[:, 0] + cos * x[:, 1]], 1)


def fitted(layer: Transform, target: Callable[[Tensor], Tensor], dim: int, seed: int) -> float:
    """Root mean square error on new points of ``layer.encode`` after Adam on the squared error."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        x = 3 * (2 * torch.rand(256, dim, generator=generator) - 1)
        refresh(layer)  # the norms that keep residual layers invertible
        optimizer.zero_grad()
        (layer.encode(x) - target(x)).square().mean().backward()
        optimizer.step()
        schedule.step()
    refresh(layer)
    x = 3 * (2 * torch.rand(4096, dim, generator=generator) - 1)
    with torch.no_grad():
        return float((layer.encode(x) - target(x)).square().mean().sqrt())


def venn(axes: Axes) -> None:
    """All maps, I, F and M as their intersection's invertible part, and the classes of layers where they lie."""
    axes.set(xlim=(0, 10), ylim=(0, 6.2), aspect="equal")
    axes.axis("off")
    axes.add_patch(Rectangle((0.05, 0.05), 9.9, 6.1, fill=False, edgecolor=INK, linewidth=0.8))
    axes.text(0.25, 5.82, "functions ℝᴰ → ℝᴰ", va="center", fontsize=10)
    for centre, width, colour in (((3.75, 2.95), 6.7, DATA), ((6.75, 2.95), 5.9, MODEL)):
        axes.add_patch(Ellipse(centre, width, 5.1, facecolor=colour, alpha=0.13))
        axes.add_patch(Ellipse(centre, width, 5.1, fill=False, edgecolor=colour, linewidth=1.4))
    for centre, width, height, colour in (
        ((5.5, 3.3), 2.3, 1.5, INK),
        ((5.5, 1.95), 2.0, 1.6, INK),
        ((5.5, 1.65), 1.4, 0.7, INK),
        ((3.3, 3.3), 2.8, 1.3, THIRD),
    ):
        axes.add_patch(Ellipse(centre, width, height, fill=False, edgecolor=colour, linewidth=1.1))
    words = (
        (2.5, 4.45, "I: invertible", DATA, 11),
        (8.0, 4.45, "F: triangular\nJacobian", MODEL, 11),
        (5.45, 4.5, "M = I ∩ F", INK, 11),
        (5.65, 3.3, "one Mint layer", INK, 9),
        (5.5, 2.35, "Gaussian AR", INK, 9),
        (5.5, 1.65, "couplings", INK, 9),
        (2.9, 3.3, "residual,\nLip(g) < 1", THIRD, 9),
        (2.3, 1.95, "rotations: Mint in\nboth orders,\ncontinuous flows", INK, 9),
        (8.4, 2.4, "a slope that\nchanges sign:\nz₁ = x₁²", INK, 9),
    )
    for x, y, text, colour, size in words:
        axes.text(x, y, text, color=colour, fontsize=size, ha="center", va="center")


def residual() -> Residual:
    """``x + g(x)`` with ``|g'| <= 0.9``, and so with slopes between 0.1 and 1.9."""
    return Residual(LipschitzMLP(1, width=32, depth=2, coefficient=0.9), (1,))


def curve(axes: Axes, layers: dict[str, tuple[Transform, str]]) -> None:
    x = torch.linspace(-3, 3, 301)[:, None]
    axes.plot(x, steep(x), color=INK, linewidth=3.5, alpha=0.25, label="target")
    with torch.no_grad():
        for name, (layer, colour) in layers.items():
            axes.plot(x, layer.encode(x), color=colour, label=name)
    axes.legend(loc="upper left")
    axes.set(xlabel="x", ylabel="z")


def mesh(axes: Axes, target: Callable[[Tensor], Tensor], layer: Transform) -> None:
    """The images of a grid's lines, by the target and by the layer."""
    line, fine = torch.linspace(-2.5, 2.5, 9), torch.linspace(-2.5, 2.5, 101)
    for level in line:
        for x in (torch.stack([level.expand(101), fine], 1), torch.stack([fine, level.expand(101)], 1)):
            with torch.no_grad():
                axes.plot(*target(x).T, color=INK, linewidth=3, alpha=0.2)
                axes.plot(*layer.encode(x).T, color=MODEL, linewidth=0.9)
    axes.set(aspect="equal", xlim=(-5, 5), ylim=(-5.2, 5.2), xlabel="z₁", ylabel="z₂")


@style()
def draw(seed: int) -> Figure:
    torch.manual_seed(seed)
    picture = figure(12, 8.6, gap=0.04)
    grid = picture.add_gridspec(2, 1, height_ratios=[1.3, 1])
    top = grid[0].subgridspec(1, 2, width_ratios=[2.1, 1])
    bottom = grid[1].subgridspec(1, 4)
    venn(picture.add_subplot(top[0]))

    lines: dict[str, Transform] = {
        "Mint": Mint((1,), width=16),
        "one residual": residual(),
        "two residuals": Chain(residual(), residual()),
    }
    axes = picture.add_subplot(top[1])
    errors = {name: fitted(layer, steep, 1, seed) for name, layer in lines.items()}
    colours = dict(zip(lines, (MODEL, THIRD, DATA)))
    curve(axes, {f"{name}, error {number(error)}": (lines[name], colours[name]) for name, error in errors.items()})
    axes.set_title("slope up to 3")

    planes: list[tuple[str, Callable[[Tensor], Tensor], Transform]] = [
        ("affine coupling", bent, Coupling([1, 0], Affine(), MLP(1, 2, width=32))),
        ("triangular: one Mint", folded, Mint((2,), width=24)),
        ("rotation: two Mints, twice", turned, Chain(*(Mint((2,), width=24, reverse=r) for r in (False, True) * 2))),
        ("rotation: continuous", turned, Continuous(TimeMLP(2, width=32, depth=1), (2,), steps=4)),
    ]
    for place, (name, target, layer) in zip(bottom, planes, strict=True):
        error = fitted(layer, target, 2, seed)
        print(f"{name:34s} root mean square error {error:.3f}")
        axes = picture.add_subplot(place)
        mesh(axes, target, layer)
        axes.set_title(f"{name}\nerror {number(error)}")
    for name, error in errors.items():
        print(f"{name + ', slope 3':34s} root mean square error {error:.3f}")
    for name, other in (
        ("Gaussian AR, the triangular map", Autoregressive(Affine(), MADE(2, 2, width=32))),
        ("one Mint, the rotation", Mint((2,), width=24)),
    ):
        print(f"{name:34s} root mean square error {fitted(other, folded if 'AR' in name else turned, 2, seed):.3f}")
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/figures"), help="where pictures go")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(save(draw(arguments.seed), arguments.out / "function_classes.png"))


if __name__ == "__main__":
    main()
