"""Fit samples to what a format's readers take: slices, alignment, size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from focalsim.errors import ConfigError
from focalsim.sample import Sample


def nearest_slices(focus_distance_m: NDArray[np.floating], wanted_m: NDArray[np.floating]) -> NDArray[np.intp]:
    """Indices of the slices whose focus is nearest to ``wanted_m`` in dioptres; both far to near.

    As many slices as are wanted are taken all, in order. Raises ConfigError where too few fit.
    """
    if len(focus_distance_m) == len(wanted_m):
        return np.arange(len(wanted_m))
    offset_dpt = np.abs(1 / np.asarray(wanted_m, float)[:, None] - 1 / np.asarray(focus_distance_m, float))
    indices: NDArray[np.intp] = offset_dpt.argmin(axis=1)
    if len(np.unique(indices)) < len(wanted_m):
        focus = ", ".join(f"{s:.3g}" for s in wanted_m)
        raise ConfigError(
            f"the format needs {len(wanted_m)} slices, focused at {focus} m; of the {len(focus_distance_m)} slices at "
            f"{focus_distance_m[0]:.3g} to {focus_distance_m[-1]:.3g} m only {len(np.unique(indices))} are near one"
        )
    return indices


def take_slices(sample: Sample, indices: NDArray[np.intp]) -> Sample:
    """The sample with these slices only."""
    return replace(
        sample,
        images=sample.images[indices],
        focus_distance_m=sample.focus_distance_m[indices],
        magnification=sample.magnification[indices],
        principal_point_px=sample.principal_point_px[indices],
        fov_error=sample.fov_error[indices],
    )


def align(sample: Sample) -> Sample:
    """The sample with every slice warped to the geometry of the reference slice, bicubic; edges are repeated."""
    slices, height, width = sample.images.shape[:3]
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    images = np.empty_like(sample.images)
    for image, out, m, shift in zip(
        sample.images, images, sample.magnification, sample.principal_point_px, strict=True
    ):
        offset = (1 - m) * centre + shift
        warp = np.array([[m, 0, offset[0]], [0, m, offset[1]]], np.float64)
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        out[:] = cv2.warpAffine(image, warp, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return replace(
        sample,
        images=images,
        magnification=np.ones(slices, np.float32),
        principal_point_px=np.zeros((slices, 2), np.float32),
    )


def tiles(sample: Sample, tile_px: tuple[int, int]) -> Iterator[Sample]:
    """Tiles of ``tile_px`` (H, W) side by side in the middle of the image, row by row."""
    size = sample.depth_m.shape
    rows, columns = (full // tile for full, tile in zip(size, tile_px, strict=True))
    top, left = (size[0] - rows * tile_px[0]) // 2, (size[1] - columns * tile_px[1]) // 2
    for row in range(rows):
        for column in range(columns):
            yield _crop(sample, top + row * tile_px[0], left + column * tile_px[1], *tile_px)


def tile_count(height: int, width: int, tile_px: tuple[int, int]) -> int:
    """How many :func:`tiles` there are."""
    return (height // tile_px[0]) * (width // tile_px[1])


def _crop(sample: Sample, top: int, left: int, height: int, width: int) -> Sample:
    window = (slice(top, top + height), slice(left, left + width))
    full = np.array(sample.depth_m.shape[::-1])
    # Magnification is about the image's centre: about that of the crop it is a shift besides.
    off_centre = np.array([left, top]) + (np.array([width, height]) - full) / 2
    shift = sample.principal_point_px + (sample.magnification[:, None] - 1) * off_centre
    return replace(
        sample,
        images=sample.images[:, window[0], window[1]],
        all_in_focus=sample.all_in_focus[window],
        depth_m=sample.depth_m[window],
        valid=sample.valid[window],
        principal_point_px=shift.astype(np.float32),
        sensor_width_m=float(np.float32(sample.sensor_width_m * width / full[0])),
    )
