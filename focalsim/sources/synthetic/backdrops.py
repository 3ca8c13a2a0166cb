"""Backdrops: walls, slanted sheets, room corners, edges of blocks, table tops, with or without relief.

All are laid out in inverse depth w = 1/z, in which a plane is affine in the image: its range is known.
"""

from __future__ import annotations

import numpy as np

from focalsim.sources.synthetic.stage import Stage, Vector, random_rotation
from focalsim.sources.synthetic.walls import Backdrop


def slanted_plane(stage: Stage, w_start: float, w_end: float, angle: float | None = None) -> Vector:
    """Plane whose w runs from ``w_start`` to ``w_end`` across the image along ``angle`` (default: any)."""
    view = stage.view
    angle = stage.rng.uniform(0, 2 * np.pi) if angle is None else angle
    cos, sin = np.cos(angle), np.sin(angle)
    reach = view.half_u * abs(cos) + view.half_v * abs(sin)
    slope = 0.5 * (w_end - w_start) / reach
    return np.array([slope * cos, slope * sin, 0.5 * (w_start + w_end)])


def set_backdrop(stage: Stage, walls: list[Vector], ridge: int = 0, relief: float = 0.0, cycles: float = 3.0) -> None:
    """Close the stage with ``walls``, scaled so that no depth leaves the bounds.

    ``relief`` is its relative amplitude, ``cycles`` the number of its coarsest bumps across the image.
    """
    view = stage.view
    room = view.w_high / view.w_low
    relief = min(relief, (room - 1.0) / (room + 1.0))
    floor_w = view.w_low / (1.0 - relief)
    planes = np.array([*walls, [0.0, 0.0, floor_w]])
    corners = np.array([[su * view.half_u, sv * view.half_v, 1.0] for su in (-1, 1) for sv in (-1, 1)])
    # w is largest at a corner of the image, but for the outer edge of a block: bound that by its planes.
    largest = float((corners @ planes.T).max()) * (1.0 + relief)
    if largest > view.w_high:
        planes[:-1] *= view.w_high / largest
    middle = max(float(np.median(planes[:-1, 2])), floor_w)
    materials = tuple(stage.material(middle) for _ in planes)
    seed = int(stage.rng.integers(1 << 30))
    stage.set_backdrop(Backdrop(planes, materials, ridge, relief, cycles / (2 * view.half_u), seed))


def draw_relief(stage: Stage, chance: float) -> tuple[float, float]:
    """(amplitude, cycles) of a relief; none with probability 1 - ``chance``."""
    rng = stage.rng
    return (rng.uniform(0.01, 0.25) if rng.uniform() < chance else 0.0), rng.uniform(1.5, 9.0)


def wall(stage: Stage, low: float = 0.0, high: float = 0.75, tilt: float = 0.15, relief: float = 0.3) -> None:
    """A wall nearly parallel to the image at a depth between shares ``low`` and ``high`` of the range."""
    middle, half = stage.rng.uniform(low, high), tilt * stage.rng.uniform()
    w0, w1 = (stage.view.w(float(np.clip(middle + s * half, 0, 1))) for s in (-1, 1))
    set_backdrop(stage, [slanted_plane(stage, w0, w1)], 0, *draw_relief(stage, relief))


def sheet(stage: Stage, low: float = 0.0, high: float = 1.0, relief: float = 0.5) -> None:
    """A sheet slanted any way through the range."""
    w0, w1 = (stage.view.w(s) for s in stage.rng.uniform(low, high, 2))
    set_backdrop(stage, [slanted_plane(stage, w0, w1)], 0, *draw_relief(stage, relief))


def corner(stage: Stage) -> None:
    """Three walls at right angles: the inner corner of a room, or the outer one of a block."""
    rng, view = stage.rng, stage.view
    block = rng.uniform() < 0.4
    w = view.w(rng.uniform(0.3, 1.0) if block else rng.uniform(0.0, 0.5))
    apex = np.array([view.half_u * rng.uniform(-0.8, 0.8), view.half_v * rng.uniform(-0.8, 0.8), 1.0]) / w
    # Each wall's plane is n p = n apex, facing the camera; seen too steeply it would be one streak.
    normals: list[Vector] = []
    while not normals or min(n @ apex for n in normals) < 0.25 * np.linalg.norm(apex):
        normals = [n if n @ apex > 0 else -n for n in random_rotation(rng).T]
    walls = [n / (n @ apex) for n in normals]
    set_backdrop(stage, walls, 3 if block else 0, *draw_relief(stage, 0.15))


def table(stage: Stage) -> Vector:
    """A table top, tilted any way, before a wall that stands on it. Returns the unit vector up from it."""
    rng, view = stage.rng, stage.view
    far, near = rng.uniform(-0.1, 0.35), rng.uniform(0.55, 1.05)
    top = slanted_plane(stage, view.w(far), view.w(near))
    up = -top / np.linalg.norm(top)
    # The wall's normal lies in the table, turned up to 40 degrees from the direction of view.
    ahead = np.array([0.0, 0.0, 1.0]) + up * -up[2]
    ahead /= max(float(np.linalg.norm(ahead)), 1e-9)  # 0 for a top parallel to the image: a plain wall then
    turn = rng.uniform(-0.7, 0.7)
    normal = np.cos(turn) * ahead + np.sin(turn) * np.cross(up, ahead)
    back = normal / normal[2] * view.w(rng.uniform(0.0, 0.3)) if normal[2] > 0.2 else np.array([0, 0, view.w_far])
    set_backdrop(stage, [top, back])
    return np.asarray(up)
