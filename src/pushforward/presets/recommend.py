"""Settings for data of which nothing but their shape is known; the choice rests on benchmarks/recommendation.py."""

from __future__ import annotations

from ..data import Data, ImageSchema

MANY_MIXED = 5_000  # training rows of mixed columns from which a wide net does better
FEW, SOME = 1_000, 2_000  # training rows from which the next larger net does better
MANY_COLUMNS = 32  # columns from which couplings do better in the same time
DRAWING = 0.25  # share of black and white pixels from which images are drawings


def for_mixed(rows: int) -> tuple[str, str]:
    """The preset of mixed columns for so many training rows, and what it is."""
    if rows < MANY_MIXED:
        return "small_mixed", "any columns given any others, with a small net, since a larger one would learn so few rows by heart"
    return "mixed", "any columns given any others, each of its own kind"


def for_table(rows: int, columns: int) -> tuple[str, str]:
    """The preset for so many training rows, and what it is."""
    if columns <= 2 and rows >= SOME:
        return "plane", "autoregressive splines with many bins, for edges and thin arms"
    if rows < FEW:
        return "tiny_table", "autoregressive splines with a net of 8 units, since a larger one would learn so few rows by heart"
    if columns >= MANY_COLUMNS:
        return "fast_sampling", "couplings, whose steps do not slow down with the number of columns"
    if rows < SOME:
        return "small_table", "autoregressive splines with a small net, since a larger one would learn so few rows by heart"
    return "table", "autoregressive splines, the best density on tables of this size"


def for_images(schema: ImageSchema, drawings: bool = False) -> tuple[str | None, str | None, str]:
    """A recipe or a preset for images, and why: Flow++ learns drawings fastest, Glow photographs (benchmarks/results/image_flows.md)."""
    _, height, width = schema.shape
    what = f"{'drawings' if drawings else 'images'} of {' x '.join(map(str, schema.shape))}"
    if drawings and not (height % 4 or width % 4):
        preset = "flow_pp_mnist_small"
    elif not (height % 8 or width % 8):
        preset = "glow_cifar10_small"
    else:
        return "glow", None, f"chosen for {what}: glow with its defaults (--model or --preset choose others)"
    return None, preset, f"chosen for {what}: preset {preset} (--model or --preset choose others)"


def alpha_for(data: Data) -> float:
    """Where the logit of a model of images begins: at the ends for drawings, whose black and white need room, else as in RealNVP.

    After three minutes on one core a small Glow needs 1.43 bits per dimension of MNIST with 1e-6 and 1.90 with 0.05; after two and a half
    6.89 of CIFAR-10 with 0 and 4.32 with 0.05.
    """
    return 0.0 if are_drawings(data) else 0.05


def are_drawings(data: Data) -> bool:
    """Whether many of the training pixels are at either end of the levels."""
    x = data.train.x[:1000]
    return float(((x == 0) | (x == data.schema.levels - 1)).float().mean()) > DRAWING
