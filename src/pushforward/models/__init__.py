"""Recipes: one paper, one short file, one function ``(shape, *, options) -> Flow``. The imports below are the registry."""

from __future__ import annotations

from collections.abc import Callable

from ..core import Flow
from .abs_flow import abs_flow
from .any_order import any_order
from .bnaf import bnaf
from .ffjord import ffjord
from .ffjord_image import ffjord_image
from .flow_pp import flow_pp
from .gated_pixel_cnn import gated_pixel_cnn
from .gaussian import gaussian
from .gaussian_mixture import gaussian_mixture
from .glow import glow
from .i_resnet import i_resnet
from .iaf import iaf
from .iaf_vae import iaf_vae
from .idf import idf
from .image_transformer import image_transformer
from .implicit_flow import implicit_flow
from .made_image import made_image
from .maf import maf
from .mintnet import mintnet
from .mintnet_image import mintnet_image
from .mixture_cdf import mixture_cdf
from .multiscale_pixel_cnn import multiscale_pixel_cnn
from .naf import naf
from .nice import nice
from .nsf import nsf
from .ot_flow import ot_flow
from .parallel_wavenet import parallel_wavenet
from .pixel_cnn import pixel_cnn
from .pixel_cnn_pp import pixel_cnn_pp
from .pixel_rnn import pixel_rnn
from .pixel_snail import pixel_snail
from .planar import planar
from .radial import radial
from .real_nvp import real_nvp
from .real_nvp_image import real_nvp_image
from .residual_flow import residual_flow
from .residual_flow_image import residual_flow_image
from .sort_flow import sort_flow
from .sos import sos
from .sylvester import sylvester
from .umnn import umnn
from .vae import vae
from .vlae import vlae
from .wavenet import wavenet

VECTOR_MODELS: dict[str, Callable[..., Flow]] = {  # rows of a table, shape (D,)
    f.__name__: f
    for f in (
        abs_flow,
        bnaf,
        ffjord,
        gaussian,
        gaussian_mixture,
        i_resnet,
        iaf,
        implicit_flow,
        maf,
        mintnet,
        mixture_cdf,
        naf,
        nice,
        nsf,
        ot_flow,
        planar,
        radial,
        real_nvp,
        residual_flow,
        sort_flow,
        sos,
        sylvester,
        umnn,
    )
}
PIXEL_MODELS: dict[str, Callable[..., Flow]] = {  # images, pixel by pixel: whole numbers, no latent
    f.__name__: f
    for f in (
        gated_pixel_cnn,
        image_transformer,
        made_image,
        multiscale_pixel_cnn,
        pixel_cnn,
        pixel_cnn_pp,
        pixel_rnn,
        pixel_snail,
    )
}
IMAGE_MODELS: dict[str, Callable[..., Flow]] = {
    f.__name__: f for f in (ffjord_image, flow_pp, glow, idf, mintnet_image, real_nvp_image, residual_flow_image)
} | PIXEL_MODELS  # (C, H, W)
TABLE_MODELS: dict[str, Callable[..., Flow]] = {"any_order": any_order}  # rows as they are: words, whole numbers, gaps
SOUND_MODELS: dict[str, Callable[..., Flow]] = {f.__name__: f for f in (parallel_wavenet, wavenet)}  # signals, shape (C, T)
LATENT_VECTOR_MODELS: dict[str, Callable[..., Flow]] = {"vae": vae}  # bounds, by a random latent: rows
LATENT_MODELS: dict[str, Callable[..., Flow]] = LATENT_VECTOR_MODELS | {f.__name__: f for f in (iaf_vae, vlae)}  # and images
MODELS = VECTOR_MODELS | TABLE_MODELS | IMAGE_MODELS | SOUND_MODELS | LATENT_MODELS
TAUGHT_MODELS = ("parallel_wavenet",)  # by a teacher alone: their density of data takes a step a number and layer

__all__ = [
    "IMAGE_MODELS",
    "LATENT_MODELS",
    "LATENT_VECTOR_MODELS",
    "MODELS",
    "PIXEL_MODELS",
    "SOUND_MODELS",
    "TABLE_MODELS",
    "TAUGHT_MODELS",
    "VECTOR_MODELS",
    "abs_flow",
    "any_order",
    "bnaf",
    "ffjord",
    "ffjord_image",
    "flow_pp",
    "gated_pixel_cnn",
    "gaussian",
    "gaussian_mixture",
    "glow",
    "i_resnet",
    "iaf",
    "iaf_vae",
    "idf",
    "image_transformer",
    "implicit_flow",
    "made_image",
    "maf",
    "mintnet",
    "mintnet_image",
    "mixture_cdf",
    "multiscale_pixel_cnn",
    "naf",
    "nice",
    "nsf",
    "ot_flow",
    "parallel_wavenet",
    "pixel_cnn",
    "pixel_rnn",
    "pixel_cnn_pp",
    "pixel_snail",
    "planar",
    "radial",
    "real_nvp",
    "real_nvp_image",
    "residual_flow",
    "residual_flow_image",
    "sort_flow",
    "sos",
    "sylvester",
    "umnn",
    "vae",
    "vlae",
    "wavenet",
]
