"""What starts quickly: `import pushforward` beside `import torch`, and the help of every verb."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys

import pytest

HEAVY = ["torch", "numpy", "scipy", "sklearn", "pandas", "pyarrow", "matplotlib", "PIL", "accelerate", "datasets", "safetensors"]
DRAWING = {"matplotlib", "mpl_toolkits", "scipy", "sklearn", "pandas", "gradio", "datasets", "accelerate", "rich"}
NAMES = "fit compare distill gallery evaluate sample score diagnose plan list_models list_data interpolate edit reconstruct results"
VERBS = [
    "fit",
    "compare",
    "distill",
    "gallery",
    "evaluate",
    "sample",
    "score",
    "doctor",
    "list",
    "interpolate",
    "edit",
    "reconstruct",
    "impute",
    "predict",
    "app",
    "push",
    "pull",
    "compress",
    "decompress",
]


def modules(code: str) -> set[str]:
    """Modules of the first level that a fresh interpreter has after the code."""
    code = (
        f"import sys\n{code}\nsys.stdout = sys.__stdout__\nimport json\nprint(json.dumps(sorted(m for m in sys.modules if '.' not in m)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return set(json.loads(out.splitlines()[-1]))


HELP = """
import io
from pushforward.cli import main
from pushforward.cli.commands import app
sys.stdout = io.StringIO()
names = [c.name or c.callback.__name__.strip("_") for c in app.registered_commands]
assert sorted(names) == sorted({verbs}), names
for verb in [[], *([name] for name in names)]:
    try:
        main([*verb, "--help"])
    except SystemExit as end:
        assert not end.code
    else:
        raise AssertionError(verb)
assert sys.stdout.getvalue().count("Usage: pushforward") == 1 + len(names)
"""


def test_help_of_every_verb_loads_nothing_heavy():
    assert not modules(HELP.format(verbs=VERBS)) & {*HEAVY, "rich"}


def test_import_loads_torch_and_nothing_heavier():
    """The name alone loads nothing; a name of it loads what torch loads, and this package."""
    assert not modules("import pushforward") & {*HEAVY}
    names = "Flow, Normal, Coupling, Affine, RationalQuadratic, MADE, MaximumLikelihood"
    both = modules(f"from pushforward import {names}")
    assert not (both - modules("import torch")) & {*HEAVY, "typer", "pydantic", "rich"}


def test_no_verb_imports_what_draws():
    """Nothing is imported for pictures, tables of the terminal or baselines before one of them is made."""
    loaded = modules(f"from pushforward.verbs import {', '.join(NAMES.split())}")
    assert "torch" in loaded and not loaded & DRAWING


USE = """
import numpy as np, pushforward as pf
x = np.random.default_rng(0).normal(size=(200, 2))
run = pf.fit(x, "gaussian", options=["train.steps=2"], report=False, progress=False, out={out!r})
pf.sample(run, 5), pf.score(run, x), pf.evaluate(run, x), pf.diagnose(run, x), pf.results(run)
"""


def test_verbs_without_pictures_draw_nothing(tmp_path):
    """From a fit without a report to its diagnosis; scikit-learn is there for the baselines and the two-sample test."""
    assert not modules(USE.format(out=str(tmp_path / "run"))) & {"matplotlib", "mpl_toolkits", "datasets", "gradio"}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """An environment whose modules are compiled once, as an installed package's are, torch's and ours alike.

    With PYTHONDONTWRITEBYTECODE set, every start of a package that is not installed would compile it anew.
    """
    folder = tmp_path_factory.mktemp("bytecode")
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"} | {"PYTHONPYCACHEPREFIX": str(folder)}
    subprocess.run([sys.executable, "-c", f"from pushforward.verbs import {', '.join(NAMES.split())}"], env=env, check=True)
    subprocess.run([sys.executable, "-m", "pushforward", "--help"], env=env, capture_output=True, check=True)
    assert list(folder.rglob("*.pyc"))
    return env


def seconds(env: dict[str, str], *arguments: str) -> float:
    """Of a processor, which others on the machine disturb less than a clock."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], env=env, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.slow
def test_import_takes_little_more_than_torch(compiled):
    """Under 1.2 times, in turns."""
    ours = "import pushforward; pushforward.Flow"
    pairs = [(seconds(compiled, "-c", "import torch"), seconds(compiled, "-c", ours)) for _ in range(7)]
    torchs, ours = (statistics.median(times) for times in zip(*pairs))
    assert ours < 1.2 * torchs, f"{ours:.2f} s, torch {torchs:.2f} s"


def waited(env: dict[str, str], code: str) -> float:
    """Seconds of a processor that a fresh interpreter takes for the code, its start included."""
    code += "; import time; print(time.process_time())"
    return float(subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout)


@pytest.mark.slow
def test_a_verb_waits_little_longer_than_for_torch(compiled):
    """Under 1.2 times, the best of seven each, in turns: what else the machine does can only lengthen them."""
    codes = {verb: f"from pushforward.verbs import {verb}" for verb in ["sample", "score", "fit"]}
    rounds = [{verb: waited(compiled, code) for verb, code in {"torch": "import torch", **codes}.items()} for _ in range(7)]
    best = {verb: min(times[verb] for times in rounds) for verb in rounds[0]}
    assert max(best.values()) < 1.2 * best["torch"], best


@pytest.mark.slow
@pytest.mark.parametrize("verb", [[], *([verb] for verb in VERBS)], ids=lambda verb: " ".join(verb) or "pushforward")
def test_help_answers_at_once(verb, compiled):
    """Under 0.3 s, the best of five."""
    assert min(seconds(compiled, "-m", "pushforward", *verb, "--help") for _ in range(5)) < 0.3
