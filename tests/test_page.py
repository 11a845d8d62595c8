"""The page in a real browser: every control used, nothing asked of another machine, no error in the console, many users at once."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from mixed import mixed_table
from PIL import Image

import pushforward as pf

pytestmark = pytest.mark.slow
pytest.importorskip("gradio", reason="the page needs gradio: pip install 'pushforward[app]'")
sync_api = pytest.importorskip("playwright.sync_api", reason="pip install 'pushforward[browser]'")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None:
    pytest.skip("there is no Chromium: install it by the system's packages", allow_module_level=True)

PATIENCE = 60_000  # milliseconds
QUICK = {"progress": False}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """A run of each subject."""
    folder = tmp_path_factory.mktemp("runs")
    small = ["train.steps=20", "train.batch=64"]
    pf.fit("digits", "glow", out=folder / "glow", options=[*small, "model.scales=1", "model.steps=2", "model.width=8"], **QUICK)
    pf.fit("digits", "pixel_cnn", out=folder / "pixels", options=[*small, "model.width=8", "model.depth=1"], report=False, **QUICK)
    pq.write_table(mixed_table(), folder / "mixed.parquet")
    pf.fit(folder / "mixed.parquet", "any_order", out=folder / "table", options=["model.width=16", *small], missing="keep", **QUICK)
    pf.fit("moons", "real_nvp", out=folder / "plane", options=["train.steps=20"], report=False, **QUICK)
    return {path.name: path for path in folder.iterdir() if path.is_dir()}


@contextmanager
def served(run: Path) -> Iterator[str]:
    """The address of the page of a run, in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "pushforward", "app", str(run), "--port", str(port), "--no-browser"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": "1"})
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with suppress(OSError):
                urllib.request.urlopen(address, timeout=5).read()
                break
            assert server.poll() is None, server.stdout.read()  # type: ignore[union-attr]
            time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        said = server.communicate(timeout=60)[0].decode()
        assert "Traceback" not in said, said


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@contextmanager
def opened(browser, address: str):
    """A page that loads nothing from elsewhere and writes no error into the console."""
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.wait_for_selector("button[role=tab]")
    yield page
    page.close()
    assert not [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert not errors


def tab(page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def visible(page, selector: str) -> list:
    return [found for found in page.locator(selector).all() if found.is_visible()]


LAST = """() => {
    const shown = [...document.querySelectorAll("img")].filter(image => image.offsetParent && image.src.startsWith("data:image/png"));
    return shown.length ? shown[shown.length - 1].src : null;
}"""


def picture(page) -> str:
    """The address of the last picture that is shown, once there is one."""
    return page.wait_for_function(LAST).json_value()


def another(page, before: str) -> float:
    """Seconds until the last picture is another one."""
    began = time.perf_counter()
    while picture(page) == before:
        assert time.perf_counter() - began < PATIENCE / 1000
        page.wait_for_timeout(10)
    return time.perf_counter() - began


def set_number(field, value: float) -> None:
    field.fill(str(value))
    field.press("Enter")
    field.blur()


def test_images(runs, browser, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 16, (8, 8), dtype=np.uint8)).save(tmp_path / "mine.png")
    (tmp_path / "not.png").write_bytes(b"no picture at all")
    with served(runs["glow"]) as address, opened(browser, address) as page:
        for i, value in enumerate((0.7, 5, 9)):  # temperature, seed, count
            before = picture(page)
            set_number(visible(page, "input[type=number]")[i], value)
            another(page, before)
        tab(page, "Between two images")
        for i in (0, 1):
            before = picture(page)
            set_number(visible(page, "input[type=number]")[i], 7 + i)
            another(page, before)
        before = picture(page)
        page.locator("input[type=file]:not([webkitdirectory])").first.set_input_files(tmp_path / "mine.png")
        another(page, before)
        tab(page, "Attributes")
        for i in range(1, 11):
            before = picture(page)
            set_number(visible(page, "input[type=number]")[i], 1.5)
            another(page, before)
        tab(page, "Report")
        assert "glow fitted to digits" in page.frame_locator("iframe").locator("h1").inner_text()


def test_completions(runs, browser):
    with served(runs["pixels"]) as address, opened(browser, address) as page:
        picture(page)
        tab(page, "Completion")
        before = picture(page)
        set_number(visible(page, "input[type=number]")[0], 2)
        another(page, before)


def test_tables(runs, browser):
    with served(runs["table"]) as address, opened(browser, address) as page:
        before = picture(page)
        assert "word given nothing (exact): most likely" in page.inner_text("body")
        page.get_by_label("price").first.fill("1.5")
        page.get_by_role("button", name="Show").click()
        another(page, before)
        assert "word given price = 1.5 (exact)" in page.inner_text("body")
        page.get_by_label("price").first.fill("nonsense")  # said on the page
        page.get_by_role("button", name="Show").click()
        page.get_by_text("nonsense").last.wait_for()
        tab(page, "Score a row")
        page.get_by_label("take a test row").first.wait_for()
        set_number(visible(page, "input[type=number]")[0], 3)
        page.wait_for_timeout(1000)
        page.get_by_role("button", name="Score").click()
        page.get_by_text("nats").last.wait_for()


def test_two_columns(runs, browser):
    with served(runs["plane"]) as address, opened(browser, address) as page:
        before = picture(page)
        set_number(visible(page, "input[type=number]")[0], 4)
        another(page, before)
        tab(page, "Conditionals")
        before = picture(page)
        page.get_by_label("x1").first.fill("0.5")
        page.get_by_role("button", name="Show").click()
        another(page, before)
        assert "(estimate): median" in page.inner_text("body")


def test_twenty_users_at_once(runs, browser):
    """Each in a session of its own, all answered."""
    with served(runs["glow"]) as address:
        contexts = [browser.new_context() for _ in range(20)]
        pages = [context.new_page() for context in contexts]
        for page in pages:
            page.set_default_timeout(2 * PATIENCE)
            page.goto(address, wait_until="commit")
        for page in pages:
            page.wait_for_selector("button[role=tab]")
        shown = [picture(page) for page in pages]
        for i, page in enumerate(pages):
            set_number(visible(page, "input[type=number]")[1], 10 + i)
        for page, before in zip(pages, shown, strict=True):
            another(page, before)
        for context in contexts:
            context.close()
