"""The figures of a model of sounds: waveforms over spectrograms, of data and of samples, and where the bits go in time."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.figure import Figure

from ..core import Flow
from ..distributions import Causal
from ..evaluation import entering, log_likelihood
from .curves import likelihoods
from .picture import Picture
from .style import DATA, DENSITY, MODEL, SOFT, figure, style

if TYPE_CHECKING:
    from ..data import Data
    from ..evaluation import Score

FRAME = 256  # samples of a column of a spectrogram
QUIET = 70.0  # dB below the loudest that are shown
SHOWN, LIKELIHOODS = 3, 100
SMOOTH = 100  # windows into which bits are added up over time


def sound_figures(flow: Flow, data: Data, score: Score) -> list[Picture]:
    """Data beside samples, where the bits go, and likelihoods; samples come from the global generator."""
    schema = data.schema
    count = min(LIKELIHOODS, len(data.test))
    test = data.test.pick(torch.randperm(len(data.test))[:count].numpy())
    some = test.pick(slice(0, SHOWN))
    x, context = entering(flow, some.x, some.context)
    with torch.no_grad():
        drawn = flow.sample((len(x),)) if context is None else flow.sample((), context)
    pair = np.concatenate([some.x.numpy(), drawn.cpu().numpy()])[:, 0]
    words = ["data"] * len(x) + ["sample"] * len(x)
    sounds = waveforms(schema.to_amplitudes(pair), schema.rate, words, range(len(x)))
    found = [Picture("sounds", "Sounds", "Windows of the data and samples of the model, none of them picked.", sounds)]
    if isinstance(flow.base, Causal):
        with torch.no_grad():
            z, ldj = flow.transform(x[:1])  # levels, or amplitudes, whose densities are ldj away from those of levels
            terms = flow.base.terms(z, None if context is None else flow.embedding(context[:1]))
        bits = (-(terms.sum(1) + ldj / terms.shape[2]) / math.log(2)).cpu().numpy()[0]
        caption = "A test window and the bits that its samples cost, given those before them: noise is dear, silence is nearly free."
        found.append(Picture("bits", "Bits over time", caption, bits_over_time(schema.to_amplitudes(pair[0]), bits, schema.rate)))
    train = log_likelihood(flow, data.train.pick(torch.randperm(len(data.train))[:count].numpy())).numpy()
    own = log_likelihood(flow, type(some)(drawn.cpu(), some.context)).numpy()
    held_out = score.per_row if score.per_row is not None and len(score.per_row) == len(data.test) else log_likelihood(flow, test).numpy()
    caption = "Training windows right of test windows: the model has learned sounds by heart."
    return [*found, Picture("likelihoods", "Log-likelihood of windows", caption, likelihoods(train, held_out, own))]


@style()
def waveforms(amplitudes: np.ndarray, rate: int, names: Sequence[str], real: Collection[int]) -> Figure:
    """Waveforms ``(n, T)``, each above its spectrogram (decibels below a full sine); ``real`` are data, the others samples."""
    n, length = amplitudes.shape
    columns = min(n, 3)
    lines = -(-n // columns)
    picture = figure(3.4 * columns + 0.4, 2.7 * lines, gap=0.03)
    axes = picture.subplots(2 * lines, columns, squeeze=False, sharex=True, gridspec_kw={"height_ratios": [1, 1.7] * lines})
    most = max(1e-3, float(np.abs(amplitudes).max()))
    for ax in axes.flat[2 * n :]:
        ax.set_visible(False)
    for i, (wave, name) in enumerate(zip(amplitudes, names)):
        top, bottom = axes[2 * (i // columns), i % columns], axes[2 * (i // columns) + 1, i % columns]
        top.plot(np.arange(length) / rate, wave, color=DATA if i in real else MODEL, linewidth=0.5)
        top.set_ylim(-most, most)
        top.set_title(name, fontsize=10)
        top.set_yticks([])
        level = spectrogram(wave)
        bottom.imshow(level, origin="lower", aspect="auto", cmap=DENSITY, vmin=-QUIET, vmax=0, extent=(0, length / rate, 0, rate / 2000))
        if i % columns == 0:
            bottom.set_ylabel("kHz")
        else:
            bottom.set_yticks([])
        if i // columns == lines - 1:
            bottom.set_xlabel("seconds")
    return picture


def spectrogram(wave: np.ndarray) -> np.ndarray:
    """The power of short pieces in decibels below a full sine's, ``(frequencies, times)``."""
    frame = min(FRAME, max(2, len(wave) // 8))
    step = max(1, frame // 4)
    pieces = np.lib.stride_tricks.sliding_window_view(wave, frame)[::step] * np.hanning(frame)
    power = np.abs(np.fft.rfft(pieces, axis=1)) ** 2 / max(1e-12, np.hanning(frame).sum() ** 2 / 4)
    return 10 * np.log10(np.maximum(power, 1e-12)).T


@style()
def bits_over_time(wave: np.ndarray, bits: np.ndarray, rate: int) -> Figure:
    """A waveform above the bits of its samples, each the mean of a short time."""
    seconds = np.arange(len(wave)) / rate
    picture = figure(8, 3.2)
    top, bottom = picture.subplots(2, 1, sharex=True)
    top.plot(seconds, wave, color=DATA, linewidth=0.5)
    top.set_yticks([])
    size = max(1, len(wave) // SMOOTH)
    whole = len(wave) // size * size
    bottom.plot(seconds[:whole:size], bits[:whole].reshape(-1, size).mean(1), color=MODEL, drawstyle="steps-post")
    bottom.axhline(bits.mean(), color=SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
    bottom.set_ylabel("bits per sample")
    bottom.set_xlabel("seconds")
    bottom.set_ylim(0)
    return picture
