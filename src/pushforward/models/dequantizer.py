"""Noise for images: flows over (0, 1) that read the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import nn

from ..core import Flow, Inverse, Transform
from ..distributions import Normal
from ..nets import GatedConvNet
from ..nets.patches import IntoPatches
from ..transforms import ActNorm, Coupling, Elementwise, Squeeze
from ..univariate import Affine, Logit, MixtureQuantile

Noise = Literal["flow", "logit_normal"]


def dequantizer(
    shape: Sequence[int],
    *,
    kind: Noise = "flow",
    steps: int = 2,
    width: int = 32,
    depth: int = 2,
    components: int = 4,
    attention: bool = False,
    dropout: float = 0.0,
    context: int = 0,
) -> Flow:
    r"""A conditional flow for the noise u in (0, 1) of ``Dequantize(levels, noise)``: its context is the image.

    ``"logit_normal"``: ``u = sigmoid(m(x) + s(x) e)`` with normal e, m and s from a net of gated convolutions.
    ``"flow"`` (Flow++): e goes through ``steps`` pairs of couplings that exchange the two colours of a checkerboard, with ActNorm
    between them, then a sigmoid. The maps are mixtures of logistics (affine for 0 components). Their nets read the other colour's noise
    and features of the image; all work on the image squeezed by 2, where a checkerboard is a choice of channels.
    Drawing, which is what training does, takes one pass of each net and no search; the mixtures are inverted numerically only where
    the density of a given u is asked for.

    A net that starts at zero and ActNorms that start from uniform draws (:meth:`Flow.initialize`, which ``Dequantize`` calls) make u
    nearly uniform at the start.

    Reference: Flow++: Improving Flow-Based Generative Models with Variational Dequantization and Architecture Design, Ho, Chen,
    Srinivas, Duan, Abbeel, 2019, arXiv:1902.00275, section 3.1 and its code. Departures: convolutions on the squeezed image, a quarter
    of the work, no 1x1 convolutions, and no affine map behind the mixture.

    Arguments:
        shape: of the image ``(C, H, W)``.
        kind: "flow" or "logit_normal".
        steps: pairs of couplings (2 in the paper).
        width: hidden channels of all nets, and the features of the image.
        depth: gated blocks of each net.
        components: logistics of each mixture (32 in the paper); 0 for affine couplings.
        attention: whether the couplings' nets read far sites (true in the paper).
        dropout: of the couplings' nets.
        context: channels that the layer's context adds to the image.

    Raises:
        ValueError: no image, or for "flow" one with an odd side.

    Example::

        >>> noise = dequantizer((3, 8, 8), width=16)
        >>> u, log_q = noise.sample_and_log_prob((), torch.rand(5, 3, 8, 8))
        >>> u.shape, log_q.shape
        (torch.Size([5, 3, 8, 8]), torch.Size([5]))
    """
    if len(shape) != 3 or kind not in ("flow", "logit_normal"):
        raise ValueError(f"dequantizer: expected an image (C, H, W) and kind flow or logit_normal, got {tuple(shape)} and {kind!r}")
    channels, height, width_of_image = shape
    seen = (channels + context, height, width_of_image)
    if kind == "logit_normal":
        parameters = GatedConvNet(seen[0], 2 * channels, width=width, depth=depth, heads=1, attention=False)
        layers: list[Transform] = [Elementwise(Logit(), (1,)), ActNorm(channels), Coupling([False] * channels, Affine(), nn.Identity())]
        return Flow(Normal(shape), *layers, context=seen, embed=parameters)
    if height % 2 or width_of_image % 2:
        raise ValueError(
            f"dequantizer: expected even sides, got {height} x {width_of_image}; use kind='logit_normal', or pad or crop the image"
        )
    features = GatedConvNet(4 * seen[0], width, width=width, depth=depth, heads=1, attention=False)
    heads = max(n for n in (4, 2, 1) if width % n == 0)
    univariate = MixtureQuantile(components, "logistic") if components else Affine()
    layers = [Elementwise(Logit(), (1,)), Squeeze(), ActNorm(4 * channels)]
    for step in range(2 * steps):
        kept = [(i % 4 in (0, 3)) == (step % 2 == 0) for i in range(4 * channels)]  # pixels (0, 0) and (1, 1) of each 2 x 2, or the others
        outputs = 2 * channels * univariate.params
        net = GatedConvNet(2 * channels + width, outputs, width=width, depth=depth, heads=heads, attention=attention, dropout=dropout)
        layers += [Inverse(Coupling(kept, univariate, net)), ActNorm(4 * channels)]
    return Flow(Normal(shape), *layers, Inverse(Squeeze()), context=seen, embed=nn.Sequential(IntoPatches(2), features))
