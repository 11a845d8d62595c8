"""The page itself: tabs of controls, each of which asks a room."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # nothing is told to anybody
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import gradio as gr
import numpy as np
from PIL import Image

from ..subjects import ImageSubject, TableSubject, subject_of
from ..training import Run
from ..verbs.runs import load
from .image_room import ImageRoom
from .plane_room import PlaneRoom
from .said import saying
from .table_room import TableRoom

LARGEST_UPLOAD = "5mb"  # of an upload
ONE_AT_A_TIME: dict[str, Any] = {
    "concurrency_id": "flow",
    "concurrency_limit": 1,
}  # random numbers are the process's: one question at a time
FONTS = ["system-ui", "sans-serif"]


class _Asked:
    """What a tab shows: asked when it is opened and when one of its controls changes; of many moves only the last one is answered."""

    def __init__(self, tab: gr.Tab, events: list[Any], answer: Callable[..., Any], inputs: list[Any], output: Any):
        self.answer, self.inputs, self.output = saying(lambda *given: _inline(answer(*given))), inputs, output
        events = [*events, tab.select]
        gr.on(events, self.answer, inputs, output, trigger_mode="always_last", show_progress="minimal", **ONE_AT_A_TIME)

    def at_first(self, whole: gr.Blocks) -> None:
        """Ask when the page is opened."""
        whole.load(self.answer, self.inputs, self.output, show_progress="minimal", **ONE_AT_A_TIME)


def page(run: Run | str | Path) -> gr.Blocks:
    """The page of a run, not yet served: samples, paths, attributes and completions of images; conditionals and scores of tables; density
    and layers of two columns; the report of any.

    Raises:
        ValueError: there is no run, or it was never finished.
    """
    run = load(run)
    subject = subject_of(run)
    with gr.Blocks(title=f"pushforward {run.path.name}", analytics_enabled=False) as found:
        gr.Markdown(f"### {run.config['model']['name']} of {run.config['data'].get('name', run.path.name)}")
        asked: list[_Asked] = []
        if isinstance(subject, ImageSubject):
            asked.append(_image_tabs(ImageRoom(run, subject.schema)))
        if isinstance(subject, TableSubject):
            if len(subject.columns) == 2 and not subject.schema.context and not subject.schema.mixed:
                asked.append(_plane_tab(PlaneRoom(run, subject.schema)))
            asked.append(_table_tabs(TableRoom(run, subject.schema)))
        _report_tab(run)
        for first in asked[:1]:
            first.at_first(found)
    return found


def serve(run: Run | str | Path, *, port: int = 7860, browser: bool = False, block: bool = True) -> str:
    """Serve :func:`page` to this machine alone, at 127.0.0.1; its address is returned where ``block`` is False.

    Raises:
        ValueError: no run, or the port is taken.
    """
    made = page(run)
    made.queue(max_size=64)
    try:
        _, address, _ = made.launch(
            server_name="127.0.0.1",
            server_port=port,
            share=False,
            quiet=True,
            inbrowser=browser,
            prevent_thread_lock=not block,
            max_file_size=LARGEST_UPLOAD,
            footer_links=[],
            ssr_mode=False,
            pwa=False,
            enable_monitoring=False,
            theme=gr.themes.Default(font=FONTS, font_mono=["ui-monospace", "monospace"]),
        )
    except OSError:
        raise ValueError(f"app: port {port} of 127.0.0.1 is taken; choose another one with --port") from None
    return address


def _image_tabs(room: ImageRoom) -> _Asked:
    with gr.Tab("Samples") as tab:
        context = [gr.Dropdown(list(c.vocabulary or []), label=c.name, value=(c.vocabulary or [None])[0]) for c in room.schema.context]
        with gr.Row():
            temperature = gr.Slider(0.0, 1.3, 1.0, step=0.05, label="temperature", visible=room.has_latent)
            seed = gr.Number(0, label="seed", precision=0, minimum=0)
            count = gr.Slider(1, 49, 16, step=1, label="images")
        drawn = _picture("samples")

        def samples(degree: float, number: float, n: float, *given: Any) -> Any:
            said = {column.name: [value] for column, value in zip(room.schema.context, given, strict=True)}
            return room.samples(float(degree), int(number or 0), int(n), said or None)

        moved = [temperature.release, seed.change, count.release, *(field.change for field in context)]
        first = _Asked(tab, moved, samples, [temperature, seed, count, *context], drawn)
    if room.completes:
        _completion_tab(room)
    if not room.has_latent:
        return first
    with gr.Tab("Between two images") as tab:
        one, other = _start(room, "from", 0), _start(room, "to", 1)
        path = _picture("the path between them")

        def between(a: float, file: str | None, b: float, second: str | None) -> Any:
            return room.between(room.image(int(a), file), room.image(int(b), second))

        _Asked(tab, [one[0].release, other[0].release, one[1].change, other[1].change], between, [*one, *other], path)
    if room.labels:
        _attribute_tab(room)
    return first


def _completion_tab(room: ImageRoom) -> None:
    with gr.Tab("Completion") as tab:
        with gr.Row():
            height = room.schema.shape[1]
            with gr.Column():
                keep = gr.Slider(1, height - 1, height // 2, step=1, label="rows that are kept, from the top")
                seed = gr.Number(0, label="seed", precision=0, minimum=0)
            file = gr.Image(type="filepath", label="an image of your own, else six of the run's", sources=["upload"], height=180)
        made = _picture("the image, what is kept, completions")

        def complete(path: str | None, rows: float, number: float) -> Any:
            return room.completed(path, int(rows), 4, int(number or 0))

        _Asked(tab, [keep.release, seed.change, file.change], complete, [file, keep, seed], made)


def _attribute_tab(room: ImageRoom) -> None:
    with gr.Tab("Attributes") as tab:
        number, file = _start(room, "image", 0)
        with gr.Row():
            sliders = [gr.Slider(-2, 2, 0, step=0.1, label=f"towards {label}") for label in room.labels]
        moved = _picture("the image, and moved")

        def edit(at: float, path: str | None, *strengths: float) -> Any:
            return room.edited((int(at), path), room.image(int(at), path), [float(s) for s in strengths])

        events = [number.release, file.change, *(slider.release for slider in sliders)]
        _Asked(tab, events, edit, [number, file, *sliders], moved)


def _start(room: ImageRoom, label: str, value: int) -> tuple[gr.Slider, gr.Image]:
    """One of the run's own images, or an upload."""
    with gr.Row():
        number = gr.Slider(0, len(room.images) - 1, value, step=1, label=f"{label}: number of a test image")
        file = gr.Image(type="filepath", label="or an image of your own", sources=["upload"], height=120)
    return number, file


def _table_tabs(room: TableRoom) -> _Asked:
    with gr.Tab("Conditionals") as tab:
        fields = _fields(room)
        with gr.Row():
            asked = gr.Dropdown(room.schema.names, value=room.schema.names[0], label="show the column")
            seed = gr.Number(0, label="seed", precision=0, minimum=0)
            button = gr.Button("Show")
        words = gr.Markdown()
        picture = _picture("its distribution given the values above")
        table = gr.Dataframe(label="samples given these", interactive=False)

        def look(name: str, number: float, *values: Any) -> Any:
            said = _said(room, values)
            shown, sentence = room.conditional(name, said)
            return sentence, shown, room.samples(said, 20, int(number or 0)).to_pandas()

        first = _Asked(tab, [button.click, asked.change], look, [asked, seed, *fields], [words, picture, table])
    with gr.Tab("Score a row"):
        own = _fields(room)
        with gr.Row():
            number = gr.Slider(0, max(1, len(room.examples) - 1), 0, step=1, label="take a test row", visible=bool(room.examples))
            button = gr.Button("Score")
        said = gr.Markdown()
        blame = gr.Dataframe(headers=["column", "value", "log p given all others"], label="the least usual first", interactive=False)
        button.click(saying(lambda *values: room.scored(_said(room, values))), own, [said, blame], **ONE_AT_A_TIME)
        number.release(lambda i: [room.examples[int(i)].get(column.name, "") for column in room.columns], number, own)
    return first


def _fields(room: TableRoom) -> list[Any]:
    """A field for each column; an empty one says nothing of it."""
    with gr.Accordion("values that are given (an empty field says nothing)", open=True), gr.Row():
        found: list[Any] = []
        for column in room.columns:
            choices = room.choices(column)
            if choices is not None:
                found.append(gr.Dropdown(["", *choices], value="", label=column.name, min_width=140))
            else:
                found.append(gr.Textbox("", label=column.name, min_width=140, max_lines=1))
    return found


def _said(room: TableRoom, values: tuple[Any, ...]) -> dict[str, str]:
    return {column.name: "" if value is None else str(value) for column, value in zip(room.columns, values, strict=True)}


def _plane_tab(room: PlaneRoom) -> _Asked:
    with gr.Tab("Density and layers") as tab:
        at = gr.Slider(0, len(room.names), 0, step=1, label="layers passed, from the data to the latent")
        with gr.Row():
            density, way = _picture("density, and test rows"), _picture("a square grid on its way")
    return _Asked(tab, [at.release], lambda k: (room.density, room.frames[int(k)]), [at], [density, way])


def _report_tab(run: Run) -> None:
    path = run.path / "report.html"
    if path.is_file():
        with gr.Tab("Report"):
            inside = html.escape(path.read_text(encoding="utf-8"), quote=True)
            gr.HTML(f'<iframe srcdoc="{inside}" sandbox="" style="width:100%;height:80vh;border:0"></iframe>')


def _picture(label: str) -> gr.HTML:
    """The place of a picture; it is a part of the page and no file, so that many users do not wait for one."""
    return gr.HTML(label=label, show_label=True, container=True, min_height=120)


def _inline(answer: Any) -> Any:
    """Arrays ``(H, W, 3)`` of an answer as images of the page."""
    if isinstance(answer, tuple):
        return tuple(_inline(part) for part in answer)
    if not isinstance(answer, np.ndarray):
        return answer
    file = io.BytesIO()
    Image.fromarray(answer).save(file, format="PNG")
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img src="data:image/png;base64,{data}" style="display:block;margin:auto;max-width:100%;max-height:60vh" alt="">'
