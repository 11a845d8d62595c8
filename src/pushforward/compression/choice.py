"""Which codec a fitted model makes."""

from __future__ import annotations

from typing import Literal, get_args

from ..core import Flow
from ..distributions import AnyOrder, Causal, Multiscale
from ..likelihoods import Discrete
from ..transforms import VAE, LadderVAE, Quantize
from .bits_back_codec import BitsBackCodec
from .codec import Codec
from .integer_codec import IntegerCodec, is_integer
from .latents import why_not_bits_back
from .row_codec import RowCodec
from .whole_codec import WholeCodec

Method = Literal["auto", "range", "bits-back", "local"]


def codec_of(flow: Flow, name: str, block: int | None = None, method: Method = "auto") -> Codec:
    """The codec of a fitted flow.

    Arguments:
        flow: in eval mode.
        name: of its model, in an error.
        block: rows of a block; what is usual otherwise.
        method: "auto" is the one that the model's likelihood asks for, and any other is refused: "range" for probabilities, "bits-back" for
            random latents, "local" for dequantized flows.

    Raises:
        ValueError: the model has no codec, or none of that method.

    Example::

        >>> from pushforward.models import pixel_cnn
        >>> codec = codec_of(pixel_cnn((1, 4, 4), levels=2, width=8, depth=1), "pixel_cnn", block=8)
        >>> x = torch.randint(2, (5, 1, 4, 4)).double()
        >>> torch.equal(codec.decode(codec.encode(x, None), 5, None), x)
        True
    """
    if method not in get_args(Method):
        raise ValueError(f"compress: expected a method of {', '.join(get_args(Method))}, got {method!r}")
    kind = _kind_of(flow, name)
    found = {WholeCodec: "range", RowCodec: "range", IntegerCodec: "range", BitsBackCodec: "bits-back"}[kind]
    if method not in ("auto", found):
        raise ValueError(f"compress: {name} is coded by method {found} and not by {method}; leave --method out, or use {found}")
    return kind(flow, block)


def _kind_of(flow: Flow, name: str) -> type[Codec]:
    layers = list(flow.transform.transforms)
    base = flow.base
    if not layers and isinstance(base, Causal | Multiscale) and isinstance(base.likelihood, Discrete):
        return WholeCodec
    if isinstance(base, AnyOrder) and len(layers) == 1 and isinstance(layers[0], Quantize):
        return RowCodec
    if is_integer(flow):
        return IntegerCodec
    if any(isinstance(layer, VAE | LadderVAE) for layer in layers):
        reason = why_not_bits_back(flow)
        if not reason:
            return BitsBackCodec
        raise ValueError(f"compress: {name} gives a bound of the likelihood, but bits-back coding can't take it: {reason}")
    if flow.kind == "exact":
        what, needed = "gives a density of real numbers and no probabilities", "local bits-back coding"
    elif flow.kind == "bound":
        what, needed = "gives a bound of the likelihood", "bits-back coding"
    else:
        what, needed = "gives an estimate of the likelihood", "local bits-back coding with an exact log-determinant"
    raise ValueError(
        f"compress: {name} {what}, so a codec of it takes {needed}, which this release has not; range coding takes a model that finds "
        "number after number: fit any_order to a table, pixel_cnn or its kin or idf to images, wavenet to sounds"
    )
