"""Pictures of depth maps, drawn with OpenCV: uint8 RGB arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # (H, W, 3) RGB
Map = NDArray[np.floating]

_BAR_PX, _TEXT_PX, _GAP_PX, _MIN_PANEL_PX = 10, 20, 8, 260
_INVALID, _PAPER, _INK = 128, 255, (30, 30, 30)


def depth_picture(depth_m: Map) -> Picture:
    """A depth map (H, W) in metres with its scale; colours are uniform in 1/depth, as blur is."""
    return _depth_panel(depth_m, np.isfinite(depth_m) & (depth_m > 0), None, "depth")


def comparison(
    image: Picture,
    prediction_m: Map,
    truth_m: Map,
    valid: NDArray[np.bool_],
    *,
    title: str,
    captions: tuple[str, str],
    range_m: tuple[float, float],
) -> Picture:
    """A slice, the prediction, the truth and the error in a row, depth on one scale. Maps (H, W) in metres.

    ``captions`` stand over the slice and the error. Colours span the truth and ``range_m``. Grey = no depth known.
    """
    shown = 1.0 / np.concatenate([truth_m[valid], np.asarray(range_m, np.float64)])
    limits = (float(shown.min()), float(shown.max()))
    error = np.abs(prediction_m - np.where(valid, truth_m, 1.0))
    panels = [
        _panel(image, captions[0], None),
        _depth_panel(prediction_m, np.isfinite(prediction_m) & (prediction_m > 0), limits, "prediction"),
        _depth_panel(truth_m, valid, limits, "truth"),
        _error_panel(error, valid, captions[1]),
    ]
    gap = np.full((panels[0].shape[0], _GAP_PX, 3), _PAPER, np.uint8)
    row = np.hstack([part for panel in panels for part in (panel, gap)][:-1])
    return np.vstack([_text(title, row.shape[1]), row])


def _depth_panel(
    depth_m: Map, known: NDArray[np.bool_], limits_dpt: tuple[float, float] | None, caption: str
) -> Picture:
    dioptres = 1.0 / np.where(known, depth_m, 1.0)
    if limits_dpt is None:
        limits_dpt = (float(dioptres[known].min()), float(dioptres[known].max())) if known.any() else (0.0, 1.0)
    low, high = limits_dpt

    def label(share: float) -> str:
        at = low + share * (high - low)
        return f"{1.0 / at:.3g} m" if at > 0 else "infinity"

    return _panel(_colours(dioptres, known, low, high, cv2.COLORMAP_TURBO), caption, (label, cv2.COLORMAP_TURBO))


def _error_panel(error_m: Map, valid: NDArray[np.bool_], caption: str) -> Picture:
    shown = error_m[valid & np.isfinite(error_m)]
    high = float(np.percentile(shown, 99)) if shown.size else 0.0
    # A non-finite error is the largest there is.
    picture = _colours(np.nan_to_num(error_m, nan=np.inf), valid, 0.0, high, cv2.COLORMAP_INFERNO)
    return _panel(picture, caption, (lambda share: f"{share * high:.3g} m", cv2.COLORMAP_INFERNO))


def _colours(values: Map, known: NDArray[np.bool_], low: float, high: float, colormap: int) -> Picture:
    shares = np.clip((np.clip(values, low, high) - low) / max(high - low, 1e-12), 0.0, 1.0)
    picture = _apply(np.rint(255 * shares).astype(np.uint8), colormap)
    picture[~known] = _INVALID
    return picture


def _panel(picture: Picture, caption: str, scale: tuple[Callable[[float], str], int] | None) -> Picture:
    """``picture`` (enlarged where it is too narrow for text) under its caption and over its scale."""
    height, width = picture.shape[:2]
    if width < _MIN_PANEL_PX:
        size = (_MIN_PANEL_PX, round(height * _MIN_PANEL_PX / width))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST), np.uint8)
        width = _MIN_PANEL_PX
    space = np.full((_GAP_PX // 2, width, 3), _PAPER, np.uint8)
    if scale is None:
        foot = np.full((_BAR_PX + _TEXT_PX, width, 3), _PAPER, np.uint8)
    else:
        label, colormap = scale
        bar = np.broadcast_to(np.linspace(0, 255, width).round().astype(np.uint8), (_BAR_PX, width))
        foot = np.vstack([_apply(bar, colormap), _text(label(0.0), width, label(0.5), label(1.0))])
    return np.vstack([_text(caption, width), picture, space, foot])


def _text(left: str, width: int, middle: str = "", right: str = "") -> Picture:
    strip = np.full((_TEXT_PX, width, 3), _PAPER, np.uint8)
    for text, share in ((left, 0.0), (middle, 0.5), (right, 1.0)):
        (length, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)
        x = int(np.clip(share * width - length / 2, 2, max(2, width - length - 2)))
        cv2.putText(strip, text, (x, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, _INK, 1, cv2.LINE_AA)
    return strip


def _apply(shares: NDArray[Any], colormap: int) -> Picture:
    coloured = cv2.applyColorMap(np.ascontiguousarray(shares), colormap)
    return np.asarray(cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB), np.uint8)
