"""Rate and distortion of VAEs on small images of digits: what weight of the divergence buys what, and what the rate consists of.

    python examples/rate_distortion.py               # some minutes; the picture goes to runs/figures, or to --out

For each beta a VAE of the same nets is trained by ``-E log p(x|z) + beta KL``. Printed and drawn: distortion ``-E log p(x|z)`` and rate,
the mean ``KL(q(z|x) || p)``, taken apart into the information between image and latent and the divergence of the aggregated posterior from
the prior.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

import pushforward as pf
from pushforward.evaluation import Surgery
from pushforward.plots import save
from pushforward.plots.style import DATA, INK, MODEL, SOFT, THIRD, figure, style

BETAS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
NETS = {"model.latent": 8, "model.width": 128}


def trained(beta: float, seconds: float, prior: str) -> Surgery:
    """The bound of the test images, taken apart, of a VAE that was trained with this weight."""
    options = {**NETS, "model.prior": prior, "train.beta": beta, "train.lr": 2e-3, "train.patience": 0}
    run = pf.fit("digits", "vae", size=8, options=options, time_limit=seconds, report=False, progress=False)
    return pf.bound_parts(run)


@style()
def draw(found: dict[str, Sequence[tuple[float, Surgery]]]) -> Figure:
    """The curves of both priors, and the rates of the standard one taken apart."""
    picture = figure(9.4, 3.6)
    left, right = picture.subplots(1, 2)
    for (prior, points), colour, label in zip(found.items(), (DATA, MODEL), ((4, 7), (-14, -14))):
        rate = [part.mutual_information + part.marginal_kl for _, part in points]
        distortion = [-part.reconstruction for _, part in points]
        left.plot(rate, distortion, "o-", color=colour, markersize=4, label=f"{prior} prior")
        for (beta, _), x, y in zip(points, rate, distortion):
            left.annotate(f"{beta:g}", (x, y), xytext=label, textcoords="offset points", fontsize=8, color=colour)
    left.set_xlabel("rate, nats")
    left.set_ylabel("distortion, nats")
    left.set_title("what a nat of rate buys")
    left.legend()
    points = next(iter(found.values()))
    places = range(len(points))
    information = [part.mutual_information for _, part in points]
    right.bar(places, information, color=THIRD, label="information of image and latent")
    right.bar(places, [part.marginal_kl for _, part in points], bottom=information, color=MODEL, label="aggregated posterior from prior")
    right.axhline(points[0][1].cap, color=INK, linewidth=1, linestyle=":")
    right.text(len(points) - 0.5, points[0][1].cap, "log n", va="bottom", ha="right", fontsize=9, color=SOFT)
    right.set_xticks(list(places), [f"{beta:g}" for beta, _ in points])
    right.set_xlabel("beta")
    right.set_title("what the rate consists of, nats")
    right.legend(fontsize=8)
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each training")
    parser.add_argument("--out", type=Path, default=Path("runs/figures"))
    chosen = parser.parse_args()
    found = {}
    for prior in ("standard", "real_nvp"):
        found[prior] = [(beta, trained(beta, chosen.seconds, prior)) for beta in BETAS]
        for beta, part in found[prior]:
            rate = f"{part.mutual_information:5.2f} + {part.marginal_kl:5.2f} (information, marginal divergence)"
            print(f"{prior:9} beta {beta:4g}: distortion {-part.reconstruction:6.2f}, rate {rate}; bound {part.bound:.2f}")
    save(draw(found), chosen.out / "rate_distortion.png")


if __name__ == "__main__":
    main()
