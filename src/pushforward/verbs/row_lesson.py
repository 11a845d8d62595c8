"""Distillation of flows over rows: the student learns from samples of its teacher."""

from __future__ import annotations

import copy
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from .. import options as signature
from ..core import Flow
from ..data import Data, Rows
from ..doctor import diagnose
from ..evaluation import Results, c2st, evaluate, likelihood_quantiles, settled
from ..models import MODELS
from ..nets import CausalNet
from ..objectives import Distillation
from ..subjects import subject_of
from ..training import Run
from ..transforms import Autoregressive
from .lesson import Lesson
from .runs import data_of, keep_results, read_results

TAUGHT_NUMBERS = 2**23  # of the teacher's samples to learn from, at most: 64 MB
JUDGED = 5000  # samples on each side of the two-sample test, and for the KL divergence
TIMED = 1024  # samples
CLOSE_ENOUGH = 0.55  # accuracy at telling student from teacher, up to which the student is said to stand in for it


class RowLesson(Lesson):
    """A flow over rows teaches by its samples and their latents (:class:`Distillation`); a student is any flow that samples in one pass."""

    training = {"lr": 3e-3}

    def __init__(self, teacher: Run):
        super().__init__(teacher)
        self._data: Data | None = None

    def student(self, to: str) -> str:
        return to

    def inherited(self, name: str) -> dict[str, Any]:
        return {key: value for key, value in self.teacher.config["model"].items() if key in signature.defaults(MODELS[name])}

    def settings(self, rows: int, kl: float | None, power: float | None) -> dict[str, Any]:
        if power is not None:
            raise ValueError(f"distill: power is about the spectra of sounds, and {self.teacher.path} was not fitted to such; leave it out")
        return {"rows": min(rows, max(20, TAUGHT_NUMBERS // math.prod(self.teacher.schema.shape))), "kl": kl}

    def objective(self, flow: Flow, settings: dict[str, Any]) -> Distillation:
        found = Distillation(flow, self.teacher.flow, shared=len(self.teacher.schema.layers()), kl=settings.get("kl"))
        settings["kl"] = found.kl
        return found

    def taught(self, rows: int, seed: int) -> Data:
        """Samples of the teacher, at contexts drawn from those of the data."""
        generator = torch.Generator().manual_seed(seed)

        def draw(size: int, split: Rows | None) -> Rows:
            if split is None or split.context is None:
                return Rows(self.teacher.flow.sample((size,)))
            context = split.context[torch.randint(len(split), (size,), generator=generator)]
            return Rows(self.teacher.flow.sample((), context), context)

        data = self._data = _data(self.teacher)
        splits = (None, None, None) if data is None else (data.train, data.valid, data.test)
        with settled(self.teacher.flow, seed):
            parts = draw(rows, splits[0]), draw(max(20, rows // 10), splits[1]), draw(JUDGED, splits[2])
        return Data(self.teacher.config["data"]["name"], self.teacher.schema, *parts, entropy=None, notes=[])

    def start(self, flow: Flow, taught: Data) -> bool:
        return True

    def drawing(self, rows: int) -> str:
        return f"drawing {rows:,} samples of the teacher, {self.teacher.config['model']['name']}"

    def plan(self, objective: nn.Module) -> str:
        assert isinstance(objective, Distillation)
        stages = len(objective.stages)
        parts = ["the teacher's activations in " + (f"{stages} stages" if stages > 1 else "one stage")] if objective.paired else []
        parts += ["the likelihood of its samples"] if objective.dense else []
        parts += ["its density"] if objective.kl else []
        return "learning from " + ", ".join(parts)

    def judge(self, student: Run, taught: Data, seconds: float, report: bool) -> None:
        """Student beside teacher on rows of the data, and on each other's samples."""
        teacher, data, test = self.teacher, self._data or taught, taught.test
        names = student.config["model"]["name"], teacher.config["model"]["name"]
        scores = [
            evaluate(run.flow, data.test, schema=run.schema, name=name, train_seconds=time)
            for run, name, time in ((student, names[0], seconds), (teacher, f"{names[1]} (the teacher)", None))
        ]
        with suppress(ValueError):  # of a teacher that was trained by `training.fit`
            scores += read_results(teacher).scores[1:]
        told = c2st(student.flow, test, limit=JUDGED)
        found = {
            "student": names[0],
            "teacher": names[1],
            "c2st": told.to_json(),
            "kl": _divergence(student, teacher, test),
            "milliseconds": _times(student, teacher, test),
            "verdict": _verdict(told.accuracy),
        }
        gap = scores[1].nats - scores[0].nats
        verdict = f"{names[0]} is {abs(gap):.3f} nats per row {'below' if gap > 0 else 'above'} its teacher, {names[1]}."
        ranked = subject_of(data).calibration(student.flow, data.test)
        quantiles = likelihood_quantiles(student.flow, data.train, most=JUDGED)
        results = Results(scores, verdict, data.entropy, quantiles=quantiles, distillation=found, calibration=ranked)
        keep_results(student, results)
        if report:
            from ..report import write_report  # draws, and matplotlib takes a second to import

            lines = {"Beside the teacher": "\n".join(beside_teacher(found))}
            write_report(student, data, results, diagnose(student.flow, data.test, student.schema, ranked=ranked, notes=data.notes), lines)


def one_pass_per_dimension(flow: Flow) -> Flow:
    """A copy that samples as autoregressive flows commonly do: a full pass of the net for every feature, instead of partial ones.

    The samples of a seed are the same up to rounding. Only a yardstick: for sampling, without gradients.
    """
    slow = copy.deepcopy(flow)
    for layer in list(slow.modules()):
        if isinstance(layer, Autoregressive):
            layer.net = _FullPasses(layer.net)
    return slow


class _FullPasses(CausalNet):
    """A causal net over a vector whose visit evaluates all of it at every position."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.net(x, context)

    def unroll(self, solve: Callable[[int, Tensor], Tensor], batch: int, context: Tensor | None = None) -> Tensor:
        order: Sequence[int] = self.net.order  # type: ignore[assignment]
        x = next(self.net.parameters()).new_zeros(batch, len(order))
        for i in order:
            x[:, i : i + 1] = solve(i, self.net(x, context).view(batch, -1, len(order))[:, :, i : i + 1])
        return x


def beside_teacher(found: Mapping[str, Any]) -> list[str]:
    """The table of ``results(student)["distillation"]``, and what to think of it."""
    student, teacher, times = found["student"], found["teacher"], found["milliseconds"]
    names = {
        "one_pass_per_dimension": f"{teacher}, one pass per dimension",
        "teacher": f"{teacher}, the teacher, as it samples here",
        "student": f"{student}, the student",
    }
    lines = [f"{'Sampling ' + format(TIMED, ',') + ' rows':40} {'ms':>9} {'student is faster by':>22}"]
    for key, name in names.items():
        if key in times:
            ratio = "" if key == "student" else f"{times[key] / times['student']:.1f} x"
            lines.append(f"{name:40} {times[key]:9.1f} {ratio:>22}")
    test, kl = found["c2st"], found["kl"]
    lines.append(
        f"\nTwo-sample test: a classifier tells the student's samples from the teacher's with accuracy {test['accuracy']:.3f} ± "
        f"{test['stderr']:.3f} (0.5 is chance), with {test['rows']:,} rows on each side."
    )
    lines.append(
        f"KL divergence from student to teacher: {kl['mean']:.3g} ± {kl['stderr']:.2g} nats per row; half of the samples have a "
        f"log-ratio below {kl['median']:.3g}."
    )
    lines.append(found["verdict"])
    return lines


def _data(teacher: Run) -> Data | None:
    """The teacher's data; None where they can't be read again and need not be."""
    try:
        return data_of(teacher)
    except (ValueError, OSError) as error:
        if teacher.schema.context:
            raise ValueError(f"distill: the student's contexts are drawn from the teacher's data, but {error}") from None
        return None


def _verdict(accuracy: float) -> str:
    if accuracy <= CLOSE_ENOUGH:
        return "The student's samples can stand in for the teacher's."
    return (
        "The student is not there yet: its samples differ from the teacher's. Distil longer (--time-limit), or make it wider (model.width)."
    )


@torch.no_grad()
def _divergence(student: Run, teacher: Run, test: Rows) -> dict[str, float]:
    """``KL(student || teacher)`` in nats per row, behind the preprocessing, with its standard error and the median log-ratio."""
    objective = Distillation(student.flow, teacher.flow, shared=len(student.schema.layers()))
    with settled(student.flow, 0):
        ratio = objective.log_ratio(len(test), test.context).double()
    return {"mean": float(ratio.mean()), "stderr": float(ratio.std()) / math.sqrt(len(ratio)), "median": float(ratio.median())}


def _times(student: Run, teacher: Run, test: Rows) -> dict[str, float]:
    """Median milliseconds of 1,024 samples, from the slowest way to the student's."""
    flows = {"one_pass_per_dimension": one_pass_per_dimension(teacher.flow), "teacher": teacher.flow, "student": student.flow}
    if not any(isinstance(layer, Autoregressive) for layer in teacher.flow.modules()):
        del flows["one_pass_per_dimension"]
    context = None if test.context is None else test.context[:TIMED]
    return {name: milliseconds(flow, context) for name, flow in flows.items()}


def milliseconds(flow: Flow, context: Tensor | None = None) -> float:
    """The median time of 1,024 samples (one for each context row), over 3 to 15 repetitions."""
    times: list[float] = []
    shape = (TIMED,) if context is None else ()
    with settled(flow, 0):
        flow.sample(shape, context)
        while len(times) < 3 or (sum(times) < 1.0 and len(times) < 15):
            began = time.perf_counter()
            flow.sample(shape, context)
            times.append(time.perf_counter() - began)
    return 1e3 * statistics.median(times)
