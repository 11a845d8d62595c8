"""The likelihood of one of several levels, without an order between them."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Discrete, race


class Categorical(Discrete):
    r"""``P(k) = softmax(h)_k`` for k in ``0..levels-1``. Starts uniform. Exact; cost O(levels) per number, in memory too.

    For many ordered levels (pixels of 256) :class:`DiscretizedLogisticMixture` is smaller and knows which levels are neighbours.

    Reference: Pixel Recurrent Neural Networks, van den Oord, Kalchbrenner, Kavukcuoglu, 2016, arXiv:1601.06759, section 3.4.

    Arguments:
        levels: how many.

    Raises:
        ValueError: fewer than one level.

    Example::

        >>> h = torch.randn(8, 5, 3)
        >>> Categorical(5).log_prob(torch.zeros(8, 3), h).shape, Categorical(5).probabilities(h).shape
        (torch.Size([8, 3]), torch.Size([8, 5, 3]))
    """

    def __init__(self, levels: int):
        super().__init__(levels)
        self.params = levels
        self.start = (0.0,) * levels

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        shares = h.log_softmax(1).expand(len(x), -1, *x.shape[1:])
        chosen = shares.gather(1, self._level(x).long().unsqueeze(1)).squeeze(1)
        return torch.where(self._inside(x), chosen, -torch.inf)

    def draw(self, h: Tensor) -> Tensor:
        return race(h.detach()).squeeze(1).to(h.dtype)

    def probabilities(self, h: Tensor) -> Tensor:
        return h.softmax(1)
