"""A name stands for one thing: public names at the top of several files are few, and known."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "pushforward"
VERBS = "complete diagnose edit evaluate fit interpolate load reconstruct sample"  # of the library, by what they do in the room below
RECIPES = "gaussian gaussian_mixture"  # and the baselines of that name
CONSTANTS = "ENOUGH FEW FEWEST FORMATS LEAST MOST NUMBERS OPTIONS ROWS"  # of a file
SHARED = """Kernel Kind Net Normal
bounded check checkerboard decode encode linear mix mixed parts piece shares solve spread unmix"""


def test_names_stand_for_one_thing():
    """A new name that is taken elsewhere gets another word."""
    places = defaultdict(list)
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names = [node.name]
            else:
                targets = getattr(node, "targets", [getattr(node, "target", None)])
                names = [target.id for target in targets if isinstance(target, ast.Name)]
            for name in names:
                if not name.startswith("_"):
                    places[name].append(str(path.relative_to(SOURCE)))
    known = {name for names in (VERBS, RECIPES, CONSTANTS, SHARED) for name in names.split()}
    taken = {name: files for name, files in places.items() if len(files) > 1 and name not in known}
    assert not taken
