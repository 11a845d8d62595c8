"""Numbers and parameters in the order of a kernel."""

from __future__ import annotations

from torch import Tensor


class Layout:
    """How numbers x ``(B, C, *rest)`` and parameters h ``(B or 1, params, C, *rest)`` are laid out for the kernel: in blocks, one for each
    row of the batch, or in one block with the batch innermost where h has it so."""

    def __init__(self, x: Tensor, h: Tensor):
        self.shape, self.shared, self.params = x.shape, h.shape, h.shape[1]
        self.innermost = h.dim() == 3 and h.shape[0] > 1 and h.permute(1, 2, 0).is_contiguous()

    def rows(self, x: Tensor) -> Tensor:
        """``(blocks, numbers)``, contiguous."""
        return (x.movedim(0, -1).reshape(1, -1) if self.innermost else x.reshape(x.shape[0], -1)).contiguous()

    def parameters(self, h: Tensor) -> Tensor:
        """``(blocks or 1, params, numbers)``, each block contiguous."""
        if self.innermost:
            return h.expand(self.shape[0], -1, *self.shape[1:]).movedim(0, -1).reshape(1, self.params, -1).contiguous()
        h = h.expand(-1, -1, *self.shape[1:]).reshape(h.shape[0], self.params, -1)
        return h if h[:1].is_contiguous() else h.contiguous()

    def shaped(self, y: Tensor) -> Tensor:
        return y.view(*self.shape[1:], self.shape[0]).movedim(-1, 0) if self.innermost else y.view(self.shape)

    def gathered(self, g_h: Tensor) -> Tensor:
        """Each parameter's gradient, summed where numbers share it."""
        if self.innermost:
            g_h = g_h.view(self.params, *self.shape[1:], self.shape[0]).movedim(-1, 0)
        return g_h.view(self.shape[0], self.params, *self.shape[1:]).sum_to_size(self.shared)
