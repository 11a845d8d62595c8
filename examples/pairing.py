"""Optimal pairings of a batch, across contexts and within them: one skews p(x | c), the other does not.

    python examples/pairing.py                # a minute or two; the picture goes to runs/figures, or to --out

Two contexts share two places: c = 0 is on the left 4 times of 5, c = 1 on the right. Flow matching pairs each row of a batch with a noise,
such that the squared distances add up to the least. Taken over the whole batch this gives the noise on the left to the rows on the left,
whatever their context: given c the noise is no longer normal, and normal noise, from which samples begin, comes out half left, half right.
Printed: the share of samples on the left given each context, and by how many nats log p(x | c) of held-out rows is below the truth.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from pushforward import Flow, Normal
from pushforward.data import Rows
from pushforward.evaluation import evaluate
from pushforward.nets import TimeMLP
from pushforward.objectives import FlowMatching
from pushforward.objectives.flow_matching import assigned
from pushforward.plots import save
from pushforward.plots.style import DATA, MODEL, SOFT, THIRD, figure, number, style
from pushforward.training import fit
from pushforward.transforms import Continuous

LEFT = torch.tensor([0.8, 0.2])  # the share of c = 0 and of c = 1
AWAY, SPREAD = 1.5, 0.5  # where the places are on the first axis, and their standard deviation
DRAWN, SHOWN = 20_000, 2000  # samples of each model, and points of a panel


class AcrossContexts(FlowMatching):
    """The naive pairing: as if there were no context."""

    def forward(self, x: Tensor, context: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        if not self.training:
            return super().forward(x, context, weight)
        e = torch.randn_like(x)
        e = e[assigned(x, e, None)]
        t = torch.rand(len(x), 1)
        velocity = self.flow.transform.transforms[-1].net((1 - t) * x + t * e, t.flatten(), context)
        return (velocity - (e - x)).square().mean()


LOSSES = {
    "independent": FlowMatching,
    "optimal, across contexts": AcrossContexts,
    "optimal, within contexts": lambda flow: FlowMatching(flow, pairing="optimal"),
}


def drawn(n: int, seed: int) -> Rows:
    generator = torch.Generator().manual_seed(seed)
    c = torch.arange(n) % 2
    x = SPREAD * torch.randn(n, 2, generator=generator)
    x[:, 0] += torch.where(torch.rand(n, generator=generator) < LEFT[c], -AWAY, AWAY)
    return Rows(x, c.float()[:, None])


def true_log_prob(rows: Rows) -> Tensor:
    """Of each row given its context."""
    assert rows.context is not None
    left = LEFT[rows.context[:, 0].long()]
    places = torch.tensor([[-AWAY, 0.0], [AWAY, 0.0]])
    normal = -0.5 * (rows.x[:, None] - places).square().sum(2) / SPREAD**2 - math.log(2 * math.pi * SPREAD**2)
    return torch.logsumexp(torch.stack([left, 1 - left], 1).log() + normal, 1)


def trained(name: str, seconds: float, seed: int) -> Flow:
    torch.manual_seed(seed)
    flow = Flow(Normal((2,)), Continuous(TimeMLP(2, depth=3, context=1, time="squash"), (2,)), context=1)
    settings = {"batch": 256, "lr": 0.01, "weight_decay": 0.0, "patience": 0, "time_limit": seconds, "seed": seed, "progress": False}
    fit(flow, drawn(100_000, seed + 1), drawn(2000, seed + 2), loss=LOSSES[name](flow), **settings)
    return flow.eval()


@torch.no_grad()
def samples(flow: Flow, n: int) -> Rows:
    c = (torch.arange(n) % 2)[:, None].float()
    return Rows(flow.sample(context=c), c)


def shares(rows: Rows) -> list[float]:
    """Of what is on the left, given each context."""
    assert rows.context is not None
    return [float((rows.x[rows.context[:, 0] == c, 0] < 0).float().mean()) for c in (0, 1)]


@style()
def draw(found: dict[str, tuple[Rows, str]]) -> Figure:
    """Points given either context, and how many of them are in each place."""
    picture = figure(2.7 * len(found), 5.2)
    for c, row in enumerate(picture.subplots(2, len(found), sharex=True, sharey=True)):
        for axes, colour, (name, (rows, words)) in zip(row, (SOFT, DATA, MODEL, THIRD), found.items()):
            assert rows.context is not None
            axes.scatter(*rows.x[rows.context[:, 0] == c][:SHOWN].T, s=2, alpha=0.5, linewidths=0, color=colour)
            left = shares(rows)[c]
            for place, share in ((-AWAY, left), (AWAY, 1 - left)):
                axes.text(place, 2.2, f"{share:.0%}", ha="center", fontsize=10)
            axes.set(xlim=(-3.4, 3.4), ylim=(-2.2, 2.8))
            axes.set_title("" if c else f"{name}\n{words}")
        row[0].set_ylabel(f"given c = {c}")
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/figures"), help="where the picture goes")
    chosen = parser.parse_args()
    held_out = drawn(20_000, chosen.seed + 3)
    best = float(true_log_prob(held_out).double().mean())
    found = {"truth": (drawn(10 * DRAWN, chosen.seed + 4), f"{number(best)} nats")}
    for name in LOSSES:
        flow = trained(name, chosen.seconds, chosen.seed)
        torch.manual_seed(chosen.seed)
        score, rows = evaluate(flow, held_out), samples(flow, DRAWN)
        left = ", ".join(f"{share:.3f}" for share in shares(rows))
        gap = best - score.nats
        print(f"{name:25} left given c = 0, 1: {left} (truth 0.8, 0.2); {gap:.4f} nats below the truth")
        found[name] = (rows, f"{number(gap)} nats below")
    print(save(draw(found), chosen.out / "pairing.png"))


if __name__ == "__main__":
    main()
