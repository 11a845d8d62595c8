"""The examples in docstrings run, and give what they say."""

from __future__ import annotations

import doctest
import functools
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_wine
from torch import nn

import pushforward

SOURCE = Path(pushforward.__file__).parent
SHARED = ["core", "univariate", "nets", "distributions", "transforms", "objectives", "models", "training", "evaluation", "latent", "data"]

A_RUN, MINUTES, FILES = "reads the directory of a finished run", "trains for minutes", "reads files that are not in the repository"
NOT_RUN = {
    "adapters.as_pyro": "needs a package beyond this one's (test_adapters.py)",
    "adapters.as_sbi": "needs a package beyond this one's (test_adapters.py)",
    "baselines.files": FILES,
    "bulk.job.Job": A_RUN,
    "conversion.flows.convert": "needs a package beyond this one's (test_convert.py)",
    "data.image_schema.ImageSchema": FILES,
    "data.images.load_images": FILES,
    "data.sounds.load_sounds": FILES,
    "report.write_report": A_RUN,
    "subjects.sound_baselines.sound_baselines": FILES,
    "training.run.Run": A_RUN,
    "verbs.asking.impute": A_RUN,
    "verbs.asking.nats_by_column": A_RUN,
    "verbs.asking.predict": A_RUN,
    "verbs.comparing.gallery": MINUTES,
    "verbs.completing.complete": A_RUN,
    "verbs.compressing.compress": A_RUN,
    "verbs.compressing.decompress": A_RUN,
    "verbs.distilling.distill": MINUTES,
    "verbs.editing.edit": A_RUN,
    "verbs.fitting.fit": MINUTES,
    "verbs.judge.evaluate": A_RUN,
    "verbs.judge.bound_parts": A_RUN,
    "evaluation.surgery.surgery": A_RUN,
    "verbs.paired.compare": A_RUN,
    "verbs.picturing.interpolate": A_RUN,
    "verbs.picturing.reconstruct": A_RUN,
    "verbs.planning.plan": FILES,
    "verbs.publishing.pull": A_RUN,
    "verbs.publishing.push": A_RUN,
    "verbs.runs.load": A_RUN,
    "verbs.sampling.sample": A_RUN,
    "verbs.scoring.score": A_RUN,
    "verbs.scoring_cost.plan_scoring": A_RUN,
}
RANDOM = {  # run, and what they print is not compared: it depends on the data or on the machine
    "baselines.baselines",
    "doctor.diagnosis.diagnose",
    "evaluation.calibration.calibration",
    "doctor.normalized.check_normalized",
    "evaluation.likelihood.evaluate",
    "evaluation.two_sample.c2st",
    "latent.passes.reconstruct",
    "products.product_baselines",
    "training.fit.fit",
}


def examples(path: Path) -> list[doctest.DocTest]:
    """Those of one file, by their names within the package."""
    name = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
    module = importlib.import_module(f"pushforward.{name}")
    found = doctest.DocTestFinder(exclude_empty=True).find(module, name=name, module=module)
    return [test for test in found if test.examples]


FOUND = {test.name: test for path in sorted(SOURCE.rglob("*.py")) if ">>>" in path.read_text() for test in examples(path)}


@functools.cache
def shared() -> dict[str, Any]:
    """The public names of the library's rooms, and small things of the kinds that examples speak of."""
    names: dict[str, Any] = {"torch": torch, "nn": nn, "np": np, "pf": pushforward}
    for room in SHARED:
        module = importlib.import_module(f"pushforward.{room}")
        names |= {name: getattr(module, name) for name in module.__all__}
    names |= {name: importlib.import_module(f"pushforward.{name}") for name in ("models", "training", "baselines", "data", "kernels")}
    return names | {"baselines": names["baselines"].baselines}


def things(name: str) -> dict[str, Any]:
    """What an example speaks of without making it."""
    given, names = {}, shared()
    if name.startswith("latent."):
        given["flow"] = names["glow"]((3, 32, 32) if name.endswith("sample") else (1, 28, 28), levels=16, scales=2, steps=1, width=4).eval()
        given |= {"images": torch.randint(16, (8, 1, 28, 28)).double(), "labels": torch.tensor([7, 1] * 4)}
    elif name.startswith(("evaluation.", "doctor.", "baselines.", "products.")):
        data = names["data"].load("moons")
        given = {"data": data, "flow": names["Flow"](names["Normal"]((2,)), *data.schema.layers(), names["LULinear"](2))}
    elif name.startswith(("estimator.", "imputer.")):
        given["load_wine"] = load_wine
    return given


@pytest.mark.parametrize("name", [name for name in FOUND if name not in NOT_RUN])
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    test = FOUND[name]
    names = {**shared(), **things(name), **test.globs}
    if name in RANDOM:
        for example in test.examples:
            exec(compile(example.source, name, "single"), names)
        return
    assert not failures(FOUND[name], names)


def failures(test: doctest.DocTest, names: dict[str, Any]) -> str:
    """What went otherwise than the examples say."""
    test.globs, found = names, list[str]()
    doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=found.append)
    return "".join(found)


def test_a_wrong_example_is_noticed():
    for text, wrong in ((">>> 1 + 1\n2\n", False), (">>> 1 + 1\n3\n", True), (">>> missing\n", True)):
        assert bool(failures(doctest.DocTestParser().get_doctest(text, {}, "one", None, None), {})) == wrong


def test_all_that_is_listed_is_there():
    assert set(NOT_RUN) | RANDOM <= set(FOUND)
    assert len(FOUND) > 100
