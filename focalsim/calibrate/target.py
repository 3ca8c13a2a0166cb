"""The printed target: what it looks like and where its points are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.errors import ConfigError

TARGETS = ("circles", "chessboard", "charuco")
_DOT_OVER_SPACING = 0.5  # leaves half the spacing for blur before neighbours touch
_MARKER_OVER_SQUARE = 0.6  # leaves room around the corners, for blur there too


@dataclass(frozen=True, slots=True)
class Target:
    """A flat regular pattern.

    columns, rows  dots of a circle grid, squares of a chessboard or ChArUco board
    spacing_m      between centres of dots, side of a square; None = not known
    """

    kind: str
    columns: int = 9
    rows: int = 6
    spacing_m: float | None = None

    def __post_init__(self) -> None:
        least = 3 if self.kind == "circles" else 4
        if min(self.columns, self.rows) < least or self.columns * self.rows > 400:
            raise ConfigError(
                f"a board of {self.columns}x{self.rows} cannot be: expected {least}x{least} to 400 in all"
            )

    @property
    def grid(self) -> tuple[int, int]:
        """Columns and rows of its points: the dots, or the inner corners of the squares."""
        inner = 0 if self.kind == "circles" else 1
        return self.columns - inner, self.rows - inner

    def points(self) -> NDArray[np.complex128]:
        """(N,) x + iy of the points from the target's centre, in units of the spacing, row by row, y down.

        >>> Target("circles", 3, 3).points()[:4].tolist()
        [(-1-1j), -1j, (1-1j), (-1+0j)]
        """
        columns, rows = self.grid
        y, x = np.mgrid[:rows, :columns]
        points: NDArray[np.complex128] = ((x - (columns - 1) / 2) + 1j * (y - (rows - 1) / 2)).ravel()
        return points

    def charuco_board(self) -> Any:
        """OpenCV's board, in units of the spacing."""
        import cv2

        dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_250)
        return cv2.aruco.CharucoBoard((self.columns, self.rows), 1.0, _MARKER_OVER_SQUARE, dictionary)


def target_image(target: Target, px_per_spacing: int) -> NDArray[np.uint8]:
    """Picture of the target, 8-bit grey, black on white, with one spacing of white around it."""
    import cv2

    n = px_per_spacing
    width, height = target.columns * n, target.rows * n
    if target.kind == "charuco":
        inner = np.asarray(target.charuco_board().generateImage((width, height), marginSize=0), np.uint8)
    elif target.kind == "chessboard":
        row, column = np.mgrid[: target.rows, : target.columns]
        inner = np.kron(np.where((row + column) % 2, 255, 0), np.ones((n, n))).astype(np.uint8)
    else:
        # Sixteen samples a pixel: the dot's rim must not be stepped, or its centre would be.
        offset = (np.arange(4 * n) + 0.5) / (4 * n) - 0.5
        dot = np.hypot(offset[:, None], offset[None, :]) < _DOT_OVER_SPACING / 2
        cell = 255 - 255 * dot.reshape(n, 4, n, 4).mean(axis=(1, 3))
        inner = np.tile(np.rint(cell), (target.rows, target.columns)).astype(np.uint8)
    return cv2.copyMakeBorder(inner, n, n, n, n, cv2.BORDER_CONSTANT, value=(255,)).astype(np.uint8)
