"""What is wrong with an input, as the page says it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import gradio as gr

from ..words import printable


def saying(answer: Callable[..., Any]) -> Callable[..., Any]:
    """The same call, whose sentence about a wrong input becomes a message of the page; anything else is a bug and keeps its traceback."""

    @functools.wraps(answer)
    def call(*arguments: Any) -> Any:
        try:
            return answer(*arguments)
        except (ValueError, OSError) as error:
            raise gr.Error(printable(error, 600), duration=20, print_exception=False) from None

    return call
