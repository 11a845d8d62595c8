"""The verb that opens a page in the browser."""

from __future__ import annotations

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
