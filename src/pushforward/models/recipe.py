"""What makes a function a recipe: its options are checked against its signature, once for all."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Literal, ParamSpec, get_args, get_origin

from ..core import Flow
from ..words import nearest

P = ParamSpec("P")
MAY_BE_ZERO = ("context", "alpha", "boards", "mixes", "last_steps")  # beside the options that are so by default
GREATEST = 1_000_000  # of a count: what is beyond was not meant


def recipe(build: Callable[P, Flow]) -> Callable[P, Flow]:
    """A recipe that refuses an option of another type, a word that is none of its words, and a number that is not positive.

    The annotations of the keyword-only arguments say what is expected; zero is allowed where it is the default, and for ``MAY_BE_ZERO``.

    Raises:
        ValueError: an option is refused; the recipe, what it expects and what it got are named.
    """
    signature = inspect.signature(build, eval_str=True)

    @functools.wraps(build)
    def checked(*args: P.args, **kwargs: P.kwargs) -> Flow:
        if args and isinstance(args[0], Integral):  # nsf(2) is nsf((2,))
            args = ((args[0],), *args[1:])  # type: ignore[assignment]
        for name, value in kwargs.items():
            parameter = signature.parameters.get(name)
            if parameter is None:
                raise TypeError(f"{build.__name__}() got an unexpected keyword argument {name!r}{nearest(name, signature.parameters)}")
            if parameter.kind is parameter.KEYWORD_ONLY:
                least = 0 if name in MAY_BE_ZERO or parameter.default == 0 else 1
                if expected := refusal(value, parameter.annotation, least):
                    words = get_args(parameter.annotation) if get_origin(parameter.annotation) is Literal else ()
                    hint = nearest(value, words) if isinstance(value, str) else ""
                    raise ValueError(f"{build.__name__}: {name} must be {expected}, got {value!r}{hint}")
        return build(*args, **kwargs)

    checked.__signature__ = signature  # type: ignore[attr-defined]  # annotations as objects: who reads it need not know this file's names
    return checked


def refusal(value: Any, kind: Any, least: int) -> str:
    """What a value of this annotation has to be, if it is not; empty if it is."""
    if get_origin(kind) is Literal:
        *words, last = map(repr, get_args(kind))
        return "" if value in get_args(kind) else f"{', '.join(words)} or {last}"
    if get_origin(kind) is tuple:
        whole = isinstance(value, (tuple, list)) and not any(refusal(item, int, least) for item in value)
        return "" if whole else f"whole numbers of at least {least}"
    if type(None) in get_args(kind):
        return "" if value is None else refusal(value, get_args(kind)[0], least)
    if kind is bool:
        return "" if isinstance(value, bool) else "True or False"
    number = isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    if kind is int:
        if number and int(value) > GREATEST:
            return f"a whole number of at most {GREATEST:,}"
        return "" if number and int(value) >= least else f"a whole number of at least {least}"
    return "" if number and (float(value) > 0 or value == least) else f"a number {'above 0' if least else 'of at least 0'}"
