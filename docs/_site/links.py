"""Links out of docs/: one rule. What a page links to in the repository stands on the site under ``repository/``.

A page (.md) and a picture stand there as they are, any other file as a page with its text. Of a Python file its functions and classes are
headings: ``../tests/test_theorems.py#test_flow_kl_duality`` leads to that test. Links in these pages are followed in turn. So what a page
says holds in the repository, too.
"""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
DOCS, COPIES = "docs/", "repository/"
AS_THEY_ARE = (".md", ".png", ".webp", ".svg")
FENCE = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s]+)(\))")
MARK = re.compile(r"^(```python\n)# (?:run|then)\b.*\n", re.MULTILINE)


def place(path: str) -> str:
    """Where a file of the repository stands on the site."""
    if path.startswith(DOCS):
        return path.removeprefix(DOCS)
    return COPIES + (path if path.endswith(AS_THEY_ARE) else f"{path}.md")


def targets(text: str, home: str) -> list[str]:
    """Files of the repository that a page links to; ``home`` is where it lies in the repository."""
    links = [link for part in FENCE.split(text)[::2] for _, link, _ in LINK.findall(part)]
    return [_target(link, home) for link in links if _is_file(link)]


def relinked(text: str, home: str) -> str:
    """The page with links to where things stand on the site."""

    def moved(match: re.Match[str]) -> str:
        before, link, after = match.groups()
        if not _is_file(link):
            return match[0]
        _, hash_, anchor = link.partition("#")
        there = posixpath.relpath(place(_target(link, home)), posixpath.dirname(place(home)) or ".")
        return f"{before}{there}{hash_}{anchor}{after}"

    parts = FENCE.split(text)
    return "".join(part if i % 2 else LINK.sub(moved, part) for i, part in enumerate(parts))


def listing(text: str, path: str) -> str:
    """A page that shows a file; each function and class of a Python file has a heading."""
    language = {".py": "python", ".c": "c", ".h": "c", ".toml": "toml", ".json": "json"}.get(Path(path).suffix, "text")
    lines = text.splitlines()
    body = ast.parse(text).body if language == "python" else []
    starts = [(1, ""), *((_first(node), node.name) for node in body if isinstance(node, NAMED))]
    ends = [start - 1 for start, _ in starts[1:]] + [len(lines)]
    parts = []
    for (start, name), end in zip(starts, ends):
        code = "\n".join(lines[start - 1 : end]).strip("\n")
        heading = f"## `{name}` {{ #{name} }}\n\n" if name else ""
        parts.append(f"{heading}````{language}\n{code}\n````\n")
    return "\n".join(["---\nsearch:\n  exclude: true\n---\n", f"# `{path}`\n", *parts])


NAMED = (ast.FunctionDef, ast.ClassDef)


def _first(node: ast.FunctionDef | ast.ClassDef) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _is_file(link: str) -> bool:
    return "://" not in link and not link.startswith(("#", "mailto:"))


def _target(link: str, home: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(home), link.partition("#")[0]))


def _home(uri: str) -> str:
    """Where a page of the site lies in the repository."""
    return uri.removeprefix(COPIES) if uri.startswith(COPIES) else DOCS + uri


def navigated(nav: Any) -> list[str]:
    """The pages that a navigation names."""
    if isinstance(nav, str):
        return [nav]
    return [page for part in (nav.values() if isinstance(nav, dict) else nav) for page in navigated(part)]


def on_files(files: Any, config: Any) -> Any:
    """Adds what the pages and the navigation lead to outside of docs/, and what that leads to."""
    from mkdocs.structure.files import File, InclusionLevel

    named = navigated(config.nav)
    ahead = [(page.removeprefix(COPIES), "the navigation") for page in named if page.startswith(COPIES)]
    for file in files.documentation_pages():
        ahead += [(path, file.src_uri) for path in targets(file.content_string, _home(file.src_uri))]
    seen = set()
    while ahead:
        path, by = ahead.pop()
        if path in seen or path.startswith(DOCS):
            continue
        seen.add(path)
        source, uri = ROOT / path, place(path)
        if not source.is_file():
            raise FileNotFoundError(f"{by} links to {path}, which is no file of the repository")
        level = InclusionLevel.INCLUDED if uri in named else InclusionLevel.NOT_IN_NAV
        if path.endswith(AS_THEY_ARE):
            files.append(File.generated(config, uri, abs_src_path=str(source), inclusion=level))
        else:
            files.append(File.generated(config, uri, content=listing(source.read_text(), path), inclusion=level))
        if path.endswith(".md"):
            ahead += [(there, path) for there in targets(source.read_text(), path)]
    return files


def on_page_markdown(markdown: str, page: Any, **kwargs: Any) -> str:
    """Links lead to the site's places, and the marks that tell tests which blocks to run are left out; what shows a file is as it is."""
    home = _home(page.file.src_uri).removesuffix(".md")
    if (ROOT / home).is_file():
        return markdown
    return MARK.sub(r"\1", relinked(markdown, f"{home}.md"))
