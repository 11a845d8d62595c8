"""From a fitted flow that is slow to sample to one that is fast."""

from __future__ import annotations

import copy
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
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
from ..training import fit as train
from ..training.fit import check_options
from ..transforms import Autoregressive
from ..words import nearest, tell, time_span
from .resuming import check_same, create, holding, lengthen, train_into, untrained
from .runs import data_of, keep_results, load, read_results

TAUGHT_NUMBERS = 2**23  # of the teacher's samples to learn from, at most: 64 MB
RATE = 3e-3  # the largest learning rate
JUDGED = 5000  # samples on each side of the two-sample test, and for the KL divergence
TIMED = 1024  # samples
CLOSE_ENOUGH = 0.55  # accuracy at telling student from teacher, up to which the student is said to stand in for it


def distill(
    run: Run | str | Path,
    to: str = "iaf",
    *,
    out: str | Path | None = None,
    options: Sequence[str] | Mapping[str, Any] = (),
    rows: int = 50_000,
    kl: float | None = None,
    time_limit: float | str | None = None,
    seed: int = 0,
    overwrite: bool = False,
    resume: bool = False,
    report: bool = True,
    progress: bool = True,
) -> Run:
    """Train a fast student to give a fitted run's samples; the student is a run like any other.

    The student has the teacher's schema and preprocessing, and learns from the teacher alone, by :class:`Distillation`; contexts come
    from the training rows of the run's data. ``results(student)["distillation"]`` says how well it stands in: the accuracy of a
    classifier at telling its samples from the teacher's, the KL divergence, and the time of 1,024 samples from either.

    Arguments:
        run: the teacher, a run or its directory.
        to: the student's recipe, which must sample in one pass: ``iaf``, ``real_nvp``, ``nsf`` with ``model.mechanism=coupling``.
        out: the student's directory; without one it lives in a temporary directory that goes with the returned object.
        options: ``model.*`` of the student, the teacher's where not given and of the same name; ``train.*`` as for :func:`fit`,
            except that ``train.lr`` is 3e-3: targets without noise take longer steps.
        rows: samples of the teacher to learn from; at most so many as hold 8 million numbers.
        kl: weight of the teacher's density in the loss (:class:`Distillation`).
        time_limit: of training, in seconds or as "2m"; the schedule is fitted to it.
        seed: of samples, initial weights and order of rows.
        overwrite: replace a run that is there.
        resume: go on with a student that was stopped, with its own settings; start it if it is not there.
        report: draw report.html and figures/.
        progress: talk on stderr.

    Raises:
        ValueError: an unknown recipe, one that does not sample in one pass, a teacher without exact density behind its preprocessing,
            a place that is taken, contexts that can't be read again, or other settings than those of the run to resume.
        KeyboardInterrupt: training was stopped, at a checkpoint: ``resume`` goes on from there.

    Example::

        >>> student = distill(fit("moons", "maf", time_limit=30), "iaf", time_limit=30)
        >>> results(student)["distillation"]["c2st"]["accuracy"]
        0.507
    """
    say: Callable[[str], None] = tell if progress else (lambda text: None)
    teacher, limit = load(run), None if time_limit is None else time_span(time_limit)
    if to not in MODELS:
        raise ValueError(f"unknown model {to!r}{nearest(to, MODELS) or ';'} the models are {', '.join(MODELS)}")
    if rows < 20:
        raise ValueError(f"distill: expected at least 20 rows of the teacher to learn from, got {rows}")
    recipe, training = signature.parse_options(options, MODELS[to], train)
    with holding(out, overwrite, resume) as student:
        if student is None:
            defaults = signature.defaults(MODELS[to])
            inherited = {key: value for key, value in teacher.config["model"].items() if key in defaults}
            rows = min(rows, max(20, TAUGHT_NUMBERS // math.prod(teacher.schema.shape)))
            config = {
                "data": dict(teacher.config["data"]),
                "model": {"name": to} | defaults | inherited | recipe,
                "train": signature.defaults(train) | {"lr": RATE} | training | {"seed": seed, "time_limit": limit},
                "distill": {"teacher": str(teacher.path.resolve()), "rows": rows, "kl": kl},
            }
            course = config["train"]
            check_options(**course)
        else:
            config = student.config
            given = {"model": recipe | {"name": to}, "train": training, "distill": {"teacher": str(teacher.path.resolve())}}
            check_same(student, given, teacher.config["data"]["source"])
            course = lengthen(student, training, limit)
        flow = untrained(config, teacher.schema)
        objective = Distillation(flow, teacher.flow, shared=len(teacher.schema.layers()), kl=config["distill"].get("kl"))
        config["distill"]["kl"] = objective.kl
        data = _data(teacher)
        rows = config["distill"]["rows"]
        say(f"drawing {rows:,} samples of the teacher, {teacher.config['model']['name']}")
        taught = _taught(teacher, data, rows, config["train"]["seed"])
        student = student or create(out, config, taught, overwrite)
        say(f"{to}: {sum(p.numel() for p in flow.parameters()):,} parameters, {_plan(objective)}; training in {student.path}")
        history = train_into(student, flow, taught, **course, loss=objective, resume=resume, progress=progress)
        if history.stopped == "interrupted":
            say(f"stopped after {history.steps:,} steps, at a checkpoint in {student.path}; go on with --resume")
            raise KeyboardInterrupt
        say(f"trained {history.steps:,} steps in {history.seconds:.0f} s (ended by: {history.stopped}); comparing with the teacher")
        _judge(student, teacher, data or taught, taught.test, history.seconds, report)
    return student


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


def comparison(found: Mapping[str, Any]) -> list[str]:
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


def _plan(objective: Distillation) -> str:
    """How the student will learn, in words."""
    stages = len(objective.stages)
    parts = ["the teacher's activations in " + (f"{stages} stages" if stages > 1 else "one stage")] if objective.paired else []
    parts += ["the likelihood of its samples"] if objective.dense else []
    parts += ["its density"] if objective.kl else []
    return "learning from " + ", ".join(parts)


def _data(teacher: Run) -> Data | None:
    """The teacher's data; None where they can't be read again and need not be."""
    try:
        return data_of(teacher)
    except (ValueError, OSError) as error:
        if teacher.schema.context:
            raise ValueError(f"distill: the student's contexts are drawn from the teacher's data, but {error}") from None
        return None


def _taught(teacher: Run, data: Data | None, rows: int, seed: int) -> Data:
    """Samples of the teacher in three splits, at contexts drawn from those of the data."""
    generator = torch.Generator().manual_seed(seed)

    def draw(size: int, split: Rows | None) -> Rows:
        if split is None or split.context is None:
            return Rows(teacher.flow.sample((size,)))
        context = split.context[torch.randint(len(split), (size,), generator=generator)]
        return Rows(teacher.flow.sample((), context), context)

    splits = (None, None, None) if data is None else (data.train, data.valid, data.test)
    with settled(teacher.flow, seed):
        parts = draw(rows, splits[0]), draw(max(20, rows // 10), splits[1]), draw(JUDGED, splits[2])
    return Data(teacher.config["data"]["name"], teacher.schema, *parts, entropy=None, notes=[])


def _judge(student: Run, teacher: Run, data: Data, test: Rows, seconds: float, report: bool) -> None:
    """Student beside teacher on rows of the data, and on each other's samples."""
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

        lines = {"Beside the teacher": "\n".join(comparison(found))}
        write_report(student, data, results, diagnose(student.flow, data.test, student.schema, ranked=ranked, notes=data.notes), lines)


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
