"""Depth and validity at another size: picked, for an average of two surfaces lies on neither."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def pick(image: NDArray[Any], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[Any]:
    """The pixels (len(rows), len(columns)) of ``image`` (H, W) in these rows and columns, which must lie inside."""
    picked = np.empty((len(rows), len(columns)), image.dtype)
    places = columns.astype(np.uintp)  # unsigned: else every index is first asked whether it counts from the end
    for y in range(len(rows)):
        source = image[rows[y]]
        for x in range(len(columns)):
            picked[y, x] = source[places[x]]
    return picked
