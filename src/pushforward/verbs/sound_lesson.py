"""Distillation of sounds: a WaveNet teaches a flow that makes a second of sound in a few passes."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from ..core import Flow
from ..data import Data, Rows, SoundSchema
from ..distributions import Causal
from ..doctor import diagnose
from ..evaluation import Results, evaluate, likelihood_quantiles, settled
from ..likelihoods import DiscretizedLogisticMixture, Normal
from ..objectives import SequenceDistillation
from ..training import Run
from .lesson import Lesson
from .resuming import untrained
from .runs import data_of, keep_results

STUDENT = "parallel_wavenet"
POWER = 1.0  # weight of the power spectra: the divergence alone leads to the quietest sounds that a teacher finds likely
DRAWN, AT_A_TIME = 64, 8  # sounds of the student by which the divergence is estimated; in a pass
STEPPED = 2**17  # samples of all windows whose likelihood under the student is told, which takes a step for each time
LOOKED_INTO = 400  # samples of a window that the doctor walks, several times a step for each
CLOSE_TO_TEACHER = 0.05  # nats per sample from its teacher, up to which a student is said to stand in for it


class SoundLesson(Lesson):
    """A WaveNet of normals or logistics teaches by its conditional densities (:class:`SequenceDistillation`)."""

    training: ClassVar[dict[str, Any]] = {"lr": 1e-3, "batch": 8, "weight_decay": 0.0, "patience": 0}

    def __init__(self, teacher: Run):
        super().__init__(teacher)
        self.schema = cast("SoundSchema", teacher.schema)

    def student(self, to: str) -> str:
        if to not in ("iaf", STUDENT):
            raise ValueError(f"distill: expected iaf as the student of sounds ({STUDENT}), got {to}; leave --to out")
        base = self.teacher.flow.base
        if not isinstance(base, Causal):
            name = self.teacher.config["model"]["name"]
            raise ValueError(f"distill: {self.teacher.path} is a {name}, which samples in a few passes itself; distil a wavenet")
        if not isinstance(base.likelihood, DiscretizedLogisticMixture | Normal):
            raise ValueError(
                f"distill: {self.teacher.path} gives each level a probability of its own, and no density between levels to learn from; "
                "fit a teacher with model.level=mixture or model.level=normal"
            )
        return STUDENT

    def inherited(self, name: str) -> dict[str, Any]:
        return {"noise": "normal" if self.teacher.config["model"]["level"] == "normal" else "logistic"}

    def settings(self, rows: int, kl: float | None, power: float | None) -> dict[str, Any]:
        if kl is not None:
            raise ValueError("distill: kl is about rows, and of sounds the divergence is all there is to learn from; leave it out")
        if power is not None and not 0 <= power < math.inf:
            raise ValueError(f"distill: expected a weight of the power spectra of 0 or more, got {power:g}")
        return {"rows": rows, "power": POWER if power is None else power}

    def objective(self, flow: Flow, settings: dict[str, Any]) -> SequenceDistillation:
        return SequenceDistillation(flow, self.teacher.flow, power=settings["power"])

    def taught(self, rows: int, seed: int) -> Data:
        """Windows of the teacher's data, for their contexts and spectra."""
        try:
            data = data_of(self.teacher)
        except (ValueError, OSError) as error:
            raise ValueError(f"distill: the student's contexts and spectra are those of the teacher's sounds, but {error}") from None
        return replace(data, train=_first(data.train, rows), valid=_first(data.valid, DRAWN))

    def start(self, flow: Flow, taught: Data) -> bool:
        """Noise of the data's deviation; the layers behind start as the identity, and walking through them would take a step a sample."""
        x = taught.train.x[:256]
        levels, amplitudes, scale, *_ = flow.transform.transforms
        scale.initialize(amplitudes.encode(levels.encode(x)))
        return False

    def drawing(self, rows: int) -> str:
        return f"the teacher, {self.teacher.config['model']['name']}, is asked about the student's own sounds"

    def plan(self, objective: nn.Module) -> str:
        assert isinstance(objective, SequenceDistillation)
        likelihood = self.teacher.flow.base.likelihood  # type: ignore[union-attr]
        how = "in closed form" if isinstance(likelihood, Normal) else f"by {objective.draws} draws of each sample"
        spectra = ", and from the power spectra of the data" if objective.power else ""
        return f"learning from the divergence from its teacher {how}{spectra}"

    def judge(self, student: Run, taught: Data, seconds: float, report: bool) -> None:
        """Divergence and times; likelihoods of as many windows as the student's steps allow."""
        few = max(2, STEPPED // self.schema.dim)
        data = replace(taught, test=taught.test.pick(slice(0, few)), train=taught.train.pick(slice(0, few)))
        names = student.config["model"]["name"], self.teacher.config["model"]["name"]
        scores = [
            evaluate(run.flow, data.test, schema=run.schema, name=name, train_seconds=took)
            for run, name, took in ((student, names[0], seconds), (self.teacher, f"{names[1]} (the teacher)", None))
        ]
        divergence = self._divergence(student, taught.test)
        times = {"teacher": _milliseconds(self.teacher, taught.test), "student": _milliseconds(student, taught.test)}
        told = _verdict(divergence["per_sample"])
        found = {"student": names[0], "teacher": names[1], "kl": divergence, "milliseconds": times, "verdict": told}
        gap = (scores[0].bits_per_dim or 0.0) - (scores[1].bits_per_dim or 0.0)
        words = f"{names[0]} needs {abs(gap):.3f} bits per sample {'more' if gap > 0 else 'less'} than its teacher, {names[1]}."
        quantiles = likelihood_quantiles(student.flow, data.train)
        results = Results(scores, words, None, quantiles=quantiles, distillation=found)
        keep_results(student, results)
        if report:
            from ..report import write_report  # draws, and matplotlib takes a second to import

            lines = {"Beside the teacher": "\n".join(sounds_beside_teacher(found))}
            some = min(LOOKED_INTO, self.schema.dim)
            short = replace(data.test, x=data.test.x[:, :, :some])
            checked = diagnose(_of_length(student, some), short, student.schema, notes=data.notes)
            write_report(student, data, results, checked, lines)

    @torch.no_grad()
    def _divergence(self, student: Run, test: Rows) -> dict[str, float]:
        """``KL(student || teacher)`` in nats, with standard errors: of a window, per sample and per second."""
        objective = SequenceDistillation(student.flow, self.teacher.flow)
        with settled(student.flow, 0):
            parts = []
            for start in range(0, DRAWN, AT_A_TIME):
                context = None
                if test.context is not None:
                    context = test.context[torch.arange(start, start + AT_A_TIME) % len(test)].to(student.flow.entry.device)
                parts.append(objective.divergence(AT_A_TIME, context))
        found = torch.cat(parts).double()
        mean, stderr = float(found.mean()), float(found.std()) / math.sqrt(len(found))
        told: dict[str, float] = {"mean": mean, "stderr": stderr, "sounds": len(found)}
        for name, size in (("sample", 1), ("second", self.schema.rate)):
            share = size / self.schema.dim
            told |= {f"per_{name}": mean * share, f"per_{name}_stderr": stderr * share}
        return told


def _first(rows: Rows, count: int) -> Rows:
    """The first windows, as real numbers: what is minimised is no number of bits."""
    some = rows.pick(slice(0, count))
    return replace(some, x=some.x.float())


def sounds_beside_teacher(found: Mapping[str, Any]) -> list[str]:
    """What :func:`comparison` says of a student of sounds."""
    times, kl = found["milliseconds"], found["kl"]
    lines = [f"{'One second of sound':40} {'ms':>9} {'student is faster by':>22}"]
    for key, name in (("teacher", f"{found['teacher']}, the teacher, from what it keeps"), ("student", f"{found['student']}, the student")):
        ratio = "" if key == "student" else f"{times[key] / times['student']:.1f} x"
        lines.append(f"{name:40} {times[key]:9.1f} {ratio:>22}")
    lines.append(
        f"\nKL divergence from student to teacher: {kl['per_sample']:.3g} ± {kl['per_sample_stderr']:.2g} nats per sample, "
        f"{kl['per_second']:.4g} ± {kl['per_second_stderr']:.2g} per second, over {kl['sounds']} sounds of the student."
    )
    return [*lines, found["verdict"]]


def _verdict(per_sample: float) -> str:
    if per_sample <= CLOSE_TO_TEACHER:
        return "The student's sounds can stand in for the teacher's."
    return (
        "The student is not there yet: its sounds differ from the teacher's. Distil longer (--time-limit), or make it wider (model.width)."
    )


def _milliseconds(run: Run, test: Rows) -> float:
    """The median time of one second of sound, over up to 7 repetitions within a second or so."""
    flow, times = _of_length(run), list[float]()
    context = None if test.context is None else test.context[:1].to(flow.entry.device)
    with settled(flow, 0):
        if run.config["model"]["name"] == STUDENT:
            _one(flow, context)
        while not times or (sum(times) < 1.0 and len(times) < 7):
            began = time.perf_counter()
            _one(flow, context)
            times.append(time.perf_counter() - began)
    return 1e3 * statistics.median(times)


def _one(flow: Flow, context: Tensor | None) -> None:
    flow.sample((1,)) if context is None else flow.sample((), context)


def _of_length(run: Run, length: int = 0) -> Flow:
    """The flow for sounds of so many samples, or of one second: nets over time have no weights that know how long a sound is."""
    schema = cast("SoundSchema", run.schema)
    flow = untrained(run.config, replace(schema, window=length or schema.rate))
    flow.load_state_dict(run.flow.state_dict())
    return flow.to(run.flow.entry.device)
