"""What the verbs of the command line share: the application, arguments, how errors and results are printed.

Results go to stdout, talk to stderr. What is wrong with the input is said in one sentence and the exit code is 2.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..words import printable

SENTENCE = 600  # characters, whatever a file holds
NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")  # as PyTorch says it

app = typer.Typer(
    help="Fit, judge and sample normalizing flows on your data.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: the decorated one takes twice the time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The directory that fit wrote.", show_default=False)]
Samples = Annotated[int, typer.Option(metavar="K", min=1, help="Passes averaged for each row where the likelihood is a bound.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Workers = Annotated[int, typer.Option(metavar="N", min=1, help="Processes that make a folder of part files.")]
OnEngine = Annotated[Literal["local", "ray"], typer.Option("--engine", help="Processes of this machine, or a Ray cluster (RAY_ADDRESS).")]
Out = Annotated[
    Path | None, typer.Option("-o", "--out", metavar="FILE", help="Write .parquet, .csv, .tsv, .arrow, .feather, .npy; or a folder.")
]


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the verb; input that can't be used ends it with one sentence and exit code 2.

    A ValueError is about the input if this package raised it; so is what the memory does not suffice for. Anything else is a bug and keeps
    its traceback, and with PUSHFORWARD_DEBUG=1 everything does.
    """
    atexit.register(gc.freeze)  # else Python looks through all of torch's objects once more before it ends: 0.3 s
    try:
        app(arguments, prog_name="pushforward")
    except (ValueError, OSError, FloatingPointError, MemoryError, RuntimeError) as error:
        small = isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY)
        if os.environ.get("PUSHFORWARD_DEBUG") or not (small or isinstance(error, OSError) or _ours(error)):
            raise
        reason = printable(" ".join(str(error).split()), SENTENCE)
        if small and not _ours(error):
            reason = f"the memory does not suffice ({printable(reason, 200)}); ask for less at a time"
        print(f"pushforward: {reason}", file=sys.stderr)
        sys.exit(1 if isinstance(error, FloatingPointError) else 2)


def seed_option(of: str) -> Any:
    """The option --seed, within what NumPy, PyTorch and scikit-learn all take."""
    return typer.Option(metavar="N", min=0, max=2**32 - 1, help=f"Of {of}.")


def _ours(error: BaseException) -> bool:
    """Whether this package raised it, rather than something that it called."""
    if not isinstance(error, ValueError | FloatingPointError):
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and Path(trace.tb_frame.f_code.co_filename).is_relative_to(Path(__file__).parent.parent)


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, allow_nan=False))
