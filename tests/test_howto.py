"""The pages for somebody with a table, images or a simulator, from top to bottom: their python and their commands, trained for a moment."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch

from pushforward.cli import main

DOCS = Path(__file__).parent.parent / "docs"
FENCE = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SMALL = {"glow": ["model.steps=1", "model.width=8"], "pixel_cnn": ["model.width=8", "model.depth=1"]}

pytestmark = pytest.mark.slow


def words(line: str) -> list[str]:
    """Of a command, with little to train."""
    given = shlex.split(line, comments=True)[1:]
    if given[0] == "fit":
        name = given[given.index("--model") + 1] if "--model" in given else ""
        given += ["train.steps=3", *SMALL.get(name, [])]
    return given


@pytest.mark.parametrize("name", ["your_table", "your_images", "your_simulator"])
@pytest.mark.filterwarnings("default")
def test_a_page_runs_from_top_to_bottom(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    seen = 0
    for language, body in FENCE.findall((DOCS / f"{name}.md").read_text()):
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
