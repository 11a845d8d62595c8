"""The table of what is timed: sizes of a model, and the work it does. Nothing here needs torch or jax."""

from __future__ import annotations

from dataclasses import dataclass

BINS, BOUND = 8, 5.0
LEARNING_RATE = 1e-3
BATCH, DENSITY_ROWS, SAMPLES = 512, 4096, 1024
MODES = ("eager", "compiled")
WORKS = ("step", "log_prob", "sample")
SPLINES = ("nsf", "nsf_coupling", "spline")
AUTOREGRESSIVE = ("nsf", "maf")


@dataclass(frozen=True)
class Case:
    """One architecture.

    Attributes:
        kind: "nsf" and "maf" are autoregressive, "nsf_coupling" and "real_nvp" couplings, "spline" a conditional density of one number,
            "glow" of images.
        dim, layers, width: features, layers and units of each of the two hidden layers; of Glow channels, steps per scale and width.
        context: numbers to condition on.
        headline: part of the short table.
        half: nets in bfloat16, by autocast around the loss.
    """

    kind: str
    dim: int
    layers: int = 5
    width: int = 128
    context: int = 0
    headline: bool = False
    half: bool = False

    @property
    def name(self) -> str:
        if self.half:
            return f"{self.kind}-bf16"
        return self.kind if self.kind in ("glow", "spline") else f"{self.kind}-{self.dim}-{self.layers}x{self.width}"

    @property
    def works(self) -> tuple[str, ...]:
        return ("step",) if self.kind == "glow" else WORKS

    def rows(self, work: str) -> int:
        if self.kind == "glow":
            return 64
        return {"step": BATCH, "log_prob": DENSITY_ROWS, "sample": SAMPLES}[work]

    @property
    def params(self) -> int:
        """Numbers that describe one scalar map."""
        return 3 * BINS - 1 if self.kind in SPLINES else 2


SCALES, SIDE = 3, 32  # of Glow
HEADLINE = {("nsf", 16, 5, 128), ("maf", 16, 5, 128), ("maf", 64, 5, 256), ("nsf_coupling", 16, 5, 128), ("real_nvp", 16, 5, 128)}
GRID = [
    (kind, dim, layers, width)
    for kind in ("nsf", "maf", "nsf_coupling", "real_nvp")
    for dim in (6, 16, 64)
    for layers in (5, 10)
    for width in (128, 256)
]
CASES = {
    case.name: case
    for case in [
        *(Case(*sizes, headline=sizes in HEADLINE) for sizes in GRID),
        Case("spline", 1, layers=1, context=8, headline=True),
        Case("glow", 3, layers=8, headline=True),
        Case("glow", 3, layers=8, headline=True, half=True),
    ]
}
