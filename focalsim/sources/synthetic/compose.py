"""Composition rules: what kind of scene a seed gives, and its light."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from focalsim.sources.synthetic import backdrops, things
from focalsim.sources.synthetic.meshes import pack_meshes
from focalsim.sources.synthetic.primitives import pack_solids
from focalsim.sources.synthetic.stage import Stage, View, log_uniform
from focalsim.sources.synthetic.world import LIGHT_DTYPE, World


def desk(stage: Stage) -> None:
    """A crowded table top before a wall."""
    up = backdrops.table(stage)
    for _ in range(int(stage.rng.integers(6, 36))):
        u = stage.view.half_u * stage.rng.uniform(-1.1, 1.1)
        v = stage.view.half_v * stage.rng.uniform(-1.1, 1.1)
        things.standing_thing(stage, (u, v), up, log_uniform(stage.rng, 0.04, 0.3))


def still_life(stage: Stage) -> None:
    """A few things close together on a table, large enough to be told."""
    up = backdrops.table(stage)
    u0, v0 = (half * stage.rng.uniform(-0.4, 0.4) for half in (stage.view.half_u, stage.view.half_v))
    for _ in range(int(stage.rng.integers(3, 10))):
        u, v = stage.rng.normal([u0, v0], 0.45 * stage.view.half_u)
        things.standing_thing(stage, (u, v), up, log_uniform(stage.rng, 0.12, 0.45))


def room_corner(stage: Stage) -> None:
    """A corner of walls, with a few things in it."""
    backdrops.corner(stage)
    for _ in range(int(stage.rng.integers(2, 14))):
        things.random_solid(stage, stage.spot(), log_uniform(stage.rng, 0.07, 0.4))


def slanted_sheet(stage: Stage) -> None:
    """A slanted, often bumpy sheet alone."""
    backdrops.sheet(stage)


def littered_sheet(stage: Stage) -> None:
    """A slanted sheet with small things that touch it."""
    backdrops.sheet(stage)
    for _ in range(int(stage.rng.integers(8, 45))):
        u, v, _w = stage.spot()
        spot = (u, v, min(stage.wall_w(u, v) * 1.03, stage.view.w_near))
        things.random_solid(stage, spot, log_uniform(stage.rng, 0.03, 0.22))


def plants(stage: Stage) -> None:
    """Stems and leaves before a wall or sheet."""
    backdrops.sheet(stage, 0.0, 0.5) if stage.rng.uniform() < 0.5 else backdrops.wall(stage)
    for _ in range(int(stage.rng.integers(3, 9))):
        leaves = int(stage.rng.integers(5, 22))
        things.plant(stage, stage.spot(), leaves, log_uniform(stage.rng, 0.25, 1.0))


def wall_with_objects(stage: Stage) -> None:
    """Things at various depths before a wall."""
    backdrops.wall(stage)
    for _ in range(int(stage.rng.integers(5, 24))):
        things.random_solid(stage, stage.spot(), log_uniform(stage.rng, 0.07, 0.5))


def few_large(stage: Stage) -> None:
    """Two to five large things, at times more than the frame holds."""
    backdrops.sheet(stage, 0.0, 0.6, relief=0.2)
    for _ in range(int(stage.rng.integers(2, 6))):
        things.random_solid(stage, stage.spot(0.3), log_uniform(stage.rng, 0.3, 1.2))


def nearly_flat(stage: Stage) -> None:
    """A wall of little relief that holds things almost as flat; anywhere in the range."""
    backdrops.wall(stage, 0.0, 1.0, tilt=0.08, relief=0.7)
    for _ in range(int(stage.rng.choice([0, 12, 24]))):
        u, v, _w = stage.spot()
        spot = (u, v, min(stage.wall_w(u, v) * 1.01, stage.view.w_near))
        things.random_solid(stage, spot, log_uniform(stage.rng, 0.02, 0.1))


def crowd(stage: Stage) -> None:
    """Many things of all sizes floating through the whole range."""
    backdrops.sheet(stage, 0.0, 0.35)
    for _ in range(int(stage.rng.integers(25, 90))):
        things.random_solid(stage, stage.spot(), log_uniform(stage.rng, 0.03, 0.35))


def thin_things(stage: Stage) -> None:
    """Wires, rods and grids before a sheet, and a few solids between."""
    backdrops.sheet(stage, 0.0, 0.6)
    for _ in range(int(stage.rng.integers(4, 20))):
        things.wire(stage)
    for _ in range(int(stage.rng.integers(0, 3))):
        things.screen(stage, 0.3, 1.0)
    for _ in range(int(stage.rng.integers(2, 9))):
        things.random_solid(stage, stage.spot(), log_uniform(stage.rng, 0.06, 0.3))


RULES: dict[Callable[[Stage], None], float] = {
    desk: 0.16,
    still_life: 0.14,
    room_corner: 0.09,
    slanted_sheet: 0.04,
    littered_sheet: 0.1,
    plants: 0.08,
    wall_with_objects: 0.1,
    few_large: 0.1,
    nearly_flat: 0.03,
    crowd: 0.09,
    thin_things: 0.07,
}


def compose_world(rng: np.random.Generator, view: View, photos: tuple[NDArray[np.float32], NDArray[np.int64]]) -> World:
    """One random world, everything drawn from ``rng``; ``photos`` as photos.pack_photos gives them."""
    stage = Stage(rng, view, len(photos[1]))
    rules = list(RULES)
    rules[int(rng.choice(len(rules), p=list(RULES.values())))](stage)
    if rng.uniform() < 0.15:
        for _ in range(int(rng.integers(1, 4))):
            things.wire(stage, 0.2)
    light = draw_light(rng, view)
    return World(
        stage.backdrop_table, pack_solids(stage.solids), stage.materials, light, pack_meshes(stage.meshes), *photos
    )


def draw_light(rng: np.random.Generator, view: View) -> NDArray[np.void]:
    """A lamp somewhere on the camera's side of the scene, coloured surroundings, shadows, often patches of shade."""
    light = np.zeros(1, LIGHT_DTYPE)
    row = light[0]
    for name, spread in (("direction", 1.2), ("sky", 1.0)):
        towards = np.array([0.0, 0.0, -1.0]) + spread * rng.normal(size=3)
        row[name] = towards / np.linalg.norm(towards)
    share = rng.uniform(0.4, 0.95)
    row["lamp"] = share * (1 + rng.uniform(-0.2, 0.2, 3))
    row["ambient"] = (1 - share) * (1 + rng.uniform(-0.25, 0.25, 3))
    if rng.uniform() < 0.5:
        row["patches"] = rng.uniform(0.3, 0.95)
    row["patch_size_m"] = log_uniform(rng, 0.05, 0.8) / view.w(rng.uniform())
    row["patch_edge"] = log_uniform(rng, 0.03, 0.6)
    row["seed"] = rng.integers(1 << 30)
    row["lamp_radius"] = log_uniform(rng, 0.01, 0.25)
    if rng.uniform() < 0.8:  # else light comes from all sides, as under clouds
        row["shadows"] = rng.uniform(0.6, 1.0)
    return light
