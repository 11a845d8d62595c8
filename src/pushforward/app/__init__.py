"""A page in the browser to explore a run: ``pushforward app RUN``. The rooms are what it asks; only the page itself needs gradio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import names_of

if TYPE_CHECKING:
    from .image_room import ImageRoom
    from .page import page, serve
    from .plane_room import PlaneRoom
    from .table_room import TableRoom

__all__ = ["ImageRoom", "PlaneRoom", "TableRoom", "page", "serve"]

__getattr__ = names_of(__name__, {"image_room": "ImageRoom", "page": "page serve", "plane_room": "PlaneRoom", "table_room": "TableRoom"})
