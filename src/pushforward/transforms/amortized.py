"""Free numbers of a layer of vectors, which may depend on the context."""

from __future__ import annotations

from torch import Tensor, nn


class Amortized(nn.Module):
    r"""``h = constant + net(context)``, a row of its own for each row of x; without a net, constants alone.

    A net that gives zeros leaves the layer where the constants put it, so that an ``MLP``, which starts at zero, keeps the
    layer's own start. Shapes: x ``(B, dim)`` and context ``(B, ...)`` give ``(B, params)``, and ``(1, params)`` without a net.

    Reference: Variational Inference with Normalizing Flows, Rezende, Mohamed, 2015, arXiv:1505.05770, section 4.2.

    Arguments:
        who: the layer's name, for errors.
        dim: the width of its x.
        start: the first values of the constants, ``(params,)``.
        net: from the context to ``params`` numbers per row.

    Raises:
        ValueError: x of another shape; with a net, a context that is missing or has other rows than x, or other outputs.

    Example::

        >>> h = Amortized("Planar", 3, torch.zeros(7), MLP(2, 7))
        >>> h(torch.randn(8, 3), torch.randn(8, 2)).shape
        torch.Size([8, 7])
    """

    def __init__(self, who: str, dim: int, start: Tensor, net: nn.Module | None = None):
        super().__init__()
        self.who = who
        self.dim = dim
        self.constant = nn.Parameter(start)
        self.net = net

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        if x.shape[1:] != (self.dim,):
            raise ValueError(f"{self.who}: expected x of shape (B, {self.dim}), got {tuple(x.shape)}; build it for the vectors it gets")
        if self.net is None:
            return self.constant.unsqueeze(0)
        if context is None or context.shape[0] != x.shape[0]:
            got = "none" if context is None else str(tuple(context.shape))
            raise ValueError(f"{self.who}: expected a context with one row per row of x {tuple(x.shape)}, got {got}")
        h = self.net(context)
        expected = (x.shape[0], self.constant.numel())
        if h.shape != expected:
            raise ValueError(f"{self.who}: its net gives {tuple(h.shape)}, expected {expected}; build the net with {expected[1]} outputs")
        return h + self.constant
