"""Tables as they are: the recommended model of mixed tables with nothing said but the file, beside simple models and scikit-learn.

    python benchmarks/mixed_tables.py TABLE... [--seconds 180] [--out FOLDER] [--parts fit,speed,impute,predict,anomalies]

For each table: a fit with its defaults and the time given, its score beside independent columns and a mixture of products; a classifier's
accuracy at telling samples from held-out rows; values in 100,000 samples that the data never had of a kind; seconds to fit, sample and
score; the conditional log-likelihood of cells that were removed at random, with coverage and mean error beside scikit-learn's imputers;
one column given the others beside quantile boosting; rows with one wrong cell. One thread; figures go to stdout as one JSON object a line.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from sklearn.ensemble import HistGradientBoostingRegressor, IsolationForest
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.metrics import average_precision_score
from torch import Tensor

import pushforward as pf
from pushforward.data import Schema
from pushforward.data.kinds import Maybe
from pushforward.evaluation import c2st
from pushforward.questions import questions
from pushforward.verbs.runs import data_of

SAMPLES = 100_000
TEST_ROWS = 2_000  # of which cells are removed
CORRUPTED = 50
LEVELS = np.linspace(0.02, 0.98, 25)


def say(**figures: Any) -> None:
    print(json.dumps(figures), flush=True)


def fit(table: str, seconds: float, folder: Path) -> pf.Run:
    start = time.perf_counter()
    run = pf.fit(table, out=folder, overwrite=True, time_limit=seconds, report=False, progress=True)
    found = pf.results(run)
    scores = {s["name"]: [round(s["nats"], 3), round(s["stderr"], 3)] for s in found["scores"]}
    say(table=table, model=run.config["model"]["name"], seconds=round(time.perf_counter() - start), scores=scores)
    return run


def judge(table: str, run: pf.Run) -> None:
    """Whether samples can be told from held-out rows, 5,000 a side, and whether any is impossible."""
    data = data_of(run)
    held_out = data.valid.x if len(data.test) < 5_000 else data.valid.x[:0]
    rows = type(data.test)(torch.cat([data.test.x, held_out]))
    categories = [i for i, column in enumerate(run.schema.columns) if column.vocabulary is not None]
    found = c2st(run.flow, rows, categories=categories)
    say(table=table, c2st=round(found.accuracy, 4), stderr=round(found.stderr, 4), rows=found.rows)
    start = time.perf_counter()
    samples = pf.sample(run, SAMPLES, seed=0)
    seconds = time.perf_counter() - start
    say(table=table, samples=SAMPLES, seconds=round(seconds, 1), impossible=impossible(run.schema, samples, data.train.x))


def impossible(schema: Schema, samples: pa.Table, x: Tensor) -> dict[str, int]:
    """Values of another type, outside of a column's support, off its grid, or beyond ten spans of what was seen."""
    found = {}
    encoded, _ = schema.encode(samples)
    decoded = schema.decode(encoded)
    for i, column in enumerate(schema.columns):
        values, support = encoded[:, i][~encoded[:, i].isnan()], column.kind.support()
        seen = x[:, i][~x[:, i].isnan()]
        span = float(seen.max() - seen.min())
        bad = (values < seen.min() - 10 * span) | (values > seen.max() + 10 * span)
        bad |= values != values.round() if support.whole else torch.zeros_like(bad)
        bad |= values < support.low if support.low is not None else torch.zeros_like(bad)
        bad |= values > support.high if support.high is not None else torch.zeros_like(bad)
        wrong = int(bad.sum()) + int(decoded[column.name] != samples[column.name]) * len(samples)
        if wrong:
            found[column.name] = wrong
    return found


def speed(table: str, run: pf.Run) -> None:
    start = time.perf_counter()
    scored = pf.score(run, table, Path(run.path) / "scored.parquet")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    say(table=table, scored=scored.rows, seconds=round(time.perf_counter() - start, 1), peak_memory_gb=round(memory, 2))


def impute(table: str, run: pf.Run, name: str = "as fitted") -> None:
    """Cells of test rows removed at random: what the model and simple imputers say of them."""
    data, ask = data_of(run), questions(run.flow.eval())
    x = data.test.x[:TEST_ROWS]
    supports = [column.kind.support() for column in run.schema.columns]
    numbers = [i for i, s in enumerate(supports) if s.ordered]
    for share in (0.1, 0.3, 0.5):
        torch.manual_seed(0)
        removed = (torch.rand(x.shape) < share) & ~x.isnan()
        given = ~removed & ~x.isnan()
        terms = ask.terms(x, given, removed)
        alone = ask.terms(x, torch.zeros_like(given), removed)  # the chain over the removed cells, nothing given
        each = sum(float(ask.terms(x, torch.zeros_like(given), one(removed, i))[:, i].sum()) for i in range(x.shape[1]))
        covered, errors, count = 0.0, {"model": 0.0, "mean": 0.0, "nearest": 0.0, "chained": 0.0}, 0
        holes = torch.where(given, x, torch.nan)
        simple = imputers(data.train.x, holes)
        for i in numbers:
            rows = removed[:, i].nonzero().squeeze(1)
            if not len(rows) or float(x[rows, i].std()) == 0:
                continue
            points = ask.predict(i, holes[rows], given[rows])
            middle, y = points.quantile(0.5), x[rows, i].unsqueeze(1)
            below, at = (((points.values < y) * points.weights).sum(1), ((points.values == y) * points.weights).sum(1))
            level = (
                below + torch.rand(len(rows), dtype=below.dtype) * at
            )  # of whole numbers an interval of values holds more than its share
            covered += float(((level >= 0.05) & (level <= 0.95)).double().sum())
            scale = float(data.train.x[:, i][~data.train.x[:, i].isnan()].std()) or 1.0
            errors["model"] += float((middle - x[rows, i]).abs().sum()) / scale
            for key, filled in simple.items():
                errors[key] += float((filled[rows, i] - x[rows, i]).abs().sum()) / scale
            count += len(rows)
        cells = int(removed.sum())
        say(
            table=table,
            run=name,
            removed=share,
            nats_per_cell=round(float(terms.sum()) / cells, 4),
            nothing_given=round(float(alone.sum()) / cells, 4),
            independent=round(each / cells, 4),
            coverage_of_90=round(covered / max(1, count), 4),
            mean_absolute_error={key: round(value / max(1, count), 4) for key, value in errors.items()},
        )


def incomplete(table: str, run: pf.Run, seconds: float, folder: Path) -> None:
    """What is lost by training on rows without 30 % of their cells: test nats of values that are there, beside the complete fit."""
    data = data_of(run)
    torch.manual_seed(0)
    gappy = [type(c)(c.name, c.kind if isinstance(c.kind, Maybe) else Maybe.around(c.kind)) for c in run.schema.columns]
    parts = []
    for split in (data.train, data.valid, data.test):
        x = split.x.clone()
        if split is not data.test:
            x[torch.rand(x.shape) < 0.3] = torch.nan
        parts.append(Schema(gappy).decode(x))
    train, valid, test = parts
    other = pf.fit(train, "any_order", preset="mixed", valid=valid, test=test, out=folder, overwrite=True, time_limit=seconds, report=False)
    found = {}
    x = data.test.x[:TEST_ROWS]
    every = ~x.isnan()
    for name, fitted in (("complete", run), ("30 % removed", other)):
        recoded, _ = fitted.schema.encode(run.schema.decode(x)) if fitted is other else (x, None)
        found[name] = float(questions(fitted.flow.eval()).terms(recoded, ~every & False, every, gaps=False).sum(1).mean())
    alone = sum(float(questions(run.flow).terms(x, ~every & False, one(every, i), gaps=False).sum(1).mean()) for i in range(x.shape[1]))
    lost = (found["complete"] - found["30 % removed"]) / (found["complete"] - alone)
    say(table=table, trained_on=found, independent=round(alone, 3), share_of_the_gain_that_is_lost=round(lost, 3))


def one(mask: Tensor, i: int) -> Tensor:
    alone = torch.zeros_like(mask)
    alone[:, i] = mask[:, i]
    return alone


def imputers(train: Tensor, holes: Tensor, rows: int = 5_000) -> dict[str, Tensor]:
    """scikit-learn's, on standardized codes."""
    some = train[:rows].numpy()
    mean, std = np.nanmean(some, 0), np.where(np.nanstd(some, 0) > 0, np.nanstd(some, 0), 1.0)
    found = {}
    for key, imputer in {
        "mean": SimpleImputer(keep_empty_features=True),
        "nearest": KNNImputer(n_neighbors=10, keep_empty_features=True),
        "chained": IterativeImputer(random_state=0, max_iter=5, keep_empty_features=True),
    }.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            imputer.fit((some - mean) / std)
            found[key] = torch.from_numpy(imputer.transform((holes.numpy() - mean) / std) * std + mean)
    return found


def predict(table: str, run: pf.Run, name: str) -> None:
    """One column given all others: CRPS beside boosted trees of 25 quantiles."""
    data, ask = data_of(run), questions(run.flow.eval())
    i = run.schema.names.index(name)
    test = data.test.x[~data.test.x[:, i].isnan()][:TEST_ROWS]
    given = torch.ones(test.shape, dtype=torch.bool)
    given[:, i] = False
    crps = float(ask.predict(i, test, given).crps(test[:, i]).mean())
    nats = float(ask.terms(test, given, ~given)[:, i].mean())
    train = data.train.x[~data.train.x[:, i].isnan()][:30_000].numpy()
    others = [j for j in range(train.shape[1]) if j != i]
    fill = np.nan_to_num(train[:, others], nan=-1.0), np.nan_to_num(test[:, others].numpy(), nan=-1.0)
    quantiles = []
    for level in LEVELS:
        trees = HistGradientBoostingRegressor(loss="quantile", quantile=level, max_iter=100, random_state=0)
        quantiles.append(trees.fit(fill[0], train[:, i]).predict(fill[1]))
    q = np.sort(np.stack(quantiles, 1), 1)
    y = test[:, i].numpy()[:, None]
    pinball = np.maximum(LEVELS * (y - q), (LEVELS - 1) * (y - q)).mean() * 2
    say(table=table, predicted=name, nats=round(nats, 4), crps=round(crps, 4), crps_of_quantile_boosting=round(float(pinball), 4))


def anomalies(table: str, run: pf.Run) -> None:
    """Fifty test rows with one wrong cell (from another row, beyond all that was seen, or against what the others say): are they found?"""
    data, ask = data_of(run), questions(run.flow.eval())
    draw = np.random.default_rng(0)
    x = data.test.x[:TEST_ROWS].clone()
    every = torch.ones(x.shape, dtype=torch.bool)
    usual = ask.others(x[:500]).median(0).values
    columns = run.schema.columns
    numbers = [i for i, column in enumerate(columns) if column.kind.support().ordered and column.kind.support().high is None]
    known = [i for i in range(len(columns)) if usual[i] > np.log(0.5)]  # what the others tell
    rows, wrong = draw.permutation(len(x))[:CORRUPTED], []
    for turn, row in enumerate(rows):
        how = turn % 3
        while True:
            i = int(draw.choice(known if how == 2 and known else numbers if how == 1 and numbers else range(len(columns))))
            seen = data.train.x[:, i][~data.train.x[:, i].isnan()]
            value = (
                seen.max() + (seen.max() - seen.min()) * float(draw.uniform(0.5, 1.5)) if how == 1 else seen[int(draw.integers(len(seen)))]
            )
            value = value.round() if columns[i].kind.support().whole else value
            if not x[row, i].isnan() and value != x[row, i]:
                break
        x[row, i] = value
        wrong.append(i)
    label = np.isin(np.arange(len(x)), rows)
    chain = ask.terms(x, ~every, every).sum(1).numpy()
    others = ask.others(x)
    lacking = others - others.median(0).values
    forest = IsolationForest(random_state=0).fit(np.nan_to_num(data.train.x[:20_000].numpy(), nan=-1.0))
    least = forest.score_samples(np.nan_to_num(x.numpy(), nan=-1.0))
    blamed = lacking[rows].argmin(1).numpy() == np.array(wrong)
    ways = ("another row's", "out of range", "against the others")
    say(
        table=table,
        corrupted=CORRUPTED,
        share=round(CORRUPTED / len(x), 3),
        average_precision=round(float(average_precision_score(label, -np.maximum(chain, -1e6))), 3),
        by_the_least_expected_cell=round(float(average_precision_score(label, -np.maximum(lacking.min(1).values.numpy(), -1e6))), 3),
        isolation_forest=round(float(average_precision_score(label, -least)), 3),
        right_column={way: round(float(blamed[k::3].mean()), 3) for k, way in enumerate(ways)},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="+")
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--out", type=Path, default=Path("runs/mixed"))
    parser.add_argument("--parts", default="fit,judge,speed,impute,anomalies")
    parser.add_argument("--predict", default="", help="a column")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    parts = asked.parts.split(",")
    for table in asked.tables:
        folder = asked.out / Path(table).stem
        run = fit(table, asked.seconds, folder) if "fit" in parts else pf.load(folder)
        with torch.no_grad():
            for part in (judge, speed, impute, anomalies):
                if part.__name__ in parts:
                    part(table, run)
        if "incomplete" in parts:
            incomplete(table, run, asked.seconds, asked.out / f"{Path(table).stem}-incomplete")
        with torch.no_grad():
            if asked.predict:
                predict(table, run, asked.predict)


if __name__ == "__main__":
    main()
