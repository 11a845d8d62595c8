"""Inverses of residual steps: evaluations and time to 1e-6 by Banach's, Anderson's and Newton's steps, and what a gradient keeps.

    python benchmarks/residual_inverse.py

Rows are 3 times normal. "sine" is ``c U sin(V x)`` with orthogonal U and V, whose constant is the coefficient c; "net" is a LipschitzMLP of
two layers of 64 units with normal weights, whose constant is far below it, as those of trained nets. One thread.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from pushforward.nets import LipschitzMLP, LipschitzNet
from pushforward.transforms import Residual

ROWS = 1000
METHODS = ("banach", "anderson", "newton")


class TurnedSine(LipschitzNet):
    """``c U sin(V x)``."""

    def __init__(self, dim: int, coefficient: float):
        super().__init__()
        self.outer, self.inner = (nn.Parameter(torch.linalg.qr(torch.randn(dim, dim)).Q) for _ in range(2))
        self.coefficient = coefficient

    @property
    def lipschitz(self) -> float:
        return self.coefficient

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.coefficient * torch.sin(x @ self.inner.mT) @ self.outer.mT


def dense(dim: int, coefficient: float) -> LipschitzNet:
    net = LipschitzMLP(dim, width=64, depth=2, coefficient=coefficient)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter))
    net.refresh()
    return net


@torch.no_grad()
def inverses(dtype: torch.dtype) -> None:
    print(
        f"\n{dtype}\n| net | D | coefficient | method | evaluations: mean, most | ms | largest error of x |\n|---|---|---|---|---|---|---|"
    )
    for name, make in (("sine", TurnedSine), ("net", dense)):
        for dim in (4, 32):
            for coefficient in (0.9, 0.98):
                for method in METHODS:
                    torch.manual_seed(0)
                    layer = Residual(make(dim, coefficient).to(dtype), (dim,), method=method)  # type: ignore[arg-type]
                    x = 3 * torch.randn(ROWS, dim).to(dtype)
                    z = layer.encode(x)
                    layer.decode(z)
                    start = time.process_time()
                    back = layer.decode(z)
                    spent = time.process_time() - start
                    count = layer.evaluations(z).double()
                    error = (back - x).norm(dim=1).max()
                    numbers = f"{count.mean():.1f}, {count.max():.0f} | {1000 * spent:.0f} | {error:.1e}"
                    print(f"| {name} | {dim} | {coefficient} | {method} | {numbers} |")


def kept(terms: int, neumann: bool) -> int:
    """Bytes that the graph of a log-determinant of so many terms keeps beside the net's parameters."""
    torch.manual_seed(0)
    layer, x, seen = Residual(dense(16, 0.9), (16,), log_det="truncated", terms=terms), torch.randn(ROWS, 16), dict[int, int]()
    known = {parameter.data_ptr() for parameter in layer.parameters()}

    def note(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in known:
            seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        if neumann:
            hold = layer(x)
        else:
            _, pull = layer.net.pullback(x)
            probe = torch.randn(1, *x.shape)
            v, hold = probe, []
            for _ in range(terms):
                v = pull(v)
                hold.append((v * probe).sum())
    assert hold
    return sum(seen.values())


if __name__ == "__main__":
    torch.set_num_threads(1)
    inverses(torch.float64)
    inverses(torch.float32)
    print("\n| terms | MB kept, Neumann's gradient | MB kept, through the series |\n|---|---|---|")
    for count in (2, 5, 10, 20):
        print(f"| {count} | {kept(count, True) / 1e6:.1f} | {kept(count, False) / 1e6:.1f} |")
