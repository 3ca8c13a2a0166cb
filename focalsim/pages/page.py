"""Put a page together: one style for all, then what is the page's own, everything inside the one file."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable
from importlib.resources import files
from string import Template
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# Nothing may be fetched: what a page needs is in it. Browsers enforce it, also if a text in a bundle were hostile.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
LOSSLESS = 100  # quality of pictures


def html_page(title: str, body: str, *, style: str = "", script: str = "", data: Any = None) -> str:
    """A whole page. ``title`` is plain text, ``body`` HTML, ``style`` and ``script`` are added to those of all pages.

    ``data`` is put in as JSON, in the element ``#data``. Raises ValueError for data that is no JSON, as NaN is none.
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Template(resource("focalsim.pages", "page.html")).substitute(
        policy=_POLICY,
        title=html.escape(title),
        style=resource("focalsim.pages", "page.css") + style,
        body=body,
        data=text.replace("<", "\\u003c"),  # so that no text in it ends the element
        script=script,
    )


def resource(package: str, name: str) -> str:
    """The text of a file that lies in ``package``."""
    return files(package).joinpath(name).read_text(encoding="utf-8")


def image_url(image: NDArray[np.uint8], quality: int = 90) -> str:
    """A picture (H, W, 3) uint8 sRGB as a data URL: WebP of quality 1 to 99, or 100 = lossless.

    Pictures that WebP cannot hold (over 16383 pixels a side) become JPEG.
    """
    bgr = np.ascontiguousarray(image[..., ::-1])
    kind = "webp" if max(image.shape[:2]) <= 16383 else "jpeg"
    flag = cv2.IMWRITE_WEBP_QUALITY if kind == "webp" else cv2.IMWRITE_JPEG_QUALITY
    # OpenCV's WebP is lossless above 100.
    _, encoded = cv2.imencode(f".{kind}", bgr, [flag, 101 if quality == LOSSLESS and kind == "webp" else quality])
    return data_url(encoded.tobytes(), f"image/{kind}")


def data_url(content: bytes, media_type: str) -> str:
    """Bytes as a URL that holds them."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def fact_list(facts: Iterable[tuple[str, str]]) -> str:
    """Names and values, plain text, as a list of definitions in HTML."""
    rows = (f"<div><dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd></div>" for k, v in facts if v)
    return f'<dl class="facts">{"".join(rows)}</dl>'
