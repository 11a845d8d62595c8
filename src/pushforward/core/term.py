"""What the parts of a model have in common: facts about their likelihood, and two hooks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


def start_rows(dim: int) -> int:
    """How many rows of so many columns a start from their covariance or quantiles is worth: 40,000 of 10 columns, 4,000 of 100."""
    return min(40_000, max(2_000, 400_000 // dim))


class Hooked(nn.Module):
    """A part of a model with derived state; ``Flow.refresh`` reaches it wherever it stands, whatever holds it.

    Attributes:
        starting_rows: how many rows its data-dependent start is worth, if more than those of a batch.
    """

    starting_rows = 0

    def refresh(self) -> None:
        """Bring derived state up to date (power iterations); ``fit`` calls it before each step."""


class DataDependent(Hooked):
    """A net, or a part of one, that starts from data: ``Flow.initialize`` shows it what enters its ``forward``."""

    waiting = False

    def initialize(self, *inputs: Tensor | None) -> None:
        """Start from the first inputs of ``forward``, before it sees them."""
        raise NotImplementedError(f"{type(self).__name__} does not define initialize")


class Term(Hooked):
    """A term of a log-likelihood, a layer or a distribution. What it does not say of itself follows from the terms within it, now."""

    @property
    def stochastic_forward(self) -> bool:
        """x -> z is random, so that the log-likelihood is a lower bound."""
        return any(term.stochastic_forward for term in terms(self))

    @property
    def estimate(self) -> bool:
        """The log-likelihood is noisy but unbiased."""
        return any(term.estimate for term in terms(self))

    @property
    def how(self) -> tuple[str, ...]:
        """What a figure has to say of the way to it, such as a solver and its steps; now, in evaluation or in training."""
        return tuple(dict.fromkeys(words for term in terms(self) for words in term.how))

    @property
    def passes(self) -> int:
        """How many passes of the nets a log-likelihood takes, beside one in training: what validation costs."""
        return max((term.passes for term in terms(self)), default=1)


class Solved(Term):
    """A term that is found by steps of a solver, and better by more of them.

    Attributes:
        fineness: how many steps stand in place of each.
    """

    fineness = 1


@contextmanager
def refined(model: nn.Module, by: int = 2) -> Iterator[bool]:
    """Within this context solvers take so many times as many steps, with 0 as few as there can be. Says whether there are any."""
    solved = [(module, module.fineness) for module in model.modules() if isinstance(module, Solved)]
    for term, _ in solved:
        term.fineness *= by
    try:
        yield bool(solved)
    finally:
        for term, fineness in solved:
            term.fineness = fineness


def unwatched(module: nn.Module) -> bool:
    """Whether nobody looks at what enters or leaves a module when it is called."""
    return not (module._forward_hooks or module._forward_pre_hooks)


def terms(module: nn.Module) -> Iterator[Term]:
    """The outermost terms within a module."""
    for child in module.children():
        if isinstance(child, Term):
            yield child
        else:
            yield from terms(child)


@contextmanager
def starting(model: nn.Module) -> Iterator[None]:
    """Within this context each data-dependent net of the model starts from what enters it first."""
    nets = [net for net in model.modules() if isinstance(net, DataDependent) and not net.waiting]  # else a model around this one has asked
    handles = [net.register_forward_pre_hook(_start) for net in nets]
    for net in nets:
        net.waiting = True
    try:
        yield
    finally:
        for net, handle in zip(nets, handles, strict=True):
            net.waiting = False
            handle.remove()


def _start(net: DataDependent, inputs: tuple[Tensor | None, ...]) -> None:
    if net.waiting:
        net.waiting = False
        net.initialize(*inputs)
