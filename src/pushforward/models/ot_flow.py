"""OT-Flow."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow
from ..distributions import Normal
from ..nets import PotentialNet
from ..transforms import ActNorm, Continuous
from ..transforms.continuous import Gradients
from ..transforms.integrate import Solver
from .common import vector
from .recipe import recipe


@recipe
def ot_flow(
    shape: Sequence[int],
    *,
    width: int = 64,
    depth: int = 1,
    rank: int = 10,
    steps: int = 8,
    solver: Solver = "rk4",
    tolerance: float = 1e-5,
    gradients: Gradients = "steps",
    context: int = 0,
) -> Flow:
    """OT-Flow: points carried down the slope of a potential, with an exact trace (Onken et al., 2020, arXiv:2006.00104).

    ``dz/dt = -grad phi(z, t, context)``, ``log p(x) = log N(z(1)) - int laplace phi dt``, the Laplacian in closed form. Rows ``(B, D)``.
    Density and samples take ``steps`` steps of the solver, 4 evaluations of the net each. With a price on the energy of the ways
    (``train.kinetic``) they are straight, those of optimal transport, and few steps do.

    Caveats: velocities without circulation: the map is more constrained than that of ``ffjord``.

    Reference: OT-Flow: Fast and Accurate Continuous Normalizing Flows via Optimal Transport, Onken, Wu Fung, Li, Ruthotto, 2020,
    arXiv:2006.00104. Departures: no price on the Hamilton-Jacobi-Bellman equation; ActNorm before.

    Arguments:
        shape: of a row, ``(D,)``.
        width: units of a layer of the net.
        depth: its residual layers.
        rank: of the quadratic part.
        steps: of the solver.
        solver: of training, "rk4", "heun" or "midpoint"; or "dopri5", for which each row takes as many steps as its error asks for.
        tolerance: of "dopri5".
        gradients: through the "steps", or by the "adjoint", which keeps nothing of them and errs as the solver does.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no vector's, or an option is not of the kind that its annotation says.

    Example::

        >>> flow = ot_flow((4,), width=16)
        >>> flow.log_prob(torch.randn(8, 4)).shape, flow.kind
        (torch.Size([8]), 'exact')
    """
    dim = vector(shape)
    net = PotentialNet(dim, width=width, depth=depth, rank=rank, context=context)
    layer = Continuous(net, shape, steps=steps, solver=solver, tolerance=tolerance, gradients=gradients)
    return Flow(Normal(shape), ActNorm(dim), layer, context=context)
