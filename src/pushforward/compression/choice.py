"""Which codec a fitted model makes."""

from __future__ import annotations

from typing import Literal, get_args

from ..core import Flow
from ..distributions import AnyOrder, Causal, Multiscale
from ..likelihoods import Discrete
from ..transforms import VAE, Dequantize, LadderVAE, Quantize
from .bits_back_codec import BitsBackCodec
from .codec import Codec
from .integer_codec import IntegerCodec, is_integer
from .latents import why_not_bits_back
from .local_codec import LocalCodec, why_not_local
from .row_codec import RowCodec
from .whole_codec import WholeCodec

CodingMethod = Literal["auto", "range", "bits-back", "local"]
ADVICE = "fit any_order to a table, pixel_cnn or its kin, idf, glow or vae to images, wavenet to sounds"


def codec_of(flow: Flow, name: str, block: int | None = None, method: CodingMethod = "auto") -> Codec:
    """The codec of a fitted flow.

    Arguments:
        flow: in eval mode.
        name: of its model, in an error.
        block: rows of a block; what is usual otherwise.
        method: "auto" is the one that the model's likelihood asks for, and another is refused: "range" takes probabilities, "bits-back"
            random latents, "local" flows over dequantized numbers.

    Raises:
        ValueError: the model has no codec, or none of that method.

    Example::

        >>> from pushforward.models import pixel_cnn
        >>> codec = codec_of(pixel_cnn((1, 4, 4), levels=2, width=8, depth=1), "pixel_cnn", block=8)
        >>> x = torch.randint(2, (5, 1, 4, 4)).double()
        >>> torch.equal(codec.decode(codec.encode(x, None), 5, None), x)
        True
    """
    if method not in get_args(CodingMethod):
        raise ValueError(f"compress: expected a method of {', '.join(get_args(CodingMethod))}, got {method!r}")
    kind = _kind_of(flow, name)
    methods: dict[type[Codec], str] = {BitsBackCodec: "bits-back", LocalCodec: "local"}
    found = methods.get(kind, "range")
    if method not in ("auto", found):
        raise ValueError(f"compress: {name} is coded by method {found} and not by {method}; leave --method out, or use {found}")
    return kind(flow, block)


def _kind_of(flow: Flow, name: str) -> type[Codec]:
    layers, base = list(flow.transform.transforms), flow.base
    if not layers and isinstance(base, Causal | Multiscale) and isinstance(base.likelihood, Discrete):
        return WholeCodec
    if isinstance(base, AnyOrder) and len(layers) == 1 and isinstance(layers[0], Quantize):
        return RowCodec
    if is_integer(flow):
        return IntegerCodec
    if any(isinstance(layer, VAE | LadderVAE) for layer in layers):
        if not (reason := why_not_bits_back(flow)):
            return BitsBackCodec
        raise ValueError(f"compress: {name} is no model that bits-back coding takes: {reason}")
    if any(isinstance(layer, Dequantize) for layer in layers):
        if not (reason := why_not_local(flow)):
            return LocalCodec
        raise ValueError(f"compress: {name} is no model that local bits-back coding takes: {reason}; {ADVICE}")
    raise ValueError(f"compress: {name} gives a density of real numbers, and files need probabilities; {ADVICE}")
