"""A small model of images from the first step to the report, by the verbs and by the command line."""

from __future__ import annotations

import json
import math
import signal

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from pushforward import verbs
from pushforward.baselines import files, no_files
from pushforward.cli import main
from pushforward.cli.values import image_size
from pushforward.data import ImageSchema, Rows, load, load_images
from pushforward.doctor import diagnose
from pushforward.evaluation import evaluate, log_likelihood, verdict
from pushforward.models.build import build
from pushforward.plots import learning_curves
from pushforward.subjects.watching import TrainingSheets, training_sheets
from pushforward.training import Run
from pushforward.training import fit as train
from pushforward.training.batches import RowBatches, RowValidation, valid_rows
from pushforward.training.processes import Processes

TINY = ["model.scales=1", "model.steps=1", "model.width=4"]
QUICK = [*TINY, "train.steps=20", "train.batch=32", "train.every=5"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A glow of a few hundred weights, fitted to digits given their labels."""
    return verbs.fit("digits", "glow", options=QUICK, context=["label"], out=tmp_path_factory.mktemp("fit") / "run", progress=False)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Digits as files, two of each, in folders of their labels, with levels as bytes."""
    folder = tmp_path_factory.mktemp("zoo")
    data = load_images("digits", context=["label"])
    for i in range(20):
        label = int(data.test.context[i, 0])
        (folder / str(label)).mkdir(exist_ok=True)
        Image.fromarray(data.test.x[i, 0].numpy()).save(folder / str(label) / f"{i:02d}.png")
    return folder


def small(context: int = 0):
    """A flow of 8 x 8 images with 17 levels that has not been fitted."""
    data = load_images("digits", context=["label"] if context else None)
    torch.manual_seed(0)
    return build({"model": {"name": "glow", "scales": 1, "steps": 1, "width": 4}}, data.schema), data


def test_what_a_fit_leaves(run):
    found = verbs.results(run)
    model, *others = found["scores"]
    assert model["words"] == "lower bound, K=1 sample; uniform dequantization" and model["rows"] == 180
    assert model["bits_per_dim"] == pytest.approx(-model["nats"] / (64 * math.log(2))) and model["bits_stderr"] > 0
    assert not others and "nothing to compare with: files of images of 64 numbers are mostly headers." in found["verdict"]
    assert found["c2st"] is None and "bits per dim" in found["verdict"] and len(found["quantiles"]) == 1001
    again = Run.load(run.path)
    assert isinstance(again.schema, ImageSchema) and again.schema == run.schema and again.config == run.config
    assert again.config["data"] == {"source": "digits", "name": "digits", "context": ["label"], "seed": 0, "gray": False}
    assert [record["step"] for record in run.metrics()] == [0, 5, 10, 15, 20]


def test_the_report(run):
    page = (run.path / "report.html").read_text()
    for words in ("bits per dim", "mostly headers", "Samples over time", "Most and least likely", "Images", "17 levels", "samples.png"):
        assert words in page, words
    names = {path.name for path in (run.path / "figures").glob("*.png")}
    assert names >= {"learning.png", "images.png", "extremes.png", "progress.png", "likelihoods.png"}


def test_sheets_over_time(run):
    steps = [step for step, _ in training_sheets(run.path / "figures" / "training")]
    assert steps[0] == 0 and steps[-1] == 20 and len(steps) <= 6
    first, last = (np.asarray(Image.open(path)) for _, path in (training_sheets(run.path / "figures" / "training")[i] for i in (0, -1)))
    assert first.shape == last.shape and not np.array_equal(first, last)


def test_watching_leaves_random_numbers_alone(tmp_path):
    flow, data = small()
    watch, state = TrainingSheets(tmp_path / "new", data.schema, data.valid), torch.get_rng_state()
    watch(flow, 0, 0.0)
    watch(flow, 7, 0.01)
    watch(flow, 9, 0.3)
    assert [step for step, _ in training_sheets(tmp_path / "new")] == [0, 9] and torch.equal(state, torch.get_rng_state())


def test_evaluate_again(run, zoo):
    score = verbs.evaluate(run)
    assert score.nats == pytest.approx(verbs.results(run)["scores"][0]["nats"], abs=1e-6)
    tighter = verbs.evaluate(run, samples=8)
    assert tighter.nats > score.nats and tighter.words() == "lower bound, K=8 samples; uniform dequantization"
    assert verbs.evaluate(run, zoo).rows == 20


def test_score_a_folder(run, zoo, tmp_path):
    scored = verbs.score(run, zoo, tmp_path / "scored.parquet")
    table = pq.read_table(tmp_path / "scored.parquet")
    assert table.column_names == ["image", "label", "log_likelihood", "bits_per_dim", "percentile", "unusual"]
    assert scored.rows == table.num_rows == 20 and scored.figure == tmp_path / "scored.png" and scored.figure.is_file()
    rows = table.to_pylist()
    assert all(row["image"].startswith(row["label"] + "/") for row in rows)
    assert all(row["bits_per_dim"] == pytest.approx(-row["log_likelihood"] / (64 * math.log(2))) for row in rows)
    assert scored.nats == pytest.approx(np.mean([row["log_likelihood"] for row in rows]))
    other = verbs.score(run, "digits", figure=tmp_path / "odd.png")
    assert other.table["image"].to_pylist()[:3] == [0, 1, 2] and other.table.num_rows == 1797 and (tmp_path / "odd.png").is_file()
    with pytest.raises(ValueError, match=r"ends in \.png"):
        verbs.score(run, zoo, figure=tmp_path / "odd.pdf")


def test_the_command_line(zoo, tmp_path, capsys):
    def cli(*arguments: str) -> str:
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        out = capsys.readouterr()
        assert stop.value.code == 0, out.err
        return out.out

    flags = ("--no-report", "--size", "4x6", "--crop", "none", "--gray", "--bits", "4", "--context", "label", "--seed", "1")
    found = json.loads(cli("fit", zoo.parent / zoo.name, "--model", "glow", "-o", tmp_path / "run", *flags, "--json", "-q", *QUICK))
    run = Run.load(tmp_path / "run")
    assert run.schema.shape == (1, 4, 6) and run.schema.levels == 16 and found["scores"][0]["name"] == "glow"
    assert run.config["data"]["size"] == [4, 6] and run.config["data"]["bits"] == 4
    text = cli("score", tmp_path / "run", zoo, "-o", tmp_path / "s.csv")
    assert "20 rows" in text and str(tmp_path / "s.png") in text
    assert "lower bound" in cli("evaluate", tmp_path / "run") and "images: " in cli("doctor", tmp_path / "run")


def test_resume_gives_the_same_weights(tmp_path):
    """Stopped by a signal amid mirrored images, and gone on with: the same to the bit, and the same sheets."""
    recipe = {"name": "glow", "scales": 1, "steps": 1, "width": 4}

    def fitted(name: str, stop: bool = False, resume: bool = False):
        flow, data = small()
        at = Run.load(tmp_path / name) if resume else Run.create(tmp_path / name, {"model": recipe}, data.schema)
        watch = TrainingSheets(at.path / "sheets", data.schema, data.valid)

        def watching(flow, step, done):
            watch(flow, step, done)
            if stop and step == 5:
                signal.raise_signal(signal.SIGTERM)

        options = {"steps": 12, "batch": 32, "every": 5, "flip": True, "progress": False, "watch": watching}
        return train(flow, data.train, data.valid, run=at, resume=resume, **options).stopped, flow, training_sheets(at.path / "sheets")

    _, straight, drawn = fitted("straight")
    assert fitted("halves", stop=True)[0] == "interrupted"
    stopped, resumed, redrawn = fitted("halves", resume=True)
    assert stopped == "steps" and all(torch.equal(a, b) for a, b in zip(straight.state_dict().values(), resumed.state_dict().values()))
    assert [(step, path.read_bytes()) for step, path in drawn] == [(step, path.read_bytes()) for step, path in redrawn]


def test_flips():
    x = torch.arange(2 * 3 * 4, dtype=torch.uint8).reshape(1, 2, 3, 4).repeat(400, 1, 1, 1)
    batches = RowBatches(Rows(x), 400, 0, Processes(), torch.float32, flip=True)
    found, again = batches(3)[0], batches(3)[0]
    mirrored = (found == x.flip(-1).float()).flatten(1).all(1)
    assert found.dtype == torch.float32 and torch.equal(found, again) and not torch.equal(found, batches(4)[0])
    assert 150 < mirrored.sum() < 250 and torch.equal(found[~mirrored], x[~mirrored].float())
    with pytest.raises(ValueError, match=r"leave train\.flip out"):
        RowBatches(Rows(torch.zeros(9, 3)), 4, 0, Processes(), flip=True)


def test_validation_is_limited_by_numbers():
    assert valid_rows(4) == 50_000 and valid_rows(784) == 1_337 and valid_rows(3072) == 1_000 and valid_rows(10**6) == 1_000
    assert valid_rows(90, dear=True) == 2_912 and valid_rows(2 * 784, dear=True) == 300
    seen = []

    class Mean(torch.nn.Module):
        def forward(self, x, context, weight):
            seen.append(x)
            return x.mean()

    validate = RowValidation(Rows(torch.ones(1_200, 3, 64, 64, dtype=torch.uint8)), 0, Processes())
    assert validate(Mean()) == {"valid": 1.0} and sum(map(len, seen)) == 1_000 and max(x.numel() for x in seen) <= 2**18
    assert all(x.dtype == torch.float32 for x in seen)


def test_many_samples_in_bounded_memory(monkeypatch):
    """Twelve samples in parts of 5, 5 and 2: their log-mean-exps are weighted by these numbers."""
    flow, data = small()
    most = []

    def standing_in(self, x, context=None, samples=1):
        most.append(x.numel() * samples)
        return torch.full((len(x),), float(samples))

    monkeypatch.setattr("pushforward.evaluation.likelihood.AT_ONCE", 5 * 64)
    monkeypatch.setattr(type(flow), "log_prob", standing_in)
    parts = log_likelihood(flow, data.test.pick(slice(0, 4)), samples=12)
    assert max(most) <= 5 * 64 and parts.shape == (4,)
    assert parts[0].item() == pytest.approx(math.log((10 * math.exp(5) + 2 * math.exp(2)) / 12))
    assert log_likelihood(flow, data.test.pick(slice(0, 4))).tolist() == [1.0] * 4


def test_files_are_what_pillow_writes():
    data = load_images(np.zeros((40, 16, 16), np.uint8) + np.arange(40, dtype=np.uint8)[:, None, None])
    by_name = {score.name: score for score in files(data.test, data.schema)}
    assert by_name["PNG"].words() == "bits of the file, lossless" and by_name["PNG"].kind == "code"
    assert by_name["PNG"].bits_per_dim == pytest.approx(-by_name["PNG"].per_row.mean() / (256 * math.log(2)))
    assert 8 * 60 < -by_name["PNG"].nats / math.log(2) < 8 * 120, "a flat image is little more than headers"
    five = load_images(np.zeros((40, 16, 16), np.uint8), bits=5)
    assert "32 levels stored as bytes" in files(five.test, five.schema)[0].words()
    two = load_images(np.zeros((40, 2, 16, 16), np.uint8))
    assert files(two.test, two.schema) == []


def test_the_verdict_on_images(monkeypatch):
    flow, data = small()
    assert files(data.test, data.schema) == [] and "mostly headers" in no_files(data.schema)
    monkeypatch.setattr("pushforward.baselines.SMALL_IMAGE", 0)
    score, *others = [evaluate(flow, data.test, schema=data.schema, name="glow"), *files(data.test, data.schema)]
    assert "less than the smallest files (WebP)" in verdict([score, *others])
    assert verdict([others[1], others[0]]).startswith("A file format wins: WebP")


def test_the_doctor_looks_at_a_few_images():
    flow, data = small(context=1)
    with torch.no_grad():
        flow.initialize(data.train.x[:64].float(), data.train.context[:64])
    report = diagnose(flow, data.test, data.schema)
    assert report.rows == 180 and report.healthy and report.latent == {} and any("images: 180" in f.text for f in report.findings)
    assert report.round_trip == 0.0


def test_wrong_combinations(tmp_path):
    x = np.zeros((30, 8, 8), np.uint8)
    with pytest.raises(ValueError, match=r"nsf is a model of tables, and ndarray holds images; choose one of .*glow"):
        verbs.fit(x, "nsf", progress=False)
    with pytest.raises(ValueError, match="no source of images"):
        verbs.fit("moons", "glow", progress=False)
    with pytest.raises(ValueError, match="kinds is about tables, and these are images"):
        verbs.fit(x, "glow", kinds={"a": "real"}, progress=False)
    with pytest.raises(ValueError, match="bits is about images, and this is a table"):
        verbs.fit("moons", "nsf", bits=5, progress=False)
    with pytest.raises(ValueError, match="glow is not a model of rows of 2 columns"):
        build({"model": {"name": "glow"}}, load("moons").schema)
    with pytest.raises(ValueError, match="pixels, as 32"):
        image_size("32y")
    assert image_size("32") == 32 and image_size("3x4") == (3, 4) and image_size(None) is None


def test_recommended_for_images():
    model, preset, why = verbs.recommend(load_images("digits"))
    assert (model is None) != (preset is None) and "1 x 8 x 8" in why


def test_curves_speak_of_bits():
    metrics = [{"step": i, "loss": 64 * math.log(2) * (2 + 1 / i), "valid": 64 * math.log(2) * 2.5} for i in range(1, 9)]
    ax = learning_curves(metrics, {"PNG": -64 * math.log(2) * 3.0}, 64).axes[0]
    words = " ".join(text.get_text() for text in ax.texts)
    assert "bits per dimension" in ax.get_ylabel() and "PNG  3.000" in words and "training  2.125" in words and "best  2.500" in words
