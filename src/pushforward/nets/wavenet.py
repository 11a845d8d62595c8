"""WaveNet's net: dilated causal convolutions over time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..words import check_counts
from .gated_masked_conv import gate
from .sites import SiteNet, Steps, at_site, pointwise


class WaveNet(SiteNet):
    r"""Parameters for each time of a signal from the times before it, ``(B, C, T) -> (B, params * C, T)``.

    The signal is delayed by one time and convolved (side 2). Then ``cycles`` times ``depth`` layers follow, the l-th of a cycle with
    dilation ``2^l``: ``u = tanh(a) sigmoid(b)``, ``[a, b] = V_0 h_t + V_1 h_{t-2^l} + U c``; u adds to h by one linear map and by another
    to what all layers together hand to the head, ``W relu(sum)``. A context ``(B, K)``, or ``(B, K, T)``, enters each gate.

    A time reads the ``receptive_field`` times before it, ``2 + cycles (2^depth - 1)``; what lies before the signal is zero.

    Cost: about ``6 cycles depth width^2`` multiplications for each time. :meth:`unroll` computes each layer once at each time, from what
    it remembers of ``2^l`` times: the arithmetic of one pass, in T steps of small products.

    Reference: WaveNet: A Generative Model for Raw Audio, van den Oord et al., 2016, arXiv:1609.03499. Departures: the signal enters as a
    number (there 256 levels as one-hot vectors), and weights of the l-th of n layers start 1/sqrt(n) as large into h.

    Arguments:
        shape: of a signal, ``(C, T)``.
        params: outputs for each number.
        width: channels.
        depth: layers of a cycle, with dilations 1, 2, ... (10 in the paper).
        cycles: how often they are repeated (3 or more in the paper).
        skip: channels of what all layers hand to the head; as many as ``width`` if 0.
        context: channels of the context.
        in_turn: each channel reads those before it at its time.

    Raises:
        ValueError: no signal's shape, a count below 1, x or a context of another shape.

    Example::

        >>> net = WaveNet((1, 400), 2, width=16, depth=6)
        >>> net(torch.randn(4, 1, 400)).shape, net.receptive_field
        (torch.Size([4, 2, 400]), 65)
    """

    def __init__(
        self,
        shape: Sequence[int],
        params: int,
        *,
        width: int = 64,
        depth: int = 10,
        cycles: int = 1,
        skip: int = 0,
        context: int = 0,
        in_turn: bool = False,
    ):
        super().__init__(shape, params, skip or width, context=context, in_turn=in_turn, dims=1)
        check_counts("WaveNet", depth=depth, cycles=cycles)
        check_counts("WaveNet", least=0, skip=skip)
        skip = skip or width
        self.first = nn.Conv1d(shape[0], width, 2)
        self.dilations = [2**layer for _ in range(cycles) for layer in range(depth)]
        self.gates = nn.ModuleList(nn.Conv1d(width, 2 * width, 2, dilation=d) for d in self.dilations)
        self.embed = nn.Conv1d(context, 2 * width * len(self.dilations), 1, bias=False) if context else None
        self.outs = nn.ModuleList(nn.Conv1d(width, width + skip, 1) for _ in self.dilations)
        self.mix = nn.Conv1d(skip, skip, 1)
        self.width = width
        for out in self.outs:
            with torch.no_grad():
                out.weight.mul_(1 / math.sqrt(len(self.dilations)))  # type: ignore[operator]

    @property
    def receptive_field(self) -> int:
        """How many times before a time are read."""
        return 2 + sum(self.dilations)

    def features(self, x: Tensor, given: Tensor | None) -> Tensor:
        h = self.first(F.pad(x, (2, 0))[:, :, :-1])
        rows = None if self.embed is None else self.embed(given).chunk(len(self.dilations), 1)
        total: Tensor | None = None
        for n, (conv, out, dilation) in enumerate(zip(self.gates, self.outs, self.dilations, strict=True)):
            u = conv(F.pad(h, (dilation, 0)))
            u = gate(u if rows is None else u + rows[n])
            change, skip = out(u).tensor_split([self.width], 1)
            h, total = h + change, skip if total is None else total + skip
        assert total is not None
        return self.mix(F.relu(total))

    def steps(self, batch: int, given: Tensor | None) -> Steps:
        weights = [conv.weight.transpose(1, 2).flatten(1) for conv in self.gates]  # type: ignore[operator, union-attr]
        first = self.first.weight.transpose(1, 2).flatten(1)
        nothing = first.new_zeros(batch, self.width)
        seen = [deque([nothing] * dilation, dilation) for dilation in self.dilations]  # what each gate reads, the latest last
        x = deque([first.new_zeros(batch, self.shape[0])] * 2, 2)
        for t in range(self.shape[1]):
            h = F.linear(torch.cat(list(x), 1), first, self.first.bias)
            rows = None if self.embed is None or given is None else pointwise(self.embed, at_site(given, t)).chunk(len(weights), 1)
            total: Tensor | None = None
            for n, (weight, conv, out, past) in enumerate(zip(weights, self.gates, self.outs, seen, strict=True)):
                u = F.linear(torch.cat([past[0], h], 1), weight, conv.bias)  # type: ignore[arg-type]
                past.append(h)
                u = gate(u if rows is None else u + rows[n])
                change, skip = pointwise(out, u).tensor_split([self.width], 1)  # type: ignore[arg-type]
                h, total = h + change, skip if total is None else total + skip
            assert total is not None
            x.append((yield pointwise(self.mix, F.relu(total))))
