"""Depth of a folder of photos."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dffnet.data.alignment import align_stack, thin_lens_magnification
from dffnet.data.photos import PhotoStack
from dffnet.data.shards import to_images
from dffnet.engine.predictor import Prediction, Predictor
from dffnet.errors import PhotoError
from dffnet.output import npy_bytes, png_bytes, write_files
from dffnet.pictures import depth_picture
from dffnet.units import from_metres
from focalsim.preview import gif_bytes

PNG_UNITS_PER_M = 1000  # depth.png holds millimetres
PNG_MAX = np.iinfo(np.uint16).max
GIF_WIDTH, GIF_FRAME_MS = 512, 200


def predict_photos(
    predictor: Predictor, photos: PhotoStack, *, focal_length_m: float | None
) -> tuple[Prediction, Tensor]:
    """What the model finds, in the nearest photo's view, and the photos aligned to that view, (N, 3, H, W) in [0, 1].

    With a focal length the breathing of a thin lens is undone; without (None) photos are taken as aligned. A
    model that aligns does the rest. Depth is in metres, the unit of the focus distances. Raises PhotoError where
    the focus distances do not go with the focal length or the model's unit.
    """
    distances = torch.from_numpy(photos.focus_distance_m)
    if predictor.config.unit == "metres" and not bool(torch.isfinite(distances).all()):
        raise PhotoError("infinite focus distances need a checkpoint that works in dioptres, not metres")
    images = to_images(photos.images)
    if focal_length_m is not None:
        try:
            magnification = thin_lens_magnification(distances, focal_length_m)
        except ValueError as error:
            raise PhotoError(str(error)) from None
        images = align_stack(images, magnification, torch.zeros(len(images), 2))
    prediction = predictor(images, from_metres(distances, predictor.config.unit))
    return prediction, align_stack(images, prediction.magnification, prediction.shift_px)


def write_prediction(out: Path, prediction: Prediction) -> int:
    """Write the maps to folder ``out`` and return how many pixels are too far for ``depth.png``.

    depth.npy         float32 metres
    depth.png         uint16 millimetres, clipped at 65 535
    depth_color.png   near to far in colours, uniform in 1/depth, with a scale
    confidence.npy    float32 in [0, 1]
    confidence.png    uint8, 255 = 1
    all_in_focus.png  8-bit sRGB
    """
    depth_m, confidence = prediction.depth_m, prediction.confidence
    millimetres = np.rint(depth_m.astype(np.float64) * PNG_UNITS_PER_M)
    files = {
        "depth.npy": npy_bytes(depth_m),
        "depth.png": png_bytes(np.clip(millimetres, 0, PNG_MAX).astype(np.uint16)),
        "depth_color.png": png_bytes(cv2.cvtColor(depth_picture(depth_m), cv2.COLOR_RGB2BGR)),
        "confidence.npy": npy_bytes(confidence),
        "confidence.png": png_bytes(np.rint(255 * confidence).astype(np.uint8)),
        "all_in_focus.png": png_bytes(_to_bgr(prediction.all_in_focus)),
    }
    write_files(out, files)
    return int((millimetres > PNG_MAX).sum())


def write_aligned(out: Path, photos: PhotoStack, aligned: Tensor) -> None:
    """Write the aligned slices to folder ``out``: slice_00.png (farthest) .., and aligned.gif.

    The animation runs from far to near, the photos as they were beside the same photos aligned.
    """
    after = [_to_bgr(slice_.permute(1, 2, 0).numpy()) for slice_ in aligned]
    before = [np.ascontiguousarray(photo[..., ::-1]) for photo in photos.images]
    files = {f"slice_{k:02d}.png": png_bytes(slice_) for k, slice_ in enumerate(after)}
    frames = [_beside(*pair)[..., ::-1] for pair in zip(before, after, strict=True)]
    write_files(out, {**files, "aligned.gif": gif_bytes(frames, GIF_FRAME_MS)})


def _beside(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two images of one size in a row, each at most GIF_WIDTH wide."""
    row = np.hstack([left, right])
    scale = min(1.0, 2 * GIF_WIDTH / row.shape[1])
    size = (round(row.shape[1] * scale), max(1, round(row.shape[0] * scale)))
    return np.asarray(cv2.resize(row, size, interpolation=cv2.INTER_AREA), np.uint8)


def _to_bgr(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(H, W, 3) sRGB in [0, 1] -> 8-bit BGR."""
    return np.ascontiguousarray(np.rint(255 * np.clip(image[..., ::-1], 0.0, 1.0)).astype(np.uint8))
