"""Verbs that show a run to people: a page in the browser, and the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import RunArgument, app


@app.command("app")
def app_command(
    run: RunArgument,
    port: Annotated[int, typer.Option(metavar="N", min=1, max=65535, help="Of this machine, 127.0.0.1.")] = 7860,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open it in a browser.")] = True,
) -> None:
    """Explore RUN on a page: samples, conditionals, attributes, scores, the report; served to this machine alone, until Ctrl-C."""
    try:
        from ..app import serve
    except ImportError:
        raise ValueError("app: the page needs gradio, which is not installed; use pip install 'pushforward[app]'") from None
    print(f"http://127.0.0.1:{port} until Ctrl-C", flush=True)
    serve(run, port=port, browser=browser)


Repository = Annotated[str, typer.Argument(metavar="OWNER/NAME", help="On the Hugging Face Hub.", show_default=False)]


@app.command("push")
def push_command(
    run: RunArgument,
    repo: Repository,
    licence: Annotated[str, typer.Option(metavar="NAME", help="Of the model: mit, apache-2.0, cc-by-4.0, other.", show_default=False)],
    public: Annotated[bool, typer.Option("--public", help="A new repository can be seen by everybody.")] = False,
    report: Annotated[bool, typer.Option("--with-report", help="Send report.html as well, which shows rows of the data.")] = False,
) -> None:
    """Put RUN on the Hugging Face Hub with a model card: settings, schema, weights and scores; no rows and no paths."""
    from ..verbs import push

    print(push(run, repo, licence=licence, private=not public, report=report))


@app.command("pull")
def pull_command(
    repo: Repository,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="The run's directory.", show_default=False)],
    revision: Annotated[str | None, typer.Option(metavar="NAME", help="A branch, a tag or a commit.", show_default="the newest")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run that is there.")] = False,
) -> None:
    """Get a run from the Hugging Face Hub; nothing of it is executed."""
    from ..verbs import pull

    run = pull(repo, out, revision=revision, overwrite=overwrite)
    print(f"{run.config['model']['name']} in {out}")
