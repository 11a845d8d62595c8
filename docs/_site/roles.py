"""Docstrings as the site shows them: roles become links to what they name, an example becomes a section."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|func|meth|attr|data|mod):`(~?)([\w.]+)`")
FORMULA = re.compile(r":math:(`[^`]+`)")
EXAMPLE = re.compile(r"^Example::\n\n(?=    >>>)", re.MULTILINE)
LEAD = re.compile(r"^(References?|Caveats?|Cost|Shapes|Departures?|Inverse|Memory|Field|Files): ", re.MULTILINE)
NO_BREAK = "\u00a0"
TOGETHER = re.compile(r"^ {4}(?:\*{0,2}\w+, )+\*{0,2}\w+(?=: )", re.MULTILINE)  # ``steps, skipped: ...``: a blank would begin a type


class Roles(griffe.Extension):
    """Rewrites each docstring of the package once it is loaded. What a room is about, its page says."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Links lead only to what some room of the package offers by ``__all__``: that has a place on the site."""
        rooms = [*pkg.modules.values(), pkg]
        members = [(room, name, room.members[name]) for room in rooms for name in map(str, room.exports or ()) if name in room.members]
        offered: dict[str, str] = {}
        for room, name, member in members:
            offered.setdefault(behind(member).canonical_path, f"{room.path}.{name}")
        rewrite(pkg, offered)
        for room, name, member in members:
            room.docstring = None
            if behind(member) is not member:
                room.members[name] = griffe.Alias(name, behind(member), parent=room)


def behind(member: griffe.Object | griffe.Alias) -> griffe.Object | griffe.Alias:
    """``nsf`` of ``models`` is the recipe, not the file of that name."""
    return member.members[member.name] if member.is_module and member.name in member.members else member


def rewrite(obj: griffe.Object, offered: dict[str, str]) -> None:
    """All docstrings within a module or a class."""
    if obj.docstring is not None:
        obj.docstring.value = shown(obj.docstring.value, obj, offered)
    for member in obj.members.values():
        if not member.is_alias:
            rewrite(member, offered)


def shown(text: str, obj: griffe.Object, offered: dict[str, str]) -> str:
    """A docstring in Markdown."""

    def link(match: re.Match[str]) -> str:
        short, path = match.groups()
        words = path.rpartition(".")[2] if short else path
        place = offered.get(named(obj, path), "")
        return f"[`{words}`][{place}]" if place else f"`{words}`"

    text = EXAMPLE.sub("Examples:\n", FORMULA.sub(r"\1", ROLE.sub(link, text)))
    text = TOGETHER.sub(lambda names: f"    {names[0].strip().replace(' ', NO_BREAK)}", text)
    return LEAD.sub(r"**\1.** ", text)


def named(obj: griffe.Object, path: str) -> str:
    """Where that is defined which a docstring names; empty if it is not found."""
    root = f"{obj.package.path}."
    try:
        full = path if path.startswith(root) else obj.resolve(path)
        return str(behind(obj.package[full.removeprefix(root)]).canonical_path)
    except (KeyError, griffe.NameResolutionError, griffe.AliasResolutionError):
        return ""
