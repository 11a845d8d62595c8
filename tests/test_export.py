"""torch.export and ONNX of every vector model, density and sampler: no operator of ours, and nothing of ours is needed to run them."""

from __future__ import annotations

import functools
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pushforward.core import Flow
from pushforward.models import VECTOR_MODELS

DIM = 3
# Every evaluation of their search is in the graph.
SEARCHED = {"bnaf", "i_resnet", "implicit_flow", "mintnet", "mixture_cdf", "naf", "planar", "residual_flow", "sos", "sylvester", "umnn"}
CASES = [(name, direction) for name in VECTOR_MODELS for direction in ("density", "sampler")]
LONG = {(name, "sampler") for name in SEARCHED} | {("implicit_flow", "density")}
GRAPHS = [pytest.param(*case, marks=pytest.mark.slow if case in LONG else ()) for case in CASES]
RESIDUAL = ("i_resnet", "implicit_flow", "residual_flow")
WITHOUT_ONNX = {
    ("mintnet", "sampler"): "its sweeps take torch.onnx 17 minutes; the graph then gives the same",
    ("mixture_cdf", "sampler"): "ONNX has no operator for torch.special.ndtri, with which the search begins",
    ("naf", "sampler"): "not tried: with one step of its search, of 40, torch.onnx takes half a minute",
    ("sos", "sampler"): "not tried: its search is as long as that of naf",
    **{(name, "density"): "ONNX has no operator for torch.linalg.slogdet" for name in RESIDUAL},
    **{(name, "sampler"): "ONNX has no operator for torch.linalg.inv" for name in RESIDUAL},
}
ONNX = [pytest.param(*case, marks=pytest.mark.skip(reason=WITHOUT_ONNX[case]) if case in WITHOUT_ONNX else ()) for case in CASES]
CONTEXTS = ["maf", "real_nvp"]

ALONE = """
import sys
sys.modules["pushforward"] = None  # its import is an ImportError from here on
import torch
for file in sys.argv[1:]:
    inputs, expected = torch.load(file + ".tensors")
    torch.testing.assert_close(torch.export.load(file).module()(*inputs), expected, rtol=0, atol=1e-9)
"""


class Sampler(nn.Module):
    """Samples of given noise."""

    def __init__(self, flow: Flow):
        super().__init__()
        self.flow = flow

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self.flow.decode(z, context)


def module(name: str, direction: str, context: int = 0) -> nn.Module:
    """A tiny model off its start."""
    torch.manual_seed(0)
    recipe = VECTOR_MODELS[name]
    sizes = {"steps": 1, "width": 8, "components": 3, "cells": 8, "tolerance": 1e-10, "coefficient": 0.5}
    flow = recipe((DIM,), context=context, **{key: sizes[key] for key in sizes if key in inspect.signature(recipe).parameters})
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return (flow if direction == "density" else Sampler(flow)).eval()


def rows(count: int, context: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    """Data or noise, inside the interval too where a base is uniform; and a context."""
    x = 0.1 + 0.8 * torch.rand(count, DIM, dtype=dtype)
    return (x, torch.randn(count, context, dtype=dtype)) if context else (x,)


def exported(model: nn.Module, inputs: tuple[Tensor, ...]) -> torch.export.ExportedProgram:
    """With any number of rows."""
    batch = torch.export.Dim("batch")
    return torch.export.export(model, inputs, dynamic_shapes=tuple({0: batch} for _ in inputs))


@functools.cache
def graph(name: str, direction: str) -> tuple[nn.Module, torch.export.ExportedProgram]:
    model = module(name, direction).double()
    return model, exported(model, rows(5))


def operators(program: torch.export.ExportedProgram) -> set[str]:
    """The namespaces of all operators, those of inner graphs (of what runs without gradient) included."""
    graphs = [part.graph for part in program.graph_module.modules() if isinstance(part, torch.fx.GraphModule)]
    return {node.target.namespace for graph in graphs for node in graph.nodes if isinstance(node.target, torch._ops.OpOverload)}


@pytest.mark.parametrize("name, direction", GRAPHS)
def test_a_graph_is_torchs_own_and_gives_the_same(name, direction):
    model, program = graph(name, direction)
    assert operators(program) == {"aten"}
    other = rows(7)
    torch.testing.assert_close(program.module()(*other), model(*other), rtol=0, atol=1e-9)


@pytest.mark.parametrize("direction", ["density", "sampler"])
@pytest.mark.parametrize("name", CONTEXTS)
def test_a_graph_takes_a_context(name, direction):
    model = module(name, direction, context=2).double()
    program = exported(model, rows(5, context=2))
    assert operators(program) == {"aten"}
    other = rows(7, context=2)
    torch.testing.assert_close(program.module()(*other), model(*other), rtol=0, atol=1e-9)


def test_saved_graphs_run_where_the_package_is_not(tmp_path: Path):
    files = []
    for name in ("maf", "nsf", "real_nvp"):
        for direction in ("density", "sampler"):
            (model, program), inputs = graph(name, direction), rows(6)
            files.append(str(tmp_path / f"{name}_{direction}.pt2"))
            torch.export.save(program, files[-1])
            torch.save((inputs, model(*inputs).detach()), files[-1] + ".tensors")
    done = subprocess.run([sys.executable, "-c", ALONE, *files], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch.onnx and onnxscript, about themselves
@pytest.mark.parametrize("name, direction", ONNX)
def test_onnx_gives_the_same(name, direction, tmp_path: Path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    model, path = module(name, direction), str(tmp_path / "model.onnx")
    example, other = rows(5, dtype=torch.float32), rows(7, dtype=torch.float32)
    torch.onnx.export(model, example, path, dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch")},), verbose=False)
    assert {node.domain for node in onnx.load(path).graph.node} == {""}
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: other[0].numpy()})
    torch.testing.assert_close(torch.from_numpy(found), model(*other).detach(), rtol=1e-4, atol=1e-4)


@torch.library.custom_op("planted::twice", mutates_args=())
def twice(x: Tensor) -> Tensor:
    return 2 * x


@twice.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


class Planted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return twice(x)


def test_an_operator_within_an_inner_graph_is_found():
    assert "planted" in operators(torch.export.export(Planted(), (torch.randn(2),)))
