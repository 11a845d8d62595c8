"""Flows of zuko and nflows, converted: the same densities, latents and ways back, with the real packages where they are installed.

How any masked net becomes a MADE is tested without them, against the net's own formula.
"""

from __future__ import annotations

import copy
import doctest
import functools
import itertools
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peers
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import AffineTransform
from torch.nn import functional as F

import pushforward as pf
from pushforward.conversion.masked import FromContext, MaskedRows, masked_net
from pushforward.core import Flow
from pushforward.nets import ResidualMLP

pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries warn about themselves and of each other's age

Make = Callable[[Any], nn.Module]


def spline_of(zuko: Any, bins: int = 6, **options: float) -> dict[str, Any]:
    return {
        "univariate": functools.partial(zuko.MonotonicRQSTransform, **options) if options else zuko.MonotonicRQSTransform,
        "shapes": [(bins,), (bins,), (bins - 1,)],
    }


def graph(zuko: Any) -> nn.Module:
    """Two roots, of which feature 1 reads one and feature 3 both; one of two contexts for some."""
    reads = torch.eye(4).bool()
    reads[1, 2] = reads[3, 0] = reads[3, 2] = True
    contexts = torch.tensor([[1, 0], [1, 1], [0, 1], [0, 0]]).bool()
    layer = zuko.MaskedAutoregressiveTransform(4, 2, adjacency=torch.cat([reads, contexts], 1))
    return zuko.Flow([layer], zuko.UnconditionalDistribution(zuko.DiagNormal, torch.zeros(4), torch.ones(4), buffer=True))


def of_parts(zuko: Any) -> nn.Module:
    layers = [
        zuko.UnconditionalTransform(AffineTransform, loc=torch.randn(3), scale=torch.rand(3) + 0.5, buffer=True),
        zuko.UnconditionalTransform(zuko.MonotonicAffineTransform, torch.randn(3), torch.randn(3)),
        zuko.MaskedAutoregressiveTransform(3, order=[1, 2, 0], **spline_of(zuko, 5, bound=3.0, slope=1e-2)),
        zuko.UnconditionalTransform(zuko.PermutationTransform, torch.tensor([2, 0, 1]), buffer=True),
        zuko.UnconditionalTransform(zuko.RotationTransform, torch.randn(3, 3)),
        zuko.MaskedAutoregressiveTransform(3, univariate=functools.partial(zuko.MonotonicAffineTransform, slope=0.1)).inv,
    ]
    return zuko.Flow(layers, zuko.UnconditionalDistribution(zuko.DiagNormal, torch.randn(3), torch.rand(3) + 0.5))


ZUKO: dict[str, tuple[Make, int, int]] = {  # the flow, features, numbers of a context
    "maf": (lambda zuko: zuko.MAF(5), 5, 0),
    "maf-context": (lambda zuko: zuko.MAF(4, 3, transforms=2, randperm=True, hidden_features=(32, 48, 16)), 4, 3),
    "maf-elu": (lambda zuko: zuko.MAF(5, 2, hidden_features=(20, 9), activation=nn.ELU), 5, 2),
    "maf-residual": (lambda zuko: zuko.MAF(5, 2, hidden_features=(20, 20), residual=True, randperm=True), 5, 2),
    "nsf-linear": (lambda zuko: zuko.NSF(4, 3, hidden_features=()), 4, 3),
    "maf-deep": (lambda zuko: zuko.MAF(20, hidden_features=[100] * 3), 20, 0),
    "nsf": (lambda zuko: zuko.NSF(5), 5, 0),
    "nsf-context": (lambda zuko: zuko.NSF(6, 2, bins=5, slope=1e-2, randperm=True, hidden_features=(17,)), 6, 2),
    "nsf-narrow": (lambda zuko: zuko.NSF(9, hidden_features=(4, 3), transforms=2, randperm=True), 9, 0),
    "nsf-passes": (lambda zuko: zuko.NSF(7, passes=2), 7, 0),
    "nsf-passes-context": (lambda zuko: zuko.NSF(7, 2, passes=3, randperm=True), 7, 2),
    "nsf-one-feature": (lambda zuko: zuko.NSF(1), 1, 0),
    "nsf-one-feature-context": (lambda zuko: zuko.NSF(1, 3), 1, 3),
    "nice": (lambda zuko: zuko.NICE(5, hidden_features=(20, 30)), 5, 0),
    "real-nvp-context": (lambda zuko: zuko.RealNVP(5, 2, randmask=True, activation=nn.ELU), 5, 2),
    "nice-spline": (lambda zuko: zuko.NICE(4, **spline_of(zuko)), 4, 0),
    "nice-additive": (lambda zuko: zuko.NICE(4, univariate=zuko.AdditiveTransform, shapes=[()]), 4, 0),
    "adjacency": (graph, 4, 2),
    "parts": (of_parts, 3, 0),
}


def spline_flow(nflows: Any, dim: int, context: int | None, **options: Any) -> nn.Module:
    layers = []
    for i in range(3):
        curve = {"num_bins": 6, "tails": "linear", "tail_bound": 3.0, **options}
        layers += [nflows.RandomPermutation(dim), nflows.LULinear(dim, identity_init=False)]
        if i == 1:
            net = functools.partial(nflows.ResidualNet, hidden_features=14, context_features=context, num_blocks=2)
            mask = [1, 0] * (dim // 2) + [1] * (dim % 2)
            layers.append(nflows.PiecewiseRationalQuadraticCouplingTransform(mask, net, apply_unconditional_transform=True, **curve))
        else:
            made = {"hidden_features": 16 + i, "context_features": context, "num_blocks": 2}
            layers.append(nflows.MaskedPiecewiseRationalQuadraticAutoregressiveTransform(dim, **made, **curve))
    return nflows.Flow(nflows.CompositeTransform(layers), nflows.StandardNormal([dim]))


def affine_given_context(nflows: Any) -> nn.Module:
    options = {"hidden_features": 15, "context_features": 2}
    layers = [
        nflows.MaskedAffineAutoregressiveTransform(4, num_blocks=0, **options),
        nflows.MaskedAffineAutoregressiveTransform(4, use_residual_blocks=False, random_mask=True, **options),
        nflows.MaskedAffineAutoregressiveTransform(4, use_residual_blocks=False, activation=torch.tanh, **options),
        nflows.AffineCouplingTransform([0, 1, 1, 0], lambda a, b: nflows.ResidualNet(a, b, num_blocks=1, activation=F.elu, **options)),
    ]
    return nflows.Flow(nflows.CompositeTransform(layers), nflows.StandardNormal([4]))


def small_parts(nflows: Any) -> nn.Module:
    layers = [
        nflows.PointwiseAffineTransform(torch.randn(3), torch.rand(3) + 0.5),
        nflows.PointwiseAffineTransform(0.3, 2.0),
        nflows.IdentityTransform(),
        nflows.ActNorm(3),
        nflows.Permutation(torch.tensor([1, 2, 0])),
        nflows.InverseTransform(nflows.CompositeTransform([nflows.MaskedAffineAutoregressiveTransform(3, 8, dropout_probability=0.5)])),
    ]
    return nflows.Flow(nflows.CompositeTransform(layers), nflows.DiagonalNormal([3]))


NFLOWS: dict[str, tuple[Make, int, int]] = {
    "maf": (lambda nflows: nflows.MaskedAutoregressiveFlow(5, 16, 3, 2), 5, 0),
    "maf-plain": (
        lambda nflows: nflows.MaskedAutoregressiveFlow(
            6, 13, 3, 2, use_residual_blocks=False, use_random_masks=True, use_random_permutations=True, batch_norm_between_layers=True
        ),
        6,
        0,
    ),
    "maf-tanh": (lambda nflows: nflows.MaskedAutoregressiveFlow(5, 12, 2, 1, activation=torch.tanh), 5, 0),
    "maf-one-feature": (lambda nflows: nflows.MaskedAutoregressiveFlow(1, 8, 2, 1), 1, 0),
    "real-nvp": (lambda nflows: nflows.SimpleRealNVP(5, 16, 3, 2, batch_norm_between_layers=True), 5, 0),
    "real-nvp-additive": (lambda nflows: nflows.SimpleRealNVP(4, 16, 3, 1, use_volume_preserving=True), 4, 0),
    "nsf": (lambda nflows: spline_flow(nflows, 5, None), 5, 0),
    "nsf-context": (lambda nflows: spline_flow(nflows, 5, 3, min_bin_width=1e-2, min_bin_height=2e-2, min_derivative=3e-2), 5, 3),
    "affine-context": (affine_given_context, 4, 2),
    "parts": (small_parts, 3, 0),
}
CASES = [*(("zuko", name) for name in ZUKO), *(("nflows", name) for name in NFLOWS)]
cases = pytest.mark.parametrize(("library", "name"), CASES, ids=["-".join(case) for case in CASES])


def built(library: str, name: str, dtype: torch.dtype = torch.float64, rows: int = 64) -> tuple[nn.Module, Tensor, Tensor | None]:
    """Theirs, no weight at its start, with rows and contexts."""
    torch.manual_seed(0)
    make, dim, context = (ZUKO if library == "zuko" else NFLOWS)[name]
    model = make(getattr(peers, library)()).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
        for key, statistic in model.named_buffers():
            if "running" in key:
                statistic.copy_(torch.rand_like(statistic) + 0.5)
    x, c = 1.5 * torch.randn(rows, dim), torch.randn(rows, context) if context else None
    return model.to(dtype), x.to(dtype), None if c is None else c.to(dtype)


def theirs(library: str, model: Any, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
    """Log density and latent."""
    with torch.no_grad():
        if library == "zuko":
            return model(c).log_prob(x), model(c).transform(x)
        return model.log_prob(x, c), model.transform_to_noise(x, c)


@cases
def test_same_density_and_latent(library, name):
    model, x, c = built(library, name)
    flow = pf.convert(model)
    assert type(flow) is Flow and flow.kind == "exact" and all(p.dtype == torch.float64 for p in flow.parameters())
    log_prob, z = theirs(library, model, x, c)
    with torch.no_grad():
        torch.testing.assert_close(flow.log_prob(x, c), log_prob, atol=1e-12, rtol=1e-12)
        if name != "parts":  # where the base is part of ours
            torch.testing.assert_close(flow.encode(x, c), z, atol=1e-12, rtol=1e-11)
        torch.testing.assert_close(flow.decode(flow.encode(x, c), c), x, atol=1e-9, rtol=1e-9)


@cases
def test_same_density_in_single_precision(library, name):
    """Most rows within 5e-7 of the value; and off float64 both by the like, but for a few rows where a spline is steep."""
    model, x, c = built(library, name, torch.float32, rows=500)
    flow = pf.convert(model)
    log_prob, _ = theirs(library, model, x, c)
    exact, _ = theirs(library, copy.deepcopy(model).double(), x.double(), None if c is None else c.double())
    with torch.no_grad():
        ours = flow.log_prob(x, c)
    assert ours.dtype == torch.float32
    size = exact.abs().clamp_min(1)
    assert ((ours - log_prob).abs() / size).median() < 5e-7
    off, theirs_off = (((value - exact).abs() / size).quantile(0.95) for value in (ours, log_prob))
    assert off < 3 * theirs_off + 1e-7  # one set of knots has one rounding for all rows


@cases
def test_one_of_our_own(library, name):
    """Draws, trains, is saved, and shares no weight with its source."""
    model, x, c = built(library, name, torch.float32)
    flow, before = pf.convert(model), theirs(library, model, x, c)[0]
    twin = pf.convert(model)
    assert flow.sample((3,), None if c is None else c[:2]).shape == (3, *(() if c is None else (2,)), x.shape[1])
    optimizer = torch.optim.Adam(flow.parameters(), 1e-3)
    losses = []
    for _ in range(5):
        loss = -flow.log_prob(x, c).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    torch.testing.assert_close(theirs(library, model, x, c)[0], before, atol=0, rtol=0)
    twin.load_state_dict(flow.state_dict())
    assert torch.equal(twin.log_prob(x, c), flow.log_prob(x, c))


def test_the_way_back_is_theirs():
    """Latents of neither's making, through both."""
    model, x, c = built("zuko", "nsf-context")
    z = torch.randn_like(x)
    with torch.no_grad():
        torch.testing.assert_close(pf.convert(model).decode(z, c), model(c).transform.inv(z), atol=1e-9, rtol=1e-9)
    model, x, c = built("nflows", "affine-context")
    with torch.no_grad():
        torch.testing.assert_close(pf.convert(model).decode(z[:, :4], c), model._transform.inverse(z[:, :4], c)[0], atol=1e-9, rtol=1e-9)


def flow_of(zuko: Any, *layers: nn.Module, base: nn.Module | None = None) -> nn.Module:
    return zuko.Flow(layers, base or zuko.UnconditionalDistribution(zuko.DiagNormal, torch.zeros(3), torch.ones(3), buffer=True))


def with_layer(nflows: Any, layer: nn.Module) -> nn.Module:
    return nflows.Flow(layer, nflows.StandardNormal([3]))


def with_net(nflows: Any, net: Callable[..., nn.Module], **options: Any) -> nn.Module:
    return with_layer(nflows, nflows.PiecewiseRationalQuadraticCouplingTransform([1, 0, 1], net, tails="linear", **options))


def residual_net(nflows: Any, **options: Any) -> Callable[..., nn.Module]:
    return functools.partial(nflows.ResidualNet, hidden_features=8, **options)


def overridden(zuko: Any) -> nn.Module:
    class Other(zuko.MAF):
        def forward(self, c: Tensor | None = None) -> Any:
            return super().forward(None)

    return Other(3)


REFUSED: list[tuple[str, Make, str]] = [
    ("zuko", lambda zuko: zuko.NAF(3), "the scalar map .* has no counterpart here; build it of MAF"),
    ("zuko", lambda zuko: zuko.NCSF(3), "the base of the flow is BoxUniform; give it a DiagNormal"),
    ("zuko", lambda zuko: zuko.SOSPF(3), "the scalar map ShiftedSOSPTransform"),
    ("zuko", lambda zuko: zuko.CNF(3), "FFJTransform has no counterpart"),
    ("zuko", lambda zuko: zuko.MAF(3, residual=True, hidden_features=(8, 12)), "residual blocks of a masked net differ in width; build it"),
    ("zuko", lambda zuko: zuko.MAF(3, residual=True, activation=nn.ELU), "activation ELU; build it with ReLU"),
    (
        "zuko",
        lambda zuko: zuko.MAF(3, activation=nn.PReLU),
        "a masked net has the activation PReLU; build it with one of torch's ELU, GELU",
    ),
    ("zuko", lambda zuko: zuko.NICE(3, activation=nn.Softmin), "the net of a coupling has the activation Softmin"),
    ("zuko", lambda zuko: zuko.NICE(3, normalize=True), "the net of a coupling holds LayerNorm; use linear layers"),
    (
        "zuko",
        lambda zuko: flow_of(zuko, zuko.UnconditionalTransform(AffineTransform, torch.zeros(3), torch.tensor([1.0, -1.0, 2.0]))),
        "an affine transform has a scale that is not positive",
    ),
    ("zuko", lambda zuko: flow_of(zuko, zuko.UnconditionalTransform(zuko.SoftclipTransform, 9.0)), "SoftclipTransform has no"),
    ("zuko", lambda zuko: zuko.GMM(3), "expected a flow of zuko or nflows, got GMM"),
    ("zuko", overridden, "expected a flow of zuko or nflows, got Other"),
    ("nflows", lambda nflows: nflows.MaskedAutoregressiveFlow(3, 8, 1, 1, activation=torch.sin), "activation sin; build it with one of"),
    (
        "nflows",
        lambda nflows: with_layer(nflows, nflows.MaskedAffineAutoregressiveTransform(3, 8, context_features=2, activation=torch.tanh)),
        "residual blocks of .* read a context through Tanh",
    ),
    ("nflows", lambda nflows: nflows.MaskedAutoregressiveFlow(3, 8, 1, 1, batch_norm_within_layers=True), "has batch norm"),
    ("nflows", lambda nflows: nflows.Flow(nflows.SVDLinear(3, 2), nflows.StandardNormal([3])), "SVDLinear has no counterpart"),
    (
        "nflows",
        lambda nflows: nflows.Flow(nflows.MaskedPiecewiseRationalQuadraticAutoregressiveTransform(3, 8), nflows.StandardNormal([3])),
        "has no tails; build it with tails='linear'",
    ),
    ("nflows", lambda nflows: with_net(nflows, residual_net(nflows, use_batch_norm=True)), "has batch norm"),
    ("nflows", lambda nflows: with_net(nflows, nn.Linear), "the net of .* is Linear; let transform_net_create_fn"),
    (
        "nflows",
        lambda nflows: nflows.Flow(nflows.LULinear(3), nflows.ConditionalDiagonalNormal([3])),
        "the base of the flow is ConditionalDiagonalNormal; give it a StandardNormal",
    ),
    (
        "nflows",
        lambda nflows: nflows.Flow(nflows.LULinear(3), nflows.StandardNormal([3]), nn.Linear(2, 2)),
        r"contexts go through an embedding net, Linear; give the shape .* convert\(model, context=10\)",
    ),
]


@pytest.mark.parametrize(("library", "make", "words"), REFUSED, ids=[words for *_, words in REFUSED])
def test_what_cant_be_converted_is_named(library, make, words):
    with pytest.raises(ValueError, match=words) as caught:
        pf.convert(make(getattr(peers, library)()))
    assert str(caught.value).startswith("convert: ") and "pushforward.fit(x, 'nsf')" in str(caught.value)


def test_an_embedding_net_comes_along():
    """As a copy; contexts have the shape that is said."""
    model, x, c = built("nflows", "nsf-context")
    assert c is not None
    model._embedding_net = nn.Sequential(nn.Flatten(), nn.Linear(10, 3), nn.Tanh()).double()
    flow, raw = pf.convert(model, context=(5, 2)), torch.randn(len(x), 5, 2).double()
    with torch.no_grad():
        torch.testing.assert_close(flow.log_prob(x, raw), theirs("nflows", model, x, raw)[0], atol=1e-12, rtol=1e-12)
        nn.init.zeros_(model._embedding_net[1].weight)
        assert (flow.log_prob(x, raw) != theirs("nflows", model, x, raw)[0]).all()
    assert flow.context_shape == (5, 2) and flow.sample((3,), raw[:2]).shape == (3, 2, 5)


@pytest.mark.slow
@pytest.mark.parametrize("builder", ["build_maf", "build_maf_rqs", "build_nsf", "build_zuko_maf", "build_zuko_nsf", "build_zuko_nice"])
def test_estimators_of_sbi(builder):
    """Standardized parameters and simulations, an embedding net; and back as an estimator of sbi."""
    builders = peers.library("sbi.neural_nets.net_builders.flow")
    torch.manual_seed(0)
    theta, x = 3 * torch.randn(200, 3) + 1, 5 * torch.randn(200, 6) - 2
    estimator = getattr(builders, builder)(theta, x, embedding_net=nn.Sequential(nn.Linear(6, 4), nn.ELU()), hidden_features=12).eval()
    with torch.no_grad():
        for parameter in estimator.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        flow = pf.convert(estimator)
        ours, expected = flow.log_prob(theta, x), estimator.log_prob(theta[None], x)[0]
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(pf.as_sbi(flow).log_prob(theta[None], x)[0], ours)


def test_others_are_refused():
    with pytest.raises(ValueError, match="convert: MAF has no embedding net, and its layers say what contexts are; leave context away"):
        pf.convert(peers.zuko().MAF(3), context=2)
    with pytest.raises(ValueError, match=r"convert: expected a flow of zuko or nflows, got Linear \(torch.nn.modules.linear.Linear\)"):
        pf.convert(nn.Linear(2, 2))


def random_layer(mask: Tensor) -> MaskedRows:
    return MaskedRows(torch.randn(mask.shape), mask, torch.randn(len(mask)))


def random_masks(order: Tensor, widths: list[int], params: int, residual: bool) -> list[Tensor]:
    """Masks of a net that is autoregressive in that order; some connections that might be are not."""
    dim = len(order)
    degrees = [order, *(torch.randint(dim + 1, (width,)) for width in widths)]
    if residual:  # the block adds to the units of the first layer
        degrees[3] = degrees[1]
    masks = [after[:, None] >= before + (i == 0) for i, (before, after) in enumerate(itertools.pairwise(degrees))]
    masks.append(order.repeat(params)[:, None] >= degrees[-1])
    return [mask & (torch.rand(mask.shape) < 0.8) for mask in masks]


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize("seed", range(5))
def test_any_masked_net_is_a_made(residual, context, seed):
    """Random masks, widths and orders, against the net's own formula."""
    torch.manual_seed(seed)
    dim, widths = seed + 1 + 3 * (seed > 2), [12, 9, 12] if residual else torch.randint(1, 20, (3,)).tolist()
    masks = random_masks(torch.randperm(dim), widths, 2, residual)
    layers = [random_layer(mask) for mask in masks]
    given = FromContext(torch.randn(widths[0], context), activation=nn.Tanh() if seed % 2 else None) if context else None
    net = masked_net("the net", layers, given, residual=residual, linear_end=residual)
    x, c = torch.randn(50, dim), torch.randn(50, context) if context else None

    def linear(layer: MaskedRows, h: Tensor) -> Tensor:
        return F.linear(h, layer.weight * layer.mask, layer.bias)

    h = linear(layers[0], x)
    if given is not None and c is not None:
        added = F.linear(c, given.weight)
        h = h + (added if given.activation is None else added.tanh())
    if residual:
        h = h + linear(layers[2], linear(layers[1], h.relu()).relu())
    else:
        for layer in layers[1:-1]:
            h = linear(layer, h.relu())
        h = h.relu()
    torch.testing.assert_close(net(x, c), linear(layers[-1], h), atol=1e-4, rtol=1e-4)


def test_a_net_that_reads_its_own_feature_is_refused():
    mask = torch.ones(3, 3).bool()
    with pytest.raises(ValueError, match="depend on the feature itself"):
        masked_net("the net", [random_layer(mask)] * 2)


def test_gated_residual_net_by_its_formula():
    """Of nflows' ResidualNet, which the gate and the linear end are for."""
    torch.manual_seed(0)
    net = ResidualMLP(5, 3, width=8, depth=1, gate=2, linear_end=True)
    nn.init.normal_(net.last.weight)
    x = torch.randn(10, 5)
    h = net.first(x)
    h = h + net.outer[0](net.inner[0](h.relu()).relu()) * net.gates[0](x[:, 3:]).sigmoid()
    torch.testing.assert_close(net(x), net.last(h))


def test_no_other_library_is_imported():
    code = "import sys, pushforward; pushforward.convert; print({'zuko', 'nflows', 'sbi'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_the_docstring_s_example_runs():
    torch.manual_seed(0)
    names = {"torch": torch, "convert": pf.convert, "zuko": peers.zuko()}
    (example,) = doctest.DocTestFinder(recurse=False).find(pf.convert, "convert", globs=names)
    assert len(example.examples) == 3 and not doctest.DocTestRunner(verbose=False).run(example).failed


def test_the_page_s_example_runs():
    page = (Path(__file__).parent.parent / "docs" / "coming_from.md").read_text()
    code = re.search(r"^```python\n(import zuko\n.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert code
    peers.zuko()
    exec(compile(code[1], "<page>", "exec"), {})
