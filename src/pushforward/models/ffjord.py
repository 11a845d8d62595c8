"""FFJORD."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow
from ..distributions import Normal
from ..nets import TimeMLP
from ..nets.velocity import Activation, TimeEntry
from ..transforms import ActNorm, Continuous
from ..transforms.continuous import Gradients, Trace
from ..transforms.integrate import Solver
from .common import EXACT_IN_TRAINING, vector
from .recipe import recipe


@recipe
def ffjord(
    shape: Sequence[int],
    *,
    width: int = 64,
    depth: int = 3,
    steps: int = 8,
    solver: Solver = "midpoint",
    tolerance: float = 1e-5,
    gradients: Gradients = "steps",
    trace: Trace | None = None,
    probes: int = 1,
    exact_up_to: int = 64,
    time: TimeEntry = "concat",
    activation: Activation = "swish",
    context: int = 0,
) -> Flow:
    """FFJORD: points carried from data to noise by a velocity, any net of space and time (Grathwohl et al., 2018, arXiv:1810.01367).

    ``dz/dt = f(z, t, context)``, ``log p(x) = log N(z(1)) + int tr(df/dz) dt``. Rows ``(B, D)``. Training takes
    ``steps`` steps of 2 evaluations of the net, density and samples of 5 and 4 (RK4); in training the trace is an estimate by random
    probes, in evaluation exact. Train it by its likelihood, or without a solver by ``train.objective=flow_matching``.

    Caveats: steps are as many whatever the data, but for "dopri5"; where velocities grow steep, figures and samples need more than
    training took: compare with twice as many.

    References: FFJORD, Grathwohl, Chen, Bettencourt, Sutskever, Duvenaud, 2018, arXiv:1810.01367; Neural Ordinary Differential Equations,
    Chen, Rubanova, Bettencourt, Duvenaud, 2018, arXiv:1806.07366. Departures: steps of fixed length by default, adaptive ones for
    each row (not shared by a batch); gradients of the steps by default; ActNorm before.

    Arguments:
        shape: of a row, ``(D,)``.
        width: hidden units of the net.
        depth: its hidden layers.
        steps: of the solver.
        solver: of training, "midpoint", "heun" or "rk4"; or "dopri5", for which each row takes as many steps as its error asks for.
        tolerance: of "dopri5".
        gradients: through the "steps", or by the "adjoint", which keeps nothing of them and errs as the solver does.
        trace: in training, "hutchinson" or "exact"; by default exact for up to 3 features.
        probes: random vectors of an estimate.
        exact_up_to: dimensions up to which evaluation takes the exact trace.
        time: how time and context enter each layer, "concat" or "squash".
        activation: "swish", "tanh" or "softplus".
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no vector's, or an option is not of the kind that its annotation says.

    Example::

        >>> ffjord((4,), width=16).log_prob(torch.randn(8, 4)).shape
        torch.Size([8])
    """
    dim = vector(shape)
    net = TimeMLP(dim, width=width, depth=depth, context=context, time=time, activation=activation)
    layer = Continuous(
        net,
        shape,
        steps=steps,
        solver=solver,
        tolerance=tolerance,
        gradients=gradients,
        trace=trace or ("exact" if dim <= EXACT_IN_TRAINING else "hutchinson"),
        probes=probes,
        exact_up_to=exact_up_to,
    )
    return Flow(Normal(shape), ActNorm(dim), layer, context=context)
