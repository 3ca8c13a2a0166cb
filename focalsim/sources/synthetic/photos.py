"""The user's own photos as textures: loaded when drawn, looked up through a mip pyramid (Williams 1983)."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from math import floor, log2
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from focalsim.color import srgb_to_linear
from focalsim.errors import SourceError
from focalsim.sources.synthetic.kernel import kernel

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm"}
_MAX_SIDE_PX = 1024
_LEVELS = 9

NO_PHOTOS = (np.zeros((1, 3), np.float32), np.zeros((0, _LEVELS, 3), np.int64))


def find_photos(folder: Path) -> tuple[Path, ...]:
    """Image files anywhere under ``folder``, sorted by relative path.

    Raises SourceError where there is no such folder or no image in it can be read.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: expected a folder of photos to use as textures, found none")
    paths = [p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file()]
    paths.sort(key=lambda p: p.relative_to(folder).as_posix())
    readable = tuple(p for p in paths if cv2.haveImageReader(str(p)))
    if not readable:
        raise SourceError(f"{folder}: no readable image in it to use as a texture ({len(paths)} files look like one)")
    return readable


def digest_photos(paths: tuple[Path, ...]) -> str:
    """sha256 over the files' contents in order: what the made scenes depend on besides the seed."""
    total = hashlib.sha256()
    for path in paths:
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


@lru_cache(maxsize=6)
def load_pyramid(path: Path) -> tuple[NDArray[np.float32], ...]:
    """Linear-light levels of one photo, each the 2 x 2 area mean of the one before.

    Raises SourceError where the file cannot be decoded.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise SourceError(f"{path}: cannot be decoded as an image")
    linear = srgb_to_linear(np.asarray(image[..., ::-1], np.uint8))
    shrink = _MAX_SIDE_PX / max(linear.shape[:2])
    if shrink < 1:
        size = (max(round(linear.shape[1] * shrink), 1), max(round(linear.shape[0] * shrink), 1))
        linear = np.asarray(cv2.resize(linear, size, interpolation=cv2.INTER_AREA), np.float32)
    levels = [linear]
    while len(levels) < _LEVELS:
        height, width = levels[-1].shape[:2]
        size = (max(width // 2, 1), max(height // 2, 1))
        levels.append(np.asarray(cv2.resize(levels[-1], size, interpolation=cv2.INTER_AREA), np.float32))
    return tuple(levels)


def pack_photos(paths: list[Path]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Texels (n, 3) of all levels of all photos, and (photo, level) -> first texel, height, width."""
    texels, sizes, first = [], np.zeros((len(paths), _LEVELS, 3), np.int64), 0
    for index, path in enumerate(paths):
        for level, image in enumerate(load_pyramid(path)):
            sizes[index, level] = first, *image.shape[:2]
            texels.append(image.reshape(-1, 3))
            first += image.shape[0] * image.shape[1]
    return np.concatenate(texels), sizes


@kernel
def _mirror(index: int, length: int) -> int:
    """Mirrored repeat of a texel index."""
    index %= 2 * length
    return index if index < length else 2 * length - 1 - index


@kernel
def _bilinear(
    texels: NDArray[np.float32], first: int, height: int, width: int, x: float, y: float
) -> tuple[float, float, float]:
    fx, fy = floor(x), floor(y)
    wx, wy = x - fx, y - fy
    x0, x1 = _mirror(int(fx), width), _mirror(int(fx) + 1, width)
    y0, y1 = first + _mirror(int(fy), height) * width, first + _mirror(int(fy) + 1, height) * width
    a, b, c, d = (1 - wx) * (1 - wy), wx * (1 - wy), (1 - wx) * wy, wx * wy
    return (
        a * texels[y0 + x0, 0] + b * texels[y0 + x1, 0] + c * texels[y1 + x0, 0] + d * texels[y1 + x1, 0],
        a * texels[y0 + x0, 1] + b * texels[y0 + x1, 1] + c * texels[y1 + x0, 1] + d * texels[y1 + x1, 1],
        a * texels[y0 + x0, 2] + b * texels[y0 + x1, 2] + c * texels[y1 + x0, 2] + d * texels[y1 + x1, 2],
    )


@kernel
def photo_colour(
    texels: NDArray[np.float32], sizes: NDArray[np.int64], photo: int, x: float, y: float, footprint: float
) -> tuple[float, float, float]:
    """Linear RGB of a photo at texel (x, y), averaged over ``footprint`` texels (trilinear mip lookup)."""
    level = min(max(log2(max(footprint, 1e-6)), 0.0), sizes.shape[1] - 1.001)
    low = int(level)
    w = level - low
    f = 1.0 / (1 << low)
    r0, g0, b0 = _bilinear(
        texels, sizes[photo, low, 0], sizes[photo, low, 1], sizes[photo, low, 2], x * f - 0.5, y * f - 0.5
    )
    if w == 0.0:
        return r0, g0, b0
    r1, g1, b1 = _bilinear(
        texels,
        sizes[photo, low + 1, 0],
        sizes[photo, low + 1, 1],
        sizes[photo, low + 1, 2],
        x * f * 0.5 - 0.5,
        y * f * 0.5 - 0.5,
    )
    return r0 + w * (r1 - r0), g0 + w * (g1 - g0), b0 + w * (b1 - b0)
