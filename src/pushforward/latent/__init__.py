"""What can be done with the latent of a fitted flow: temperatures, paths, attributes, scales, and the way there and back."""

from .directions import edit, linear_probe, mean_difference, separation, swap
from .passes import Reconstruction, decode, encode, reconstruct
from .paths import interpolate, linear, spherical
from .sampling import heated, sample
from .scales import resample, scales

__all__ = [
    "Reconstruction",
    "decode",
    "edit",
    "encode",
    "heated",
    "interpolate",
    "linear",
    "linear_probe",
    "mean_difference",
    "reconstruct",
    "resample",
    "sample",
    "scales",
    "separation",
    "spherical",
    "swap",
]
