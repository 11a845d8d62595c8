"""Which optimizer steps: options, one memory, and what is skipped."""

from __future__ import annotations

import pytest
import torch

from pushforward.data import Rows
from pushforward.models import nsf
from pushforward.training import fit
from pushforward.training.guard import NonFiniteGuard
from pushforward.training.optimizers import Joint, optimizer_of


def test_muon_takes_matrices_and_adamw_the_rest():
    flow = nsf((3,), steps=2, width=16)
    optimizer = optimizer_of("muon", flow.parameters(), 1e-2, 0.0)
    by_muon, by_adamw = optimizer.parts
    assert {p.dim() for group in by_muon.param_groups for p in group["params"]} == {2}
    count = sum(len(group["params"]) for part in optimizer.parts for group in part.param_groups)
    assert count == len(list(flow.parameters())) and by_adamw.param_groups
    assert type(optimizer_of("adamw", flow.parameters(), 1e-2, 0.0)) is torch.optim.AdamW
    assert type(optimizer_of("muon", [torch.nn.Parameter(torch.ones(3))], 1e-2, 0.0)) is torch.optim.AdamW


def test_one_memory_and_one_rate():
    weight, bias = torch.nn.Parameter(torch.eye(4)), torch.nn.Parameter(torch.zeros(4))
    optimizer = optimizer_of("muon", [weight, bias], 1e-2, 0.0)
    assert isinstance(optimizer, Joint)
    for group in optimizer.param_groups:
        group["lr"] = 1e-3
    weight.grad, bias.grad = torch.randn(4, 4), torch.ones(4)
    optimizer.step()
    assert set(optimizer.state[weight]) == {"momentum_buffer"} and set(optimizer.state[bias]) == {"step", "exp_avg", "exp_avg_sq"}
    torch.testing.assert_close(bias.detach(), torch.full((4,), -1e-3))  # of all parts


@pytest.mark.parametrize("deferred", [False, True])
def test_what_is_not_finite_is_skipped(deferred):
    weight, bias = torch.nn.Parameter(torch.eye(4)), torch.nn.Parameter(torch.zeros(4))
    guard = NonFiniteGuard(optimizer_of("muon", [weight, bias], 1e-2, 0.0), [weight, bias], 10.0, [0.0] * 4, deferred=deferred)
    weight.grad, bias.grad = torch.full((4, 4), torch.nan), torch.ones(4)
    guard.step(torch.tensor(1.0))
    assert torch.equal(weight.detach(), torch.eye(4)) and not bias.detach().any()
    weight.grad, bias.grad = torch.ones(4, 4), torch.ones(4)
    guard.step(torch.tensor(1.0))
    assert not torch.equal(weight.detach(), torch.eye(4)) and bias.detach().all()


@pytest.mark.parametrize(
    ("options", "words"),
    [({"optimizer": "sgd"}, "'adamw' or 'muon', got 'sgd'"), ({"optimizer": "muon", "strategy": "fsdp"}, "whole matrices")],
)
def test_refused(options, words):
    rows = Rows(torch.randn(64, 2))
    with pytest.raises(ValueError, match=words):
        fit(nsf((2,)), rows, rows, **options)
