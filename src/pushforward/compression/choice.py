"""Which codec a fitted model makes."""

from __future__ import annotations

from ..core import Flow
from ..distributions import AnyOrder, Causal, Multiscale
from ..likelihoods import Discrete
from ..transforms import Quantize
from .codec import Codec
from .integer_codec import IntegerCodec, is_integer
from .row_codec import RowCodec
from .whole_codec import WholeCodec


def codec_of(flow: Flow, name: str, block: int | None = None) -> Codec:
    """The codec of a fitted flow.

    Arguments:
        flow: in eval mode.
        name: of its model, in an error.
        block: rows of a block; what is usual otherwise.

    Raises:
        ValueError: the model's likelihood is a bound, an estimate or a density, which take other methods of coding.

    Example::

        >>> from pushforward.models import pixel_cnn
        >>> codec = codec_of(pixel_cnn((1, 4, 4), levels=2, width=8, depth=1), "pixel_cnn", block=8)
        >>> x = torch.randint(2, (5, 1, 4, 4)).double()
        >>> torch.equal(codec.decode(codec.encode(x, None), 5, None), x)
        True
    """
    layers = list(flow.transform.transforms)
    base = flow.base
    if not layers and isinstance(base, Causal | Multiscale) and isinstance(base.likelihood, Discrete):
        return WholeCodec(flow, block)
    if isinstance(base, AnyOrder) and len(layers) == 1 and isinstance(layers[0], Quantize):
        return RowCodec(flow, block)
    if is_integer(flow):
        return IntegerCodec(flow, block)
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
