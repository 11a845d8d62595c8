"""Many processes: they share each batch, start alike and end alike; one of them speaks and writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

from pushforward.training import Run
from pushforward.verbs import results

pytestmark = pytest.mark.slow

SCRIPT = textwrap.dedent("""
    import hashlib, json, os, sys, torch
    from torch import nn
    from pushforward.core import Flow
    from pushforward.data import Rows
    from pushforward.distributions import Normal
    from pushforward.models import glow
    from pushforward.objectives import MaximumLikelihood
    from pushforward.training import fit
    from pushforward.transforms import Dequantize

    torch.set_num_threads(1)
    rank = int(os.environ.get("RANK", 0))
    generator = torch.Generator().manual_seed(1)
    centre = torch.rand(1, 8, 8, generator=generator)
    x = (8 * centre + 4 * torch.rand(600, 1, 8, 8, generator=generator) + 4 * torch.rand(600, 1, 1, 1, generator=generator)).to(torch.uint8)
    torch.manual_seed(rank)  # different weights: the first process's count
    layers = glow((1, 8, 8), levels=16, scales=2, steps=2, width=16, alpha=0.05).transform.transforms
    # Processes draw different noise, so that the comparison with one process is of a flow without it.
    flow = Flow(Normal((1, 8, 8)), *(layer for layer in layers if not isinstance(layer, Dequantize)), memory=sys.argv[2]).double()

    def fingerprint():
        return hashlib.sha256(b"".join(t.numpy().tobytes() for t in flow.state_dict().values())).hexdigest()

    class Observed(nn.Module):
        def __init__(self):
            super().__init__()
            self.likelihood, self.start = MaximumLikelihood(flow), None

        def forward(self, x, context=None, weight=None):
            if self.training and self.start is None:
                self.start, self.rows = fingerprint(), len(x)
            return self.likelihood(x, context, weight)

    objective = Observed()
    history = fit(flow, Rows(x[:512]), Rows(x[512:]), steps=24, batch=32, every=4, lr=3e-3, loss=objective, progress=False)
    losses = [[r["loss"], r["valid"]] for r in history.records]
    with open(f"{sys.argv[1]}{os.environ.get('RANK', 'alone')}", "w") as file:  # stdout would mix their lines
        json.dump({"start": objective.start, "rows": objective.rows, "end": fingerprint(), "losses": losses}, file)
""")


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def test_two_processes_draw_the_curve_of_one(tmp_path):
    """A Glow on images: the losses of one process with the same global batch, up to rounding, and both alike to the bit.

    The two find their activations again, the one keeps them. In float64: after a data-dependent start the gradients of ActNorm and of
    the last biases are zero up to rounding (1e-7 in float32, another one for 2 x 16 rows than for 32), and Adam makes whole steps of them.
    """
    (tmp_path / "script.py").write_text(SCRIPT)
    script = [str(tmp_path / "script.py"), str(tmp_path / "out-")]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", *script, "constant"]
    for command in (launch, [sys.executable, *script, "full"]):
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=600)
        assert done.returncode == 0, done.stderr
    one, two, alone = (json.loads((tmp_path / f"out-{name}").read_text()) for name in ("0", "1", "alone"))
    assert one["rows"] == two["rows"] == 16 and alone["rows"] == 32
    assert one["start"] == two["start"] == alone["start"], "the data-dependent start sees the whole first batch on each process"
    assert one["end"] == two["end"] and one["losses"] == two["losses"]
    assert len(alone["losses"]) == 7
    for ours, theirs in zip(one["losses"], alone["losses"], strict=True):
        assert ours == [None if value is None else pytest.approx(value, rel=1e-10) for value in theirs]
    assert alone["losses"][-1][1] < alone["losses"][0][1] - 5, "it should have learned something"


def test_the_command_line_on_two_processes(tmp_path):
    """As docs/training.md says: one run, judged and told of once."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "pushforward"]
    fit = ["fit", "digits", "--model", "glow", "model.scales=1", "model.steps=1", "model.width=8", "train.steps=6", "train.batch=32"]
    done = subprocess.run(
        [*command, *fit, "-o", "run", "--no-report"], capture_output=True, text=True, env=environment(), cwd=tmp_path, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("pushforward sample run") == 1 and done.stderr.count("trained 6 steps") == 1
    assert "training in run, by 2 processes" in done.stderr
    run = Run.load(tmp_path / "run")
    assert run.flow.shape == (1, 8, 8) and results(run)["scores"][0]["name"] == "glow"


RESUMED = textwrap.dedent("""
    import hashlib, os, signal, sys, torch
    from pushforward.data import Rows
    from pushforward.models import iaf, maf, real_nvp
    from pushforward.objectives import Distillation, ReverseKL
    from pushforward.training import fit, fit_density
    from pushforward.training.directory import Directory

    torch.set_num_threads(1)
    rank, task, folder = int(os.environ["RANK"]), *sys.argv[1:]

    def train(run, stop=None, resume=False):
        torch.manual_seed(rank)  # different weights, and different noise: the first process's weights count
        kind, calls = (ReverseKL if task == "density" else Distillation), []
        plain = kind.forward

        def forward(self, *batch):
            if self.training:
                calls.append(1)
                if len(calls) == stop and rank == 0:
                    signal.raise_signal(signal.SIGINT)
            return plain(self, *batch)

        kind.forward = forward
        options = {"steps": 40, "batch": 32, "lr": 1e-2, "resume": resume, "progress": False}
        if task == "density":
            flow = real_nvp((2,), steps=2, width=16, depth=1)
            fit = fit_density(flow, lambda x: -(x - 1).square().sum(1), samples=1000, run=run, **options)
        else:
            flow, teacher = iaf((2,), steps=2, width=16, depth=1), maf((2,), steps=2, width=16, depth=1)
            x = torch.randn(200, 2, generator=torch.Generator().manual_seed(1))
            run = Directory(run, {})
            os.makedirs(run.path, exist_ok=True)
            rows = Rows(x[:160]), Rows(x[160:])
            fit = globals()["fit"](flow, *rows, loss=Distillation(flow, teacher, kl=0.1), run=run, every=10, patience=0, **options)
        kind.forward = plain
        assert fit.steps == (stop or 40), fit
        return hashlib.sha256(b"".join(t.numpy().tobytes() for t in flow.state_dict().values())).hexdigest()

    whole = train(folder + "/whole")
    train(folder + "/parts", stop=17)
    with open(f"{folder}/out-{rank}", "w") as file:
        print(whole, train(folder + "/parts", resume=True), file=file)
""")


@pytest.mark.parametrize("task", ["density", "distillation"])
def test_two_processes_stopped_and_resumed(tmp_path, task):
    """Reverse KL and distillation: both processes end alike, and as if nothing had happened, to the bit."""
    (tmp_path / "script.py").write_text(RESUMED)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(tmp_path / "script.py")]
    done = subprocess.run([*launch, task, str(tmp_path)], capture_output=True, text=True, env=environment(), timeout=300)
    assert done.returncode == 0, done.stderr
    ends = [end for rank in "01" for end in (tmp_path / f"out-{rank}").read_text().split()]
    assert len(ends) == 4 and len(set(ends)) == 1
