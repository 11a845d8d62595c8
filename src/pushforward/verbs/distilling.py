"""From a fitted model that is slow to sample to one that is fast."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import options as signature
from ..models import MODELS
from ..subjects import SoundSubject, subject_of
from ..training import Run
from ..training import fit as train
from ..training.fit import check_options
from ..words import nearest, tell, time_span
from .lesson import Lesson
from .resuming import check_same, create, holding, lengthen, train_into, untrained
from .row_lesson import RowLesson, beside_teacher
from .runs import load
from .sound_lesson import SoundLesson, sounds_beside_teacher


def distill(
    run: Run | str | Path,
    to: str = "iaf",
    *,
    out: str | Path | None = None,
    options: Sequence[str] | Mapping[str, Any] = (),
    rows: int = 50_000,
    kl: float | None = None,
    power: float | None = None,
    time_limit: float | str | None = None,
    seed: int = 0,
    overwrite: bool = False,
    resume: bool = False,
    report: bool = True,
    progress: bool = True,
) -> Run:
    """Train a fast student to give a fitted run's samples; the student is a run like any other.

    The student has the teacher's schema and preprocessing, and learns from the teacher alone; contexts come from the training rows of the
    run's data. ``results(student)["distillation"]`` says how well it stands in.

    Of rows it learns by :class:`Distillation`, and is judged by the accuracy of a classifier at telling its samples from the teacher's, the
    KL divergence, and the time of 1,024 samples from either. Of sounds, of a WaveNet whose samples are spread by normals or by mixtures of
    logistics, it learns by :class:`SequenceDistillation`, and is judged by the KL divergence per sample and per second, and the time of
    one second of sound.

    Arguments:
        run: the teacher, a run or its directory.
        to: the student's recipe, which must sample in one pass: ``iaf``, ``real_nvp``, ``nsf`` with ``model.mechanism=coupling``; of sounds
            ``iaf``, which is :func:`~pushforward.models.parallel_wavenet` there.
        out: the student's directory; without one it lives in a temporary directory that goes with the returned object.
        options: ``model.*`` of the student, of rows the teacher's where not given and of the same name; ``train.*`` as for :func:`fit`,
            except that ``train.lr`` is 3e-3, since targets without noise take longer steps, and of sounds 1e-3, of 8 windows a batch.
        rows: samples of the teacher to learn from, at most so many as hold 8 million numbers; of sounds, windows of the data, for their
            contexts and spectra.
        kl: of rows, weight of the teacher's density in the loss (:class:`Distillation`).
        power: of sounds, weight of the distance of power spectra in the loss (:class:`SequenceDistillation`), 1 by default: with 0 a
            student may keep to the quietest sounds that its teacher finds likely.
        time_limit: of training, in seconds or as "2m"; the schedule is fitted to it.
        seed: of samples, initial weights and order of rows.
        overwrite: replace a run that is there.
        resume: go on with a student that was stopped, with its own settings; start it if it is not there.
        report: draw report.html and figures/.
        progress: talk on stderr.

    Raises:
        ValueError: an unknown recipe, one that does not sample in one pass, a teacher whose density a student can't be taught by,
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
    lesson: Lesson = SoundLesson(teacher) if isinstance(subject_of(teacher), SoundSubject) else RowLesson(teacher)
    to = lesson.student(to)
    recipe, training = signature.parse_options(options, MODELS[to], train)
    settings = {"teacher": str(teacher.path.resolve())} | lesson.settings(rows, kl, power)
    with holding(out, overwrite, resume) as student:
        if student is None:
            config = {
                "data": dict(teacher.config["data"]),
                "model": {"name": to} | signature.defaults(MODELS[to]) | lesson.inherited(to) | recipe,
                "train": signature.defaults(train) | lesson.training | training | {"seed": seed, "time_limit": limit},
                "distill": settings,
            }
            course = config["train"]
            check_options(**course)
        else:
            config = student.config
            given = {"model": recipe | {"name": to}, "train": training, "distill": {"teacher": settings["teacher"]}}
            check_same(student, given, teacher.config["data"]["source"])
            course = lengthen(student, training, limit)
        flow = untrained(config, teacher.schema)
        objective = lesson.objective(flow, config["distill"])
        say(lesson.drawing(config["distill"]["rows"]))
        taught = lesson.taught(config["distill"]["rows"], config["train"]["seed"])
        student = student or create(out, config, taught, overwrite)
        say(f"{to}: {sum(p.numel() for p in flow.parameters()):,} parameters, {lesson.plan(objective)}; training in {student.path}")
        begin = lesson.start(flow, taught)
        history = train_into(student, flow, taught, **course, loss=objective, initialize=begin, resume=resume, progress=progress)
        if history.stopped == "interrupted":
            say(f"stopped after {history.steps:,} steps, at a checkpoint in {student.path}; go on with --resume")
            raise KeyboardInterrupt
        say(f"trained {history.steps:,} steps in {history.seconds:.0f} s (ended by: {history.stopped}); comparing with the teacher")
        lesson.judge(student, taught, history.seconds, report)
    return student


def comparison(found: Mapping[str, Any]) -> list[str]:
    """The table of ``results(student)["distillation"]``, and what to think of it."""
    return beside_teacher(found) if "c2st" in found else sounds_beside_teacher(found)
