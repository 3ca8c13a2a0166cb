"""The target's points in a photo, blurred or not.

A defocused point is spread symmetrically, so the centroid of a dot and the saddle of a corner stay where they are.
What fails first is finding the pattern; so it is sought in ever smaller copies of the photo, in which blur is smaller.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from focalsim.calibrate.target import Target

_SEARCH_SIZES_PX = (1600, 800, 400)  # longer side
_LEAST_CORNERS = 6  # of a ChArUco board
_CELL_PX = 64  # a dot's cell is measured at no more than this
_CENTROID_STEPS = 4
_SADDLE_WINDOW = {"chessboard": 0.35, "charuco": 0.17}  # half width in spacings, clear of the markers

Points = tuple[NDArray[np.intp], NDArray[np.complex128]]


def find_target(gray: NDArray[np.uint8], target: Target) -> Points | None:
    """Indices (n,) into ``target.points()`` and places x + iy in pixels (n,); None where it is not found."""
    for size in _SEARCH_SIZES_PX:
        factor = min(1.0, size / max(gray.shape))
        small = np.asarray(cv2.resize(gray, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
        scale_x, scale_y = gray.shape[1] / small.shape[1], gray.shape[0] / small.shape[0]
        small = np.asarray(cv2.normalize(small, small.copy(), 0, 255, cv2.NORM_MINMAX), np.uint8)
        found = _charuco(small, target) if target.kind == "charuco" else _grid(small, target)
        if found is not None:
            index, points = found
            # The centre of pixel 0 is at 0, so the images share their corner at -0.5.
            places = (points.real + 0.5) * scale_x - 0.5 + 1j * ((points.imag + 0.5) * scale_y - 0.5)
            refine = _centroids if target.kind == "circles" else _saddles
            return index, refine(gray, places, target, index)
    return None


def _charuco(image: NDArray[np.uint8], target: Target) -> Points | None:
    """The corners between the markers that can be read; in a blurred photo, where none can, a chessboard's."""
    corners, ids, _, _ = cv2.aruco.CharucoDetector(target.charuco_board()).detectBoard(image)
    if ids is None or len(ids) < _LEAST_CORNERS:
        return _grid(image, target)
    index, places = np.ravel(ids).astype(np.intp), _complex(corners)
    # Numbered as a chessboard is, by the picture's top left, so that both ways agree on a board held upside down.
    ideal = target.points()[index]
    turn = np.vdot(ideal - ideal.mean(), places - places.mean())
    return (len(target.points()) - 1 - index if turn.real + turn.imag < 0 else index), places


def _grid(image: NDArray[np.uint8], target: Target) -> Points | None:
    columns, rows = target.grid
    if target.kind == "circles":
        found, points = cv2.findCirclesGrid(
            image, (columns, rows), flags=cv2.CALIB_CB_SYMMETRIC_GRID, blobDetector=_blob_detector(image)
        )
    else:
        flags = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_ACCURACY
        found, points = cv2.findChessboardCornersSB(image, (columns, rows), flags=flags)
    if not found:
        return None
    return np.arange(rows * columns), _upright(_complex(points).reshape(rows, columns)).ravel()


def _blob_detector(image: NDArray[np.uint8]) -> Any:
    params = cv2.SimpleBlobDetector.Params()
    params.minThreshold, params.maxThreshold, params.thresholdStep = 20, 235, 10
    params.filterByArea, params.minArea, params.maxArea = True, 20, image.size / 50
    params.filterByCircularity, params.minCircularity = True, 0.75
    params.filterByColor, params.blobColor = True, 0
    params.filterByConvexity, params.minConvexity = True, 0.9
    params.filterByInertia, params.minInertiaRatio = True, 0.3
    params.minDistBetweenBlobs = 5
    return cv2.SimpleBlobDetector.create(params)


def _upright(points: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """The grid (rows, columns) turned so that rows run rightwards and downwards: a regular grid names no corner."""
    along, down = points[0, -1] - points[0, 0], points[-1, 0] - points[0, 0]
    if (along.conjugate() * down).imag < 0:  # mirrored
        points = points[::-1]
    along = points[0, -1] - points[0, 0]
    return points[::-1, ::-1] if along.real + along.imag < 0 else points


def _spacing_px(places: NDArray[np.complex128], target: Target, index: NDArray[np.intp]) -> float:
    """Pixels a spacing: how far the places spread over how far the ideal points do."""
    ideal = target.points()[index]
    return float(np.abs(places - places.mean()).mean() / np.abs(ideal - ideal.mean()).mean())


def _saddles(
    gray: NDArray[np.uint8], places: NDArray[np.complex128], target: Target, index: NDArray[np.intp]
) -> NDArray[np.complex128]:
    """Corners where four squares meet, by the gradients around them, which point away from no other place."""
    spacing = _spacing_px(places, target, index)
    window = max(3, int(_SADDLE_WINDOW[target.kind] * spacing))
    # The detector's smoothing is made for sharp photos; blurred ones have weak gradients, and their noise wins.
    smooth = np.asarray(cv2.GaussianBlur(gray, (0, 0), max(0.8, spacing / 24)), np.uint8)
    corners = np.ascontiguousarray(np.stack([places.real, places.imag], axis=1), np.float32).reshape(-1, 1, 2)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 50, 1e-3)
    return _complex(cv2.cornerSubPix(smooth, corners, (window, window), (-1, -1), criteria))


def _centroids(
    gray: NDArray[np.uint8], places: NDArray[np.complex128], target: Target, index: NDArray[np.intp]
) -> NDArray[np.complex128]:
    """Darkness-weighted centres of the dots, each within its own cell."""
    spacing = _spacing_px(places, target, index)
    step = max(spacing / _CELL_PX, 1.0)
    half = np.arange(-int(spacing / step / 2), int(spacing / step / 2) + 1) * step
    cell = (half[None, :] + 1j * half[:, None]).astype(np.complex128)
    cell = cell[np.abs(cell) <= spacing / 2]
    # Where pixels are skipped, average over what lies between them first.
    image = cv2.blur(gray, (int(step) | 1, int(step) | 1)).astype(np.float32) if step > 1.5 else gray.astype(np.float32)
    for _ in range(_CENTROID_STEPS):
        at = places[:, None] + cell
        values = cv2.remap(
            image,
            at.real.astype(np.float32),
            at.imag.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        paper = np.quantile(values, 0.9, axis=1, keepdims=True)
        depth = paper - values
        weights = np.maximum(depth - 0.2 * np.quantile(depth, 0.98, axis=1, keepdims=True), 0)
        places = (weights * at).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-6)
    return np.asarray(places, np.complex128)


def _complex(points: Any) -> NDArray[np.complex128]:
    xy = np.asarray(points, np.float64).reshape(-1, 2)
    places: NDArray[np.complex128] = xy[:, 0] + 1j * xy[:, 1]
    return places
