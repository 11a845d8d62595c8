"""What layers ask of their input."""

from __future__ import annotations

from torch import Tensor


def expect_channels(who: str, channels: int, x: Tensor) -> None:
    """Raise ValueError unless x is ``(B, channels, *space)``."""
    if x.dim() < 2 or x.shape[1] != channels:
        raise ValueError(f"{who}: made for {channels} channels on axis 1 but x is {tuple(x.shape)}; build it for the channels it gets")


def indices(who: str, name: str, values: object) -> tuple[int, ...]:
    """Distinct non-negative indices as a tuple, or ValueError."""
    chosen = tuple(int(i) for i in values)  # type: ignore[attr-defined]
    if not chosen or min(chosen) < 0 or len(set(chosen)) != len(chosen):
        raise ValueError(f"{who}: {name} must be distinct indices >= 0 and at least one, got {chosen}")
    return chosen
