"""Samples of both layers, one a pixel, and their coarser levels for large blur.

Every level holds the samples of the one before, four pixels in one. Where a depth edge runs through the four, they go
into two pockets, so that no sample mixes two surfaces. A slice takes each sample from the coarsest level at which its
blur is still wide (over MERGE_PX pixels of the level below), so that the cost of a pixel does not grow with its blur.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from focalsim.render.kernels import BASIS_SIZE
from focalsim.render.visibility import NONE, PARTIAL, WHOLE, SeenSamples
from focalsim.simd import BYTES, LANES, address, aligned, largest_of, load, load_pixels, store, zero

MERGE_PX = 16.0
PLANES = 4  # red, green, blue, coverage
SURFACE_PX = 1.0  # disparities that differ by less are one surface's


@dataclass(frozen=True, slots=True)
class Samples:
    """One level: P pockets of H x W pixels, those of the front and then as many of the back. The frame is in columns
    left_px... .

    To the left and right the frame is replicated ``reach_px`` columns far, and filled up to whole blocks of sixteen
    with columns of no samples.

    light       (P, H, 4, W') float32: r, g, b times coverage, and coverage
    disparity   (P, H, W') float32, pixels of this level
    index       (P, H, W') int32: NONE, WHOLE or PARTIAL + row of visibility
    blocks      (P, H, W' / 16) uint8: what is among sixteen samples, WHOLE | PARTIAL
    span        (P, H, W, 2) float32: lowest and highest disparity of all that a sample holds
    pocket      (P, H, W) uint8: the pocket of the next level that holds a sample
    visibility  of front and back: (n, 12) float32, coefficients of visibility.lens_visibility
    """

    light: NDArray[np.float32]
    disparity: NDArray[np.float32]
    index: NDArray[np.int32]
    blocks: NDArray[np.uint8]
    span: NDArray[np.float32]
    pocket: NDArray[np.uint8]
    visibility: list[NDArray[np.float32]]
    reach_px: int

    @property
    def left_px(self) -> int:
        """Columns before the frame's first, whole blocks."""
        return _whole_blocks(self.reach_px)

    @property
    def has_past(self) -> bool:
        """Whether a part of the lens sees any sample of the front, past something nearer."""
        return bool((self.blocks[: len(self.blocks) // 2] & PARTIAL).any())

    @property
    def has_back(self) -> bool:
        """Whether there is any sample behind the front."""
        return bool(self.blocks[len(self.blocks) // 2 :].any())

    @classmethod
    def empty(
        cls, pockets: int, height: int, width: int, reach_px: int, *, zeros: bool, only_level: bool = False
    ) -> Samples:
        """Room for samples, whose visibility is still missing; with ``zeros`` there are none yet, else whatever.

        Of an ``only_level`` nothing asks for span and pocket: they hold nothing.
        """
        make = np.zeros if zeros else np.empty
        padded = 2 * _whole_blocks(reach_px) + _whole_blocks(width)
        return cls(
            light=aligned((pockets, height, PLANES, padded), zeros=zeros),
            disparity=make((pockets, height, padded), np.float32),
            index=make((pockets, height, padded), np.int32),
            blocks=np.empty((pockets, height, padded // LANES), np.uint8),
            span=np.empty((pockets, height, width, 0 if only_level else 2), np.float32),
            pocket=np.empty((pockets, height, 0 if only_level else width), np.uint8),
            visibility=[],
            reach_px=reach_px,
        )

    @classmethod
    def of_layers(cls, layers: Iterable[SeenSamples], reach_px: int, only_level: bool) -> Samples:
        """The finest level, of front and back."""
        samples: Samples | None = None
        for n, (color, coverage, disparity, index, visibility) in enumerate(layers):
            height, width = coverage.shape
            samples = samples or cls.empty(2, height, width, reach_px, zeros=False, only_level=only_level)
            to = samples.light[n], samples.disparity[n], samples.index[n]
            _take(color, coverage, disparity, index, *to, samples.left_px)
            samples.visibility.append(visibility)
            if not only_level:
                samples.span[n] = disparity[..., None]
        assert samples is not None
        samples._replicate()
        return samples

    def coarser(self, reach_px: int) -> Samples:
        """The next level; fills this one's ``pocket``."""
        _, height, width, _ = self.span.shape
        height, width = (height + 1) // 2, (width + 1) // 2
        samples = Samples.empty(4, height, width, reach_px, zeros=True)
        for n in range(2):
            fine, pocket = self._layer(n), self.pocket[self._pockets(n)]
            # At most as many of a row have a visibility of their own as in the two that it is made of.
            partial = np.count_nonzero(fine[2] >= PARTIAL, axis=(0, 2))
            rows = np.minimum(np.add.reduceat(partial, range(0, len(partial), 2)), 2 * width)
            samples.visibility.append(np.empty((int(rows.sum()), 2 * BASIS_SIZE), np.float32))
            first = samples._pockets(n).start, np.cumsum(rows) - rows
            _merge(fine, pocket, self.left_px, samples._layer(n), samples.left_px, *first)
        samples._replicate()
        return samples

    def _replicate(self) -> None:
        width = self.span.shape[2]
        _replicate(self.light, self.disparity, self.index, self.blocks, width, self.left_px, self.reach_px)

    def _pockets(self, layer: int) -> slice:
        count = len(self.light) // 2
        return slice(layer * count, (layer + 1) * count)

    def _layer(self, layer: int) -> tuple[NDArray[Any], ...]:
        maps = self.light, self.disparity, self.index, self.span
        return *(a[self._pockets(layer)] for a in maps), self.visibility[layer]


def _whole_blocks(columns: int) -> int:
    return -(-columns // LANES) * LANES


@njit(cache=True, nogil=True, parallel=True)
def _take(color, coverage, disparity, index, light, q, kinds, left):
    height, width = coverage.shape
    right = left + width
    for y in prange(height):
        to = light[y, :, left:right]
        _part(color[y], coverage[y], index[y], to[0], to[1], to[2], to[3])
        copy_row(disparity[y], q[y, left:right])
        copy_row(index[y], kinds[y, left:right])


@njit(cache=True, nogil=True)
def copy_row(row, to):
    """In a third of the time of an assignment, which minds that the two might overlap."""
    for x in range(len(to)):
        to[x] = row[x]


@njit(cache=True, nogil=True)
def _part(color, coverage, index, red, green, blue, covered):
    """A row's light, channel by channel; zeros where none of sixteen neighbours is a sample, as mostly of the back."""
    width = len(coverage)
    for n in range(width // LANES):
        at = BYTES * n
        if largest_of(address(index) + at) == NONE:
            r, g, b, share = zero(), zero(), zero(), zero()
        else:
            r, g, b = load_pixels(address(color) + 3 * at)
            share = load(address(coverage) + at)
        store(address(red) + at, r * share)
        store(address(green) + at, g * share)
        store(address(blue) + at, b * share)
        store(address(covered) + at, share)
    for x in range(width // LANES * LANES, width):
        red[x] = color[x, 0] * coverage[x]
        green[x] = color[x, 1] * coverage[x]
        blue[x] = color[x, 2] * coverage[x]
        covered[x] = coverage[x]


@njit(cache=True, nogil=True, parallel=True)
def _replicate(light, q, index, blocks, width, left, reach):
    pockets, height, padded = q.shape
    for line in prange(pockets * height):
        p, y = line // height, line % height
        for nothing in (slice(0, left - reach), slice(left + width + reach, padded)):
            light[p, y, :, nothing] = np.float32(0.0)
            q[p, y, nothing] = np.float32(0.0)
            index[p, y, nothing] = NONE
        for first, last, x in ((left - reach, left, left), (left + width, left + width + reach, left + width - 1)):
            for c in range(PLANES):
                light[p, y, c, first:last] = light[p, y, c, x]
            q[p, y, first:last] = q[p, y, x]
            index[p, y, first:last] = index[p, y, x]
        row = index[p, y]
        for block in range(padded // LANES):
            found = NONE
            for lane in range(LANES):  # of a fixed length, for the compiler to find a vector form
                found |= min(row[LANES * block + lane], PARTIAL)
            blocks[p, y, block] = found


@njit(cache=True, nogil=True, parallel=True)
def _merge(fine, pocket, fine_left, coarse, left, first_pocket, first_seen):
    for row in prange(len(first_seen)):
        _merge_row(fine, pocket, fine_left, coarse, left, first_pocket, row, first_seen[row])


@njit(cache=True, nogil=True)
def _merge_row(fine, pocket, fine_left, coarse, left, first_pocket, ty, seen):
    """Four pixels in one. Their samples, by disparity, are parted at the widest gap between two surfaces."""
    light, disparity, index, span, visibility = fine
    sum_light, mean_disparity, whole_index, whole_span, mean_visibility = coarse
    pockets, height, width, _ = span.shape
    q = np.empty(4 * pockets, np.float32)
    weights = np.empty(2, np.float32)
    partial = np.empty(2, np.bool_)
    sums = np.empty((2, 2 * BASIS_SIZE), np.float32)
    for tx in range((width + 1) // 2):
        n = 0
        for p in range(pockets):
            for y in range(2 * ty, min(2 * ty + 2, height)):
                for x in range(2 * tx, min(2 * tx + 2, width)):
                    if index[p, y, fine_left + x] != NONE:
                        q[n] = disparity[p, y, fine_left + x]
                        n += 1
        if n == 0:
            continue
        split = _widest_gap(q, n)
        weights[:] = 0.0
        partial[:] = False
        sums[:] = 0.0
        for p in range(pockets):
            for dy in range(2):
                for dx in range(2):
                    # Beyond an odd border the frame is replicated.
                    y, x = min(2 * ty + dy, height - 1), min(2 * tx + dx, width - 1)
                    i = fine_left + x
                    kind = index[p, y, i]
                    if kind == NONE:
                        continue
                    to = 1 if disparity[p, y, i] >= split else 0
                    pocket[p, y, x] = first_pocket + to
                    low, high = span[p, y, x, 0] / 2, span[p, y, x, 1] / 2
                    if whole_index[to, ty, left + tx] == NONE:
                        whole_index[to, ty, left + tx] = WHOLE
                        whole_span[to, ty, tx, 0], whole_span[to, ty, tx, 1] = low, high
                    whole_span[to, ty, tx, 0] = min(whole_span[to, ty, tx, 0], low)
                    whole_span[to, ty, tx, 1] = max(whole_span[to, ty, tx, 1], high)
                    covered = light[p, y, 3, i]
                    weights[to] += covered
                    for c in range(4):
                        sum_light[to, ty, c, left + tx] += light[p, y, c, i] / 4
                    mean_disparity[to, ty, left + tx] += covered * disparity[p, y, i] / 2
                    if kind == WHOLE:
                        sums[to, 0] += covered
                        sums[to, BASIS_SIZE] += covered
                    else:
                        partial[to] = True
                        for k in range(2 * BASIS_SIZE):
                            sums[to, k] += covered * visibility[kind - PARTIAL, k]
        for to in range(2):
            if weights[to] > 0.0:
                mean_disparity[to, ty, left + tx] /= weights[to]
                if partial[to]:
                    for k in range(2 * BASIS_SIZE):
                        mean_visibility[seen, k] = sums[to, k] / weights[to]
                    whole_index[to, ty, left + tx] = PARTIAL + seen
                    seen += 1


@njit(cache=True, nogil=True)
def _widest_gap(q, n):
    """Where the first n of the disparities q are parted: the upper rim of the widest gap between two surfaces."""
    low, high = q[0], q[0]
    for i in range(1, n):
        low, high = min(low, q[i]), max(high, q[i])
    gap, split = np.float32(SURFACE_PX), np.float32(np.inf)
    if high - low > gap:
        q[:n].sort()
        for i in range(1, n):
            if q[i] - q[i - 1] > gap:
                gap, split = q[i] - q[i - 1], q[i]
    return split
