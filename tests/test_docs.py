"""What the pages say: code that compiles and names that exist, links that lead somewhere, examples that answer ``--help``.

A python block that begins with ``# run`` is run as well, and with it those behind it that begin with ``# then``; together they must stand
on their own and take well under a second. One that begins with ``# run slowly`` is left to ``make slow``.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch

import pushforward as pf
from pushforward import models

ROOT = Path(__file__).parent.parent
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "benchmarks").rglob("*.md")])
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(?:    )?(?:\.venv/bin/)?pushforward (\w+)(.*)$", re.MULTILINE)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(page: Path) -> list[str]:
    return [body for language, body in FENCE.findall(page.read_text()) if language == "python"]


def scripts(page: Path) -> list[str]:
    """Marked blocks, each joined with those that go on from it."""
    found: list[str] = []
    for body in blocks(page):
        if body.startswith("# then\n"):
            found[-1] += body
        elif body.startswith(("# run\n", "# run slowly\n")):
            found.append(body)
    return found


BLOCKS = [pytest.param(body, id=f"{name(page)}-{i}") for page in PAGES for i, body in enumerate(blocks(page))]
RUN = [
    pytest.param(code, id=f"{name(page)}-{i}", marks=pytest.mark.slow if code.startswith("# run slowly") else ())
    for page in PAGES
    for i, code in enumerate(scripts(page))
]


def unknown(code: str) -> list[str]:
    """What the code imports from this package, or reads from ``pf``, and is not there."""
    missing = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "pushforward":
            room = importlib.import_module(node.module or "")
            missing += [f"{node.module}.{alias.name}" for alias in node.names if not hasattr(room, alias.name)]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pf":
            missing += [] if node.attr in dir(pf) else [f"pf.{node.attr}"]  # a look at it would load all that pf offers
    return missing


def broken(page: Path) -> list[str]:
    """Links and pictures of a page that lead to no file; a heading of a page is looked up as well."""
    lost = []
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        target, _, heading = link.partition("#")
        if "://" in link:
            continue
        path = page.parent / target if target else page
        if not path.exists() or (heading and heading not in headings(path)):
            lost.append(link)
    return lost


def headings(page: Path) -> set[str]:
    """As a browser of repositories turns them into anchors; of a Python file what the site makes headings of."""
    if page.suffix == ".py":
        return {node.name for node in ast.parse(page.read_text()).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    rooms = re.findall(r"^::: ([\w.]+)$", page.read_text(), re.MULTILINE)  # which the site fills with what they offer
    if rooms:
        return {f"{room}.{name}" for room in rooms for name in getattr(importlib.import_module(room), "__all__", ())}
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("code", BLOCKS)
def test_python_compiles_and_names_exist(code):
    compile(code, "<page>", "exec")
    assert not unknown(code)


@pytest.mark.parametrize("code", RUN)
@pytest.mark.filterwarnings("default")
def test_runnable_blocks_run(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    exec(compile(code, "<page>", "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    assert not broken(page)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_name_what_there_is(page):
    from typer.main import get_command

    from pushforward.cli.commands import app

    verbs = get_command(app).commands  # type: ignore[attr-defined]
    presets = {path.stem for path in (ROOT / "src/pushforward/presets").glob("*.toml")}
    for verb, rest in COMMAND.findall(page.read_text()):
        assert verb in verbs, f"pushforward {verb}"
        words = rest.split("#")[0].split()
        given = dict(itertools.pairwise(words))
        assert given.get("--model", "nsf") in models.MODELS, rest
        assert given.get("--to", "iaf") in models.MODELS, rest
        assert given.get("--preset", "plane") in presets, rest
        assert set(given.get("--models", "nsf").split(",")) <= {*models.MODELS, *presets}, rest
        options = {option for parameter in verbs[verb].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, rest


def test_every_model_is_in_the_table():
    table = (ROOT / "docs" / "models.md").read_text()
    assert not [model for model in models.MODELS if f"`{model}`" not in table]


def test_every_picture_is_in_the_gallery():
    folders = (ROOT / "docs", ROOT / "benchmarks" / "results")
    pictures = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".png", ".webp")]
    page = ROOT / "docs" / "gallery.md"
    shown = {(page.parent / link).resolve() for link in LINK.findall(page.read_text())}
    assert len(pictures) > 30 and not set(pictures) - shown


@pytest.mark.parametrize("page", [page for page in PAGES if (ROOT / "docs") in page.parents], ids=name)
def test_a_page_begins_with_what_its_reader_wants(page):
    assert re.match(r"# .+\n\nYou ", page.read_text())


def test_the_readme_is_short():
    """A screen and a half."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 75


@pytest.mark.parametrize("path", EXAMPLES, ids=name)
def test_examples_say_what_they_do(path, monkeypatch, capsys):
    """Each is run up to its help, with all imports: no process of its own, so that torch is loaded once."""
    introduction = ast.get_docstring(ast.parse(path.read_text()))
    assert introduction and f"python {name(path)}" in introduction
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name="__main__")
    assert ended.value.code == 0
    assert introduction.splitlines()[0][:40] in " ".join(capsys.readouterr().out.split())


def test_the_checks_can_fail(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Here\n[a](#here) [b](#there) ![c](nowhere.png) [d](https://example.org)\n```python\n[e](none.md)\n```\n")
    assert broken(page) == ["#there", "nowhere.png"]
    assert unknown("import pushforward as pf\nfrom pushforward.nets import MADE, Madly\npf.fit, pf.nfs, x.nfs") == [
        "pushforward.nets.Madly",
        "pf.nfs",
    ]
