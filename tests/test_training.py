"""The training loop: it fits, it averages, it stops when told to, and nothing that is not finite reaches the weights."""

from __future__ import annotations

import copy
import itertools
import json
import math
import time
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from pushforward.core import Flow, Transform
from pushforward.distributions import Normal
from pushforward.objectives import MaximumLikelihood
from pushforward.training import Batches, Validation, fit, optimize, precision, starvation
from pushforward.training.atomic import write_text
from pushforward.training.checkpoint import TrainerState
from pushforward.training.directory import Directory
from pushforward.training.display import Display
from pushforward.training.ema import Ema
from pushforward.training.guard import NonFiniteGuard
from pushforward.training.processes import Processes
from pushforward.training.schedule import EpochOrder, Plan, default_interval, default_steps
from pushforward.transforms import Coupling, Elementwise
from pushforward.univariate import Affine
from pushforward.words import duration


@dataclass(frozen=True)
class Rows:
    x: Tensor
    context: Tensor | None = None
    weight: Tensor | None = None
    window: int | None = None

    def __len__(self) -> int:
        return len(self.x)


def gaussian_flow(dim: int = 2) -> Flow:
    return Flow(Normal((dim,)), Elementwise(Affine(), (dim,)))


def rows(n: int, mean: float = 1.0, std: float = 0.5, seed: int = 0) -> Rows:
    return Rows(mean + std * torch.randn(n, 2, generator=torch.Generator().manual_seed(seed)))


def mean_and_std(flow: Flow) -> tuple[Tensor, Tensor]:
    """What the affine flow z = x exp(s) + h says about the data."""
    zero = flow.decode(torch.zeros(1, 2))[0]
    return zero.detach(), (flow.decode(torch.ones(1, 2))[0] - zero).detach()


class Poisoned(nn.Module):
    """Maximum likelihood whose loss or gradient is not finite on chosen calls in training mode."""

    def __init__(self, flow: Flow, bad: range, what: str = "loss"):
        super().__init__()
        self.inner = MaximumLikelihood(flow)
        self.bad, self.what, self.calls = bad, what, 0
        self.seen: list[Tensor] = []  # the weights at each call

    def forward(self, x: Tensor, context: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        loss = self.inner(x, context, weight)
        if not self.training:
            return loss
        self.seen.append(torch.cat([p.detach().flatten() for p in self.parameters()]))
        self.calls += 1
        if self.calls - 1 not in self.bad:
            return loss
        if self.what == "loss":
            return loss * math.nan
        return loss + sum((p - p.detach()).square().sum().sqrt() for p in self.parameters())  # adds 0, with slope 0/0


def test_fit_finds_the_gaussian():
    flow = gaussian_flow()
    history = fit(flow, rows(2000), rows(500, seed=1), steps=400, batch=256, lr=2e-2, progress=False)
    mean, std = mean_and_std(flow)
    torch.testing.assert_close(mean, torch.full((2,), 1.0), atol=0.05, rtol=0)
    torch.testing.assert_close(std, torch.full((2,), 0.5), atol=0.03, rtol=0)
    assert history.stopped in ("steps", "patience") and not flow.training
    assert history.records[0]["step"] == 0 and history.best < history.records[0]["valid"] - 0.5
    with torch.no_grad():
        assert MaximumLikelihood(flow)(rows(500, seed=1).x).item() == pytest.approx(history.best, abs=1e-5)


def test_fit_leaves_the_callers_random_state_alone():
    torch.manual_seed(3)
    expected = torch.randn(2)
    torch.manual_seed(3)
    fit(gaussian_flow(), rows(100), rows(50), steps=5, progress=False)
    torch.testing.assert_close(torch.randn(2), expected, atol=0, rtol=0)


def test_weights_count_as_repetitions():
    """Integer weights and repeated rows have the same optimum; rows of weight zero count nothing."""
    a, b, far = rows(600, mean=-1.0), rows(200, mean=2.0, seed=1), rows(300, mean=50.0, seed=2)
    x = torch.cat([a.x, b.x, far.x])
    weight = torch.cat([torch.ones(600), torch.full((200,), 3.0), torch.zeros(300)]).double()
    weighted = gaussian_flow()
    fit(weighted, Rows(x, weight=weight), Rows(x, weight=weight), steps=500, batch=256, lr=3e-2, progress=False)
    expected = torch.cat([a.x, b.x, b.x, b.x])
    mean, std = mean_and_std(weighted)
    torch.testing.assert_close(mean, expected.mean(0), atol=0.15, rtol=0)
    torch.testing.assert_close(std, expected.std(0), atol=0.15, rtol=0)


def test_maximum_likelihood_is_a_weighted_mean():
    flow, x = gaussian_flow(), torch.randn(4, 2)
    weight = torch.tensor([1.0, 0.0, 2.0, 1.0])
    repeated = MaximumLikelihood(flow)(x[[0, 2, 2, 3]])
    torch.testing.assert_close(MaximumLikelihood(flow)(x, None, weight), repeated)
    x[1] = 1e30  # a density of zero under a weight of zero
    assert MaximumLikelihood(flow)(x, None, weight).isfinite()
    assert MaximumLikelihood(flow)(x, None, torch.zeros(4)) == 0


def test_ema_is_the_recursion():
    module = nn.Linear(2, 1)
    ema = Ema(nn.Sequential(module), module, decay=0.9)
    expected = module.weight.detach().clone()
    for step in range(200):
        with torch.no_grad():
            module.weight.copy_(torch.randn(1, 2))
        ema.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * module.weight.detach()
    torch.testing.assert_close(ema.part.weight, expected)
    with pytest.raises(ValueError, match="does not hold the flow"):
        Ema(nn.Linear(1, 1), module, 0.9)
    with pytest.raises(ValueError, match="decay"):
        Ema(module, module, 1.0)


def test_the_kept_weights_are_the_average():
    """With a huge rate the weights jump about; what is kept is their average, and what was validated."""
    flow = gaussian_flow()
    steps = 60
    objective = Poisoned(flow, range(0))
    fit(flow, rows(1000), rows(1000), steps=steps, every=steps, lr=0.3, warmup=0, ema=0.8, patience=0, loss=objective, progress=False)
    seen, last = objective.seen, flow.transform.transforms[0].h.detach().flatten()
    average = seen[0]
    for step, h in enumerate(seen[1:]):  # what step `step` gave is seen by the next one
        decay = min(0.8, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * h
    assert (last - average).abs().max() < 0.05 < max((h - last).abs().max() for h in seen[30:])


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_not_finite_never_reaches_the_weights(what, capsys):
    flow = gaussian_flow()
    objective = Poisoned(flow, range(10, 13), what)
    history = fit(flow, rows(500), rows(200), steps=40, lr=1e-2, loss=objective, progress=False)
    assert history.skipped == 3 and history.rollbacks == 0 and history.steps == 40
    assert torch.stack(objective.seen).isfinite().all() and all(p.isfinite().all() for p in flow.parameters())
    assert torch.equal(objective.seen[10], objective.seen[13]) and not torch.equal(objective.seen[13], objective.seen[14])
    assert "3 of 40 steps were skipped" in capsys.readouterr().err


@pytest.mark.parametrize("deferred", [False, True])
def test_guard(deferred):
    """Both ways to skip, the one that asks and the one that leaves the decision on the device, do the same."""
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    guard = NonFiniteGuard(torch.optim.AdamW([weight], lr=0.1, weight_decay=0.0, fused=True), [weight], 1e3, [0.0] * 4, deferred)
    path = []
    for loss, gradient in ((2.0, 1.0), (math.nan, 1.0), (1.0, math.inf), (-math.inf, 1.0), (4.0, 1.0), (1.0, math.nan)):
        weight.grad = torch.full((2,), gradient)
        guard.step(torch.tensor(loss))
        path.append(weight[0].item())
    assert guard.look() == [1.0, 4.0, 6.0, 2.0] and weight.grad is None
    assert path == pytest.approx([0.9, 0.9, 0.9, 0.9, 0.8, 0.8], abs=1e-6)  # Adam's step is lr for a constant gradient


def test_repeated_failures_roll_back_at_half_the_rate(capsys):
    flow = gaussian_flow()
    objective = Poisoned(flow, range(25, 30))
    history = fit(flow, rows(500), rows(200), steps=60, every=10, warmup=0, lr=1e-2, loss=objective, progress=False)
    assert history.rollbacks == 1 and history.skipped == 5
    weights = objective.seen
    assert torch.equal(weights[30], weights[20]) and not torch.equal(weights[29], weights[20])  # the last validation was at step 20
    plain = Plan(60, 60, 10, 0, 0)
    assert history.records[-2]["lr"] == pytest.approx(0.5e-2 * plain.rate(50))
    said = capsys.readouterr().err
    assert "step 30: the loss or its gradient was not finite 5 times in a row" in said and "0.5 times the learning rate" in said


def test_it_gives_up_in_the_end():
    flow = gaussian_flow()
    with pytest.raises(FloatingPointError, match="after 5 roll-backs"):
        fit(flow, rows(500), rows(200), steps=60, patience=0, loss=Poisoned(flow, range(3, 1000)), progress=False)


def test_patience():
    """Overfitting: few training rows from elsewhere, so validation gets worse at once."""
    history = fit(gaussian_flow(), rows(20, mean=-5), rows(200), steps=1000, every=10, patience=3, lr=1e-2, progress=False)
    assert history.stopped == "patience" and history.steps == history.best_step + 30 < 1000


def test_best_weights_are_kept():
    flow = gaussian_flow()
    history = fit(flow, rows(20, mean=-5), rows(200), steps=100, every=5, patience=0, lr=1e-2, progress=False)
    with torch.no_grad():
        assert MaximumLikelihood(flow)(rows(200).x).item() == pytest.approx(history.best, abs=1e-5)
    assert history.records[-1]["valid"] > history.best + 0.1 and history.stopped == "steps"


def test_time_limit():
    class Slow(nn.Module):
        def __init__(self, flow: Flow):
            super().__init__()
            self.inner = MaximumLikelihood(flow)

        def forward(self, *rows: Tensor | None) -> Tensor:
            time.sleep(0.01)
            return self.inner(*rows)

    flow = gaussian_flow()
    began = time.perf_counter()
    history = fit(flow, rows(500), rows(200), time_limit=2.0, loss=Slow(flow), patience=0, progress=False)
    assert 1.4 < time.perf_counter() - began < 2.4
    assert history.seconds < 2.2 and 20 < history.steps < 200
    assert history.records[-1]["step"] == history.steps and history.records[-1]["lr"] < 2e-4  # the schedule ended in time
    history = fit(flow, rows(500), rows(200), steps=7, time_limit=60.0, progress=False)
    assert history.steps == 7


def test_validation_that_is_never_finite_is_said(capsys):
    class Hopeless(nn.Module):
        def __init__(self, flow: Flow):
            super().__init__()
            self.inner = MaximumLikelihood(flow)

        def forward(self, *rows: Tensor | None) -> Tensor:
            return self.inner(*rows) if self.training else torch.tensor(math.inf)

    flow = gaussian_flow()
    history = fit(flow, rows(200), rows(200), steps=20, lr=1e-2, loss=Hopeless(flow), progress=False)
    assert history.best is None and history.records[0]["valid"] is None
    assert "no validation loss was finite" in capsys.readouterr().err and flow.transform.transforms[0].h.any()


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.0},
        {"batch": 0},
        {"steps": 0},
        {"time_limit": -1.0},
        {"clip": math.nan},
        {"precision": "fp16"},
        {"resume": True},
        {"ema": 1.0},
    ],
)
def test_impossible_options(options):
    with pytest.raises(ValueError, match=r"expected|needs"):
        fit(gaussian_flow(), rows(10), rows(10), progress=False, **options)
    with pytest.raises(ValueError, match="rows to train on"):
        fit(gaussian_flow(), rows(0), rows(10), progress=False)
    with pytest.raises(ValueError, match="positive sum"):
        fit(gaussian_flow(), Rows(torch.randn(10, 2), weight=torch.zeros(10)), rows(10), progress=False)


class Machine:
    """What Linux says of two threads; a third has ended between looks."""

    def __init__(self, folder):
        self.folder, self.ran, self.waited = folder, 10**9, 10**9
        (folder / "3").mkdir()
        (folder / "3" / "schedstat").write_text("")
        self.passes(0)

    def passes(self, share: float) -> None:
        """A while in which threads wait for a processor that share of their time."""
        self.ran, self.waited = self.ran + int((1 - share) * 10**9), self.waited + int(share * 10**9)
        for thread in ("1", "2"):
            (self.folder / thread).mkdir(exist_ok=True)
            (self.folder / thread / "schedstat").write_text(f"{self.ran} {self.waited} 7")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """With four threads, and no time to wait for."""
    monkeypatch.setattr(starvation, "LONG_ENOUGH", 0.0)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield Machine(tmp_path)
    torch.set_num_threads(before)


def test_a_starved_training_has_fewer_threads(machine):
    said = []
    with starvation.Threads(machine.folder) as threads:
        for share, seconds, then in [
            (0.3, 0.04, 4),
            (0.7, 0.05, 2),  # tried
            (0.5, 0.03, 2),  # kept
            (0.5, 0.03, 1),  # tried
            (0.2, 0.02, 1),  # kept
            (0.2, 0.02, 1),
            (0.0, 0.02, 2),
            (0.2, 0.01, 2),
            (0.5, 0.01, 1),  # tried
            (0.4, 0.02, 2),  # and given up
            (0.0, 0.01, 4),
        ]:
            machine.passes(share)
            said.append(threads.stepped(seconds))
            assert torch.get_num_threads() == then
        machine.passes(0.9)
        assert threads.stepped(0.1) is None and torch.get_num_threads() == 2
    assert torch.get_num_threads() == 4
    assert [text for text in said if text] == [
        "other processes are busy: fewer threads are faster, 2 instead of 4, 30 ms a step instead of 50",
        "other processes are busy: fewer threads are faster, 1 instead of 2, 20 ms a step instead of 30",
        "processors are free: 2 threads again",
        "processors are free: 4 threads again",
    ]


def test_a_starved_fit_tries_fewer_and_ends_with_all(machine, monkeypatch):
    waited = itertools.count(0, 10**9)
    monkeypatch.setattr(starvation, "ran_and_waited", lambda tasks: (0, next(waited)))
    flow, seen = gaussian_flow(), set()
    flow.register_forward_pre_hook(lambda *_: seen.add(torch.get_num_threads()))
    fit(flow, rows(100), rows(10), steps=10, progress=False)
    assert {2, 4} <= seen and torch.get_num_threads() == 4


def test_threads_stay_where_fewer_are_slower(machine):
    with starvation.Threads(machine.folder) as threads:
        machine.passes(0.8)
        assert threads.stepped(0.05) is None and torch.get_num_threads() == 2
        machine.passes(0.8)
        assert threads.stepped(0.06) == (
            "threads wait for a processor 80% of their time, since other processes are busy; if they stay so, OMP_NUM_THREADS=1 or "
            "GOMP_SPINCOUNT=1000 in the environment makes steps faster"
        )
        assert torch.get_num_threads() == 4


def test_threads_that_are_fixed_stay_and_it_is_told_once(machine, monkeypatch):
    found, compiled = starvation.Threads(machine.folder), starvation.Threads(machine.folder)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    machine.passes(0.67)
    assert found.stepped(0.1).startswith("threads wait for a processor 67% of their time")
    machine.passes(0.9)
    assert found.stepped(0.1) is None
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert compiled.stepped(0.1, fixed=True).startswith("threads wait for a processor")
    assert starvation.Threads(machine.folder / "none").stepped(0.1) is None
    assert torch.get_num_threads() == 4


def test_bfloat16():
    class Net(nn.Module):
        def __init__(self, flow: Flow):
            super().__init__()
            self.inner, self.net, self.dtypes = MaximumLikelihood(flow), nn.Linear(2, 1), set()

        def forward(self, x: Tensor, context: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
            out = self.net(x)
            self.dtypes.add((self.training, out.dtype))
            return self.inner(x, context, weight) + out.float().square().mean()

    flow = gaussian_flow()
    objective = Net(flow)
    fit(flow, rows(100), rows(100), steps=3, loss=objective, precision="bf16", progress=False)
    assert objective.dtypes == {(True, torch.bfloat16)} and all(p.dtype == torch.float32 for p in flow.parameters())


class Watched(nn.Module):
    """Notes the precision in which its convolution computes in training."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.seen = nn.Conv2d(1, 2, 1), []

    def forward(self, x: Tensor) -> Tensor:
        out = self.net(x)
        if self.training:
            self.seen.append(out.dtype)
        return out


def image_flow() -> tuple[Flow, Watched]:
    net = Watched()
    return Flow(Normal((2, 2, 2)), Coupling([1, 0], Affine(), net)), net


@pytest.mark.parametrize(("gain", "same", "chosen"), [(0.0, 1.0, "bf16"), (0.0, -1.0, "no"), (1e9, 1.0, "no")])
def test_bfloat16_is_tried(gain, same, chosen, monkeypatch, tmp_path, capsys):
    """Where it is faster and the loss the same; the trial leaves nothing behind, and a run that goes on does not try again."""
    monkeypatch.setattr(precision, "FASTER", gain)
    monkeypatch.setattr(precision, "ALIKE", same)
    images = Rows(torch.randn(64, 2, 2, 2, generator=torch.Generator().manual_seed(1)))
    flow, net = image_flow()
    start, run = copy.deepcopy(flow.state_dict()), Directory(tmp_path, {"train": {}})
    fit(flow, images, images, steps=30, batch=16, run=run)
    tried, after = [torch.float32, torch.bfloat16] * 3, [torch.bfloat16 if chosen == "bf16" else torch.float32] * 10
    assert net.seen[-16:] == tried + after and torch.bfloat16 not in net.seen[:-16]
    assert ("nets in bfloat16" in capsys.readouterr().err) == (chosen == "bf16")
    assert run.config["train"]["precision"] == chosen
    other, _ = image_flow()
    other.load_state_dict(start)
    fit(other, images, images, steps=30, batch=16, precision="no", progress=False)
    assert all(torch.equal(a, b) for a, b in zip(flow.parameters(), other.parameters(), strict=True)) == (chosen == "no")
    net.seen.clear()
    fit(flow, images, images, steps=33, batch=16, run=run, resume=True, progress=False)
    assert net.seen[-3:] == after[:3] and len(net.seen) <= 4


def test_bfloat16_is_not_tried_on_vectors(monkeypatch):
    monkeypatch.setattr("pushforward.training.loop.try_bfloat16", None)
    fit(gaussian_flow(), rows(100), rows(100), steps=25, precision="auto", progress=False)


def test_order_sees_every_row_once_a_pass():
    order = EpochOrder(rows=10, batch=4, seed=0)
    seen = torch.cat([order(step) for step in range(5)])
    assert seen[:10].sort().values.tolist() == seen[10:].sort().values.tolist() == list(range(10))
    assert seen[:10].tolist() != seen[10:].tolist()
    assert torch.equal(EpochOrder(10, 4, 0)(3), seen[12:16]) and not torch.equal(EpochOrder(10, 4, 1)(0), seen[:4])
    assert EpochOrder(3, 512, 0)(7).sort().values.tolist() == [0, 1, 2]


def test_plan():
    plan = Plan(asked=100, steps=100, every=10, warmup=10, start=10)
    rates = [plan.rate(step) for step in range(101)]
    assert rates[:3] == [0.1, 0.2, 0.3] and rates[10] == max(rates) == 1 and rates[100] < 1e-12
    assert rates[10:] == sorted(rates[10:], reverse=True) and rates[55] == pytest.approx(0.5)
    plan = Plan(asked=None, steps=None, every=10, warmup=10, start=10)
    assert plan.rate(50) == 1 and plan.end == math.inf
    assert plan.decide(step=50, seconds=10.0, step_seconds=0.01, valid_seconds=0.01)
    assert plan.steps == 50 + int(10 / (0.01 + 0.01 / 20)) and plan.every == 20 and plan.rate(50) == 1
    halfway = plan.rate(550)
    assert not plan.decide(550, 4.8, 0.01, 0.01) and plan.rate(550) == halfway
    assert plan.decide(550, 2.0, 0.01, 0.01) and plan.rate(550) == halfway and plan.rate(plan.steps) < 1e-12
    assert default_steps(100, 512) == 1500 and default_steps(10**7, 512) == 20_000
    assert default_interval(2000, 512, 200) == 40 and default_interval(2000, 512, 10**6) == 400


def test_validation_does_not_change_the_fit():
    """Same weights however often one looks."""
    flows = [gaussian_flow(), gaussian_flow()]
    for flow, every in zip(flows, (1, 30)):
        fit(flow, rows(300), rows(100), steps=30, every=every, lr=1e-2, patience=0, ema=0.0, progress=False)
    # the loss falls throughout, so the best weights are the last
    assert torch.equal(flows[0].transform.transforms[0].h, flows[1].transform.transforms[0].h)


def test_lines_where_there_is_no_terminal(capsys, monkeypatch):
    display = Display(True)
    assert not display.due
    monkeypatch.setattr("pushforward.training.display.time.perf_counter", lambda: 1e9)
    assert display.due
    now = TrainerState(Plan(100, 100, 10, 0, 0), step=30, best=1.25, tally=[0, 0, 60.0, 30])
    display.update(now, 1e5, 65.0)
    display.say("a sentence")
    out, err = capsys.readouterr()
    assert err == "step 30 of 100 | loss 2.000 | best valid 1.2500 | 100,000 rows/s | 1m05s left\na sentence\n" and not out
    Display(True, dim=1, matching=True).update(now, None, None)
    assert capsys.readouterr().err == "step 30 of 100 | loss 2.000 | best valid 1.8034 bits/dim\n", "a mean square has no unit"
    assert not Display(False).due and [duration(s) for s in (5, 7500)] == ["5s", "2h05m"]
    Display(True, speaks=False).say("never")
    assert not capsys.readouterr().err


def test_atomic_text(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    write_text(path, json.dumps([1]))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pushforward.training.atomic.os.fsync", full)
    with pytest.raises(OSError, match=r"file.json: could not be written \(No space left on device\); the previous one is kept"):
        write_text(path, json.dumps([2]))
    assert json.loads(path.read_text()) == [1] and list(tmp_path.iterdir()) == [path]


class Paid(Transform):
    """A layer with a price of its own: moving points costs their squared distance."""

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x - self.shift, x.new_zeros(len(x))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z + self.shift, z.new_zeros(len(z))

    def price(self) -> Tensor:
        return self.shift.square().sum()


class TwoLosses(nn.Module):
    """The likelihood, and what the layers of the chain say that they cost."""

    def __init__(self, flow: Flow, weight: float):
        super().__init__()
        self.likelihood, self.weight = MaximumLikelihood(flow), weight

    def price(self) -> Tensor:
        return sum(layer.price() for layer in self.likelihood.flow.transform.transforms if isinstance(layer, Paid))

    def forward(self, x: Tensor, share: float) -> Tensor:
        return self.likelihood(x) + share * self.weight * self.price()


class Draws(Batches):
    """No rows: a simulator, asked in each step; the second loss sets in as the plan goes on."""

    batch = 256

    def __call__(self, step: int, progress: float) -> tuple[Tensor, float]:
        generator = torch.Generator().manual_seed(step)
        return 2.0 + torch.randn(self.batch, 2, generator=generator), min(1.0, 2 * progress)


class Both(Validation):
    def __call__(self, objective: nn.Module, progress: float) -> dict[str, float]:
        assert not torch.is_grad_enabled()
        loss = objective(Draws()(10**6, 1.0)[0], 1.0).item()
        return {"valid": loss, "price": objective.price().item()}


def test_the_loop_takes_a_simulator_and_two_losses():
    """``E[(x - s)^2 / 2] + w s^2`` per coordinate, of x around 2, is least at ``s = 2 / (1 + 2 w)``; both figures are logged."""
    flow = Flow(Normal((2,)), Paid())
    plan = Plan(asked=None, steps=400, every=100, warmup=10, start=10)
    options = {"lr": 5e-2, "clip": 10.0, "ema": 0.9, "seed": 0, "weight_decay": 0.0, "progress": False}
    history = optimize(flow, TwoLosses(flow, 0.5), Draws(), Both(), Processes(), plan, **options)
    torch.testing.assert_close(flow.transform.transforms[0].shift.detach(), torch.ones(2), atol=0.05, rtol=0)
    assert history.stopped == "steps" and history.records[0]["price"] == 0 and abs(history.records[-1]["price"] - 2) < 0.2
