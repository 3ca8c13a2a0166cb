"""Things that rules put on a stage: random solids, leaves, wires, grids, plants."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from focalsim.sources.synthetic import primitives as prim
from focalsim.sources.synthetic.primitives import frame_along
from focalsim.sources.synthetic.stage import Stage, Vector, log_uniform, random_rotation

_SHEETS = np.array([prim.RECTANGLE, prim.DISC, prim.LEAF, prim.RING, prim.GRID, prim.BARS, prim.RAGGED, prim.HOLES])

_MESHES = 0.6  # share of meshes among solids


def place(u: float, v: float, w: float) -> Vector:
    """The point in metres seen at (u, v) at inverse depth w."""
    return np.array([u, v, 1.0]) / w


def random_solid(
    stage: Stage, spot: tuple[float, float, float], width_share: float, rotation: Vector | None = None
) -> None:
    """A random solid about ``width_share`` of the image wide at ``spot`` (u, v, w)."""
    rng = stage.rng
    u, v, w = spot
    radius = width_share * stage.view.half_u / w
    rotation = random_rotation(rng) if rotation is None else rotation
    if rng.uniform() < _MESHES:
        number, size = _mesh(stage, 0.8 * radius)
        stage.add(prim.MESH, place(u, v, w), rotation, size, shape=(0.8 * radius, 0.0), mesh=number)
        return
    kind = int(rng.choice([prim.BOX, prim.ELLIPSOID, prim.FRUSTUM, prim.SHEET], p=[0.35, 0.2, 0.25, 0.2]))
    size = radius * np.exp(rng.uniform(-1.2, 0.2, 3))
    outline, shape = prim.RECTANGLE, (0.0, 0.0)
    if kind == prim.ELLIPSOID and rng.uniform() < 0.4:
        size[:] = 0.8 * radius  # a ball
    elif kind == prim.FRUSTUM:
        size[1] = size[0]
        shape = (float(rng.choice([0.0, 0.0, rng.uniform(-1, 1)])), float(rng.uniform() < 0.35))
    elif kind == prim.SHEET:
        outline, shape = _random_outline(rng)
        size[:] = radius, radius * rng.uniform(0.5, 1.0), radius
    stage.add(kind, place(u, v, w), rotation, size, outline=outline, shape=shape)


def _random_outline(rng: np.random.Generator) -> tuple[int, tuple[float, float]]:
    """Outline of a sheet and its (curvature, count or inner radius)."""
    outline = int(rng.choice(_SHEETS, p=[0.2, 0.1, 0.1, 0.1, 0.12, 0.1, 0.18, 0.1]))
    count = rng.uniform(0.5, 0.92) if outline == prim.RING else float(rng.integers(2, 9))
    return outline, (rng.choice([0.0, 0.5]) * rng.uniform(-1, 1), count)


def _mesh(stage: Stage, radius_m: float) -> tuple[int, Vector]:
    """A mesh of the stage and half extents of about ``radius_m`` for it, a little stretched."""
    number = stage.mesh()
    return number, radius_m * stage.meshes[number].extent * np.exp(stage.rng.normal(0.0, 0.1, 3))


def standing_thing(stage: Stage, spot: tuple[float, float], up: Vector, width_share: float) -> None:
    """A mesh, box, can, cup, ball, cone or stack of boxes that stands on the backdrop at (u, v)."""
    rng = stage.rng
    u, v = spot
    w = stage.wall_w(u, v)
    foot = place(u, v, w)
    radius = width_share * stage.view.half_u / w
    rotation = frame_along(up, rng.uniform(0, 2 * np.pi))
    if rng.uniform() < _MESHES:
        number, size = _mesh(stage, radius)
        stage.add(prim.MESH, foot + up * size[2], rotation, size, shape=(radius, 0.0), mesh=number)
        return
    style = rng.choice(["box", "can", "cone", "ball", "stack", "card"], p=[0.35, 0.25, 0.1, 0.1, 0.12, 0.08])
    height = radius * log_uniform(rng, 0.15, 2.0)
    if style == "stack":
        for _ in range(int(rng.integers(2, 6))):
            size = radius * np.array([rng.uniform(0.6, 1), rng.uniform(0.5, 0.8), rng.uniform(0.06, 0.25)])
            turned = frame_along(up, rng.uniform(0, 2 * np.pi))
            stage.add(prim.BOX, foot + up * size[2], turned, size)
            foot = foot + up * 2 * size[2]
        return
    if style == "ball":
        stage.add(prim.ELLIPSOID, foot + up * 0.7 * radius, rotation, np.full(3, 0.7 * radius))
    elif style == "box":
        size = np.array([radius * rng.uniform(0.3, 1), radius * rng.uniform(0.3, 1), height])
        stage.add(prim.BOX, foot + up * height, rotation, size)
    elif style == "card":  # stands upright
        rotation = rotation[:, [0, 2, 1]] * np.array([1.0, 1.0, -1.0])
        size = np.array([radius, radius * rng.uniform(0.4, 1), radius])
        shape = (rng.uniform(-0.4, 0.4), float(rng.integers(2, 7)))
        outline = int(rng.choice([prim.RECTANGLE, prim.GRID, prim.BARS, prim.HOLES]))
        stage.add(prim.SHEET, foot + up * size[1], rotation, size, outline=outline, shape=shape)
    else:
        taper = rng.uniform(-1, -0.3) if style == "cone" else rng.choice([0.0, 0.15]) * rng.uniform(-1, 1)
        size = np.array([0.6 * radius, 0.6 * radius, height])
        stage.add(prim.FRUSTUM, foot + up * height, rotation, size, shape=(taper, float(rng.uniform() < 0.3)))


def rod(
    stage: Stage,
    start: Vector,
    end: Vector,
    radius_m: float,
    material: int | None = None,
    group: int | None = None,
) -> None:
    """A round rod between two points."""
    length = float(np.linalg.norm(end - start))
    if length > 1e-9:
        size = np.array([radius_m, radius_m, 0.5 * length])
        stage.add(prim.FRUSTUM, 0.5 * (start + end), frame_along(end - start), size, material=material, group=group)


def wire(stage: Stage, low: float = 0.0, high: float = 1.0) -> None:
    """A wire that crosses the image, straight or curved, 1 to 12 px thick."""
    rng, view = stage.rng, stage.view
    ends = []
    angle = rng.uniform(0, np.pi)
    side = 1.3 * np.array([view.half_u * np.cos(angle), view.half_v * np.sin(angle)])
    shift = rng.uniform(-0.8, 0.8, 2) * np.array([view.half_u, view.half_v])
    w_ends = [view.w(rng.uniform(low, high)) for _ in range(2)]
    ends = [place(shift[0] + s * side[0], shift[1] + s * side[1], w) for s, w in zip((-1, 1), w_ends, strict=True)]
    bends = int(rng.choice([1, 10]))
    t = np.linspace(0, 1, bends + 1)[:, None]
    sag = rng.uniform(-0.4, 0.4, 3) * np.array([1, 1, 0.3]) * np.linalg.norm(ends[1] - ends[0])
    points = (1 - t) * ends[0] + t * ends[1] + t * (1 - t) * sag
    points[:, 2] = np.clip(points[:, 2], 1 / view.w_near, 1 / view.w_far)
    w_mean = float(np.mean(w_ends))
    radius = 0.5 * log_uniform(rng, 1.5, 12) * view.metres_per_pixel(w_mean)
    material, group = stage.material(w_mean), stage.new_group()
    for a, b in pairwise(points):
        rod(stage, a, b, radius, material, group)


def leaf(
    stage: Stage, centre_m: Vector, axis: Vector, length_m: float, material: int, outline: int = prim.LEAF
) -> None:
    """A curved leaf that points along ``axis``."""
    rng = stage.rng
    rotation = frame_along(axis, rng.uniform(0, 2 * np.pi))[:, [2, 0, 1]]
    size = length_m * np.array([1.0, rng.uniform(0.25, 0.6), 1.0])
    stage.add(
        prim.SHEET,
        centre_m,
        rotation,
        size,
        material=material,
        outline=outline,
        shape=(rng.uniform(-0.4, 0.4), 1.0),
    )


def plant(stage: Stage, spot: tuple[float, float, float], leaves: int, width_share: float) -> None:
    """A stem with leaves along it."""
    rng = stage.rng
    u, v, w = spot
    length = width_share * 2 * stage.view.half_u / w
    foot = place(u, v, w)
    direction = rng.normal(size=3) * np.array([1, 1, 0.5])
    direction /= np.linalg.norm(direction)
    tip = foot + length * direction
    tip[2] = np.clip(tip[2], 1 / stage.view.w_near, 1 / stage.view.w_low)
    material = stage.material(w)
    rod(stage, foot, tip, length * rng.uniform(0.005, 0.02), material)
    outline = int(rng.choice([prim.LEAF, prim.LEAF, prim.DISC]))
    leaf_length = length * rng.uniform(0.06, 0.2)
    for t in rng.uniform(0.1, 1, leaves):
        axis = 0.5 * direction + rng.normal(size=3)
        axis /= np.linalg.norm(axis)
        base = foot + t * (tip - foot)
        leaf(stage, base + axis * leaf_length, axis, leaf_length * rng.uniform(0.6, 1.2), material, outline)


def screen(stage: Stage, low: float, high: float) -> None:
    """A grid, row of bars, perforated or torn sheet that covers much of the image, in front."""
    rng = stage.rng
    u, v, w = stage.spot(low, high)
    tilt = frame_along(np.array([*rng.normal(0, 0.35, 2), 1.0]), rng.uniform(0, 2 * np.pi))
    outline = int(rng.choice([prim.GRID, prim.BARS, prim.HOLES, prim.RAGGED]))
    size = np.full(3, rng.uniform(0.4, 1.3) * stage.view.half_u / w)
    shape = (rng.choice([0.0, 0.2]) * rng.uniform(-1, 1), float(rng.integers(4, 14)))
    stage.add(prim.SHEET, place(u, v, w), tilt, size, outline=outline, shape=shape)
