"""The backdrop that closes every scene: walls in inverse depth, with relief; each ray ends there."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.sources.synthetic.kernel import kernel
from focalsim.sources.synthetic.lanes import choose
from focalsim.sources.synthetic.noise import value_noise
from focalsim.sources.synthetic.primitives import frame_along

MAX_WALLS = 4
BACKDROP_DTYPE = np.dtype(
    [
        ("count", "i4"),  # walls in use
        ("ridge", "i4"),
        ("materials", "i4", (MAX_WALLS,)),
        ("walls", "f8", (MAX_WALLS, 3)),
        ("frames", "f8", (MAX_WALLS, 3, 3)),  # rows: two axes in the wall, its unit normal
        ("relief", "f8"),  # relative amplitude
        ("frequency", "f8"),  # of its coarsest bumps, cycles per unit of u
        ("seed", "i4"),
    ]
)


@dataclass(frozen=True, slots=True)
class Backdrop:
    """Planes w = 1/z = a u + b v + c that close the scene, possibly with relief.

    A pixel sees the nearest of the ``walls`` (a concave room), or the farthest of the first ``ridge`` of them
    (the outer edge of a block) where that lies before the rest. Relief multiplies w by
    1 + amplitude * noise(u, v): a height field seen from the pinhole, exact without marching.
    """

    walls: NDArray[np.float64]  # (n, 3) coefficients a, b, c in 1/m, n <= MAX_WALLS
    materials: tuple[int, ...]
    ridge: int = 0
    relief: float = 0.0
    frequency: float = 1.0
    seed: int = 0


def pack_backdrop(backdrop: Backdrop) -> NDArray[np.void]:
    """The one record (``BACKDROP_DTYPE``) that the kernels read."""
    table = np.zeros(1, BACKDROP_DTYPE)
    row, n = table[0], len(backdrop.walls)
    row["count"], row["ridge"] = n, backdrop.ridge
    row["walls"][:n], row["materials"][:n] = backdrop.walls, backdrop.materials
    row["frames"][:n] = [frame_along(wall).T for wall in backdrop.walls]
    row["relief"], row["frequency"], row["seed"] = backdrop.relief, backdrop.frequency, backdrop.seed
    return table


@kernel
def backdrop_hit(backdrop: Any, u: Any, v: Any) -> tuple[Any, Any]:
    """(1/z, wall) of the backdrop on the ray (u, v, 1), of numbers or lanes."""
    walls = backdrop.walls
    wall = 0.0 * u
    best = wall - inf
    if backdrop.ridge > 0:
        best = wall + inf
        for k in range(backdrop.ridge):
            w = walls[k, 0] * u + walls[k, 1] * v + walls[k, 2]
            wall, best = choose(w < best, k, wall), min(w, best)
    for k in range(backdrop.ridge, backdrop.count):
        w = walls[k, 0] * u + walls[k, 1] * v + walls[k, 2]
        wall, best = choose(w > best, k, wall), max(w, best)
    if backdrop.relief > 0.0:
        x, y, seed = backdrop.frequency * u, backdrop.frequency * v, backdrop.seed
        s, t = 0.8 * x + 0.6 * y, 0.8 * y - 0.6 * x  # octaves turned against each other hide the lattice
        bumps = 0.65 * value_noise(x, y, 0.5, seed) + 0.25 * value_noise(2.7 * s, 2.7 * t, 3.5, seed)
        best *= 1.0 + backdrop.relief * (bumps + 0.1 * value_noise(6.1 * t + 2.0 * s, 6.1 * s - 2.0 * t, 6.5, seed))
    return best, wall


@kernel
def backdrop_frame(backdrop: Any, u: Any, v: Any, z: Any, wall: int) -> Any:
    """As surface_frame, of the backdrop and of lanes; relief tilts the normal."""
    f = backdrop.frames
    s = z * (f[wall, 0, 0] * u + f[wall, 0, 1] * v + f[wall, 0, 2])
    t = z * (f[wall, 1, 0] * u + f[wall, 1, 1] * v + f[wall, 1, 2])
    h = z * (f[wall, 2, 0] * u + f[wall, 2, 1] * v + f[wall, 2, 2])
    none = 0.0 * u
    nx, ny, nz = none - f[wall, 2, 0], none - f[wall, 2, 1], none - f[wall, 2, 2]
    if backdrop.relief > 0.0:  # the gradient of w(u, v) - 1/z
        step = 1e-3 / backdrop.frequency
        wu = (backdrop_hit(backdrop, u + step, v)[0] - 1.0 / z) / step
        wv = (backdrop_hit(backdrop, u, v + step)[0] - 1.0 / z) / step
        nx, ny, nz = -wu, -wv, -(1.0 / z - u * wu - v * wv)
        norm = sqrt(nx * nx + ny * ny + nz * nz)
        nx, ny, nz = nx / norm, ny / norm, nz / norm
    return s, t, h, s, t, nx, ny, nz
