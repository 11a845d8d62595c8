"""Distillation for sequences: the divergence against quadrature and samples, the verb on sounds, and a process that is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

import pushforward as pf
from pushforward.cli import main
from pushforward.core import Flow
from pushforward.data import Rows
from pushforward.distributions import Causal
from pushforward.likelihoods import DiscretizedLogisticMixture, Normal
from pushforward.models import parallel_wavenet, wavenet
from pushforward.models.sounds import amplitudes
from pushforward.nets import CausalNet
from pushforward.objectives import SequenceDistillation
from pushforward.transforms import Elementwise
from pushforward.univariate import Affine
from pushforward.verbs import results, sound_lesson

T = 6
LEVELS = ("normal", "mixture")
NOISES = ("normal", "logistic")


def pair(level: str, noise: str, context: int = 0, channels: int = 1) -> tuple[Flow, Flow]:
    """A student and a teacher of 32 levels, perturbed, in float64."""
    torch.manual_seed(0)
    size = {"levels": 32, "width": 6, "depth": 2, "cycles": 1, "context": context}
    teacher = wavenet((channels, T), level=level, components=3, skip=6, **size)
    student = parallel_wavenet((channels, T), steps=2, noise=noise, **size)
    for flow in (student.double(), teacher.double()):
        with torch.no_grad():
            for parameter in flow.parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
    return student, teacher


def behind(flow: Flow) -> Flow:
    """The student as a density of amplitudes."""
    return Flow(flow.base, *list(flow.transform.transforms)[2:], context=flow.context_shape)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("level", LEVELS)
@torch.no_grad()
def test_divergence_against_quadrature(level, noise):
    """Location and scale of each sample by the Jacobian of the student's sound in its noise; the integral on a grid."""
    student, teacher = pair(level, noise)
    objective = SequenceDistillation(student, teacher, draws=1000, closeness=0.0)
    torch.manual_seed(1)
    found = objective.divergence(1)
    torch.manual_seed(1)
    torch.testing.assert_close(objective(torch.zeros(1, 1, T)), found.mean() / T)
    torch.manual_seed(1)
    u = student.base.sample((1,))
    made = behind(student).transform.inverse(u)[0]
    slopes = torch.autograd.functional.jacobian(lambda u: behind(student).transform.inverse(u)[0].flatten(), u).reshape(T, T)
    assert slopes.triu(1).abs().max() == 0
    scale = slopes.diagonal().view(1, 1, T)
    mean = made - scale * u
    likelihood = teacher.base.likelihood
    mixture = isinstance(likelihood, DiscretizedLogisticMixture)
    h = teacher.base.parameters_at((made + 1) * 16 - 0.5 if mixture else made, None)
    grid = torch.linspace(-60, 60, 12_001, dtype=torch.float64)
    standard = behind(student).base.__class__((1,)).double().log_prob(grid.view(-1, 1))
    total = 0.0
    for t in range(T):
        y, of = (mean[0, 0, t] + scale[0, 0, t] * grid).view(-1, 1, 1), h[:, :, :, t : t + 1]
        log_p = likelihood.smoothed((y + 1) * 16 - 0.5, of) + math.log(16) if mixture else likelihood.log_prob(y, of)
        log_q = standard - scale[0, 0, t].log()
        total += float((standard.exp() * (log_q - log_p.flatten())).sum() * (grid[1] - grid[0]))
    near = 1e-8 if level == noise == "normal" else 2e-2  # of 1,000 draws the outermost has a square between 50 and 200
    assert float(found) == pytest.approx(total, rel=near, abs=near)


@pytest.mark.parametrize("level, noise", [("normal", "normal"), ("mixture", "logistic")])
def test_divergence_is_that_of_the_whole_sounds(level, noise):
    """The mean of ``log q(x) - log p(x)`` over the student's own sounds, of another estimate."""
    student, teacher = pair(level, noise)
    with torch.no_grad():
        terms = SequenceDistillation(student, teacher).divergence(4000)
        x, log_q = behind(student).sample_and_log_prob((4000,))
        base = teacher.base
        if level == "normal":
            log_p = base.log_prob(x)
        else:
            place = (x + 1) * 16 - 0.5
            log_p = (base.likelihood.smoothed(place, base.parameters_at(place, None)) + math.log(16)).flatten(1).sum(1)
    ratio = log_q - log_p
    noise_of = math.sqrt((float(terms.var()) + float(ratio.var())) / 4000)
    assert abs(float(terms.mean() - ratio.mean())) < 4 * noise_of and terms.var() < ratio.var()


@pytest.mark.parametrize("level, noise", [("normal", "normal"), ("mixture", "logistic")])
def test_loss_has_its_own_gradient(level, noise):
    """Along a random direction, against central differences; of contexts and spectra too; the teacher gets none."""
    student, teacher = pair(level, noise, context=2)
    objective = SequenceDistillation(student, teacher, power=0.3)
    x, c = torch.randint(32, (5, 1, T)).double(), torch.randn(5, 2).double()

    def loss() -> Tensor:
        torch.manual_seed(3)
        return objective(x, c, torch.arange(5).double())

    parameters = [p for p in objective.parameters() if p.requires_grad]
    assert {id(p) for p in parameters} == {id(p) for p in student.parameters()}
    directions = [torch.randn_like(p) for p in parameters]
    slope = sum((g * d).sum() for g, d in zip(torch.autograd.grad(loss(), parameters), directions, strict=True))
    with torch.no_grad():
        ends = []
        for step in (1e-5, -2e-5):
            for p, d in zip(parameters, directions, strict=True):
                p.add_(d, alpha=step)
            ends.append(loss())
    torch.testing.assert_close(slope, (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=1e-7)


def test_nothing_to_learn_where_both_are_white_noise():
    teacher, student = wavenet((1, T), level="normal", width=6, depth=2, skip=6), parallel_wavenet((1, T), width=6, depth=2)
    assert SequenceDistillation(student, teacher).divergence(4).abs().max() == 0
    with torch.no_grad():
        assert SequenceDistillation(student, teacher)(torch.zeros(4, 1, T)) == 0


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("channels", [1, 2])
def test_density_and_samples_of_the_student_agree(noise, channels):
    student, _ = pair("normal", noise, channels=channels)
    x, log_prob = behind(student).sample_and_log_prob((50,))
    torch.testing.assert_close(behind(student).log_prob(x), log_prob)
    levels = student.sample((50,))
    assert (levels == levels.round()).all() and levels.min() >= 0 and levels.max() <= 31 and student.kind == "bound"


def test_smoothed_is_a_density_through_the_probabilities():
    likelihood = DiscretizedLogisticMixture(16, components=2)
    h = torch.randn(1, likelihood.params, 1).double()
    inner = torch.arange(1, 15).double().view(-1, 1)
    torch.testing.assert_close(likelihood.smoothed(inner, h), likelihood.log_prob(inner, h))
    grid = torch.linspace(-3000, 3000, 600_001, dtype=torch.float64).view(-1, 1)
    assert float(likelihood.smoothed(grid, h).exp().sum()) * 0.01 == pytest.approx(1, abs=1e-6)


def test_the_doctor_knows_what_has_a_normal_latent():
    """A student of normal noise; not one of logistic noise, nor a teacher, whose amplitudes are no latents."""
    student, teacher = pair("normal", "normal")
    for flow, words in ((student, "sounds have mean"), (teacher, ""), (pair("normal", "logistic")[0], "")):
        texts = [finding.text for finding in pf.doctor.diagnose(flow, Rows(torch.randint(32, (9, 1, T)))).findings]
        assert any(words in text for text in texts) and (words or not any("latents" in text for text in texts))


@pytest.mark.parametrize("levels", [16, 4096, 65536])
def test_a_scale_may_be_as_fine_as_a_level(levels):
    """Of normals and of mixtures: a bin of sixteen bits is no hundredth of the narrowest of them."""
    for level in LEVELS:
        bound = wavenet((1, T), levels=levels, level=level, width=4, depth=1, skip=4).base.likelihood.bound
        assert math.exp(-bound) < 2 / levels


@pytest.mark.parametrize(
    ("student", "teacher", "words"),
    [
        (parallel_wavenet((1, 8)), wavenet((1, 9)), r"teacher's shape \(1, 9\), got \(1, 8\)"),
        (parallel_wavenet((1, 8), context=2), wavenet((1, 8), level="normal"), r"context None, got \(2,\)"),
        (parallel_wavenet((1, 8)), wavenet((1, 8)), "untied logistics or of normals.*got Categorical"),
        (parallel_wavenet((2, 8)), wavenet((2, 8), level="mixture"), "untied logistics"),
        (parallel_wavenet((1, 8)), parallel_wavenet((1, 8)), "untied logistics or of normals.*got Normal"),
        (parallel_wavenet((1, 8)), Flow(wavenet((1, 8), level="normal").base), "behind 2 layers, got 0"),
        (wavenet((1, 8), level="normal"), wavenet((1, 8), level="normal"), "normal or logistic noise, got Causal"),
        (
            Flow(pf.Normal((1, 8)), *amplitudes(256), Elementwise(Affine(), (1, 1))),
            wavenet((1, 8), level="normal"),
            "inverse affine autoregressive layers, got Elementwise",
        ),
    ],
)
def test_pairs_that_do_not_go(student, teacher, words):
    with pytest.raises(ValueError, match=words):
        SequenceDistillation(student, teacher)


RATE = 400
TINY = ["model.width=6", "model.depth=2", "train.steps=4", "train.every=2"]


@pytest.fixture(scope="module", autouse=True)
def few():
    """Few sounds to judge by."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sound_lesson, "STEPPED", 400)
        patch.setattr(sound_lesson, "DRAWN", 8)
        yield


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    path, random = tmp_path_factory.mktemp("tones"), np.random.default_rng(0)
    for label, frequency in (("high", 90), ("low", 30)):
        (path / label).mkdir()
        for i in range(4):
            wave = 0.4 * np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE) + 0.02 * random.normal(size=RATE)
            soundfile.write(path / label / f"{i}.wav", wave, RATE, subtype="PCM_16")
    return path


def taught(tones, path, *options, **given):
    size = [*TINY, "model.cycles=1", "model.skip=6", "train.batch=8", *options]
    return pf.fit(tones, "wavenet", out=path, window=40, options=size, report=False, progress=False, **given)


@pytest.fixture(scope="module")
def teacher(tones, tmp_path_factory):
    """Of normals, given labels, at sixteen bits."""
    return taught(tones, tmp_path_factory.mktemp("runs") / "teacher", "model.level=normal", context="label", bits=16)


def test_a_student_from_the_command_line(teacher, tones, tmp_path, capsys):
    """Distil, compare, sample into a file, evaluate, resume; contexts reach it; sixteen bits come back from the files."""
    with pytest.raises(SystemExit) as end:
        main(["distill", str(teacher.path), "--to", "iaf", "--power", "0.1", *TINY, "model.steps=2", "train.batch=8"])
    out, err = capsys.readouterr()
    assert end.value.code == 0, err
    student = pf.load(teacher.path.with_name("teacher-iaf"))
    assert student.config["model"]["name"] == "parallel_wavenet" and student.config["model"]["noise"] == "normal"
    assert student.config["distill"] == {"teacher": str(teacher.path), "rows": 50_000, "power": 0.1}
    for words in ("One second of sound", "student is faster by", "KL divergence from student to teacher", "nats per sample", "sample"):
        assert words in out
    assert "in closed form, and from the power spectra" in err
    found = results(student)["distillation"]
    assert found["milliseconds"]["teacher"] > found["milliseconds"]["student"] > 0
    assert found["kl"]["per_second"] == pytest.approx(RATE * found["kl"]["per_sample"]) and found["kl"]["per_sample_stderr"] > 0
    assert found["kl"]["per_sample"] == pytest.approx(found["kl"]["mean"] / 40)
    page = (student.path / "report.html").read_text()
    assert "Beside the teacher" in page and "nats per sample" in page
    assert [score["name"] for score in results(student)["scores"]] == ["parallel_wavenet", "wavenet (the teacher)"]
    levels = pf.sample(student, 2, tmp_path / "x.wav", context={"label": ["low", "high"]}, seed=1)
    assert levels.shape == (4, 1, 40) and soundfile.read(tmp_path / "x.wav")[1] == RATE
    assert not np.array_equal(levels, pf.sample(student, 2, context={"label": ["low", "high"]}, temperature=0.5, seed=1))
    assert math.isfinite(pf.score(student, tones).bits_per_dim)


def test_a_student_of_logistics(tones, tmp_path):
    teacher = taught(tones, tmp_path / "teacher", "model.level=mixture", "model.components=2")
    student = pf.distill(teacher, out=tmp_path / "student", options=TINY, report=False, progress=False)
    assert student.config["model"]["noise"] == "logistic" and pf.sample(student, 3).shape == (3, 1, 40)
    again = pf.distill(teacher, out=tmp_path / "student", options=["train.steps=6"], resume=True, report=False, progress=False)
    assert max(record["step"] for record in again.metrics()) == 6
    with pytest.raises(ValueError, match="samples in a few passes itself; distil a wavenet"):
        pf.distill(student)


def test_teachers_and_students_that_do_not_go(teacher, tones, tmp_path, capsys):
    other = taught(tones, tmp_path / "categorical")
    for arguments, words in (
        ([other.path], "fit a teacher with model.level=mixture or model.level=normal"),
        ([teacher.path, "--to", "real_nvp"], "expected iaf as the student of sounds"),
        ([teacher.path, "model.widht=3"], "model.width"),
    ):
        with pytest.raises(SystemExit) as end:
            main(["distill", *map(str, arguments), "-o", str(tmp_path / "student"), "--quiet"])
        error = capsys.readouterr().err
        assert end.value.code == 2 and words in error and error.count("\n") == 1, error
    with pytest.raises(ValueError, match="kl is about rows"):
        pf.distill(teacher, kl=1.0)
    with pytest.raises(ValueError, match="weight of the power spectra of 0 or more, got inf"):
        pf.distill(teacher, power=math.inf)


A, B, DEVIATION = 1.5, -0.8, 0.05  # x_t = A x_{t-1} + B x_{t-2} + noise


class Linear(CausalNet):
    """Parameters of the normals of an AR(2) process that begins in silence."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor([A, B]))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        past = torch.nn.functional.pad(x, (2, 0))
        mean = self.weights[0] * past[:, :, 1:-1] + self.weights[1] * past[:, :, :-2]
        bound = 1 + math.log(256)
        return torch.cat([mean, torch.full_like(mean, bound * math.atanh(math.log(DEVIATION) / bound))], 1)


@pytest.mark.slow
def test_a_process_that_is_known():
    """Within 0.005 nats a sample of an AR(2) process, which independent samples of its deviation would miss by 1.1."""
    torch.manual_seed(0)
    length = 200
    teacher = Flow(Causal(Normal(1 + math.log(256)), Linear(), (1, length)), *amplitudes(256))
    student = parallel_wavenet((1, length), steps=2, width=16, depth=5)
    objective = SequenceDistillation(student, teacher)
    with torch.no_grad():
        student.transform.transforms[2].log_scale.fill_(-math.log(3 * DEVIATION))
        start = float(objective.divergence(200).mean()) / length
    optimizer = torch.optim.Adam(student.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=600)
    for _ in range(600):
        loss = objective(torch.zeros(16, 1, length))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 10.0)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        found = objective.divergence(200).double() / length
    assert start > 0.5 and -1e-6 < float(found.mean()) < 0.005, (start, float(found.mean()))
