"""The page of a bundle: its samples to look at, with a focus to move. What it does is in bundle.js."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Iterator, Sequence
from string import Template
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from focalsim.camera.thin_lens import blur_gain_px_m, sensor_distance_m
from focalsim.errors import OutputError, ShardError
from focalsim.pages.page import data_url, fact_list, html_page, image_url, resource
from focalsim.preview import colour_scale
from focalsim.sample import Sample

_DEPTH_CODES = 65535  # of 16 bits; 0 is left for unknown
_SHOWN_PERCENT = (1.0, 99.0)  # of the known pixels lie inside the colour scale


def bundle_page(
    samples: Iterator[Sample],
    facts: Sequence[tuple[str, str]],
    *,
    title: str,
    quality: int = 90,
    max_bytes: int = 32_000_000,
    tick: Callable[[], object] = lambda: None,
) -> tuple[str, int]:
    """A page of ``samples`` in HTML, and how many of them it holds: as many as fit ``max_bytes``.

    ``quality`` is that of :func:`focalsim.pages.image_url`. Raises OutputError where the first does not fit, and
    ShardError for samples of different size and for none.
    """
    parts: list[dict[str, Any]] = []
    size, used = (0, 0), 0
    for sample in samples:
        if not parts:
            size = sample.depth_m.shape
        elif sample.depth_m.shape != size:
            raise ShardError(
                f"{sample.source_id}: is {_size(sample.depth_m.shape)}, but the samples before it are {_size(size)}; "
                "one page holds one size"
            )
        part = sample_data(sample, quality)
        used += len(str(part))
        if used > max_bytes:
            break
        parts.append(part)
        tick()
    if not parts and used:
        raise OutputError(
            f"one sample takes {used / 1e6:.1f} MB, more than {max_bytes / 1e6:g}; use a smaller --quality or a larger "
            "--max-mb"
        )
    if not parts:
        raise ShardError("there are no samples to show")
    body = Template(resource("focalsim.pages", "bundle.html")).substitute(
        title=html.escape(title),
        facts=fact_list([*facts, ("on this page", f"{len(parts)} samples" if len(parts) > 1 else "1 sample")]),
        footer="Depth is distance along the optical axis. Blur is the diameter of the disc that a point becomes, in "
        "pixels of the slice.",
    )
    data = {
        "height": size[0],
        "width": size[1],
        "colours": base64.b64encode(colour_scale().tobytes()).decode(),
        "samples": parts,
    }
    style, script = (resource("focalsim.pages", f"bundle.{kind}") for kind in ("css", "js"))
    return html_page(title, body, style=style, script=script, data=data), len(parts)


def sample_data(sample: Sample, quality: int) -> dict[str, Any]:
    """What bundle.js knows of a sample. Blur of slice n in pixels = ``blur_px_m[n]`` |1/focus - 1/depth|."""
    # The image distance of a slice follows its magnification, relative to that of the farthest focus.
    v_m = sensor_distance_m(sample.focal_length_m, float(sample.focus_distance_m[0])) * (
        sample.magnification.astype(np.float64) / sample.magnification[0]
    )
    gain = blur_gain_px_m(sample.focal_length_m, sample.f_number, v_m, sample.depth_m.shape[1], sample.sensor_width_m)
    scaled = "" if sample.depth_scale == 1 else f", depth x {sample.depth_scale:.3g}"
    return {
        "index": sample.sample_index,
        "source_id": sample.source_id,
        "camera": f"{sample.phone}, {sample.focal_length_m * 1e3:.3g} mm f/{sample.f_number:.2g}{scaled}",
        "focus_m": _plain(sample.focus_distance_m),
        "magnification": _plain(sample.magnification),
        "shift_px": _plain(sample.principal_point_px),
        "blur_px_m": _plain(gain),
        "images": [image_url(image, quality) for image in sample.images],
        "all_in_focus": image_url(sample.all_in_focus, quality),
        "depth": _depth_data(sample),
    }


def _depth_data(sample: Sample) -> dict[str, Any]:
    """Inverse depth in 16 bits between the ends of its range, as red and green of a PNG."""
    known = sample.valid & (sample.depth_m > 0)
    dioptres = np.where(known, 1.0 / np.where(known, sample.depth_m.astype(np.float64), 1.0), 0.0)
    far, near = (float(dioptres[known].min()), float(dioptres[known].max())) if known.any() else (0.0, 1.0)
    share = (dioptres - far) / max(near - far, 1e-12)
    codes = np.where(known, 1 + np.rint(share * (_DEPTH_CODES - 1)), 0).astype(np.uint16)
    bgr = np.dstack([np.zeros_like(codes), codes & 255, codes >> 8]).astype(np.uint8)
    _, encoded = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    shown = np.percentile(dioptres[known], _SHOWN_PERCENT) if known.any() else np.array([far, near])
    return {
        "image": data_url(encoded.tobytes(), "image/png"),
        "dioptres": [far, near],
        "shown_dioptres": _plain(shown),
    }


def _plain(values: NDArray[Any]) -> list[Any]:
    """Nested lists of numbers as JSON has them: float32 without the digits that it does not know."""
    kept: list[Any] = np.vectorize(lambda value: float(f"{value:.9g}"), otypes=[np.float64])(values).tolist()
    return kept


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]} px"
