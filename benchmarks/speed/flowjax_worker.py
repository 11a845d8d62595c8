"""The cases in flowjax (github.com/danielward27/flowjax), in a process and environment of its own: orders in, answers out, a line each."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
import paramax
from flowjax.bijections import Affine, RationalQuadraticSpline
from flowjax.distributions import Normal, Transformed
from flowjax.flows import coupling_flow, masked_autoregressive_flow

from .cases import BINS, BOUND, CASES, LEARNING_RATE, SPLINES, Case


def build(case: Case) -> Transformed:
    """Its premade flows; ``knots`` counts inner knots, one fewer than the bins."""
    curve = RationalQuadraticSpline(knots=BINS - 1, interval=BOUND) if case.kind in SPLINES else Affine()
    make = masked_autoregressive_flow if case.kind in ("nsf", "maf", "spline") else coupling_flow
    return make(
        jr.key(0),
        base_dist=paramax.non_trainable(Normal(jnp.zeros(case.dim))),
        transformer=curve,
        cond_dim=case.context or None,
        flow_layers=case.layers,
        nn_width=case.width,
        nn_depth=2,
    )


def split(flow: Transformed) -> tuple[Any, Any]:
    """What is learned, and the rest."""
    return eqx.partition(flow, eqx.is_inexact_array, is_leaf=lambda leaf: isinstance(leaf, paramax.NonTrainable))


@dataclass
class Work:
    """A compiled call, and the bytes that it needs: what its program says, since the counters of the system do not see them."""

    call: Callable[[], None]
    peak: Callable[[], int]


def work(case: Case, name: str) -> Work:
    """The optimizer's state and the weights are updated in place (donated)."""
    learned, rest = split(build(case))
    n = case.rows(name)
    x = jr.normal(jr.key(1), (n, case.dim))
    context = jr.normal(jr.key(2), (n, case.context)) if case.context else None
    optimizer = optax.adam(LEARNING_RATE)

    def loss(learned: Any, x: jax.Array, context: jax.Array | None) -> jax.Array:
        return -eqx.combine(learned, rest).log_prob(x, context).mean()

    @eqx.filter_jit(donate="all-except-first")
    def step(data: Any, state: Any) -> Any:
        weights, moments = state
        gradient = eqx.filter_grad(loss)(weights, *data)
        updates, moments = optimizer.update(gradient, moments)
        return eqx.apply_updates(weights, updates), moments

    @eqx.filter_jit
    def density(data: Any, weights: Any) -> jax.Array:
        return eqx.combine(weights, rest).log_prob(*data)

    @eqx.filter_jit
    def draw(key: Any, weights: Any) -> jax.Array:
        return eqx.combine(weights, rest).sample(key, (n,) if context is None else (), context)

    program = {"step": step, "log_prob": density, "sample": draw}[name]
    held = (learned, optimizer.init(learned)) if name == "step" else learned
    keys = itertools.count()

    def given() -> tuple[Any, Any]:
        return (jr.key(next(keys)) if name == "sample" else (x, context)), held

    def call() -> None:
        nonlocal held
        out = jax.block_until_ready(program(*given()))
        held = out if name == "step" else held

    def peak() -> int:
        return program.lower(*given()).compile().compiled.memory_analysis().temp_size_in_bytes

    return Work(call, peak)


def facts(case: Case) -> dict[str, float]:
    """Parameters, and the operations of the matrix products of one log-likelihood, per row."""
    learned, rest = split(build(case))
    x, context = jnp.zeros((case.rows("step"), case.dim)), jnp.zeros((case.rows("step"), case.context)) if case.context else None
    program = jax.make_jaxpr(lambda weights: eqx.combine(weights, rest).log_prob(x, context))(learned)
    return {"parameters": sum(leaf.size for leaf in jax.tree.leaves(learned)), "flops": products(program.jaxpr) / len(x)}


def products(program: Any) -> float:
    """Operations of the products in a program and in the programs it calls."""
    total = 0.0
    for equation in program.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            total += 2.0 * equation.outvars[0].aval.size * jnp.prod(jnp.array([left[i] for i in contracted]))
        inner = [getattr(value, "jaxpr", value) for value in equation.params.values() if hasattr(getattr(value, "jaxpr", value), "eqns")]
        total += equation.params.get("length", 1) * sum(map(products, inner))
    return float(total)


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr
    built: Work | None = None
    print(json.dumps({"flowjax": version("flowjax"), "jax": jax.__version__}), file=answers, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        answer: Any = None
        match order["do"]:
            case "facts":
                answer = facts(CASES[order["case"]])
            case "build":
                built = work(CASES[order["case"]], order["work"])
            case "call":
                assert built is not None
                start = time.perf_counter()
                built.call()
                answer = time.perf_counter() - start
            case "peak":
                assert built is not None
                answer = built.peak()
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
