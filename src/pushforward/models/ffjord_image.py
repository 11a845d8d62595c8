"""FFJORD for images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import nn

from ..core import Flow, Transform
from ..core.memory import Memory
from ..distributions import Normal
from ..nets import ConcatConv, UNet, VelocityNet
from ..nets.conv2d import conv2d
from ..nets.velocity import Activation
from ..transforms import ActNorm, Continuous
from ..transforms.continuous import Gradients, Trace
from ..transforms.integrate import Solver
from .images import image, most_scales, multiscale, pixels
from .recipe import recipe


@recipe
def ffjord_image(
    shape: Sequence[int],
    *,
    levels: int = 256,
    scales: int | None = None,
    blocks: int = 1,
    net: Literal["concat_conv", "unet"] = "concat_conv",
    width: int = 32,
    depth: int = 2,
    steps: int = 2,
    solver: Solver = "rk4",
    tolerance: float = 1e-5,
    gradients: Gradients = "steps",
    trace: Trace = "hutchinson",
    probes: int = 1,
    exact_up_to: int = 64,
    activation: Activation = "softplus",
    alpha: float = 0.05,
    memory: Memory = "full",
    context: int = 0,
) -> Flow:
    """FFJORD for images: carried by convolutional velocities, at several scales (Grathwohl et al., 2018, arXiv:1810.01367).

    At each scale ``blocks`` times ``dz/dt = f(z, t, context)`` over unit time, f a net of convolutions; a squeeze by 2, and as many on four
    times the channels, of which half then leave. Images of whole numbers ``(B, C, H, W)``, dequantized uniformly: ``log_prob`` is a lower
    bound, in which the trace is an estimate by random probes. Density and samples take ``steps`` steps of the solver for each layer, 4
    evaluations of a net each. Train it by the likelihood with a price on the ways, ``train.kinetic=0.0035 train.jacobian=0.007``
    (RNODE's), for which few steps do.

    With ``net="unet"`` the image stays whole and as it is, of any size, and the net itself sees it at several resolutions: behind one
    such layer ``train.objective=flow_matching`` trains without a solver (Lipman et al., 2022, arXiv:2210.02747).

    Caveats: steps are as many whatever the data: compare figures with twice as many.

    References: FFJORD, Grathwohl, Chen, Bettencourt, Sutskever, Duvenaud, 2018, arXiv:1810.01367; the prices: How to Train Your Neural ODE,
    Finlay, Jacobsen, Nurbekyan, Oberman, 2020, arXiv:2002.02798; the U-Net: Denoising Diffusion Probabilistic Models, Ho, Jain, Abbeel,
    2020, arXiv:2006.11239. Departures: steps of fixed length; ActNorm before each layer; what leaves is scaled and shifted by a
    convolution of what stays, as in Glow; a squeeze ends the last scale too, and no layers follow what then would leave. Sizes by default
    are for a CPU.

    Arguments:
        shape: of an image, ``(C, H, W)``.
        levels: the pixels are whole numbers ``0..levels-1``.
        scales: times that the image is squeezed, or halved within each U-Net; as many as the sides allow, at most 2, if None.
        blocks: continuous layers before each squeeze, and as many behind it (2 in the paper); of U-Nets, layers in all.
        net: "concat_conv", or "unet".
        width: hidden channels of the nets (64 in the paper).
        depth: their hidden layers (3 in the paper), or residual blocks of a U-Net at each resolution, each way.
        steps: of the solver, for each layer (4 in RNODE).
        solver: of training, "rk4", "heun" or "midpoint"; or "dopri5", for which each row takes as many steps as its error asks for.
        tolerance: of "dopri5".
        gradients: through the "steps", or by the "adjoint", which keeps nothing of them and errs as the solver does.
        trace: in training, "hutchinson" or "exact".
        probes: random vectors of an estimate.
        exact_up_to: dimensions up to which evaluation takes the exact trace.
        activation: "softplus", "tanh" or "swish".
        alpha: pixels go through ``logit(alpha + (1 - 2 alpha) x / levels)``; only 0 covers the line, photographs learn faster with
            0.05.
        memory: what is kept for the gradient, "full" or "checkpoint" (one layer's steps at a time; "constant" inverts layers, but none
            whose trace is an estimate).
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no image's, or its sides can't be halved so often; an option is not of the kind that its annotation
            says.

    Example::

        >>> ffjord_image((1, 8, 8), levels=16, width=4).log_prob(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2])
    """
    scales = scales or most_scales(shape, 2)
    whole = image(shape, 1 if net == "unet" else 2**scales)

    def velocity(channels: int) -> VelocityNet:
        if net == "unet":
            return UNet(channels, width=width, depth=depth, scales=scales, context=context, activation=activation)
        return ConcatConv(channels, width=width, depth=depth, context=context, activation=activation)

    def carried(*shape: int) -> list[Transform]:
        layers: list[Transform] = []
        for _ in range(blocks):
            layer = Continuous(
                velocity(shape[0]),
                shape,
                steps=steps,
                solver=solver,
                tolerance=tolerance,
                gradients=gradients,
                trace=trace,
                probes=probes,
                exact_up_to=exact_up_to,
            )
            layers += [ActNorm(shape[0]), layer]
        return layers

    def coarse(scale: int, channels: int) -> list[Transform]:
        return carried(channels, *(side // 2 ** (scale + 1) for side in whole[1:]))

    def prior(inputs: int, outputs: int) -> nn.Module:
        return conv2d(inputs + context, outputs, gain=0.0)

    layers = carried(*whole) if net == "unet" else multiscale(whole, scales, coarse, prior, memory=memory, fine=carried)
    return Flow(Normal(shape), *pixels(levels, alpha), *layers, context=context, memory=memory)
