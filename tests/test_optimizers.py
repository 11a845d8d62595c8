"""Which optimizer steps: options, one memory, and what is skipped."""

from __future__ import annotations

import pytest
import torch

from pushforward.data import Rows
from pushforward.models import nsf
from pushforward.training import fit
from pushforward.training.guard import NonFiniteGuard
from pushforward.training.optimizers import SOAP, Joint, Muon, optimizer_of, orthogonal


@pytest.mark.parametrize("name", ["muon", "soap"])
def test_it_takes_matrices_and_adamw_the_rest(name):
    flow = nsf((3,), steps=2, width=16)
    optimizer = optimizer_of(name, flow.parameters(), 1e-2, 0.0)
    by_matrix, by_adamw = optimizer.parts
    assert type(by_matrix).__name__.lower() == name
    assert {p.dim() for group in by_matrix.param_groups for p in group["params"]} == {2}
    count = sum(len(group["params"]) for part in optimizer.parts for group in part.param_groups)
    assert count == len(list(flow.parameters())) and by_adamw.param_groups
    assert type(optimizer_of("adamw", flow.parameters(), 1e-2, 0.0)) is torch.optim.AdamW
    assert type(optimizer_of(name, [torch.nn.Parameter(torch.ones(3))], 1e-2, 0.0)) is torch.optim.AdamW


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


@pytest.mark.parametrize("shape", [(12, 5), (5, 12), (7, 7)])
def test_orthogonal_is_the_polar_factor(shape):
    u, _, v = torch.linalg.svd(torch.randn(3, *shape, dtype=torch.float64), full_matrices=False)
    matrices = u * torch.linspace(1, 0.05, min(shape), dtype=torch.float64) @ v
    values = torch.linalg.svdvals(orthogonal(matrices))
    assert values.min() > 0.3 and values.max() < 1.3
    found = (orthogonal(matrices) * (u @ v)).sum((1, 2)) / orthogonal(matrices).norm(dim=(1, 2)) / (u @ v).norm(dim=(1, 2))
    assert found.min() > 0.95


def test_torchs_own_steps_the_same():
    """Which computes in bfloat16."""
    torch.manual_seed(0)
    starts = [torch.randn(16, 8), torch.randn(16, 8), torch.randn(8, 24)]
    ours, theirs = ([torch.nn.Parameter(start.clone()) for start in starts] for _ in range(2))
    one = Muon(ours, lr=1e-2, weight_decay=0.1)
    two = torch.optim.Muon(theirs, lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(5):
        for a, b in zip(ours, theirs):
            a.grad = b.grad = torch.randn(a.shape)
        one.step()
        two.step()
    for a, b, start in zip(ours, theirs, starts):
        assert (a - b).norm() < 0.02 * (b - start).norm()


def course(optimizer: type[torch.optim.Optimizer], gradients: list[torch.Tensor], **options) -> torch.Tensor:
    """Where a weight goes that starts from zero."""
    weight = torch.nn.Parameter(torch.zeros_like(gradients[0]))
    stepper = optimizer([weight], **options)
    for weight.grad in gradients:
        stepper.step()
    return weight.detach()


@pytest.mark.parametrize("shape", [(8, 8), (12, 8), (8, 12)])
def test_soap_is_adam_in_the_eigenbasis(shape):
    """In other orthogonal coordinates of both sides it goes the same way; Adam does not."""
    left, right = (torch.linalg.qr(torch.randn(n, n, dtype=torch.float64))[0] for n in shape)
    scales = torch.linspace(0.5, 2, shape[0], dtype=torch.float64)[:, None]
    gradients = [scales * torch.randn(shape, dtype=torch.float64) for _ in range(25)]
    turned = [left @ g @ right.T for g in gradients]
    options = {"lr": 1e-2, "weight_decay": 0.0}
    plain, other = course(SOAP, gradients, **options), course(SOAP, turned, **options)
    if shape[0] == shape[1]:  # else the first gradient leaves directions open
        torch.testing.assert_close(left @ plain @ right.T, other)
    assert (plain - course(torch.optim.AdamW, gradients, **options)).norm() > 0.1 * plain.norm()
    assert (left @ plain @ right.T - other).norm() < 0.6 * other.norm()


def test_soap_without_bases_is_adam():
    """Which sees no first gradient."""
    gradients = [torch.randn(6, 5) for _ in range(12)]
    plain = course(SOAP, gradients, lr=1e-2, weight_decay=0.1, longest=4)
    torch.testing.assert_close(plain, course(torch.optim.AdamW, gradients[1:], lr=1e-2, weight_decay=0.1, betas=(0.95, 0.95)))


def test_soap_leaves_long_sides_alone():
    weight = torch.nn.Parameter(torch.zeros(5, 11))
    optimizer = optimizer_of("soap", [weight], 1e-2, 0.0)
    for _ in range(11):
        weight.grad = torch.randn(5, 11)
        optimizer.step()
    state = optimizer.state[weight]
    assert set(state) == {"step", "exp_avg", "exp_avg_sq", "gram0", "basis0"}
    torch.testing.assert_close(state["basis0"].T @ state["basis0"], torch.eye(5))


@pytest.mark.parametrize("name", ["muon", "soap"])
@pytest.mark.parametrize("deferred", [False, True])
def test_what_is_not_finite_is_skipped(deferred, name):
    weight, bias = torch.nn.Parameter(torch.eye(4)), torch.nn.Parameter(torch.zeros(4))
    guard = NonFiniteGuard(optimizer_of(name, [weight, bias], 1e-2, 0.0), [weight, bias], 10.0, [0.0] * 4, deferred=deferred)
    weight.grad, bias.grad = torch.full((4, 4), torch.nan), torch.ones(4)
    guard.step(torch.tensor(1.0))
    assert torch.equal(weight.detach(), torch.eye(4)) and not bias.detach().any()
    for _ in range(2):  # SOAP's first gradient makes its bases
        weight.grad, bias.grad = torch.ones(4, 4), torch.ones(4)
        guard.step(torch.tensor(1.0))
    assert not torch.equal(weight.detach(), torch.eye(4)) and bias.detach().all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"optimizer": "sgd"}, "'adamw', 'muon' or 'soap', got 'sgd'"),
        ({"optimizer": "soap", "strategy": "fsdp"}, "'soap' steps along whole matrices"),
        ({"optimizer": "muon", "strategy": "fsdp"}, "'muon' steps along whole matrices"),
    ],
)
def test_refused(options, words):
    rows = Rows(torch.randn(64, 2))
    with pytest.raises(ValueError, match=words):
        fit(nsf((2,)), rows, rows, **options)
