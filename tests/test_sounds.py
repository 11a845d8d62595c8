"""Sounds: levels, windows, splits, labels; a run of them from fit to files; what is refused in one sentence."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
from PIL import Image

import pushforward as pf
from pushforward.cli import main
from pushforward.data import DataError, SoundSchema, is_sounds, load_sounds, read_sounds, schema_from_json
from pushforward.plots.sound_pictures import spectrogram
from pushforward.subjects.sound_baselines import sound_baselines

RATE = 4000
TINY = ["model.width=8", "model.depth=3", "model.cycles=1", "model.skip=8", "train.steps=3", "train.batch=8"]


def tone(frequency: float, seconds: float, seed: int = 0) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return 0.4 * np.sin(2 * np.pi * frequency * time) + 0.02 * np.random.default_rng(seed).normal(size=len(time))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tones")
    for label, frequency in (("high", 900), ("low", 300)):
        (path / label).mkdir()
        for i in range(6):
            soundfile.write(path / label / f"{label}{i}.wav", tone(frequency, 0.5, i), RATE, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    return pf.fit(folder, "wavenet", out=path, context="label", window=100, options=TINY, progress=False)


@pytest.mark.parametrize("companding", ["mu-law", "linear"])
@pytest.mark.parametrize("levels", [2, 16, 256, 65536])
def test_levels_come_back(companding, levels):
    """Every level is the level of its amplitude; levels rise with amplitudes; 16 bits linear are the file's own numbers."""
    schema = SoundSchema(8, RATE, levels, companding)
    every = np.arange(levels)
    amplitudes = schema.to_amplitudes(every)
    assert (schema.to_levels(amplitudes) == every).all() and (np.diff(amplitudes) > 0).all()
    assert schema.to_levels(np.array([-2.0, -1.0, 1.0, 2.0])).tolist() == [0, 0, levels - 1, levels - 1]
    if (companding, levels) == ("linear", 65536):
        assert (schema.to_levels(np.arange(-32768, 32768) / 32768) == every).all()


def test_mu_law_is_that_of_g711():
    """Quiet amplitudes have finer steps: 1 / (2 log 256) of a full linear step's size near 0."""
    schema = SoundSchema(8, RATE)
    amplitudes = schema.to_amplitudes(np.arange(256))
    assert np.isclose(np.diff(amplitudes)[127], 2 * np.expm1(np.log(256) / 256) / 255)


def test_windows_stay_in_order(folder):
    one = load_sounds(folder / "low" / "low0.wav", window=50)
    assert (len(one.train), len(one.valid), len(one.test)) == (32, 4, 4)
    whole = np.concatenate([part.x.numpy().ravel() for part in (one.train, one.valid, one.test)])
    samples, _ = soundfile.read(folder / "low" / "low0.wav")
    assert (whole == one.schema.to_levels(samples)).all()
    again = schema_from_json(json.loads(json.dumps(one.schema.to_json())))
    assert again == one.schema
    assert load_sounds(folder / "low", valid=folder / "high", window=50).valid.x.shape == (240, 1, 50)


def test_labels_are_folders(folder):
    data = load_sounds(folder, context=["label", "file"], window=100)
    words = data.schema.decode_context(data.train.context).to_pylist()
    assert {row["label"] for row in words} == {"high", "low"} and all(row["file"].startswith(row["label"]) for row in words)
    assert any("Labels that are not used: label, file" in note for note in load_sounds(folder, window=100).notes)


def test_is_sounds(folder, tmp_path):
    assert is_sounds(folder) and is_sounds([folder / "low" / "low0.wav"]) and is_sounds("lost.flac")
    assert not is_sounds(tmp_path) and not is_sounds("moons") and not is_sounds(np.zeros(3)) and not is_sounds([])


def test_baselines_know_a_tone(folder):
    """Both predict a sine far better than the 8 bits of its levels."""
    data = load_sounds(folder, window=500)
    scores = {score.name.split()[0]: score for score in sound_baselines(data, data.schema)}
    assert set(scores) == {"FLAC", "linear"}
    assert scores["linear"].bits_per_dim < 6.5 and scores["FLAC"].bits_per_dim < 8


def test_spectrogram_peaks_at_the_tone():
    found = spectrogram(np.sin(2 * np.pi * 500 * np.arange(4000) / RATE))
    assert abs(found.mean(1).argmax() * RATE / 256 - 500) < RATE / 256 and abs(found.max()) < 1


def test_a_run_from_fit_to_files(run, folder, tmp_path):
    assert {"sounds.png", "bits.png", "likelihoods.png", "scores.png"} <= {path.name for path in (run.path / "figures").iterdir()}
    assert pf.load(run.path).schema == run.schema and pf.evaluate(run).kind == "exact" and pf.diagnose(run).healthy
    levels = pf.sample(run, 2, tmp_path / "x.wav", context={"label": ["low", "high"]}, seed=1)
    assert levels.shape == (4, 1, 100)
    written, rate = soundfile.read(tmp_path / "x.wav")
    assert rate == RATE and len(written) == 4 * 100 + 3 * 1000
    np.testing.assert_allclose(written[:100], run.schema.to_amplitudes(levels[0, 0]), atol=1 / 32768)
    for name in ("x.flac", "x.npy", "folder"):
        pf.sample(run, 1, tmp_path / name, context={"label": "low"}, seed=1)
    same, _ = soundfile.read(tmp_path / "folder" / "000.wav")
    for found in (soundfile.read(tmp_path / "x.flac")[0], run.schema.to_amplitudes(np.load(tmp_path / "x.npy"))[0, 0]):
        np.testing.assert_allclose(found, same, atol=1 / 32768)
    scored = pf.score(run, folder, tmp_path / "scored.parquet")
    assert scored.rows == 240 and scored.bits_per_dim > 0
    with Image.open(scored.figure) as picture:
        assert picture.width > 500


def test_a_scored_row_says_where_it_was(run, folder):
    assert pf.score(run, folder).table["seconds"].to_pylist()[:3] == [0.0, 0.025, 0.05]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table beside a folder of its files: a word, a whole and a real number of each."""
    path = tmp_path_factory.mktemp("table")
    rows = ["path,voice,take,pitch,words"]
    (path / "takes").mkdir()
    for i in range(6):
        voice, pitch = ("anna", 300.5) if i % 2 else ("ben", 500.25)
        soundfile.write(path / "takes" / f"{i}.flac", tone(pitch, 0.1 + 0.05 * i, i), RATE, subtype="PCM_16")
        rows.append(f"takes/{i}.flac,{voice},{i // 2},{pitch},hello")
    (path / "table.csv").write_text("\n".join(rows) + "\n")
    return path / "table.csv"


def test_labels_are_columns_of_a_table(table):
    """Each window has those of its file, whichever way the files are shuffled and however many windows they have."""
    data = load_sounds(table, sound="path", context=["voice", "take", "pitch"], window=100)
    parts = (data.train, data.valid, data.test)
    words = [row for part in parts for row in data.schema.decode_context(part.context).to_pylist()]
    assert len(words) == sum(4 + 2 * i for i in range(6)) and {type(row["pitch"]) for row in words} == {float}
    assert all((row["voice"] == "anna") == (row["pitch"] == 300.5) for row in words)
    again = schema_from_json(json.loads(json.dumps(data.schema.to_json())))
    assert again == data.schema and again.paths == "path"
    levels = read_sounds(table, data.schema)
    assert levels.labels["take"].to_pylist() == [i // 2 for i in range(6) for _ in range(4 + 2 * i)]
    assert any("Labels that are not used: words" in note for note in data.notes)


def test_a_run_given_columns_of_a_table(table, tmp_path, capsys):
    """From the command line: fit, sample at values, score another table of such sounds."""
    run = str(tmp_path / "run")
    given = ["--sound", "path", "--context", "voice,pitch", "--window", "50", "--no-report", "--quiet"]
    for arguments in (
        ["fit", str(table), "-o", run, *given, "--model", "wavenet", *TINY],
        ["sample", run, "--context", "voice=anna", "--context", "pitch=400.5", "-o", str(tmp_path / "x.wav")],
        ["score", run, str(table), "-o", str(tmp_path / "scored.csv")],
        ["evaluate", run],
    ):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 0, capsys.readouterr().err
    assert '"path","voice","take","pitch","words","seconds"' in (tmp_path / "scored.csv").read_text()


def write(path, values, rate=RATE):
    soundfile.write(path, values, rate)
    return path


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda p: write(p / "two.wav", np.zeros((4000, 2))), "2 channels"),
        (
            lambda p: [write(p / "a.wav", tone(300, 1)), write(p / "b.wav", tone(300, 1), 8000)],
            "8,000 samples .*, but a.wav has 4,000",
        ),
        (lambda p: p / "lost.wav", "no such file"),
        (lambda p: (p / "broken.wav").write_bytes(b"RIFF") and p / "broken.wav", "can't be read as sound"),
        (lambda p: write(p / "short.wav", tone(300, 0.01)), "too few"),
    ],
)
def test_refuses_files(make, words, tmp_path):
    with pytest.raises(DataError, match=words):
        load_sounds(make(tmp_path), window=20 if words == "too few" else None)


@pytest.mark.parametrize(
    "cells, column, words",
    [
        (["path", "a.wav", "lost.wav"], "path", "'path' names .*lost.wav in row 1 .*which is not there"),
        (["path", "a.wav"], "paths", "no column 'paths'.*'path'"),
        (["path,n", "a.wav,3", ",4"], "path", "paths of sound files in 'path', got 1 empty cells"),
        (["path,n", "a.wav,3"], "n", "paths of sound files in 'n', got 1 cells of int64"),
    ],
)
def test_refuses_tables(cells, column, words, tmp_path):
    write(tmp_path / "a.wav", tone(300, 1))
    (tmp_path / "table.csv").write_text("\n".join(cells) + "\n")
    with pytest.raises(DataError, match=words):
        load_sounds(tmp_path / "table.csv", sound=column)


def test_refuses_another_rate_and_short_sounds(run, tmp_path):
    with pytest.raises(DataError, match="8,000 samples a second, but the run's is 4,000"):
        read_sounds(write(tmp_path / "fast.wav", tone(300, 1), 8000), run.schema)
    with pytest.raises(DataError, match="shorter than a window of 100"):
        read_sounds(write(tmp_path / "brief.wav", tone(300, 0.01)), run.schema)


REFUSED = [
    (["fit", "TONES", "--model", "glow"], "glow is a model of images"),
    (["fit", "digits", "--model", "wavenet"], "wavenet is a model of sounds"),
    (["fit", "TONES", "--window", "9999999"], "expected a window of 2 to 2,000"),
    (["fit", "TONES", "--context", "speaker"], "there is no label 'speaker'"),
    (["fit", "TONES", "--sound", "path"], "names a column of a table"),
    (["fit", "moons", "--sound", "path"], "can't read moons"),
    (["fit", "TONES", "--model", "parallel_wavenet"], "learns from a teacher, not from data"),
    (["fit", "TONES", "--gray"], "gray is about images, and these are sounds"),
    (["fit", "moons", "--window", "3"], "window is about sounds, and this is a table"),
    (["sample", "RUN", "-n", "1"], "sounds need a place to go"),
    (["sample", "RUN", "-n", "1", "-o", "x.mp3"], "can't write sounds to x.mp3"),
    (["sample", "RUN", "-o", "x.wav"], "needs a context for label"),
    (["sample", "RUN", "-o", "x.wav", "--context", "label=middle"], "middle"),
    (["sample", "RUN", "-o", "x.wav", "--context", "label=low", "--temperature", "0.5"], "no latent"),
    (["interpolate", "RUN", "-o", "x.png"], "sounds"),
]


@pytest.mark.parametrize("arguments, words", REFUSED, ids=[" ".join(a) for a, _ in REFUSED])
def test_refuses_in_one_sentence(run, folder, arguments, words, capsys):
    with pytest.raises(SystemExit) as end:
        main([{"RUN": str(run.path), "TONES": str(folder)}.get(a, a) for a in arguments])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1, error
