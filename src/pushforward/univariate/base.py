"""The contract of monotone scalar maps."""

from __future__ import annotations

from torch import Tensor


class Univariate:
    """A monotone map of one number, ``z = f(x; h)``, applied elementwise; it has no parameters of its own.

    Shapes: ``x`` and ``z`` are ``(B, C, *rest)``, ``h`` is ``(B or 1, params, C, *rest)``: the parameters sit next to the batch axis.
    Both directions return the log derivative of their own direction, elementwise, of the shape of x.
    Outside its domain a map returns a finite value with log derivative ``-inf``, and finite gradients.

    Attributes:
        params: how many numbers ``h`` holds for each number of x.
        identity: the ``h`` that makes the map the identity (or what stands closest to it).
    """

    params: int
    identity: tuple[float, ...]

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """``(z, log dz/dx)``."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """``(x, log dx/dz)``."""
        raise NotImplementedError(f"{type(self).__name__} does not define inverse")

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in vars(self).items() if name not in ("params", "identity"))
        return f"{type(self).__name__}({options})"
