"""Which pixels a pixel's distribution depends on, measured by gradients."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..distributions import Causal
from .findings import Finding

IMAGES = 16  # whose gradients are added up: rectified units are deaf to some


@dataclass(frozen=True)
class ReceptiveField:
    """What the pixel in the middle of an image reads.

    Attributes:
        site: its row and column.
        strength: ``(H, W)``, the mean absolute gradient of its parameters by each pixel, all channels together.
        order: ``(H, W)``, the turn of each pixel.
    """

    site: tuple[int, int]
    strength: Tensor
    order: Tensor

    @property
    def before(self) -> Tensor:
        """The pixels that it may read, ``(H, W)``."""
        return self.order < self.order[self.site]

    @property
    def read(self) -> int:
        """How many of them it reads."""
        return int(((self.strength > 0) & self.before).sum())

    @property
    def leaks(self) -> int:
        """How many of those that it must not read it reads."""
        allowed = self.before.clone()
        allowed[self.site] = True  # channels of its own, which the order of numbers decides
        return int(((self.strength > 0) & ~allowed).sum())

    def words(self) -> str:
        """The figures in a sentence."""
        before = int(self.before.sum())
        row, column = self.site
        what = f"all {before:,}" if self.read == before else f"{self.read:,} of the {before:,}"
        return f"the pixel in row {row + 1}, column {column + 1} reads {what} pixels before it"

    def finding(self) -> Finding:
        """Whether it reads what comes later, and how much of what comes before."""
        if self.leaks:
            return Finding("fail", f"{self.words()}, and {self.leaks:,} after it: the net is not causal, and the likelihood no likelihood")
        return Finding("ok", self.words())


def receptive_field(base: Causal, x: Tensor, context: Tensor | None = None) -> ReceptiveField:
    """What the middle pixel's parameters depend on, from gradients at some images.

    Arguments:
        base: a model of images, pixel after pixel.
        x: images ``(N, C, H, W)``, of which the first 16 are taken.
        context: one embedded row for each.
    """
    x, context = x[:IMAGES], None if context is None else context[:IMAGES]
    site = (x.shape[2] // 2, x.shape[3] // 2)
    with torch.enable_grad():
        seen = base.likelihood.scaled(x).detach().requires_grad_()
        h = base.net(seen, context)
        gradients = [torch.autograd.grad(part.sum(), seen, retain_graph=True)[0] for part in h[:, :, site[0], site[1]].t()[:IMAGES]]
    strength = torch.stack(gradients).abs().mean((0, 1, 2))
    return ReceptiveField(site, strength.cpu(), base.order.amax(0).cpu())
