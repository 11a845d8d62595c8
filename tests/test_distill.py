"""Distillation: the objective's parts, the verb, and that students come to resemble their teachers."""

from __future__ import annotations

import copy
import json
import signal

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import pushforward as pf
from pushforward import options
from pushforward.cli import main
from pushforward.core import Flow
from pushforward.data import load
from pushforward.evaluation import settled
from pushforward.models import MODELS
from pushforward.models.build import build
from pushforward.objectives import Distillation
from pushforward.training import Run, fit
from pushforward.transforms import Dequantize
from pushforward.verbs import distill, results, row_lesson
from pushforward.verbs.row_lesson import one_pass_per_dimension

TINY = ["train.steps=60", "train.batch=128", "train.every=30", "train.ema=0", "train.lr=1e-2"]
RECIPE = {"steps": 2, "width": 16, "depth": 1}


def model(name: str, dim: int = 3, seed: int = 0, **given) -> Flow:
    """A small perturbed model in float64."""
    torch.manual_seed(seed)
    known = options.defaults(MODELS[name])
    flow = MODELS[name]((dim,), **({k: v for k, v in RECIPE.items() if k in known} | given)).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return flow


def taught(path, source, context=None) -> Run:
    """A teacher fitted for some steps, without being judged."""
    data = load(source, context=context)
    settings = {"source": str(source), "name": data.name, "context": context}
    config = {"data": settings, "model": {"name": "maf"} | options.defaults(MODELS["maf"]) | RECIPE, "train": {}}
    run = Run.create(path, config, data.schema)
    torch.manual_seed(0)
    fit(build(config, data.schema), data.train, data.valid, steps=60, batch=128, lr=1e-2, ema=0, run=run, progress=False)
    return run


@pytest.fixture(autouse=True, scope="module")
def quick():
    """Few samples to judge by and to time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_lesson, "JUDGED", 100)
        patch.setattr(row_lesson, "TIMED", 8)
        yield


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return taught(tmp_path_factory.mktemp("distill") / "moons-maf", "moons")


@pytest.fixture(scope="module")
def student(teacher, quick):
    """A student of it, made on the command line."""
    with pytest.raises(SystemExit) as stop:
        main(["distill", str(teacher.path), "--rows", "1000", "--quiet", "--no-report", *TINY])
    assert stop.value.code == 0
    return pf.load(teacher.path.with_name("moons-maf-iaf"))


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    """A teacher of a real and a whole number, given a word."""
    folder, random = tmp_path_factory.mktemp("conditional"), np.random.default_rng(0)
    kind = random.choice(["a", "b"], 400)
    x = random.normal(size=400) + 3 * (kind == "b")
    pd.DataFrame({"x": x, "n": random.poisson(5, 400), "kind": kind}).to_csv(folder / "table.csv", index=False)
    return taught(folder / "run", folder / "table.csv", context=["kind"])


@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize("name", ["iaf", "real_nvp", "gaussian_mixture"])
def test_gradient_is_that_of_the_loss(name, context):
    """Along a random direction, against central differences; the teacher gets none."""
    student, teacher = model(name, context=context), model("maf", seed=1, context=context)
    objective = Distillation(student, teacher, kl=0.5)
    c = torch.randn(6, context, dtype=torch.float64) if context else None
    x = teacher.sample((6,)) if c is None else teacher.sample((), c)

    def loss() -> torch.Tensor:
        torch.manual_seed(3)
        return objective(x, c)

    parameters = [p for p in objective.parameters() if p.requires_grad]
    assert {id(p) for p in parameters} == {id(p) for p in student.parameters()}
    directions = [torch.randn_like(p) for p in parameters]
    gradients = torch.autograd.grad(loss(), parameters, allow_unused=True)  # reparameterised mixtures: no gradient of the weights
    slope = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True) if g is not None)
    with torch.no_grad():
        ends = []
        for step in (1e-5, -2e-5):
            for p, d in zip(parameters, directions, strict=True):
                p.add_(d, alpha=step)
            ends.append(loss())
    torch.testing.assert_close(slope, (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=1e-7)


def test_nothing_to_learn_for_a_student_that_is_its_teacher():
    """Activations and log-ratio vanish; what is left is the likelihood."""
    teacher = model("real_nvp")
    objective, x = Distillation(copy.deepcopy(teacher), teacher, kl=1.0), teacher.sample((64,))
    assert objective.log_ratio(64).abs().max() < 1e-10
    torch.testing.assert_close(objective(x), -teacher.log_prob(x).mean())


def test_log_ratio_is_that_of_the_two_densities():
    """``log q - log p``, of the student's own draws."""
    student, teacher = model("real_nvp"), model("maf", seed=1)
    torch.manual_seed(0)
    found = Distillation(student, teacher).log_ratio(64)
    torch.manual_seed(0)
    x = student.sample((64,))
    torch.testing.assert_close(found, student.log_prob(x) - teacher.log_prob(x))


def test_an_inverse_flow_can_be_its_teacher():
    """One feature, ``z = x exp(s) + b`` in each layer: the student that has ``-s`` and ``-b exp(-s)`` has nothing to learn."""
    teacher, student = model("maf", 1), model("iaf", 1)
    for mine, theirs in zip(student.transform.transforms, teacher.transform.transforms, strict=True):
        if isinstance(mine, pf.ActNorm):
            mine.load_state_dict(theirs.state_dict())
            continue
        zero = torch.zeros(1, 1, dtype=torch.float64)
        shift, s = theirs.net(zero)[0]
        s = 5 * torch.tanh(s / 5)
        with torch.no_grad():
            mine.transform.net.last.weight.zero_()
            mine.transform.net.last.bias.copy_(torch.stack([-shift * (-s).exp(), -5 * torch.atanh(s / 5)]))
    objective = Distillation(student, teacher, kl=1.0)
    assert len(objective.stages) == 2 and objective.paired and not objective.dense
    assert objective(teacher.sample((64,))).abs() < 1e-12
    assert objective.log_ratio(64).abs().max() < 1e-10


@pytest.mark.parametrize(
    ("student", "teacher", "stages", "dense"),
    [
        (("iaf", {}), ("maf", {}), 2, False),
        (("iaf", {"steps": 3}), ("maf", {"steps": 3}), 3, False),
        (("iaf", {"steps": 3}), ("maf", {}), 1, False),
        (("iaf", {"order": "same"}), ("maf", {}), 1, False),
        (("iaf", {"net": "transformer"}), ("maf", {"net": "made"}), 2, False),
        (("iaf", {}), ("nsf", {}), 1, False),
        (("iaf", {}), ("nsf", {"mixing": False}), 1, False),
        (("real_nvp", {}), ("maf", {}), 1, True),
        (("nsf", {"mechanism": "coupling"}), ("nsf", {}), 1, True),
    ],
)
def test_stages_where_the_student_is_built_as_the_teacher(student, teacher, stages, dense):
    objective = Distillation(model(student[0], **student[1]), model(teacher[0], **teacher[1]))
    assert len(objective.stages) == stages and objective.dense == dense and objective.paired and objective.kl == 0


def test_density_where_there_is_nothing_else():
    """An autoregressive student of a base that is no normal: only the teacher's density can teach it."""
    teacher = model("maf")
    teacher = Flow(pf.GaussianMixture((3,), 2).double(), *teacher.transform.transforms)
    objective = Distillation(model("iaf"), teacher)
    assert not objective.paired and not objective.dense and objective.kl == 1
    assert objective(teacher.sample((8,))).requires_grad


def test_weights_count():
    student, teacher = model("iaf"), model("maf")
    objective, x = Distillation(student, teacher, kl=0.0), teacher.sample((4,))
    weight = torch.tensor([2.0, 0.0, 1.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(objective(x, None, weight), (2 * objective(x[:1]) + objective(x[2:3])) / 3)


def test_teacher_stays_in_evaluation_and_untouched():
    teacher = model("maf").train()
    objective = Distillation(model("iaf"), teacher).train()
    assert not any(m.training for m in objective.teacher.modules()) and objective.student.training
    assert all(p.requires_grad for p in teacher.parameters()), "it works on a copy"


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        (model("iaf", 2), model("maf", 3), r"teacher's shape \(3,\), got \(2,\)"),
        (model("iaf", context=2), model("maf"), r"teacher's context None, got \(2,\)"),
        (model("maf"), model("maf"), "samples in one pass"),
        (model("iaf"), model("maf").prepend(Dequantize()), "teacher of exact density.*Dequantize"),
        (model("iaf").prepend(Dequantize()), model("maf"), "student of exact density.*Dequantize"),
    ],
)
def test_pairs_that_do_not_go(student, teacher, message):
    with pytest.raises(ValueError, match=message):
        Distillation(student, teacher)


@pytest.mark.parametrize("net", ["made", "transformer"])
def test_full_passes_give_the_same_samples(net):
    flow = model("maf", 5, net=net, context=2)
    context = torch.randn(7, 2, dtype=torch.float64)
    samples = []
    for each in (flow, one_pass_per_dimension(flow)):
        with settled(each, 0):
            samples.append(each.sample((), context))
    torch.testing.assert_close(*samples)


def test_student_is_a_run(student, teacher):
    names = {path.name for path in student.path.iterdir()}
    assert names >= {"config.toml", "schema.json", "model.safetensors", "metrics.jsonl", "scores.json", "state"}
    assert student.config["distill"] == {"teacher": str(teacher.path), "rows": 1000, "kl": 0.0}
    assert student.config["model"]["width"] == 16 and student.config["model"]["steps"] == 2, "the teacher's, where not given"
    assert student.config["data"] == teacher.config["data"] and student.schema == teacher.schema
    assert pf.sample(student, 5).shape == (5, 2)
    assert np.isfinite(pf.evaluate(student).nats) and pf.diagnose(student).lines()
    assert "log_likelihood" in pf.score(student, pf.sample(student, 5)).table.column_names


def test_loss_falls(student):
    figures = [record["valid"] for record in student.metrics()]
    assert len(figures) == 3 and figures[-1] < 0.5 * figures[0]


def test_results_compare_student_and_teacher(student, teacher):
    found = results(student)
    told = found["distillation"]
    assert set(told["milliseconds"]) == {"one_pass_per_dimension", "teacher", "student"} and min(told["milliseconds"].values()) > 0
    assert 0 <= told["c2st"]["accuracy"] <= 1 and told["c2st"]["rows"] == 100
    assert told["kl"]["mean"] > -3 * told["kl"]["stderr"]
    assert [score["name"] for score in found["scores"]] == ["iaf", "maf (the teacher)"]
    assert found["scores"][1]["nats"] == pytest.approx(pf.evaluate(teacher).nats)


def test_command_line_prints_the_comparison(teacher, student, tmp_path, capsys):
    arguments = ["distill", str(teacher.path), "--to", "real_nvp", "--out", str(tmp_path / "fast"), "--rows", "500", *TINY]  # with a report
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "model.width=8"])
    out, err = capsys.readouterr()
    page = (tmp_path / "fast" / "report.html").read_text()
    assert f"Report: {tmp_path / 'fast' / 'report.html'}" in out and "Beside the teacher" in page and "student is faster by" in page
    assert stop.value.code == 0 and pf.load(tmp_path / "fast").config["model"]["width"] == 8
    for words in ("one pass per dimension", "real_nvp", " x", "accuracy 0.", "KL divergence", "pushforward sample"):
        assert words in out
    assert "drawing 500 samples of the teacher" in err and "in one stage, the likelihood of its samples" in err
    for arguments, words in (
        (["--json", "--overwrite"], None),
        ([], "--overwrite"),
        (["--to", "real_nvpp", "--overwrite"], "real_nvp"),
        (["--to", "maf", "--overwrite"], "samples in one pass"),
        (["model.widht=8", "--overwrite"], "model.width"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(
                [
                    "distill",
                    str(teacher.path),
                    "--out",
                    str(tmp_path / "fast"),
                    "--quiet",
                    "--no-report",
                    "--rows",
                    "100",
                    "train.steps=2",
                    *arguments,
                ]
            )
        out, err = capsys.readouterr()
        if words is None:
            assert json.loads(out)["c2st"]["accuracy"] >= 0 and err == ""
        else:
            assert stop.value.code == 2 and words in err and len(err.splitlines()) == 1


def test_stopped_and_resumed(conditional, tmp_path, monkeypatch):
    """The teacher's samples are drawn again: weights, optimizer and metrics of a student that was left alone, to the bit."""
    forward = Distillation.forward
    calls: list[int | None] = []

    def counted(self, *batch):
        if self.training:
            calls.append(None)
            if len(calls) == 25:
                signal.raise_signal(signal.SIGINT)
        return forward(self, *batch)

    options = {"options": [*TINY, "train.steps=50", "train.every=10"], "rows": 300, "kl": 0.1, "report": False, "progress": False}
    whole = distill(conditional, "iaf", out=tmp_path / "whole", **options)
    monkeypatch.setattr(Distillation, "forward", counted)
    with pytest.raises(KeyboardInterrupt):
        distill(conditional, "iaf", out=tmp_path / "parts", **options)
    with pytest.raises(ValueError, match=r"was started with train.batch = 128, not 64; leave it out to resume"):
        distill(conditional, "iaf", out=tmp_path / "parts", resume=True, options=["train.batch=64"])
    parts = distill(conditional, "iaf", out=tmp_path / "parts", resume=True, report=False, progress=False)
    assert len(calls) == 50 and parts.config == whole.config
    for file in ("model.safetensors", "state/last.safetensors"):
        one, two = (load_file(run.path / file) for run in (whole, parts))
        assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one), file
    assert [r["valid"] for r in whole.metrics()] == [r["valid"] for r in parts.metrics()]
    assert results(parts)["distillation"]["kl"] == results(whole)["distillation"]["kl"]


@pytest.mark.parametrize("to", ["iaf", "real_nvp"])
def test_conditional(conditional, to):
    """Contexts come from the rows of the data; whole numbers come back whole."""
    run = distill(conditional, to, options=TINY, rows=500, report=False, progress=False)
    table = pf.sample(run, 50, context={"kind": ["a", "b"]}).to_pandas()
    assert list(table.columns) == ["kind", "x", "n"] and str(table["n"].dtype).startswith("int")
    figures = [record["valid"] for record in run.metrics()]
    assert figures[-1] < figures[0]


def test_data_in_memory(teacher, conditional, tmp_path):
    """Samples are enough to learn and to judge by; contexts are not to be had."""
    for run, name in ((teacher, "plain"), (conditional, "given")):
        Run.create(tmp_path / name, run.config | {"data": {"source": "in memory", "name": "array"}}, run.schema)
        (tmp_path / name / "model.safetensors").write_bytes(run.weights.read_bytes())
    run = distill(tmp_path / "plain", options=["train.steps=2"], rows=100, report=False, progress=False)
    assert results(run)["scores"][0]["rows"] == 100
    with pytest.raises(ValueError, match=r"contexts are drawn from the teacher's data, but .* in memory"):
        distill(tmp_path / "given", rows=100, progress=False)


@pytest.mark.slow
def test_student_of_eight_features_is_not_told_from_its_teacher(tmp_path, monkeypatch):
    """A bent Gaussian, a minute of one core; the teacher itself is told from a Gaussian at once."""
    monkeypatch.setattr(row_lesson, "JUDGED", 5000)
    random = np.random.default_rng(0)
    x = random.normal(size=(5000, 8))
    x[:, 1:] += 0.7 * np.sin(2 * x[:, :-1])
    np.save(tmp_path / "bent.npy", x)
    teacher = pf.fit(tmp_path / "bent.npy", "maf", out=tmp_path / "maf", options=["train.steps=1000"], report=False, progress=False)
    found = results(distill(teacher, "iaf", out=tmp_path / "iaf", options=["train.steps=2500"], report=False, progress=False))[
        "distillation"
    ]
    assert found["c2st"]["accuracy"] <= 0.55
    assert found["milliseconds"]["student"] < found["milliseconds"]["one_pass_per_dimension"]
