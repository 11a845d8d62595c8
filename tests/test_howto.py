"""Pages that train, trained for a moment: those for a table, images and a simulator from top to bottom, and the blocks of all others."""

from __future__ import annotations

import io
import re
import shlex
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits, load_wine
from torch import Tensor, nn

import pushforward as pf
from pushforward.cli import main

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SMALL = {"glow": ["model.steps=1", "model.width=8"], "pixel_cnn": ["model.width=8", "model.depth=1"]}

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


def words(line: str) -> list[str]:
    """Of a command, with little to train."""
    given = shlex.split(line, comments=True)[1:]
    if given[0] == "fit":
        name = given[given.index("--model") + 1] if "--model" in given else ""
        given += ["train.steps=3", *SMALL.get(name, [])]
    return given


@pytest.mark.parametrize("name", ["your_table", "your_images", "your_simulator"])
def test_a_page_runs_from_top_to_bottom(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    seen = 0
    for language, body in FENCE.findall((ROOT / "docs" / f"{name}.md").read_text()):
        if language == "python":
            exec(compile(body, name, "exec"), {})
            continue
        for line in body.splitlines():
            if not line.startswith("pushforward") or "cifar10" in line:  # of the Hub
                continue
            with pytest.raises(SystemExit) as ended:
                main(words(line))
            assert ended.value.code == 0, f"{line}\n{capsys.readouterr().err}"
            seen += 1
    assert seen >= 3


PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
LONG = [
    pytest.param(page.stem, body, id=f"{page.stem}-{i}")
    for page in PAGES
    for i, (language, body) in enumerate(FENCE.findall(page.read_text()))
    if language == "python" and not body.startswith(("# run", "# then"))  # which test_docs.py runs
]


def images(path: Path) -> None:
    """Two hundred digits as the Hub lays them out, 28 x 28, and a few as files."""
    digits = load_digits()
    rows = []
    for pixels, label in zip(digits.images[:200], digits.target[:200]):
        image = Image.fromarray(np.pad(np.kron(pixels * 15, np.ones((3, 3))), 2).astype(np.uint8))
        file = io.BytesIO()
        image.save(file, "png")
        rows.append({"image": {"bytes": file.getvalue(), "path": None}, "label": int(label)})
        if len(rows) <= 5:
            image.save(path / f"{len(rows)}.png")
    pq.write_table(pa.Table.from_pylist(rows), "mnist/train.parquet")
    pq.write_table(pa.Table.from_pylist(rows[:50]), "mnist/test.parquet")


@pytest.mark.parametrize(("page", "code"), LONG)
def test_blocks_that_train(page, code, tmp_path, monkeypatch):
    """Whatever time they give to it, with what the page speaks of at hand."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names = {"torch": torch, "nn": nn, "Tensor": Tensor}
    if page == "README":
        names |= {"x": torch.randn(5, 2), "contexts": torch.randn(4, 3), "X": load_wine().data}
        names |= {"log_prob": lambda x: -x.square().sum(1), "theirs": pytest.importorskip("zuko").flows.MAF(2)}
    if page in ("images", "latent"):
        Path("mnist").mkdir()
        Path("photos").mkdir()
        images(Path("photos"))
    if page == "latent":
        pf.fit("mnist/train.parquet", preset="glow_mnist_small", out="runs/mnist-glow", time_limit=2, report=False, progress=False)
    code = re.sub(r"time_limit=\d+", "time_limit=2, report=False", code)
    exec(compile(code, page, "exec"), names)
