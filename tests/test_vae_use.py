"""The recipe of VAEs, and what is done with a fitted one: parts of its bound, pictures, refusals."""

from __future__ import annotations

import json
import math

import pytest
import torch
from vaes import gaussian, perturbed

import pushforward as pf
import pushforward.distributions as pd
from pushforward.cli import main
from pushforward.core import Flow
from pushforward.data import Rows
from pushforward.doctor import diagnose
from pushforward.evaluation import surgery
from pushforward.models import nice, vae
from pushforward.objectives import ELBO, choose_objective
from pushforward.transforms import VAE, Dequantize

# --- the recipe ---

POSTERIORS = ["gaussian", "full", "planar", "radial", "sylvester", "householder", "triangular", "coupling", "iaf"]
PRIORS = ["standard", "mixture", "vamp", "real_nvp", "maf", "nsf"]
TINY = {"latent": 3, "width": 8, "depth": 1, "posterior_steps": 2, "components": 2, "rank": 2, "maps": 4, "blocks": 1}


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_posteriors(posterior):
    """The bound is below the tighter one, gradients reach everything, samples are levels."""
    check(vae((1, 4, 4), levels=2, posterior=posterior, **TINY), 2)


@pytest.mark.parametrize(("prior", "context"), [(prior, 0) for prior in PRIORS] + [(prior, 2) for prior in PRIORS if prior != "vamp"])
def test_priors(prior, context):
    steps = {} if prior in ("standard", "mixture", "vamp") else {"prior_steps": 1}
    check(vae((1, 4, 4), levels=5, prior=prior, context=context, **steps, **TINY), 5, context)


def test_decoders_and_contexts():
    check(vae((3, 4, 4), levels=4, decoder="pixel_cnn", **TINY), 4)
    check(vae((1, 4, 4), levels=4, context=2, posterior="iaf", decoder="pixel_cnn", **TINY), 4, 2)
    check(vae((1, 4, 4), levels=4, context=2, prior="nsf", **TINY), 4, 2)
    model = perturbed(vae((4,), context=2, **TINY), 0.3)
    assert model.log_prob(torch.randn(5, 4), torch.randn(5, 2), samples=3).shape == (5,)
    with pytest.raises(ValueError, match="rows take decoder=independent"):
        vae((4,), decoder="pixel_cnn")


def check(model: Flow, levels: int, context: int = 0):
    torch.manual_seed(0)
    perturbed(model, 0.1)
    x = torch.randint(levels, (40, *model.shape)).float()
    given = torch.randn(40, context) if context else None
    model.initialize(x, given)
    loss = ELBO(model)(x, given)
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
    with torch.no_grad():
        one, many = (torch.stack([model.log_prob(x, given, samples=k) for _ in range(30)]).mean() for k in (1, 20))
        assert abs(-loss.item() - one.item()) < 3
        assert one < many < 0
        drawn = model.sample(3, given)
        assert ((drawn >= 0) & (drawn < levels) & (drawn == drawn.round())).all()
        back = model.decode(model.encode(x, given), given)
        assert back.shape == x.shape and (back == back.round()).all()


# --- from the command line ---


def stopped(arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return stop.value.code


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    options = ["model.prior=nice", "model.prior_steps=2", "model.latent=3", "model.width=16", "train.steps=30", "train.kl_warmup=0.5"]
    return pf.fit("digits", "vae", out=path, options=options, size=8, progress=False)


def test_a_fit_of_images(run):
    """The objective is the bound, the report shows the latent, and what a latent is for works through it."""
    report = (run.path / "report.html").read_text()
    for title in ("The latent space", "What the bound consists of", "Through the latent and back"):
        assert title in report
    assert "lower bound, K=1 sample" in pf.results(run)["scores"][0]["words"]
    back = pf.load(run.path)
    x = torch.zeros(2, 1, 8, 8)
    assert back.flow.kind == "bound" and back.flow.encode(x).shape == (2, 3)
    assert pf.sample(run.path, 5).shape == (5, 1, 8, 8)


def test_the_latent_is_a_room(run, tmp_path):
    """Paths, returns and temperatures go through it, and what does not come back is said to be lost."""
    assert pf.interpolate(run.path, steps=4).images.shape[1:] == (4, 1, 8, 8)
    assert "% of the pixels came back as others: the latent of this model does not hold all of them" in pf.reconstruct(run.path).words()
    assert pf.sample(run.path, 3, temperature=0.5).shape == (3, 1, 8, 8)


def test_the_doctor_counts_active_latents(run):
    """And warns of a posterior that is the same for every row."""
    flow, rows = pf.load(run.path).flow, Rows(torch.randint(17, (40, 1, 8, 8)).to(torch.uint8))
    assert any("of 3 latents are active" in finding.text for finding in diagnose(flow, rows).findings)
    with torch.no_grad():
        flow.transform.transforms[0].encoder.base.net.weight.zero_()
    assert any("none of the 3 latents is active" in f.text and f.severity == "warn" for f in diagnose(flow, rows).findings)


def test_parts_from_the_command_line(run, capsys):
    assert stopped(["evaluate", str(run.path), "--parts", "--samples", "20", "--json"]) == 0
    parts = json.loads(capsys.readouterr().out)["parts"]
    assert abs(parts["reconstruction"] - parts["mutual_information"] - parts["marginal_kl"] - parts["bound"]) < 1e-3
    assert parts["draws"] == 20 and parts["mutual_information"] <= parts["cap"] == math.log(parts["rows"])
    assert stopped(["evaluate", str(run.path), "--parts"]) == 0
    assert "what a better prior gains" in capsys.readouterr().out
    assert stopped(["evaluate", str(run.path), "--parts", "--by", "column"]) == 2
    assert "one at a time" in capsys.readouterr().err


def test_refusals():
    """An objective that the model has no use for, options of another objective, and parts of a model without a VAE."""
    flow = nice((2,), steps=1)
    for options, words in (
        ({"name": "elbo"}, "no random latent"),
        ({"name": "iwae"}, "no random latent"),
        ({"beta": 2.0}, "train.beta is an option of train.objective=elbo, but the objective is likelihood"),
        ({"name": "other"}, "expected objective auto, likelihood, elbo, iwae or flow_matching"),
    ):
        with pytest.raises(ValueError, match=words):
            choose_objective(flow, **options)
    with pytest.raises(ValueError, match="expected a model with one VAE"):
        surgery(flow, Rows(torch.zeros(3, 2)))
    with pytest.raises(ValueError, match="VAE: expected an encoder that reads x"):
        VAE(pd.Normal((2,)), gaussian(2, 5))
    with pytest.raises(ValueError, match="VAE: expected an encoder of kind 'exact', got 'bound'"):
        VAE(Flow(gaussian(5, 2), Noise(), context=5), gaussian(2, 5))


class Noise(Dequantize):
    """Anything random."""


@pytest.mark.parametrize("options", [["train.objective=iwae", "train.draws=3", "train.doubly=true"], ["train.objective=likelihood"]])
def test_other_objectives(options):
    run = pf.fit("wine", "vae", options=["model.latent=2", "model.width=16", "train.steps=20", *options], report=False, progress=False)
    assert run.config["train"]["objective"] in ("iwae", "likelihood") and math.isfinite(pf.results(run)["scores"][0]["nats"])
