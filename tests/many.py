"""Worlds of processes, forked from one that has imported torch: what tests/test_many.py looks at.

``python tests/many.py FOLDER PLAN``: PLAN is a list of fits as JSON, one after the other. Each says its ``case`` (vectors, images, vae),
its ``run``, the number of processes (``count``), the ``strategy``, whether to ``resume``, where to ``stop`` by a signal, and where to
``kill`` the last process. What each process found is written to FOLDER/out-NUMBER-RANK.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import sys
import traceback
from pathlib import Path

import accelerate  # noqa: F401 (imported before the forks)
import torch
from torch import Tensor

import pushforward.likelihoods as pl
from pushforward.core import Flow
from pushforward.data import Rows
from pushforward.distributions import Normal
from pushforward.models import glow, maf, vae
from pushforward.objectives import choose_objective
from pushforward.training import fit
from pushforward.training.directory import Directory
from pushforward.transforms import Dequantize

STEPS = 24


def noise_of_the_row(self: pl.Normal, h: Tensor) -> Tensor:
    """In place of random numbers, which are other ones on each process: something of the row, so that one process can do the same."""
    mean, scale = self.moments(h)
    return mean + scale.exp() * (9 * mean.detach() + torch.arange(mean.shape[-1], device=mean.device)).sin()


def model(case: str) -> tuple[Flow, Tensor]:
    generator = torch.Generator().manual_seed(1)
    if case == "images":
        centre = torch.rand(1, 8, 8, generator=generator)
        x = 8 * centre + 4 * torch.rand(601, 1, 8, 8, generator=generator) + 4 * torch.rand(601, 1, 1, 1, generator=generator)
        layers = glow((1, 8, 8), levels=16, scales=2, steps=2, width=16, alpha=0.05).transform.transforms
        return Flow(Normal((1, 8, 8)), *(layer for layer in layers if not isinstance(layer, Dequantize))), x.to(torch.uint8)
    x = torch.randn(601, 3, generator=generator) @ torch.randn(3, 3, generator=generator)
    x = torch.cat([x[:, :2], x[:, :1].sin() + 0.1 * x[:, 2:]], 1).double()
    if case == "vectors":
        return maf((3,), steps=2, width=16, depth=1), x
    pl.Normal.draw = noise_of_the_row
    return vae((3,), latent=2, width=16, posterior="iaf", posterior_steps=1), x


def work(folder: Path, number: int, rank: int, task: dict) -> None:
    torch.manual_seed(rank)  # other weights on each: the first one's count
    flow, x = model(task["case"])
    flow.double()
    objective, calls = choose_objective(flow, "auto"), []
    plain = type(objective).forward

    def forward(self, *batch):
        if self.training:
            calls.append(len(batch[0]))
            if len(calls) == task.get("stop") and rank == 0:
                signal.raise_signal(signal.SIGINT)
            if len(calls) == task.get("kill") and rank == task["count"] - 1:
                os.kill(os.getpid(), signal.SIGKILL)
        return plain(self, *batch)

    type(objective).forward = forward
    run = Directory(folder / task["run"], {})
    run.path.mkdir(exist_ok=True)
    history = fit(
        flow,
        Rows(x[:512]),
        Rows(x[512:]),  # 89: the processes have not the same number of them
        steps=STEPS,
        batch=32,
        every=4,
        lr=3e-3,
        loss=objective,
        strategy=task.get("strategy", "ddp"),
        run=run,
        resume=task.get("resume", False),
        progress=True,
    )
    assert not any(hasattr(p, "placements") for p in flow.parameters()) and flow.sample((2,)).shape[0] == 2
    with open(folder / f"out-{number}-{rank}", "w") as file:
        end = hashlib.sha256(b"".join(t.numpy().tobytes() for t in flow.state_dict().values())).hexdigest()
        losses = [[record["loss"], record["valid"]] for record in (history.records if rank == 0 else [])]
        json.dump({"rows": calls[0], "end": end, "losses": losses, "steps": history.steps}, file)


def world(folder: Path, number: int, task: dict) -> list[int]:
    """Fork the processes of a fit and wait for them; how each ended."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    children = []
    for rank in range(task["count"]):
        child = os.fork()
        if not child:
            code = 1
            try:
                os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
                if task["count"] > 1:
                    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(task["count"]))
                work(folder, number, rank, task)
                code = 0
            except ConnectionError as error:
                print(f"process {rank}: {error}", file=sys.stderr)
                code = 3
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


if __name__ == "__main__":
    torch.set_num_threads(1)
    place, plan = Path(sys.argv[1]), json.loads(sys.argv[2])
    ends = [world(place, number, task) for number, task in enumerate(plan)]
    (place / "ends").write_text(json.dumps(ends))
