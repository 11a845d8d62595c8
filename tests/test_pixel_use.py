"""What is asked of a fitted model that draws pixel after pixel: completions, bits of pixels, what a pixel reads, and what it can't do."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

import pushforward as pf
from pushforward import verbs
from pushforward.cli import main
from pushforward.doctor.field import receptive_field
from pushforward.models import made_image, pixel_cnn
from pushforward.models.build import build
from pushforward.plots import pixel_bits

TINY = ["model.width=8", "model.depth=1", "model.kernel=3", "train.steps=4"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    x = np.random.default_rng(0).integers(0, 4, (60, 1, 6, 5))
    path = tmp_path_factory.mktemp("runs") / "run"
    return pf.fit(folder(tmp_path_factory.mktemp("images"), x), "pixel_cnn", out=path, bits=2, options=TINY, progress=False)


def folder(path, x):
    for i, image in enumerate(x):
        Image.fromarray((image[0] * 85).astype(np.uint8)).save(path / f"{i:03}.png")
    return path


def model(name: str, shape=(3, 4, 4), levels: int = 3, **options):
    torch.manual_seed(0)
    options = {"levels": levels, "width": 24, "depth": 1, **options}
    made = {"pixel_cnn": pixel_cnn, "made_image": made_image}[name](shape, **options).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made.base


@pytest.mark.parametrize("name", ["pixel_cnn", "made_image"])
def test_order_and_terms(name):
    """Turns count up row by row, in each site channel by channel; the terms add up to the log-likelihood."""
    base = model(name)
    assert base.order.movedim(0, -1).flatten().tolist() == list(range(48))
    x = base.sample((5,))
    assert base.terms(x).shape == x.shape
    torch.testing.assert_close(base.terms(x).flatten(1).sum(1), base.log_prob(x))
    np.testing.assert_allclose(pixel_bits(base, x).sum((1, 2)), (-base.log_prob(x) / math.log(2)).detach(), rtol=1e-10)


def test_completions_are_drawn_from_the_conditional_distribution():
    """Frequencies of all 2^4 lower halves given an upper half against p(x) / p(upper half)."""
    base = model("pixel_cnn", (1, 4, 2), 2)
    keep = torch.arange(4).lt(2)[:, None].expand(1, 4, 2)
    top = torch.tensor([[0.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    lower = (torch.arange(16)[:, None] // 2 ** torch.arange(4) % 2).double()
    whole = torch.cat([top.flatten().expand(16, 4), lower], 1).view(16, 1, 4, 2)
    expected = base.log_prob(whole).detach().softmax(0)
    drawn = base.complete(whole[:1].expand(20_000, -1, -1, -1), keep)
    assert (drawn[:, :, :2] == top).all()
    seen = torch.bincount((drawn.flatten(1)[:, 4:] @ 2.0 ** torch.arange(4, dtype=torch.float64)).long(), minlength=16) / 20_000
    assert (seen - expected).abs().max() < 5 * math.sqrt(0.25 / 20_000)


def test_completion_reads_nothing_that_is_not_kept_and_refuses_what_is_no_beginning():
    base = model("pixel_cnn")
    keep = torch.arange(4).lt(2)[:, None].expand(3, 4, 4)
    found = []
    for rest in (0.0, 2.0):
        torch.manual_seed(1)
        found.append(base.complete(torch.where(keep, 1.0, rest).double().expand(2, 3, 4, 4), keep))
    assert torch.equal(*found)
    with pytest.raises(ValueError, match="keep what comes first"):
        base.complete(found[0], ~keep)
    with pytest.raises(ValueError, match="keep what comes first"):
        base.complete(found[0], torch.arange(4).lt(2).expand(3, 4, 4))


@pytest.mark.parametrize("name, read", [("pixel_cnn", 2 + 4 + 5), ("made_image", 36)])
def test_receptive_field(name, read):
    """MADE reads everything before; two convolutions of side 3 end after two sites, and one to the right in the row above."""
    base = model(name, (3, 8, 8), **({"kernel": 3} if name == "pixel_cnn" else {"width": 400}))
    found = receptive_field(base, base.sample((16,)))
    assert (found.read, found.leaks, int(found.before.sum())) == (read, 0, 36)
    assert found.finding().severity == "ok" and ("all 36" if read == 36 else "11 of the 36") in found.words()


def test_doctor_fails_a_net_that_is_not_causal():
    base = model("pixel_cnn", kernel=3)
    base.net.first.mask.fill_(1)
    found = receptive_field(base, base.sample((16,)))
    assert found.leaks and found.finding().severity == "fail"


def test_report_and_doctor(run):
    assert {"bits.png", "field.png", "order.png"} <= {path.name for path in (run.path / "figures").iterdir()}
    found = pf.diagnose(run)
    assert found.healthy and any("pixels before it" in finding.text for finding in found.findings)
    assert json.loads(json.dumps(found.to_json()))["reads"] == found.reads.words()


def test_command_line_completes(run, tmp_path, capsys):
    out = tmp_path / "completed.png"
    Image.fromarray(np.full((6, 5), 255, np.uint8)).save(tmp_path / "white.png")
    with pytest.raises(SystemExit) as end:
        main(["sample", str(run.path), "--keep", f"top-half={tmp_path / 'white.png'}", "-n", "2", "-o", str(out)])
    assert end.value.code == 0
    assert "upper 3 of 6 rows" in capsys.readouterr().out
    with Image.open(out) as picture:
        assert picture.width > 100
    strip = verbs.complete(run, [tmp_path / "white.png"], keep="top-2", n=3, seed=1)
    assert strip.images.shape == (1, 5, 1, 6, 5) and (strip.images[:, 2:, :, :2] == 3).all()
    assert verbs.complete(run, n=1, seed=1).images.shape[:2] == (6, 3)


def test_score_shows_where_the_bits_go(run, tmp_path):
    found = pf.score(run, folder(tmp_path, np.ones((9, 1, 6, 5))), tmp_path / "scored.parquet")
    assert found.figure.is_file() and found.figure.with_stem("scored_pixels").is_file() and found.pixels.name == "scored_pixels.png"


REFUSED = [
    (["sample", "RUN", "--keep", "middle", "-o", "x.png"], "top-half, top-third"),
    (["sample", "RUN", "--keep", "top-6", "-o", "x.png"], "1 to 5 of 6 rows"),
    (["sample", "RUN", "--keep", "top-half=lost.png", "-o", "x.png"], "no such file"),
    (["sample", "RUN", "--keep", "top-half", "-o", "x.npy"], "ends in .png"),
    (["sample", "RUN", "--keep", "top-half", "-o", "x.png", "--temperature", "0.5"], "neither given values nor a temperature"),
    (["sample", "RUN", "--keep", "top-half", "-o", "x.png", "--context", "digit=3"], "leave the context out"),
    (["sample", "RUN", "-n", "2", "-o", "x.png", "--temperature", "0.5"], "no latent"),
    (["interpolate", "RUN", "-o", "x.png"], "no latent"),
    (["edit", "RUN", "--label", "digit", "-o", "x.png"], "no latent"),
    (["reconstruct", "RUN", "-o", "x.png"], "no latent"),
]


@pytest.mark.parametrize("arguments, words", REFUSED, ids=[" ".join(a) for a, _ in REFUSED])
def test_refuses_in_one_sentence(run, arguments, words, capsys):
    with pytest.raises(SystemExit) as end:
        main([str(run.path) if a == "RUN" else a for a in arguments])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1, error


def test_a_wide_net_is_no_larger_than_its_file():
    """Masks between hidden layers are not made where there is one layer: a run of 2,000 units loads within the bound of its own numbers."""
    schema = pf.data.ImageSchema((1, 8, 8), levels=2)
    config = {"model": {"name": "made_image", "width": 2000}}
    numbers = sum(parameter.numel() for parameter in build(config, schema).parameters())
    assert build(config, schema, most=numbers).shape == (1, 8, 8)
