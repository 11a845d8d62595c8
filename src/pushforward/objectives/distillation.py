"""Distillation: a flow that is slow to sample teaches one that is fast."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..core import Chain, Flow, Inverse, Transform
from ..distributions import Normal
from ..transforms import Autoregressive

SCALE = 10.0  # nats; a log-ratio beyond counts logarithmically: one stray sample where p vanishes must not drown all others


class Distillation(nn.Module):
    r"""A student q learns to give the teacher p's samples, latent by latent: for a teacher that is slow to sample, such as a MAF.

    The rows x are samples of the teacher. One forward pass of it gives their latents z and all activations on the way, which the
    student meets on its way back. Behind the first ``shared`` layers (the preprocessing, which both have in common) the loss is the sum of

    - **activations**, ``sum_k |S_k(a_k) - a_{k-1}|^2 / 2``: ``a_0`` is x, the last ``a_k`` is z, and ``S_k`` is the student's k-th stage
      from latent to data. Where the student is the teacher with its autoregressive layers inverted (an IAF of a MAF, with the
      same steps and orders), a stage ends with each of them: the inverse of an affine autoregressive layer is one itself, so that every
      stage can learn its part alone. Otherwise all layers are one stage.
    - **likelihood**, ``-log q(x)``: where the student's density takes one pass (couplings).
    - **density**, ``kl`` times ``E_z[s asinh(t / s)]`` with ``t = log q(S(z)) - log p(S(z))`` and ``s = 10`` nats, over fresh z.
      For large s it is ``KL(q || p)``, the paper's probability density distillation; for s > 1/2 an f-divergence, zero for q = p only.

    The first needs standard normals as both bases. Cost: one pass of the teacher and one or two of the student, none of which goes
    feature by feature; with the last, one more of each.

    Caveats: a trained MAF's density falls off steeply beside its samples, and its regression leaves a blur, so that the KL divergence may
    be some nats although samples are hard to tell apart. The last part lowers the one at the expense of the other: for a MAF of 64
    columns and 1,000 steps the KL divergence was 5.2 nats without and 3.8 with ``kl=0.1``, a classifier's accuracy at telling the samples
    apart 0.56 and 0.60. It is therefore left out where one of the others can be had.

    Reference: Parallel WaveNet: Fast High-Fidelity Speech Synthesis, van den Oord, Li, Babuschkin, et al., 2017, arXiv:1711.10433;
    its losses for audio are left out.

    Arguments:
        student: what is trained; it must sample in one pass.
        teacher: of the same shape and context, exact behind ``shared``; a frozen copy is kept.
        shared: how many layers, the first ones, are the same in both.
        kl: weight of the density's part; ``None`` for 0, or 1 if there is no other.

    Raises:
        ValueError: shapes or contexts differ, a flow is not exact, or the student samples feature by feature.

    Example::

        >>> student, teacher = iaf((3,), width=16), maf((3,), width=16)
        >>> Distillation(student, teacher)(teacher.sample((8,))).shape
        torch.Size([])
    """

    def __init__(self, student: Flow, teacher: Flow, shared: int = 0, kl: float | None = None):
        super().__init__()
        _check(student, teacher, shared)
        self.student, self.shared = student, shared
        self.teacher = copy.deepcopy(teacher).requires_grad_(False).eval()
        mine, theirs = _layers(student, shared), _layers(teacher, shared)
        self.paired = isinstance(student.base, Normal) and isinstance(teacher.base, Normal)
        self.dense = not any(_serial(layer, sampling=False) for layer in mine)
        self.kl = kl if kl is not None else float(not (self.paired or self.dense))
        mirrored = [_outline(layer) for layer in mine] == [_outline(layer) for layer in theirs]
        ends = [i + 1 for i, layer in enumerate(theirs) if mirrored and isinstance(layer, Autoregressive)][:-1]
        self.stages = tuple(zip([0, *ends], [*ends, None], strict=True))  # of both, as slices of their layers

    def forward(self, x: Tensor, context: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        """The loss on rows of the teacher's samples, in data units; a mean, with weights if given."""
        given, known = self._given(context)
        with torch.no_grad():
            a, _ = Chain(*self.student.transform.transforms[: self.shared])(x)
        loss = a.new_zeros(a.shape[0])
        if self.dense:
            z, ldj = Chain(*_layers(self.student, self.shared))(a, given)
            loss = loss - self.student.base.log_prob(z, self.student.base.seen(given)) - ldj
        if self.paired:
            for start, stop in self.stages:
                with torch.no_grad():
                    target, (a, _) = a, Chain(*_layers(self.teacher, self.shared)[start:stop])(a, known)
                made, _ = Chain(*_layers(self.student, self.shared)[start:stop]).inverse(a, given)
                loss = loss + 0.5 * (made - target).square().flatten(1).sum(1)
        if self.kl:
            loss = loss + self.kl * SCALE * torch.asinh(self.log_ratio(len(x), context) / SCALE)
        return loss.mean() if weight is None else (weight * loss).sum() / weight.sum()

    def log_ratio(self, rows: int, context: Tensor | None = None) -> Tensor:
        """``log q(x) - log p(x)`` of fresh student samples, one for each row of the context: ``(rows,)``; its mean is ``KL(q || p)``."""
        given, known = self._given(context)
        base = self.student.base
        z, log_q = base.sample_and_log_prob((rows,)) if base.context_shape is None else base.sample_and_log_prob((), given)
        x, ldj = Chain(*_layers(self.student, self.shared)).inverse(z, given)
        z, theirs = Chain(*_layers(self.teacher, self.shared))(x, known)
        return log_q - ldj - self.teacher.base.log_prob(z, self.teacher.base.seen(known)) - theirs

    def train(self, mode: bool = True) -> Distillation:
        super().train(mode)
        self.teacher.eval()
        return self

    def _given(self, context: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """The context as the student's and as the teacher's layers see it."""
        if context is None or self.student.context_shape is None:
            return None, None
        return self.student.embedding(context), self.teacher.embedding(context)


def _layers(flow: Flow, shared: int) -> list[Transform]:
    return list(flow.transform.transforms)[shared:]


def _outline(layer: Transform) -> tuple[object, ...]:
    """What a layer is, whichever way it runs."""
    inner = layer.transform if isinstance(layer, Inverse) else layer
    if isinstance(inner, Autoregressive):
        return Autoregressive, type(inner.univariate), inner.net.order
    return (type(inner),)


def _serial(layer: Transform, sampling: bool) -> bool:
    """Whether a layer goes feature by feature from latent to data (``sampling``), or the other way."""
    if isinstance(layer, Inverse):
        return _serial(layer.transform, not sampling)
    return sampling and isinstance(layer, Autoregressive)


def _check(student: Flow, teacher: Flow, shared: int) -> None:
    for what, a, b in (("shape", student.shape, teacher.shape), ("context", student.context_shape, teacher.context_shape)):
        if a != b:
            raise ValueError(f"Distillation: expected a student of the teacher's {what} {_tuple(b)}, got {_tuple(a)}")
    for who, flow in (("teacher", teacher), ("student", student)):
        noisy = [layer for layer in _layers(flow, shared) if not layer.exact]
        if noisy or flow.base.kind != "exact":
            name = type(noisy[0] if noisy else flow.base).__name__
            raise ValueError(f"Distillation: expected a {who} of exact density behind its preprocessing, got {name}; take another one")
    if any(_serial(layer, sampling=True) for layer in _layers(student, shared)):
        raise ValueError(
            "Distillation: expected a student that samples in one pass, got one with autoregressive layers, which sample feature by "
            "feature; take iaf, real_nvp, or nsf with mechanism=coupling"
        )


def _tuple(shape: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if shape is None else tuple(shape)
