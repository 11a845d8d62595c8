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
from typing import Annotated, Any

import typer

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
Out = Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE", help="Write .parquet, .csv, .tsv, .arrow, .feather or .npy.")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; input that can't be used ends it with one sentence and exit code 2.

    A ValueError is about the input if this package raised it; anything else is a bug and keeps its traceback, and with
    PUSHFORWARD_DEBUG=1 everything does.
    """
    atexit.register(gc.freeze)  # else Python looks through all of torch's objects once more before it ends: 0.3 s
    try:
        app(arguments, prog_name="pushforward")
    except (ValueError, OSError, FloatingPointError) as error:
        if os.environ.get("PUSHFORWARD_DEBUG") or not (isinstance(error, OSError) or _ours(error)):
            raise
        print(f"pushforward: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1 if isinstance(error, FloatingPointError) else 2)


def _ours(error: BaseException) -> bool:
    """Whether this package raised it, rather than something that it called."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and Path(trace.tb_frame.f_code.co_filename).is_relative_to(Path(__file__).parent.parent)


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, allow_nan=False))


def example(run: Any) -> str:
    """What a conditional run needs to be sampled, as an example."""
    first = [f"{c.name}={c.vocabulary[0] if c.vocabulary else f'{c.minimum:g}'}" for c in run.schema.context]
    return "".join(f" --context {pair}" for pair in first)
