"""Runs on the Hugging Face Hub: pushed with a card that says what they are, and pulled as they were."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tomli_w

from ..data import EMBEDDED, HUB, TOYS
from ..data.tables import IN_MEMORY
from ..evaluation import Results
from ..subjects import subject_of
from ..training import Run
from ..training.lock import reserve
from ..training.run import check_free
from ..words import printable
from .runs import load, read_results

FILES = ("config.toml", "schema.json", "model.safetensors", "scores.json", "metrics.jsonl")
REPORT = "report.html"
CARD = "README.md"
LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]{1,40}")


def push(
    run: Run | str | Path,
    repo: str,
    *,
    licence: str,
    private: bool = True,
    report: bool = False,
    token: str | None = None,
    endpoint: str | None = None,
) -> str:
    """Put a run on the Hub as ``OWNER/NAME``, with a model card; its address is returned.

    What goes there: settings, schema, weights (safetensors), scores and the learning curve; no rows, no checkpoint, no path of this
    machine. The schema holds the words of categories and the least and greatest values of columns: look at it if the data are private.

    Arguments:
        run: a finished run, or its directory.
        repo: where to, as "me/flights-nsf"; made if it is not there.
        licence: of the model, by the Hub's name for it, such as "mit", "apache-2.0", "cc-by-4.0" or "other".
        private: whether a new repository is seen by its owner alone.
        report: send report.html as well, which shows rows of the data.
        token: of the Hub; by default the one that ``hf auth login`` or HF_TOKEN left.
        endpoint: of another Hub than the public one; by default HF_ENDPOINT.

    Raises:
        ValueError: a run that was not finished, a name or a licence that can't be, or the Hub refuses.

    Example::

        >>> push("runs/flights-nsf", "me/flights-nsf", licence="mit")
        'https://huggingface.co/me/flights-nsf'
    """
    run = load(run)
    found = read_results(run)
    _check_name("push", repo)
    if not LICENCE.fullmatch(licence):
        raise ValueError(f"push: expected a licence such as mit, apache-2.0, cc-by-4.0 or other, got {licence!r}")
    with _hub(endpoint, token) as api, tempfile.TemporaryDirectory() as folder:
        staged = Path(folder)
        for name in (*FILES, *([REPORT] if report else [])):
            if (run.path / name).is_file():
                shutil.copyfile(run.path / name, staged / name)
        config = {table: run.config[table] for table in ("model", "train")}  # others name a teacher or a start by their paths
        config = config | {"data": run.config["data"] | {"source": _source(run), "name": repo.split("/")[1]}}
        config["data"] = {key: value for key, value in config["data"].items() if key not in ("valid", "test")}
        (staged / "config.toml").write_text(tomli_w.dumps(config), encoding="utf-8")
        (staged / CARD).write_text(card(run, found, repo, licence), encoding="utf-8")
        api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=staged, commit_message=f"{run.config['model']['name']} by pushforward")
        return f"{api.endpoint}/{repo}"


def pull(
    repo: str,
    out: str | Path,
    *,
    revision: str | None = None,
    overwrite: bool = False,
    token: str | None = None,
    endpoint: str | None = None,
) -> Run:
    """A run from the Hub, in a directory of its own; nothing of it is executed, and only files of a run are fetched.

    Arguments:
        repo: where from, as "me/flights-nsf".
        out: the directory.
        revision: a branch, a tag or a commit; the newest by default.
        overwrite: replace a run that is there.
        token, endpoint: as in :func:`push`.

    Raises:
        ValueError: there is no such repository, it holds no run, or there is something else at ``out``.

    Example::

        >>> pull("me/flights-nsf", "runs/pulled").flow.sample((5,)).shape
        torch.Size([5, 5])
    """
    _check_name("pull", repo)
    out = Path(out)
    check_free(out, overwrite)
    with _hub(endpoint, token) as api, tempfile.TemporaryDirectory() as folder:
        api.snapshot_download(repo, revision=revision, local_dir=folder, allow_patterns=[*FILES, REPORT, CARD])
        fetched = Path(folder)
        if not all((fetched / name).is_file() for name in FILES[:3]):
            raise ValueError(f"pull: {repo} holds no run of pushforward ({', '.join(FILES[:3])}); check the name")
        Run.load(fetched).flow  # noqa: B018 -- what does not fit together is refused before anything is replaced
        with reserve(out):
            check_free(out, overwrite)  # again, now that nobody else can take it
            if overwrite and (out / FILES[0]).is_file():
                Run.load(out).clear()
            for name in (CARD, REPORT, *reversed(FILES)):  # config.toml is the last: with it the directory is a run
                if (fetched / name).is_file():
                    shutil.copyfile(fetched / name, out / name)
    return Run.load(out)


def card(run: Run, found: Results, repo: str, licence: str) -> str:
    """The model card: what was fitted, to what, how well, and how to use it."""
    model, subject = run.config["model"]["name"], subject_of(run)
    lines = [
        "---",
        f"license: {licence}",
        "library_name: pushforward",
        "tags:",
        "- normalizing-flow",
        "- density-estimation",
        f"- {model}",
        "---",
    ]
    lines += [f"# {repo.split('/')[1]}", "", f"`{model}`, fitted to {subject.noun} by pushforward.", "", f"{found.verdict}", ""]
    lines += ["| model | nats per row | standard error | which is |", "|---|---|---|---|"]
    lines += [f"| {score.name} | {score.nats:.4f} | {score.stderr:.4f} | {score.words} |" for score in found.scores]
    lines += ["", "Log-likelihoods of test rows that training never saw, in the data's own units; more is better.", "", "## Data", ""]
    lines += [f"- {printable(words, 100)}" for words in subject.words()] or ["- see schema.json"]
    settings = ", ".join(f"{key} = {value}" for key, value in run.config["model"].items() if key != "name")
    lines += ["", "## Model", "", f"{settings}.", "", "## Use", "", "```", f"pushforward pull {repo} -o runs/{repo.split('/')[1]}"]
    lines += [f"pushforward sample runs/{repo.split('/')[1]} -n {subject.example.count} -o {subject.example.samples}", "```", ""]
    return "\n".join(lines)


def _source(run: Run) -> str:
    """The data by a name that anybody can read them by; else they are the owner's."""
    source = run.config["data"]["source"]
    return source if isinstance(source, str) and source in {*TOYS, *EMBEDDED, *HUB} else IN_MEMORY


def _check_name(who: str, repo: str) -> None:
    if not re.fullmatch(r"[\w.-]{1,96}/[\w.-]{1,96}", repo):
        raise ValueError(f"{who}: expected a repository as OWNER/NAME, got {repo!r}")


@contextmanager
def _hub(endpoint: str | None, token: str | None) -> Iterator[Any]:
    """The Hub's interface; what it refuses becomes a sentence."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        yield HfApi(endpoint=endpoint, token=token)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, ConnectionError) as error:
        said = printable(" ".join(str(error).split()), 300)
        raise ValueError(f"the Hub refuses or can't be reached ({said}); check the name, the network and `hf auth login`") from None
