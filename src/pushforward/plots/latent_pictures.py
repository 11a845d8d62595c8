"""The figures of a model with a random latent: where its posteriors lie beside its prior, and what its bound consists of."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..core import Chain, Flow
from ..evaluation import Surgery, entering, surgery
from ..evaluation.surgery import find_vae, posterior_draws, the_vae
from .board import strips
from .picture import Picture
from .style import DATA, DATA_MAP, INK, MODEL, MODEL_MAP, SOFT, THIRD, figure, style

if TYPE_CHECKING:
    from ..data import Rows

MOST, SHOWN = 4000, 12  # rows whose latents are drawn; images that are decoded

LATENT_SPACE = (
    "Latents of {rows:,} test rows, along the two directions in which the means of their posteriors vary most: the means, draws from the "
    "posteriors, which together are the aggregated posterior, and draws from the prior. Samples start from the right: where it has mass "
    "and the middle has none, the decoder was never trained."
)
BOUND_PARTS = (
    "The bound of {rows:,} test rows taken apart, in nats. Information between row and latent can't be more than log n, the dotted line. "
    "The divergence of the aggregated posterior from the prior is what a better prior gains."
)


class Latents(NamedTuple):
    """In the plane of two directions: centers of posteriors, draws of them, draws of the prior, each ``(n, 2)``."""

    centers: np.ndarray
    posterior: np.ndarray
    prior: np.ndarray


BACK = "Test images, and what is decoded from the means of their posteriors: what of an image the latent holds."


def latent_figures(flow: Flow, rows: Rows, levels: int | None = None) -> list[Picture]:
    """Of a model whose one random layer is a VAE, none of others; ``levels`` of images. Draws come from the global generator."""
    if find_vae(flow) is None:
        return []
    some = rows.pick(torch.randperm(len(rows))[:MOST].numpy())
    found = [Picture("parts", "What the bound consists of", BOUND_PARTS.format(rows=len(some)), parts_figure(surgery(flow, some)))]
    x, context = entering(flow, some.x, some.context)
    if flow.base.context_shape is None:
        shown = planes(flow, x, context)
        found.append(Picture("latent", "The latent space", LATENT_SPACE.format(rows=len(some)), latent_plane(shown)))
    if levels is not None:
        few, given = x[:SHOWN], None if context is None else context[:SHOWN]
        with torch.no_grad():
            pair = np.stack([few.cpu().numpy(), flow.decode(flow.encode(few, given), given).cpu().numpy()])
        found.append(Picture("decoded", "Through the latent and back", BACK, strips(pair, levels, rows=("data", "decoded"))))
    return found


@torch.no_grad()
def planes(flow: Flow, x: Tensor, context: Tensor | None) -> Latents:
    """Centers and draws of the posteriors of rows, and as many draws of the prior, in the plane in which the centers vary most."""
    at, _ = the_vae(flow)
    parts = [posterior_draws(flow, *part) for part in zip(x.split(256), [None] * len(x) if context is None else context.split(256))]
    z, centers = (torch.cat([part[i] for part in parts]).double().flatten(1).cpu() for i in (0, 1))
    behind = Chain(*flow.transform.transforms[at + 1 :])
    given = None if context is None else flow.embedding(context)
    prior = behind.generate(flow.base.sample((len(x),)), given).double().flatten(1).cpu()
    middle = centers.mean(0)
    _, _, directions = torch.linalg.svd(centers - middle, full_matrices=False)
    plane = directions[:2].mT
    return Latents(*(((part - middle) @ plane).numpy() for part in (centers, z, prior)))


@style()
def latent_plane(found: Latents) -> Figure:
    """Three maps in one scale."""
    picture = figure(9.4, 3.4)
    reach = 1.05 * float(np.quantile(np.abs(np.concatenate([found.posterior, found.prior])), 0.998))
    bins = max(20, min(60, round(len(found.centers) ** 0.5)))
    panels = (
        ("means of the posteriors", found.centers, DATA_MAP),
        ("aggregated posterior", found.posterior, DATA_MAP),
        ("prior", found.prior, MODEL_MAP),
    )
    for ax, (title, points, colours) in zip(picture.subplots(1, 3), panels):
        points = points if points.shape[1] == 2 else np.concatenate([points, np.zeros_like(points)], 1)
        ax.hist2d(points[:, 0], points[:, 1], bins=bins, range=[(-reach, reach)] * 2, cmap=colours)
        ax.set_aspect("equal")
        ax.set_title(title, fontsize=10)
        ax.spines[:].set_visible(False)
    return picture


@style()
def parts_figure(found: Surgery) -> Figure:
    """A bar for each part of minus the bound."""
    picture = figure(9.2, 1.9)
    ax = picture.subplots()
    parts = (
        ("reconstruction", -found.reconstruction, DATA),
        ("mutual information", found.mutual_information, THIRD),
        ("marginal divergence", found.marginal_kl, MODEL),
    )
    left = 0.0
    for name, size, colour in parts:
        ax.barh(0, size, left=left, color=colour, height=0.5, label=f"{name} {size:.2f}")
        if name == "mutual information":
            ax.plot([left + found.cap] * 2, [-0.33, 0.33], ":", color=INK, linewidth=1.2)
            ax.text(left + found.cap, -0.36, f"log n = {found.cap:.2f}", ha="center", va="top", fontsize=8, color=SOFT)
        left += size
    ax.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 0.9), fontsize=9)
    ax.set_ylim(-0.75, 0.5)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(f"nats: together minus the bound, {-found.bound:.2f}")
    return picture
