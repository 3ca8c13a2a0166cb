"""Depth of a folder of photos."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from dffnet.data.alignment import align_stack, thin_lens_magnification
from dffnet.data.photos import PhotoStack
from dffnet.data.shards import to_images
from dffnet.engine.predictor import Predictor
from dffnet.errors import PhotoError
from dffnet.output import npy_bytes, png_bytes, write_files
from dffnet.pictures import depth_picture
from dffnet.units import from_metres

PNG_UNITS_PER_M = 1000  # depth.png holds millimetres
PNG_MAX = np.iinfo(np.uint16).max


def predict_photos(
    predictor: Predictor, photos: PhotoStack, *, focal_length_m: float | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Depth in metres (the unit of the focus distances) and confidence, (H, W), in the nearest photo's view.

    With a focal length the breathing of a thin lens is undone; without (None) photos are taken as aligned.
    Raises PhotoError where the focus distances do not go with the focal length or the model's unit.
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
    return prediction.depth_m, prediction.confidence


def write_prediction(out: Path, depth_m: NDArray[np.float32], confidence: NDArray[np.float32]) -> int:
    """Write the maps to folder ``out`` and return how many pixels are too far for ``depth.png``.

    depth.npy         float32 metres
    depth.png         uint16 millimetres, clipped at 65 535
    depth_color.png   near to far in colours, uniform in 1/depth, with a scale
    confidence.npy    float32 in [0, 1]
    confidence.png    uint8, 255 = 1
    """
    millimetres = np.rint(depth_m.astype(np.float64) * PNG_UNITS_PER_M)
    files = {
        "depth.npy": npy_bytes(depth_m),
        "depth.png": png_bytes(np.clip(millimetres, 0, PNG_MAX).astype(np.uint16)),
        "depth_color.png": png_bytes(cv2.cvtColor(depth_picture(depth_m), cv2.COLOR_RGB2BGR)),
        "confidence.npy": npy_bytes(confidence),
        "confidence.png": png_bytes(np.rint(255 * confidence).astype(np.uint8)),
    }
    write_files(out, files)
    return int((millimetres > PNG_MAX).sum())
