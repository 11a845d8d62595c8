"""Probability density distillation: an autoregressive model of sequences teaches an inverse autoregressive flow."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..core import Flow, Inverse, Transform, sum_event
from ..distributions import Causal, Logistic, Normal
from ..likelihoods import DiscretizedLogisticMixture, Likelihood
from ..likelihoods import Normal as NormalLikelihood
from ..transforms import ActNorm, Autoregressive
from ..univariate import Affine
from .likelihood import weighted_mean

NOISE_ENTROPY = {Normal: 0.5 * math.log(2 * math.pi * math.e), Logistic: 2.0}  # of the noise, in nats a number
PIECE = 512  # samples of a piece whose power spectrum is taken


class SequenceDistillation(nn.Module):
    r"""A student q learns the distribution of a teacher p, both over amplitudes in order, from the student's own sounds.

    The student makes x of noise u in one pass, ``x_t = m_t(u_{<t}) + s_t(u_{<t}) u_t``; so ``q(x_t | u_{<t})`` is the law of the noise,
    moved and scaled. One pass of the teacher over x gives ``p(x_t | x_{<t})``, and with x drawn from q

        ``KL(q || p) = E sum_t KL(q(x_t | u_{<t}) || p(x_t | x_{<t}))``.

    Normal teacher and student (ClariNet): each term in closed form, ``d + (exp(-2 d) + ((m_t - mu_t) / sigma_t)^2 - 1) / 2`` with
    ``d = log sigma_t - log s_t``; the loss adds ``closeness`` times d squared, which keeps its gradient from exploding where the teacher
    is nearly certain. Others (Parallel WaveNet): the entropy of a term is ``log s_t`` plus that of the noise, and the cross entropy a mean
    over ``draws`` of ``x_t`` from as many equal parts of the noise. A teacher of discretized logistics is read as the density of a draw
    before its floor, with uniform noise of a level around it: where that is smooth the same, and finite where a level is certain.

    The loss is a mean per number. With ``power`` it adds the mean squared difference of the log power spectra, averages over the
    batch and time, of the student's sounds and the batch's.

    Cost: one pass of student and teacher each, with gradient through both.

    References: Parallel WaveNet: Fast High-Fidelity Speech Synthesis, van den Oord et al., 2017, arXiv:1711.10433; ClariNet: Parallel Wave
    Generation in End-to-End Text-to-Speech, Ping, Peng, Chen, 2018, arXiv:1807.07281. Departures: draws in equal parts; spectra of the
    whole batch, since a sound of no text has no recording beside it; no loss of perception, no contrast between contexts.

    Arguments:
        student: normal or logistic noise behind inverse affine autoregressive layers, behind ``shared`` layers.
        teacher: :class:`~pushforward.distributions.Causal` of a mixture of discretized logistics, or of normals behind the same
            ``shared`` layers; a frozen copy is kept.
        shared: how many layers of the student, the first ones, make amplitudes of levels.
        draws: for each number, where there is no closed form.
        closeness: weight of the squared difference of log-scales, of a normal teacher and student.
        power: weight of the difference of power spectra.

    Raises:
        ValueError: shapes or contexts differ, or student or teacher is none of those.

    Example::

        >>> teacher = models.wavenet((1, 50), level="normal", width=8, depth=3)
        >>> student = models.parallel_wavenet((1, 50), steps=2, width=8, depth=3)
        >>> SequenceDistillation(student, teacher)(torch.zeros(4, 1, 50)).shape
        torch.Size([])
    """

    def __init__(
        self, student: Flow, teacher: Flow, *, shared: int = 2, draws: int = 8, closeness: float = 4.0, power: float = 0.0
    ) -> None:
        super().__init__()
        layers = list(student.transform.transforms)[shared:]
        _check_pair(student, teacher, layers, shared)
        self.student, self.shared, self.draws, self.closeness, self.power = student, shared, draws, closeness, power
        self.teacher = copy.deepcopy(teacher).requires_grad_(False).eval()

    def forward(self, x: Tensor, context: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        """The loss with as many sounds of the student as there are rows, at their contexts; a mean, with weights if given."""
        made, kl, gap = self._terms(len(x), context)
        loss = (kl if gap is None else kl + self.closeness * gap.square()).flatten(1).mean(1)
        loss = weighted_mean(loss, weight)
        if self.power:
            with torch.no_grad():
                for layer in list(self.student.transform.transforms)[: self.shared]:
                    x = layer.encode(x)
                wanted = log_power(x)
            loss = loss + self.power * (log_power(made) - wanted).square().mean()
        return loss

    def divergence(self, rows: int, context: Tensor | None = None) -> Tensor:
        """``KL(q || p)`` in nats, for each of so many fresh sounds of the student the sum of its terms: ``(rows,)``, to be averaged."""
        return sum_event(self._terms(rows, context)[1])

    def train(self, mode: bool = True) -> SequenceDistillation:
        super().train(mode)
        self.teacher.eval()
        return self

    def _terms(self, rows: int, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """The student's sounds, the divergence of each number and, of normals, the difference of log-scales: ``(rows, *shape)`` each."""
        known = None if context is None or self.teacher.context_shape is None else self.teacher.embedding(context)
        given = None if context is None or self.student.context_shape is None else self.student.embedding(context)
        noise = self.student.base.sample((rows,))
        made, scale = noise, torch.zeros_like(noise)
        for layer in reversed(list(self.student.transform.transforms)[self.shared :]):
            made, slope = _step(layer, made, given)
            scale = scale + slope
        mean = made - noise * scale.exp()
        p = self.teacher.base
        assert isinstance(p, Causal)
        h = p.parameters_at(_levels(p.likelihood, made), known)
        gap = None
        if isinstance(p.likelihood, NormalLikelihood) and isinstance(self.student.base, Normal):
            mu, sigma = p.likelihood.moments(h)
            gap = sigma - scale
            return made, gap + 0.5 * ((-2 * gap).exp() + ((mean - mu) * (-sigma).exp()).square() - 1), gap
        cross = sum(_log_density(p.likelihood, mean + scale.exp() * self._part(k, noise), h) for k in range(self.draws)) / -self.draws
        return made, cross - scale - NOISE_ENTROPY[type(self.student.base)], None

    def _part(self, k: int, like: Tensor) -> Tensor:
        """Noise from the k-th of ``draws`` parts of equal probability."""
        eps = torch.finfo(like.dtype).eps
        u = ((k + torch.rand_like(like)) / self.draws).clamp(eps / 4, 1 - eps / 2)
        return torch.special.ndtri(u) if isinstance(self.student.base, Normal) else u.logit()


def log_power(y: Tensor) -> Tensor:
    """The log of the mean power of pieces of signals ``(B, C, T)`` at each frequency."""
    piece = min(PIECE, y.shape[2])
    window = torch.hann_window(piece, dtype=y.dtype, device=y.device)
    spectra = torch.stft(y.flatten(0, 1), piece, max(1, piece // 4), window=window, center=False, return_complex=True)
    return (spectra.abs().square().mean((0, 2)) + 1e-8).log()


def _levels(likelihood: Likelihood, y: Tensor) -> Tensor:
    """Amplitudes as a likelihood takes them: those of levels at the places of the levels, between which they may be."""
    return (y + 1) * (likelihood.levels / 2) - 0.5 if isinstance(likelihood, DiscretizedLogisticMixture) else y


def _log_density(likelihood: Likelihood, y: Tensor, h: Tensor) -> Tensor:
    """log p of amplitudes, given the teacher's parameters."""
    if isinstance(likelihood, DiscretizedLogisticMixture):
        return likelihood.smoothed(_levels(likelihood, y), h) + math.log(likelihood.levels / 2)
    return likelihood.log_prob(y, h)


def _step(layer: Transform, z: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor]:
    """From latent to data: x and the log of its slope in z, number by number."""
    if isinstance(layer, ActNorm):
        return layer.inverse(z)[0], -layer.log_scale.view(-1, *(1 for _ in z.shape[2:]))
    assert isinstance(layer, Inverse) and isinstance(layer.transform, Autoregressive)
    return layer.transform.terms(z, given)


def _check_pair(student: Flow, teacher: Flow, layers: Sequence[Transform], shared: int) -> None:
    for what, a, b in (("shape", student.shape, teacher.shape), ("context", student.context_shape, teacher.context_shape)):
        if a != b:
            raise ValueError(f"SequenceDistillation: expected a student of the teacher's {what} {b and tuple(b)}, got {a and tuple(a)}")
    likelihood = teacher.base.likelihood if isinstance(teacher.base, Causal) else None
    mixture = isinstance(likelihood, DiscretizedLogisticMixture) and likelihood.channels == 1
    if not mixture and not isinstance(likelihood, NormalLikelihood):
        name = type(teacher.base if likelihood is None else likelihood).__name__
        raise ValueError(f"SequenceDistillation: expected a teacher of untied logistics or of normals, number by number, got {name}")
    if (count := len(teacher.transform.transforms)) != (0 if mixture else shared):
        raise ValueError(f"SequenceDistillation: expected a teacher of levels, or of normals behind {shared} layers, got {count}")
    for layer in layers:
        inner = layer.transform if isinstance(layer, Inverse) else None
        affine = isinstance(inner, Autoregressive) and isinstance(inner.univariate, Affine)
        if not affine and not isinstance(layer, ActNorm):
            name = type(layer).__name__
            raise ValueError(f"SequenceDistillation: expected a student of inverse affine autoregressive layers, got {name}")
    if type(student.base) not in NOISE_ENTROPY:
        raise ValueError(f"SequenceDistillation: expected a student of normal or logistic noise, got {type(student.base).__name__}")
