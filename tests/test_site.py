"""The site: every file has one place on it, the build takes warnings for errors, and what is built loads nothing from elsewhere."""

from __future__ import annotations

import importlib.util
import inspect
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

import pushforward

ROOT = Path(__file__).parent.parent
AS_TEXT = re.compile(r"\|---|^ *- \w|:(?:class|func|meth):`|^```|(?<!\S)\*\*\w", re.MULTILINE)  # what Markdown did not understand
ROOMS = re.findall(r"^::: (pushforward\.\w+)$", "\n".join(page.read_text() for page in (ROOT / "docs/api").glob("*.md")), re.MULTILINE)


def module(name: str):
    spec = importlib.util.spec_from_file_location(f"site_{name}", ROOT / "docs" / "_site" / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


links = module("links")


@pytest.mark.parametrize(
    ("home", "text", "there"),
    [
        ("docs/speed.md", "[a](splines.md#knots)", "[a](splines.md#knots)"),
        ("docs/speed.md", "[a](../benchmarks/RESULTS.md#times)", "[a](repository/benchmarks/RESULTS.md#times)"),
        ("docs/speed.md", "[a](../examples/face.py)", "[a](repository/examples/face.py.md)"),
        ("docs/speed.md", "[a](../tests/test_laws.py#test_context)", "[a](repository/tests/test_laws.py.md#test_context)"),
        ("docs/api/core.md", "[a](../../README.md) [b](../speed.md)", "[a](../repository/README.md) [b](../speed.md)"),
        ("benchmarks/results/vae.md", "![a](vae.png) [b](../../docs/vae.md)", "![a](vae.png) [b](../../../vae.md)"),
        ("docs/speed.md", "[a](https://example.org/x.md) [b](#here)", "[a](https://example.org/x.md) [b](#here)"),
        ("docs/speed.md", "```\n[a](../LICENSE)\n```", "```\n[a](../LICENSE)\n```"),
    ],
)
def test_links_lead_to_the_places_of_files(home, text, there):
    assert links.relinked(text, home) == there


def test_a_listing_is_the_whole_file():
    for path in ("tests/test_theorems.py", "examples/face.py", "Makefile"):
        text = (ROOT / path).read_text()
        page = links.listing(text, path)
        assert path != "tests/test_theorems.py" or "## `test_flow_kl_duality` { #test_flow_kl_duality }\n\n````python\ndef test" in page
        code = "\n".join(re.findall(r"^````\w+\n(.*?)\n````$", page, re.MULTILINE | re.DOTALL))
        assert [line for line in code.splitlines() if line] == [line for line in text.splitlines() if line]


def test_every_page_is_in_the_navigation():
    named = links.navigated(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    there = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    figures = {f"repository/{page.relative_to(ROOT)}" for page in (ROOT / "benchmarks").rglob("*.md")}
    assert len(named) == len(set(named)) and not (there | figures) ^ {page for page in named if "repository/C" not in page}


def test_every_room_has_a_page():
    """Of what ``pushforward`` offers, and what other rooms a user meets."""
    offered = {f"pushforward.{room}" for room in (*pushforward._ROOMS, *pushforward._OTHERS)}
    assert offered - set(ROOMS) == {"pushforward.estimator", "pushforward.imputer"}  # their classes stand on the page of verbs


class Loaded(HTMLParser):
    """What a page loads by itself, its anchors, and text that should have been a table or a list."""

    def __init__(self, text: str):
        super().__init__()
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.broken: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self._open.append(tag)
        if "id" in given:
            self.anchors.add(given["id"])
        if tag in ("img", "script", "iframe", "source") and given.get("src"):
            self.loaded.append(given["src"])
        if tag == "link" and "canonical" not in given.get("rel", ""):
            self.loaded.append(given["href"])

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"pre", "code", "script", "style"} & set(self._open) and AS_TEXT.search(data):
            self.broken.append(data)


def names(room: str) -> list[str]:
    return pushforward._ROOMS["adapters"].split() if room == "pushforward.adapters" else importlib.import_module(room).__all__


def built(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "-f", str(config), "-d", str(site)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


@pytest.mark.slow
def test_the_site(tmp_path):
    """As ``make docs`` builds it, in another place."""
    site = tmp_path / "site"
    done = built(ROOT / "mkdocs.yml", site)
    assert done.returncode == 0, done.stderr
    pages = {path: Loaded(path.read_text()) for path in site.rglob("*.html")}
    assert len(pages) > 60
    for path, page in pages.items():
        assert not [address for address in page.loaded if "//" in address], path
        assert not page.broken, f"{path}: {page.broken[:3]}"
    for path in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", path.read_text()), path
    anchors = set().union(*(page.anchors for page in pages.values()))
    for room in ROOMS:
        offered = {name: getattr(importlib.import_module(room), name) for name in names(room)}
        assert not [
            name for name, thing in offered.items() if inspect.isroutine(thing) or inspect.isclass(thing) if f"{room}.{name}" not in anchors
        ]


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["[a](nowhere.md)", "[a](#nowhere)", "![a](nowhere.png)", "[a][pushforward.nowhere]"])
def test_a_broken_link_stops_the_build(fault, tmp_path):
    config, docs = tmp_path / "mkdocs.yml", tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text(f"# Here\n\n{fault}\n")
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    kept = {name: settings[name] for name in ("site_name", "strict", "validation")}
    config.write_text(yaml.safe_dump(kept | {"docs_dir": str(docs), "plugins": ["autorefs"]}))
    done = built(config, tmp_path / "site")
    assert done.returncode == 1 and "nowhere" in done.stderr + done.stdout
    (docs / "index.md").write_text("# Here\n\n[a](#here)\n")
    assert built(config, tmp_path / "site").returncode == 0
