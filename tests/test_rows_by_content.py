"""A run knows its rows by what they hold: files may grow, lose rows or be shuffled."""

from pathlib import Path

import numpy as np
import pytest
import torch

import pushforward as pf
from pushforward.data import Rows
from pushforward.data.contents import fingerprints, whereabouts
from pushforward.verbs.runs import data_of

OPTIONS = ["model.steps=1", "model.width=4", "model.depth=1", "train.steps=3"]


@pytest.fixture(scope="module")
def lines() -> list[str]:
    generator = np.random.default_rng(0)
    return [f"{a:.6f},{int(3 * b)},{'uv'[i % 2]}" for i, (a, b) in enumerate(generator.normal(size=(300, 2)))]


@pytest.fixture(scope="module")
def run(lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> pf.Run:
    folder = tmp_path_factory.mktemp("rows")
    return pf.fit(write(folder / "d.csv", lines), "nsf", out=folder / "run", context="c", options=OPTIONS, report=False, progress=False)


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("a,k,c\n" + "\n".join(lines) + "\n")
    return path


def test_rows_keep_their_split_when_the_file_changes(run, lines):
    """Appended, shuffled: the figures of `evaluate RUN` stay; rows that are gone are counted; other rows are refused."""
    path = Path(run.config["data"]["source"])
    before, score = data_of(run), pf.evaluate(run).nats
    new = ["5.5,2,u"] * 40
    shuffled = [lines[i] for i in np.random.default_rng(1).permutation(len(lines))]
    for changed in ([*lines, *new], [*new, *shuffled]):
        write(path, changed)
        again = data_of(run)
        for split in ("train", "valid", "test"):
            a, b = getattr(before, split), getattr(again, split)
            assert torch.equal(a.x, b.x) and torch.equal(a.context, b.context)
        assert pf.evaluate(run).nats == score
        assert "d.csv has changed since the fit: 40 new rows are left out." in again.notes
    write(path, lines[:150])
    fewer = data_of(run)
    assert 0 < len(fewer.test) < 30 and "test rows are gone" in fewer.notes[-1]
    write(path, new)
    with pytest.raises(ValueError, match=r"the rows that it was fitted to are no longer in d\.csv"):
        pf.evaluate(run)
    write(path, lines)
    (run.path / "rows.safetensors").write_bytes(b"half")
    with pytest.raises(ValueError, match="truncated or not a list of rows"):
        pf.evaluate(run)
    (run.path / "rows.safetensors").unlink()
    assert pf.evaluate(run).nats == score, "runs from before know their rows by place"


def test_resumed_on_a_file_that_grew(lines, tmp_path):
    """It ends with the weights of the run whose file stayed as it was."""
    weights = []
    for name, more in (("same", []), ("grown", ["0.5,1,v"] * 25)):
        path = write(tmp_path / f"{name}.csv", lines)
        kept = {"out": tmp_path / name, "context": "c", "report": False, "progress": False}
        pf.fit(path, "nsf", options=OPTIONS, **kept)
        write(path, [*lines, *more])
        weights.append(pf.fit(path, "nsf", options=[*OPTIONS[:3], "train.steps=6"], resume=True, **kept).flow.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(weights[0].values(), weights[1].values()))


def test_repeated_rows_are_told():
    x = np.random.default_rng(0).normal(size=(60, 2))
    notes = pf.data.load(np.repeat(x, 8, 0)).notes
    assert "Warning: 48 of 48 validation rows and 48 of 48 test rows are training rows as well" in " ".join(notes)
    assert not any("training rows as well" in note for note in pf.data.load(np.random.default_rng(0).normal(size=(480, 2))).notes)


@pytest.mark.parametrize("x", [torch.randn(500, 3).double(), torch.randint(256, (500, 1, 3, 3), dtype=torch.uint8)])
def test_fingerprints(x):
    """Equal for equal rows alone, whatever the order; minus zero is zero."""
    found = fingerprints(Rows(x))
    assert len(set(found.tolist())) == 500 and np.array_equal(fingerprints(Rows(x.flip(0))), found[::-1])
    changed = x.clone()
    changed.view(500, -1)[:, -1] += 1  # modulo 256
    assert (fingerprints(Rows(changed)) != found).all()
    assert fingerprints(Rows(torch.zeros(1, 2))) == fingerprints(Rows(-torch.zeros(1, 2)))
    context = torch.arange(500.0)[:, None]
    assert (fingerprints(Rows(x, context)) != fingerprints(Rows(x, context + 1))).all()


def test_places_are_given_away_once():
    generator = np.random.default_rng(0)
    present, wanted = generator.integers(0, 40, 100).astype(np.uint64), generator.integers(0, 50, 80).astype(np.uint64)
    at = whereabouts(wanted, present)
    given = at[at >= 0]
    assert len(set(given.tolist())) == len(given) and (present[given] == wanted[at >= 0]).all()
    for value in range(50):
        assert (at[wanted == value] >= 0).sum() == min((wanted == value).sum(), (present == value).sum())
    assert (whereabouts(wanted, present[:0]) == -1).all()
