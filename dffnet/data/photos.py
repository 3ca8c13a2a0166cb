"""A folder of photos as a focal stack. Where the focus distances come from, in this order:

given      on the command line, one for each photo in the order of the file names
text file  ``focus_distance.txt``, a number a line in the order of the file names; beside it may lie
           ``focal_length.txt``, one number in the same unit (Won & Jeon 2022, end-to-end test folders)
names      ``..._<focus distance in metres>.jpg`` (HybridDepth), with a decimal point: 3.0, for _003 is a number
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dffnet.errors import PhotoError
from focalsim.progress import progress_bar

_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
_DISTANCE_IN_NAME = re.compile(r".*_(\d+\.\d+)")


@dataclass(frozen=True, slots=True)
class PhotoStack:
    """N photos, far to near. ``focal_length_m`` None = unknown; ``full_size`` is (W, H) before reducing."""

    images: NDArray[np.uint8]  # (N, H, W, 3) sRGB
    focus_distance_m: NDArray[np.float32]  # (N,) far to near, positive, infinity allowed
    focal_length_m: float | None
    full_size: tuple[int, int]


def read_photos(
    folder: Path, *, focus_distances_m: Sequence[float] | None = None, max_size_px: int = 1024
) -> PhotoStack:
    """Read the photos of ``folder``; larger ones are reduced until their longer side has ``max_size_px``.

    Raises PhotoError where the folder is no focal stack: no photos, unreadable or of different sizes, focus
    distances missing, not as many as photos, or not positive.
    """
    if not folder.is_dir():
        raise PhotoError(f"{folder}: no such folder")
    paths = sorted((p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES), key=_natural_order)
    if not paths:
        raise PhotoError(f"{folder}: no photos ({', '.join(_SUFFIXES)}) in this folder")
    distances = _focus_distances(folder, paths, focus_distances_m)
    images, full_size = _read_images(paths, max_size_px)
    order = np.argsort(-distances, kind="stable")
    focal_length = folder / "focal_length.txt"
    return PhotoStack(
        images=images[order],
        focus_distance_m=distances[order].astype(np.float32),
        focal_length_m=_numbers(focal_length, expected=1)[0] if focal_length.is_file() else None,
        full_size=full_size,
    )


def _focus_distances(folder: Path, paths: Sequence[Path], given: Sequence[float] | None) -> NDArray[np.float64]:
    listed = folder / "focus_distance.txt"
    if given is not None:
        distances, origin = list(given), "the given focus distances"
        if len(distances) != len(paths):
            raise PhotoError(f"{folder}: {len(paths)} photos, but {len(distances)} focus distances are given")
    elif listed.is_file():
        distances, origin = _numbers(listed, expected=len(paths)), str(listed)
    else:
        matches = [_DISTANCE_IN_NAME.fullmatch(path.stem) for path in paths]
        for path, match in zip(paths, matches, strict=True):
            if match is None:
                raise PhotoError(
                    f"{folder}: focus distances are unknown: give them with --focus-distances, in "
                    f"{listed.name}, or in the names as ..._0.25{path.suffix} ({path.name} has none)"
                )
        distances, origin = [float(match[1]) for match in matches if match], f"the names in {folder}"
    array = np.array(distances, np.float64)
    if not (array > 0).all():
        raise PhotoError(f"{origin}: focus distances must be positive, got {array[~(array > 0)][0]:g}")
    return array


def _numbers(path: Path, expected: int) -> list[float]:
    """One number a line (blank lines do not count)."""
    try:
        numbers = [float(word) for word in path.read_text(encoding="utf-8").split()]
    except (ValueError, OSError) as error:
        raise PhotoError(f"{path}: expected one number a line: {error}") from None
    if len(numbers) != expected:
        raise PhotoError(f"{path}: expected {expected} number{'s' * (expected > 1)}, got {len(numbers)}")
    return numbers


def _read_images(paths: Sequence[Path], max_size_px: int) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    images: list[NDArray[np.uint8]] = []
    full_size: tuple[int, int] | None = None
    for path in progress_bar(paths, desc="read", unit="photo", leave=False):
        image = _read_image(path)
        size = (image.shape[1], image.shape[0])
        if full_size is None:
            full_size = size
        elif size != full_size:
            raise PhotoError(
                f"{path}: is {size[0]}x{size[1]}, but {paths[0].name} is {full_size[0]}x{full_size[1]}; "
                "the photos of a stack must have one size"
            )
        images.append(_reduce(image, max_size_px))  # at once, so that full-size photos do not pile up
    assert full_size is not None
    return np.stack(images)[..., ::-1].copy(), full_size


def _read_image(path: Path) -> NDArray[np.uint8]:
    image: Any = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) if path.stat().st_size else None
    if image is None:
        raise PhotoError(f"{path}: cannot be read as an image")
    return np.asarray(image, np.uint8)


def _reduce(image: NDArray[np.uint8], max_size_px: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = max_size_px / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _natural_order(path: Path) -> list[tuple[int, str]]:
    """Sort key by which 9.jpg comes before 10.jpg."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]
