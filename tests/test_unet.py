"""A U-Net as a velocity: laws of the layer that it moves, images of any size, and flow matching. (Its products: test_velocity.py.)"""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, jacrev, vmap

from pushforward.models import ffjord_image
from pushforward.nets import UNet
from pushforward.objectives import choose_objective
from pushforward.transforms import Continuous

SHAPE = (1, 3, 2)


def made(shape: tuple[int, ...] = SHAPE, noise: float = 0.1, **options) -> tuple[UNet, Tensor, Tensor]:
    """A net that moves, images and contexts."""
    torch.manual_seed(0)
    net = UNet(shape[0], **{"width": 4, "scales": 1, "context": 2} | options).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    return net, torch.randn(3, *shape, dtype=torch.float64), torch.randn(3, 2, dtype=torch.float64)


def test_the_exact_trace_is_the_log_determinant():
    """To 1e-8, over a time so short that a few steps are fine; rows are by themselves."""
    net, x, c = made(activation="softplus", noise=0.05)
    layer = Continuous(net, SHAPE, steps=3, trace="exact")
    x.requires_grad_()
    z, ldj, *_ = layer.course(x, c, end=0.1)
    outputs = z.flatten(1).unbind(1)
    jacobians = torch.stack([torch.autograd.grad(out.sum(), x, retain_graph=True)[0].flatten(1) for out in outputs], 1)
    torch.testing.assert_close(ldj, torch.linalg.slogdet(jacobians)[1], atol=1e-8, rtol=1e-8)
    assert ldj.abs().min() > 1e-4
    with torch.no_grad():
        one = layer.course(x[1:2], c[1:2], end=0.1)
    torch.testing.assert_close((one.z[0], one.ldj[0]), (z[1], ldj[1]), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("shape", [(1, 7, 7), (3, 5, 8), (2, 1, 1)])
@pytest.mark.parametrize("scales", [0, 2])
def test_images_of_any_size(shape, scales):
    """Each site hears of all of its row, and of no other; no rows and shapes alone give shapes."""
    net, x, c = made(shape, scales=scales)
    x.requires_grad_()
    f = net(x, 0.5, c)
    assert f.shape == x.shape
    (slope,) = torch.autograd.grad(f[0, 0, 0, 0], x)
    assert slope[0].all() and not slope[1:].any()
    none, products = net.products(x[:0], 0.5, c[:0], x[None, :0])
    assert none.shape == (0, *shape) and products.shape == (1, 0, *shape)
    meta = [torch.zeros(size, device="meta") for size in ((2, *shape), (2, 2), (3, 2, *shape))]
    f, products = net.to("meta").float().products(meta[0], 0.5, meta[1], meta[2])
    assert f.shape == (2, *shape) and products.shape == (3, 2, *shape) and products.dtype == torch.float32


def test_torch_func():
    """vmap gives each row's own velocity and products, jacrev the Jacobian, vmap of grad each row's own gradients."""
    net, x, c = made()
    units = torch.eye(6, dtype=torch.float64).view(6, 1, *SHAPE)
    names = dict(net.named_parameters())

    def one(row: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        f, products = net.products(row[None], 0.5, context[None], units)
        return f[0], products[:, 0]

    f, products = vmap(one)(x, c)
    torch.testing.assert_close(f, net(x, 0.5, c), atol=1e-12, rtol=1e-12)
    jacobians = vmap(jacrev(lambda row, context: one(row, context)[0]))(x, c).view(3, 6, 6)
    torch.testing.assert_close(products.view(3, 6, 6).mT, jacobians, atol=1e-12, rtol=1e-12)
    own = vmap(grad(lambda p, row, context: functional_call(net, p, (row[None], 0.5, context[None])).sum()), (None, 0, 0))(names, x, c)
    total = torch.autograd.grad(net(x, 0.5, c).sum(), list(names.values()))
    for key, value in zip(names, total, strict=True):
        torch.testing.assert_close(own[key].sum(0), value, atol=1e-12, rtol=1e-12)


@pytest.mark.slow
def test_one_graph():
    net, x, c = made()
    layer = Continuous(net, SHAPE, steps=1, solver="midpoint")
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler, about itself
        found = []
        for run in (layer, torch.compile(layer, fullgraph=True, backend="aot_eager")):
            torch.manual_seed(0)
            z, ldj = run(x, c)
            found.append((z, ldj, *torch.autograd.grad(z.sum() + ldj.sum(), list(net.parameters()))))
    torch.testing.assert_close(*found)


def test_flow_matching_of_images():
    """One layer alone, whose parameters all learn, of images of odd sides; the likelihood is by the solver, and images come back."""
    torch.manual_seed(0)
    flow = ffjord_image((1, 5, 3), levels=4, net="unet", width=4, depth=1, steps=2, exact_up_to=1, context=2)
    x, c = torch.randint(4, (8, 1, 5, 3)).float(), torch.randn(8, 2)
    flow.initialize(x, c)
    loss, layer = choose_objective(flow, "flow_matching"), flow.transform.transforms[-1]
    for _ in range(3):  # the last convolution starts at zero, and so do those that end the blocks
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.sub_(0.1 * (0 if parameter.grad is None else parameter.grad))
        layer.zero_grad()
        loss(x, c).backward()
    assert all(p.grad.any() and p.grad.isfinite().all() for p in layer.parameters())
    flow.eval()
    assert flow.kind == "bound" and loss.eval()(x, c).isfinite()
    assert torch.equal(flow.decode(flow.encode(x, c), c), x) and flow.sample((2,), c).shape == (2, *x.shape)
    assert not torch.equal(flow.encode(x, c), flow.encode(x, c + 1))
    with pytest.raises(ValueError, match=r"got Dequantize, .* ffjord_image with model.net=unet and model.blocks=1"):
        choose_objective(ffjord_image((1, 4, 4), scales=1, width=4, steps=1), "flow_matching")
