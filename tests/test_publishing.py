"""Push and pull against a stand-in of the Hub's interface on this machine: the calls of huggingface_hub are real, the server is not."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

import pushforward as pf
from pushforward.cli import main
from pushforward.training import Run

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Repositories in memory, small files only."""

    repos: dict[str, dict[str, bytes]]
    seen: list[str]

    def log_message(self, *_: object) -> None:
        return None

    def answer(self, value: object, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_POST(self) -> None:
        path, body = self.path.partition("?")[0], self.body()
        self.seen.append(f"POST {path}")
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            self.repos.setdefault(name, {})
            self.answer({"url": f"http://{self.headers['Host']}/{name}", "name": name, "private": asked.get("private")})
        elif path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif "/preupload/" in path:
            files = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]]
            self.answer({"files": files})
        elif "/commit/" in path:
            repo = "/".join(path.split("/")[3:5])
            for line in map(json.loads, body.decode().splitlines()):
                if line["key"] == "file":
                    self.repos[repo][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self.answer({"commitUrl": f"http://{self.headers['Host']}/{repo}/commit/{COMMIT}", "commitOid": COMMIT, "success": True})
        else:
            self.answer({"error": f"no such call: {path}"}, 404)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.seen.append(f"{self.command} {path}")
        parts = path.strip("/").split("/")
        repo = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
        if repo not in self.repos:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif parts[0] == "api" and "tree" in parts:
            self.answer([{"type": "file", "path": name, "size": len(data), "oid": COMMIT} for name, data in self.repos[repo].items()])
        elif parts[0] == "api":
            found = [{"rfilename": name, "size": len(data)} for name, data in self.repos[repo].items()]
            self.answer({"id": repo, "sha": COMMIT, "siblings": found, "private": True, "tags": [], "downloads": 0})
        else:
            data = self.repos[repo]["/".join(parts[4:])]
            self.send_response(200)
            self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The address of an empty Hub, and what is in it."""
    kind = type("Stand", (Hub,), {"repos": {}, "seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    yield f"http://127.0.0.1:{server.server_address[1]}", kind.repos
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    (folder / "secret.csv").write_text(
        "a,b,c\n" + "\n".join(f"{x:.4f},{y:.4f},{'xy'[i % 2]}" for i, (x, y) in enumerate(torch.randn(300, 2)))
    )
    return pf.fit(folder / "secret.csv", "any_order", out=folder / "fitted", options=["train.steps=5", "model.width=16"], progress=False)


def test_a_pushed_run_comes_back_as_it_was(hub, run, tmp_path):
    address, repos = hub
    assert pf.push(run, "me/mine", licence="mit", endpoint=address) == f"{address}/me/mine"
    assert {"config.toml", "schema.json", "model.safetensors", "scores.json", "metrics.jsonl", "README.md"} == {*repos["me/mine"]} - {
        ".gitattributes"
    }
    back = pf.pull("me/mine", tmp_path / "back", endpoint=address)
    theirs = back.flow.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in run.flow.state_dict().items())
    assert pf.results(back) == pf.results(run) and pf.sample(back, 3, seed=0).equals(pf.sample(run, 3, seed=0))


def test_no_row_and_no_path_leaves_the_machine(hub, run):
    address, repos = hub
    pf.push(run, "me/mine", licence="mit", endpoint=address)
    sent = repos["me/mine"]
    assert not any(str(run.path.parent).encode() in data or b"secret.csv" in data for name, data in sent.items() if name != "README.md")
    assert str(run.path.parent).encode() not in sent["README.md"]
    distilled = Run(run.path, run.config | {"distill": {"teacher": str(run.path)}, "start": {"run": str(run.path)}}, run.schema)
    pf.push(distilled, "me/student", licence="mit", endpoint=address)
    assert str(run.path).encode() not in repos["me/student"]["config.toml"]
    pf.push(run, "me/shown", licence="mit", report=True, endpoint=address)
    assert "report.html" in repos["me/shown"]


def test_the_card_says_what_it_is(hub, run):
    address, repos = hub
    pf.push(run, "me/mine", licence="cc-by-4.0", endpoint=address)
    text = repos["me/mine"]["README.md"].decode()
    assert text.startswith("---\nlicense: cc-by-4.0\n") and "pushforward pull me/mine" in text
    assert pf.results(run)["verdict"] in text and "- c (" in text and "| any_order | " in text and "exact" in text


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda run, at: pf.push(run, "mine", licence="mit", endpoint=at), "expected a repository as OWNER/NAME"),
        (lambda run, at: pf.push(run, "me/mine", licence="all mine!", endpoint=at), "expected a licence such as mit"),
        (lambda run, at: pf.pull("me/nothing", "pulled", endpoint=at), "the Hub refuses or can't be reached"),
        (lambda run, at: pf.pull("me/nothing", "pulled", endpoint="http://127.0.0.1:9"), "the Hub refuses or can't be reached"),
        (lambda run, at: pf.pull("me/other", "pulled", endpoint=at), "holds no run of pushforward"),
        (lambda run, at: pf.pull("me/other", "there", endpoint=at), "is not overwritten"),
    ],
    ids=["name", "licence", "nothing", "nowhere", "no-run", "in-the-way"],
)
def test_what_is_wrong_is_said(hub, run, tmp_path, monkeypatch, call, words):
    address, repos = hub
    repos["me/other"] = {"weights.pkl": b"cos\nsystem\n", "README.md": b"nothing"}
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    Path("there/letter").write_text("dear")
    with pytest.raises(ValueError, match=words):
        call(run, address)
    assert not Path("pulled").exists()


def test_a_licence_is_asked_for(run, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["push", str(run.path), "me/mine"])
    assert ended.value.code == 2 and "--licence" in capsys.readouterr().err


def test_a_pulled_run_never_brings_other_files(hub, run, tmp_path):
    address, repos = hub
    pf.push(run, "me/mine", licence="mit", endpoint=address)
    repos["me/mine"] |= {"evil.py": b"raise SystemExit", "model.pkl": b"cos\nsystem\n", "../up.txt": b"x"}
    pf.pull("me/mine", tmp_path / "back", endpoint=address)
    assert {path.name for path in (tmp_path / "back").iterdir()} <= {
        "config.toml",
        "schema.json",
        "model.safetensors",
        "scores.json",
        "metrics.jsonl",
        "README.md",
        ".lock",
    }
