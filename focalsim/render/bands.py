"""Large pictures in bands of rows, so that the memory beside the picture and its stack does not grow with its height.

A band finishes the blurred light of its rows in all slices, and every output row whose source rows are then done. What
its samples are made of and how far they are spread reaches over its borders, so it looks at a halo of rows around it,
as wide as the largest blur asks for; nothing else couples the rows, and the result is that of the whole picture. A
picture that fits in the memory is one band.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.camera.effects import Aperture
from focalsim.render import aperture as polygon
from focalsim.render import scatter as disc
from focalsim.render.layers import Layers, lens_reach_px, split_layers
from focalsim.render.resample import AxisMap, Piece, Warp
from focalsim.render.visibility import seen_samples

# What bands may take beside the picture and its stack. A picture of 4032 x 3024 with discs of 78 pixels prepares its
# rows 1.5 times, for the halos; with half the memory 2.9 times, with twice as much 1.2 times.
MEMORY_BYTES = 400 << 20
_BYTES_PER_PIXEL = 120  # of a band with its halo: layers, then samples and their coarser levels; measured
# A layer's sample depends on the two pixels around, in two rounds, and on their edges; and a disc is rounded up to one.
_UNMIX_ROWS = 6


@dataclass(frozen=True)
class Frame:
    """A frame of H x W pixels without holes, and its disparity in pixels q = ``gain_px_m`` / depth.

    rgb (H, W, 3) linear light, depth_m (H, W); hidden_rgb, hidden_depth_m the same or None, NaN = unknown.
    """

    rgb: NDArray[np.float32]
    depth_m: NDArray[np.float32]
    hidden_rgb: NDArray[np.float32] | None
    hidden_depth_m: NDArray[np.float32] | None
    gain_px_m: float

    @cached_property
    def disparity_range_px(self) -> tuple[float, float, float]:
        """Lowest of all surfaces, lowest and highest of the visible ones; every band asks for it."""
        low, high = (float(self._disparity(depth)) for depth in (self.depth_m.max(), self.depth_m.min()))
        if self.hidden_depth_m is None:
            return low, low, high
        hidden = float(self._disparity(np.fmax.reduce(self.hidden_depth_m, axis=None)))
        return float(np.fmin(low, hidden)), low, high

    def largest_blur_px(self, focus_disparity_px: NDArray[np.float64]) -> float:
        """The largest blur (diameter) of any sample in the slices focused at these."""
        lowest, _, high = self.disparity_range_px
        return max(high - float(focus_disparity_px.min()), float(focus_disparity_px.max()) - lowest, 0.0)

    def layers(self, rows: slice = slice(None)) -> Layers:
        """The two layers of these rows."""
        _, low, high = self.disparity_range_px
        return split_layers(
            self.rgb[rows],
            self._disparity(self.depth_m[rows]),
            None if self.hidden_rgb is None else self.hidden_rgb[rows],
            None if self.hidden_depth_m is None else self._disparity(self.hidden_depth_m[rows]),
            lens_reach_px(low, high),
        )

    def _disparity(self, depth_m: NDArray[np.float32]) -> NDArray[np.float32]:
        return (self.gain_px_m / depth_m).astype(np.float32, copy=False)


@dataclass(frozen=True, slots=True)
class Band:
    """Rows of the source, each set within the next.

    blurred  whose light this band finishes
    samples  whose samples reach these
    frame    that decide on these samples
    """

    blurred: slice
    samples: slice
    frame: slice


def render_bands(
    frame: Frame,
    focus_disparity_px: NDArray[np.float64],
    maps: tuple[AxisMap, AxisMap],
    aperture: Aperture | None,
    stack: NDArray[Any],
) -> None:
    """Fill ``stack`` (S, h, w, 3), of light or codes, with the slices focused at these (S,), warped by ``maps``."""
    largest = frame.largest_blur_px(focus_disparity_px)
    focus_px = float(focus_disparity_px.min()), float(focus_disparity_px.max())
    reach = disc.reach_rows(largest) if aperture is None else polygon.reach_rows(aperture, largest)
    warp = Warp(*maps)
    done = np.zeros_like(warp.fours(0))
    for band in plan_bands(frame, *reach, warp.rows - 1):
        ready = warp.fours(band.blurred.stop)
        scene = _scatter(frame, band, aperture, focus_px, largest)
        scene.render(focus_disparity_px, Piece(warp, done, ready, band.blurred, band.samples.start), stack)
        del scene  # before the next band needs the same again
        done = ready


def _scatter(
    frame: Frame, band: Band, aperture: Aperture | None, focus_px: tuple[float, float], largest_px: float
) -> disc.Scatter | polygon.ApertureScatter:
    top = band.frame.start
    # Nothing holds the layers but the samples made of them, so that the last sample leaves them behind.
    rows = slice(band.samples.start - top, band.samples.stop - top)
    samples = seen_samples(frame.layers(band.frame), rows, focus_px)
    return (
        disc.Scatter(samples, largest_px)
        if aperture is None
        else polygon.ApertureScatter(samples, aperture, largest_px)
    )


def plan_bands(
    frame: Frame, reach_rows: int, whole_rows: int, warp_rows: int, memory_bytes: int | None = None
) -> Iterator[Band]:
    """Bands that make up a frame, from the top.

    Samples reach ``reach_rows`` beyond their own; a coarsest pixel has ``whole_rows`` of them, and so no border runs
    through it. The warp needs ``warp_rows`` of blurred light above what follows a band.
    """
    height, width = frame.depth_m.shape
    lowest, _, high = frame.disparity_range_px
    look = lens_reach_px(lowest, high) + _UNMIX_ROWS
    halo = reach_rows + look + whole_rows
    fitting = (MEMORY_BYTES if memory_bytes is None else memory_bytes) // (_BYTES_PER_PIXEL * width)
    rows = height
    if height > fitting:
        # A band of less than its halo would compute its surroundings more than itself, whatever the memory.
        rows = max(fitting - 2 * halo - warp_rows, halo)
        rows = -(-height // -(-height // rows))  # shared out evenly
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        blurred = slice(max(top - warp_rows, 0), bottom)
        samples = slice(
            max(blurred.start - reach_rows, 0) // whole_rows * whole_rows,
            min(-(-(bottom + reach_rows) // whole_rows) * whole_rows, height),
        )
        yield Band(blurred, samples, slice(max(samples.start - look, 0), min(samples.stop + look, height)))
