"""Known answers of the linear layers that the laws don't hold."""

from __future__ import annotations

import pytest
import torch

from pushforward.core import Flow
from pushforward.distributions import Normal
from pushforward.transforms import Householder, MatrixExp, Orthogonal, QRLinear, SVDLinear, Triangular


def correlated(rows: int = 50, dim: int = 4) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(rows, dim).double() @ torch.randn(dim, dim).double() + torch.arange(dim).double() * 10


@pytest.mark.parametrize("make", [Triangular, Householder, Orthogonal, QRLinear, SVDLinear, MatrixExp])
def test_starts_as_identity_and_names_itself(make):
    x = correlated(dim=5)
    layer = make(5).double()
    torch.testing.assert_close(layer(x)[0], x, atol=1e-12, rtol=1e-12)
    for function in (layer, layer.inverse):
        with pytest.raises(ValueError, match=f"{make.__name__}: made for 5 channels"):
            function(torch.zeros(2, 3))


@pytest.mark.parametrize(("make", "sign"), [(lambda: Householder(4, 2), 1), (lambda: Householder(4, 7), -1), (lambda: Orthogonal(4), 1)])
def test_orthogonal_layers_preserve_norms(make, sign):
    layer, x = make().double(), correlated()
    torch.manual_seed(1)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    torch.testing.assert_close(layer(x)[0].norm(dim=1), x.norm(dim=1))
    assert abs(torch.linalg.det(layer.matrix()).item() - sign) < 1e-10


def test_householder_is_the_product_of_its_reflections():
    layer = Householder(4, 3).double()
    torch.nn.init.normal_(layer.vectors)
    expected = torch.eye(4).double()
    for v in layer.vectors.detach():
        expected = expected @ (torch.eye(4).double() - 2 * v.outer(v) / v.dot(v))
    torch.testing.assert_close(layer.matrix(), expected)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-20, 1e30])
def test_householder_is_orthogonal_for_any_length(scale):
    layer = Householder(4, 3)
    with torch.no_grad():
        layer.vectors.mul_(scale)
    q = layer.matrix()
    torch.testing.assert_close(q @ q.mT, torch.eye(4))
    q.sum().backward()
    assert layer.vectors.grad.isfinite().all()


def test_errors():
    with pytest.raises(ValueError, match="Householder: reflections must be >= 0, got -1"):
        Householder(3, -1)
    with pytest.raises(ValueError, match="Triangular: the covariance of 3 rows of 4 channels is singular"):
        Triangular(4).initialize(correlated(3))
    with pytest.raises(ValueError, match="singular"):
        Triangular(3).initialize(correlated()[:, [0, 1, 0]])


@pytest.mark.parametrize("upper", [False, True])
def test_triangular_fits_a_gaussian_in_closed_form(upper):
    """The flow is the normal with the batch's mean and biased covariance."""
    x = correlated()
    flow = Flow(Normal((4,)), Triangular(4, upper)).double()
    flow.initialize(x)
    expected = torch.distributions.MultivariateNormal(x.mean(0), x.T.cov(correction=0))
    torch.testing.assert_close(flow.log_prob(x), expected.log_prob(x), atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("inverse", [False, True])
def test_triangular_whitens_the_way_it_is_asked(upper, inverse):
    x = correlated(96).reshape(24, 2, 2, 4).movedim(-1, 1)
    x[:, 2] = 3.0  # constant: centred, not scaled
    layer = Triangular(4, upper).double()
    layer.initialize(x, inverse=inverse)
    z, _ = layer.inverse(x) if inverse else layer(x)
    rows = z.transpose(0, 1).flatten(1)  # (D, B * positions)
    torch.testing.assert_close(rows.mean(1), torch.zeros(4).double(), atol=1e-10, rtol=0)
    torch.testing.assert_close(rows.cov(correction=0), torch.tensor([1.0, 1.0, 0.0, 1.0]).double().diag(), atol=1e-10, rtol=0)
