"""Promises of the repository itself: one-way imports, short files, a light import."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "pushforward"
FILES = sorted(SOURCE.rglob("*.py"))
LEVELS = [
    ["kernels", "lazy", "signals", "words", "shell", "documents"],
    ["options", "core", "univariate", "likelihoods"],
    ["nets"],
    ["distributions", "transforms"],
    ["models", "data", "objectives", "conversion"],
    [
        "training",
        "evaluation",
        "questions",
        "products",
        "baselines",
        "bulk",
        "latent",
        "doctor",
        "compression",
        "plots",
        "report",
        "presets",
        "subjects",
        "usage",
    ],
    ["verbs", "estimator", "imputer", "adapters"],
    ["app"],
    ["cli"],
    ["__main__"],
]
LEVEL = {room: i for i, rooms in enumerate(LEVELS) for room in rooms}


def imports(path: Path) -> set[str]:
    """The rooms of the package that a file imports when it runs (not those named for the type checker only)."""
    here = path.relative_to(SOURCE).parts
    rooms = set()
    tree = ast.parse(path.read_text())
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    typing_only = {node for block in blocks for node in ast.walk(block)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or node in typing_only:
            continue
        if node.level == 0:
            parts = (node.module or "").split(".")
            if parts[0] != "pushforward":
                continue
            parts = parts[1:]
        else:
            parts = [*here[: len(here) - node.level], *(node.module or "").split(".")]
        parts = [part for part in parts if part]
        rooms |= {parts[0]} if parts else {alias.name for alias in node.names}
    return rooms & set(LEVEL)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_one_way(path):
    room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if room == "__init__":
        return
    assert room in LEVEL, f"{room} is not a room of the design"
    for other in imports(path) - {room}:
        assert LEVEL[other] < LEVEL[room] or (LEVEL[other] == LEVEL[room] >= 5), f"{path.name} imports {other}"
    if room == "transforms":
        assert not imports(path) & {"nets", "distributions"}, "nets and distributions are passed in"


def test_no_circle_stands_between_rooms():
    """Within a level, too, where imports are free else."""
    rooms: dict[str, set[str]] = {}
    for path in FILES:
        room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        rooms.setdefault(room, set()).update(imports(path) - {room})
    graphlib.TopologicalSorter(rooms).prepare()
    rooms["evaluation"].add("report")
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(rooms).prepare()


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_files_are_short_and_introduced(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    assert ast.get_docstring(ast.parse(text)), "a file starts with what it is about"
    assert not any(word in text for word in ("torch.load(", "import pickle", "TODO", "FIXME"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_kinds_of_data_are_told_apart_in_one_place(path):
    """Outside of ``data`` nobody asks what a schema is: ``subject_of`` knows, once."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
            assert "data" in path.relative_to(SOURCE).parts or "Schema" not in ast.unparse(node.args[1]), ast.unparse(node)


def test_import_is_light():
    """`import pushforward` loads torch and nothing heavier."""
    heavy = ["sklearn", "matplotlib", "pyarrow", "accelerate", "pandas", "typer", "pydantic"]
    code = f"import sys, pushforward; pushforward.Flow; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
