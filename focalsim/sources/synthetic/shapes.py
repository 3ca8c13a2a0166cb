"""Meshes drawn at random: stones, fruit, figures, crystals, vessels, turned and cut-out things, tubes, shells, cloth.

Each maker draws one mesh of 100 to 2000 triangles from the generator that it is given; z is up where a thing stands.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from focalsim.sources.synthetic.meshes import Mesh, build_mesh
from focalsim.sources.synthetic.surfaces import Points, hull, noise_at, sphere, stack_rings, sweep, unit_circle

_CREASE_DEG = 32.0  # machined edges
_SIDE = 11  # quads along each face of a sphere


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(1 << 30))


def _directions(rng: np.random.Generator, count: int) -> Points:
    normals = rng.normal(size=(count, 3))
    return np.asarray(normals / np.linalg.norm(normals, axis=1, keepdims=True))


def _smooth(values: Points, count: int) -> Points:
    """``count`` points of the Catmull-Rom spline through values (n, ...)."""
    padded = np.concatenate([2 * values[:1] - values[1:2], values, 2 * values[-1:] - values[-2:-1]])
    at = np.linspace(0, len(values) - 1, count)
    k = np.minimum(at.astype(int), len(values) - 2)
    f = (at - k).reshape(-1, *[1] * (values.ndim - 1))
    a, b, c, d = (padded[k + j] for j in range(4))
    return np.asarray(0.5 * (2 * b + f * (c - a + f * (2 * a - 5 * b + 4 * c - d + f * (3 * (b - c) + d - a)))))


# --- round things ---------------------------------------------------------------------------------------------


def stone(rng: np.random.Generator) -> Mesh:
    """A pebble or a rough stone: noise, at times ridged, cut by planes."""
    points, triangles, chart = sphere(_SIDE)
    rough = rng.uniform(0.1, 0.55)
    noise = noise_at(points, rng.uniform(0.7, 1.8), int(rng.integers(1, 5)), _seed(rng))
    if rng.uniform() < 0.3:
        noise = 0.6 - 1.6 * np.abs(noise)
    points = points * (1.0 + rough * noise)[:, None]
    for normal in _directions(rng, int(rng.choice([0, 3, 9, 16]))):
        points = points - np.maximum(points @ normal - rng.uniform(0.55, 0.9), 0.0)[:, None] * normal
    points = points * np.exp(rng.uniform(-0.6, 0.3, 3))
    return build_mesh(points, triangles, chart, float(rng.choice([180.0, 180.0, 35.0])))


def fruit(rng: np.random.Generator) -> Mesh:
    """An apple, pumpkin, pear or lemon: lobes around z, dimples or tips at its ends, slightly bent."""
    points, triangles, chart = sphere(_SIDE)
    x, y, z = points.T
    lobes = int(rng.choice([0, 0, 3, 5, 8, 12]))
    depth = rng.uniform(0.05, 0.16) if lobes else 0.0
    across = np.hypot(x, y)
    radius = 1.0 + depth * across * (np.abs(np.cos(0.5 * lobes * np.arctan2(y, x))) - 1.0)
    for end in (-1.0, 1.0):
        tip = rng.uniform(-0.5, 0.35)
        radius += tip * np.exp((end * z - 1.0) * rng.uniform(5.0, 20.0))
    radius += 0.08 * noise_at(points, 1.3, 2, _seed(rng))
    points = points * radius[:, None]
    points[:, 2] *= np.exp(rng.uniform(-0.5, 0.6))
    points[:, :2] *= 1.0 + rng.uniform(-0.45, 0.45) * np.tanh(points[:, 2:])  # pears
    points[:, 0] += rng.uniform(-0.3, 0.3) * points[:, 2] ** 2
    return build_mesh(points, triangles, chart)


def figure(rng: np.random.Generator) -> Mesh:
    """A smooth figure of bumps: toys, animals, cacti."""
    points, triangles, chart = sphere(_SIDE + 2)
    radius = np.full(len(points), 0.45)
    for direction in _directions(rng, int(rng.integers(3, 9))):
        sharp = rng.uniform(3.0, 14.0)
        radius += rng.uniform(0.25, 1.0) * np.exp(sharp * (points @ direction - 1.0))
    return build_mesh(points * radius[:, None], triangles, chart)


def rounded_box(rng: np.random.Generator) -> Mesh:
    """Soap, cushions, boxes with round edges: |x|^p + |y|^p + |z|^p = 1."""
    points, triangles, chart = sphere(_SIDE)
    power = float(np.exp(rng.uniform(np.log(2.6), np.log(9.0))))
    norm = (np.abs(points) ** power).sum(axis=1, keepdims=True) ** (1.0 / power)
    points = points / norm * np.exp(rng.uniform(-1.0, 0.2, 3))
    points[:, :2] *= 1.0 + rng.choice([0.0, 0.3]) * rng.uniform(-1, 1) * points[:, 2:] / np.abs(points[:, 2]).max()
    return build_mesh(points, triangles, chart)


def crystal(rng: np.random.Generator) -> Mesh:
    """A cut stone with flat faces: the hull of random or regular points."""
    style = rng.uniform()
    if style < 0.5:
        points = _directions(rng, int(rng.integers(8, 26)))
    else:  # a prism or pyramid with points at its ends
        sides, tip = int(rng.integers(3, 9)), rng.uniform(1.05, 1.8)
        ring = unit_circle(sides)
        low, high = rng.uniform(0.4, 1.0, 2)
        points = np.concatenate(
            [np.c_[low * ring, np.full(sides, -1.0)], np.c_[high * ring, np.ones(sides)], [[0, 0, tip], [0, 0, -1.0]]]
        )
    return hull(points * np.exp(rng.uniform(-0.7, 0.2, 3)))


# --- turned things --------------------------------------------------------------------------------------------


def vessel(rng: np.random.Generator) -> Mesh:
    """A cup, bowl, vase or pot with walls of its own thickness, open at the top, at times fluted."""
    outer = _smooth(np.concatenate([[rng.uniform(0.35, 0.8)], rng.uniform(0.4, 1.0, int(rng.integers(2, 5)))]), 11)
    wall = rng.uniform(0.04, 0.1)
    outer = np.maximum(outer, 3 * wall)
    height = float(np.exp(rng.uniform(-1.0, 1.1)))
    z = np.linspace(0.0, height, len(outer))
    floor = max(1.5 * wall, 0.03 * height)
    inner_z = np.linspace(height, floor, 9)
    inner = np.interp(inner_z, z, outer) - wall
    radius = np.concatenate([[outer[0] - 0.5 * wall], outer, [outer[-1] - 0.25 * wall, inner[0] + 0.25 * wall], inner])
    level = np.concatenate([[-0.3 * wall], z, [height + 0.4 * wall] * 2, inner_z])
    return _turned(rng, radius, level, flutes=0.3)


def turned(rng: np.random.Generator) -> Mesh:
    """A turned thing: bottle, chess piece, lamp, spinning top, bead on a rod."""
    count = int(rng.integers(4, 9))
    knots = rng.uniform(0.15, 1.0, count)
    if rng.uniform() < 0.4:  # turned in steps
        radius, level = knots.repeat(2), np.arange(count).repeat(2) + np.tile([0.03, 0.97], count)
    else:
        radius, level = np.maximum(_smooth(knots, 22), 0.08), np.linspace(0, count, 22)
    if rng.uniform() < 0.5:
        radius = radius * np.linspace(1.0, rng.uniform(0.3, 0.8), len(radius))
    height = float(np.exp(rng.uniform(0.0, 1.4)))
    return _turned(rng, radius, level * (height / count), flutes=0.2)


def _turned(rng: np.random.Generator, radius: Points, level: Points, flutes: float) -> Mesh:
    """Turned about z, or with flutes, or of few flat sides."""
    sides = int(rng.integers(5, 9)) if rng.uniform() < 0.12 else 30
    angle = 2 * np.pi * np.arange(sides) / sides
    wave = np.zeros(sides)
    if sides == 30 and rng.uniform() < flutes:
        wave = rng.uniform(0.03, 0.09) * np.cos(float(rng.choice([3, 5, 6, 10])) * angle)
    turn = rng.choice([0.0, 0.6]) * rng.uniform(-1, 1) * level / max(float(np.ptp(level)), 1e-9)
    at = angle + turn[:, None]
    across = radius[:, None] * (1.0 + wave)
    rings = np.stack([across * np.cos(at), across * np.sin(at), np.broadcast_to(level[:, None], at.shape)], axis=2)
    return stack_rings(rings, 40.0)


# --- cut-out things -------------------------------------------------------------------------------------------


def _outline(rng: np.random.Generator) -> Points:
    """(k, 2) outline seen whole from its middle: a gear, star, flower, polygon, cross, arrow, heart or house."""
    style = rng.choice(["gear", "star", "flower", "polygon", "given"])
    if style == "given":
        given = [
            [(1, 3), (1, 1), (3, 1), (3, -1), (1, -1), (1, -3),
             (-1, -3), (-1, -1), (-3, -1), (-3, 1), (-1, 1), (-1, 3)],
            [(2.4, 0), (-0.6, 3), (-0.6, 1), (-3, 1), (-3, -1), (-0.6, -1), (-0.6, -3)],
            [(0, 2), (3, -0.2), (2.4, -0.2), (2.4, -3), (-2.4, -3), (-2.4, -0.2), (-3, -0.2)],
            [(1, -0.8), (3, -0.8), (3, 0.8), (-3, 0.8), (-3, -0.8), (-1, -0.8), (-1, -4), (1, -4)],
            [(0, 1.6), (0.7, 2.5), (1.7, 2.6), (2.6, 1.9), (2.7, 0.8), (1.8, -0.8), (0, -2.8),
             (-1.8, -0.8), (-2.7, 0.8), (-2.6, 1.9), (-1.7, 2.6), (-0.7, 2.5)],
        ]  # fmt: skip
        return np.array(given[int(rng.integers(len(given)))], float) / 3.0
    teeth = int(rng.integers(3, 13)) if style != "gear" else int(rng.integers(6, 17))
    if style == "polygon":
        return unit_circle(teeth)
    inner = rng.uniform(0.35, 0.85)
    if style == "star":
        ring = unit_circle(2 * teeth)
        return np.asarray(ring * np.tile([1.0, inner], teeth)[:, None])
    if style == "gear":
        ring = unit_circle(4 * teeth)
        return np.asarray(ring * np.tile([1.0, 1.0, max(inner, 0.7), max(inner, 0.7)], teeth)[:, None])
    ring = unit_circle(6 * teeth)
    petals = np.abs(np.cos(0.5 * teeth * 2 * np.pi * np.arange(len(ring)) / len(ring)))
    return np.asarray(ring * (inner + (1 - inner) * petals)[:, None])


def cut_out(rng: np.random.Generator) -> Mesh:
    """A plate with bevelled or rounded edges, flat or thick, at times with a hole or a domed lid."""
    outline = _outline(rng)
    thick, bevel = float(np.exp(rng.uniform(np.log(0.08), np.log(0.9)))), rng.uniform(0.02, 0.08)
    bevel = min(bevel, 0.4 * thick)
    scale, level = [1.0 - bevel, 1.0, 1.0, 1.0 - bevel], [-thick, bevel - thick, thick - bevel, thick]
    if rng.uniform() < 0.3:  # a pillow, or a coin with a rim
        dome = rng.uniform(-0.6, 1.0) * thick
        scale = [0.3, 0.6, *scale, 0.6, 0.3]
        level = [-thick - 0.9 * dome, -thick - 0.6 * dome, *level, thick + 0.6 * dome, thick + 0.9 * dome]
    shape = [(s * outline, h) for s, h in zip(scale, level, strict=True)]
    looped = bool(rng.uniform() < 0.35)
    if looped:  # a hole, round but for the number of its corners
        hole = rng.uniform(0.25, 0.6) * np.linalg.norm(outline, axis=1).min()
        direction = outline / np.linalg.norm(outline, axis=1, keepdims=True)
        shape += [(hole * direction, level[-1]), (hole * direction, level[0])]
    rings = np.array([np.c_[ring, np.full(len(ring), h)] for ring, h in shape])
    return stack_rings(rings, _CREASE_DEG, looped=looped)


def twisted(rng: np.random.Generator) -> Mesh:
    """A column that turns and tapers as it rises: screws, candles, towers, drill bits."""
    outline, layers = _outline(rng), 14
    outline = outline[:: max(len(outline) // 32, 1)]
    share = np.linspace(0.0, 1.0, layers)
    turn = rng.uniform(-1.0, 1.0) * np.pi * share
    size = (1.0 + rng.uniform(-0.8, 0.2) * share) * (1.0 + rng.uniform(-0.2, 0.2) * np.sin(np.pi * share))
    cos, sin = size * np.cos(turn), size * np.sin(turn)
    x = cos[:, None] * outline[:, 0] - sin[:, None] * outline[:, 1]
    y = sin[:, None] * outline[:, 0] + cos[:, None] * outline[:, 1]
    height = float(np.exp(rng.uniform(0.0, 1.4)))
    level = np.broadcast_to(height * share[:, None], x.shape)
    return stack_rings(np.stack([x, y, level], axis=2), _CREASE_DEG)


# --- tubes ----------------------------------------------------------------------------------------------------


def ring(rng: np.random.Generator) -> Mesh:
    """A ring, chain link, tyre or wavy band."""
    angle = 2 * np.pi * np.arange(44) / 44
    wave, lobes = rng.choice([0.0, 0.12]) * rng.uniform(), int(rng.integers(2, 7))
    across = 1.0 + wave * np.cos(lobes * angle)
    long, lift = float(rng.choice([1.0, 1.0, rng.uniform(1.2, 2.2)])), rng.choice([0.0, 0.25]) * rng.uniform()
    path = np.stack([long * across * np.cos(angle), across * np.sin(angle), lift * np.sin(lobes * angle)], axis=1)
    radius = np.full(44, rng.uniform(0.07, 0.42))
    sides = int(rng.choice([4, 6, 14, 14, 14]))
    return sweep(path, radius, sides, 50.0, looped=True)


def knot(rng: np.random.Generator) -> Mesh:
    """A torus knot."""
    p, q = [(2, 3), (3, 2), (2, 5), (3, 4), (2, 1), (3, 1)][int(rng.integers(6))]
    angle = 2 * np.pi * np.arange(110) / 110
    tube = rng.uniform(0.3, 0.55)
    across = 1.0 + tube * np.cos(q * angle)
    path = np.stack([across * np.cos(p * angle), across * np.sin(p * angle), tube * np.sin(q * angle)], axis=1)
    return sweep(path, np.full(110, rng.uniform(0.06, 0.17)), 9, looped=True)


def spring(rng: np.random.Generator) -> Mesh:
    """A spring, cylindrical or conical."""
    turns, rise = rng.uniform(2.0, 5.0), rng.uniform(0.3, 0.7)
    t = np.linspace(0.0, 1.0, int(18 * turns))
    across = 1.0 - rng.choice([0.0, 0.7]) * rng.uniform() * t
    angle = 2 * np.pi * turns * t
    path = np.stack([across * np.cos(angle), across * np.sin(angle), rise * turns * t], axis=1)
    return sweep(path, np.full(len(t), rng.uniform(0.05, 0.13)), 9)


def tentacle(rng: np.random.Generator) -> Mesh:
    """A bent tube that may taper: cables, hooks, horns, roots, worms."""
    steps = rng.normal(size=(int(rng.integers(4, 8)), 3)) + rng.normal(size=3)
    path = _smooth(np.cumsum(steps, axis=0), 60)
    radius = rng.uniform(0.15, 0.5) * np.linspace(1.0, rng.choice([1.0, 0.6, 0.15]), len(path))
    radius *= 1.0 + rng.choice([0.0, 0.25]) * np.cos(np.arange(len(path)) * rng.uniform(0.5, 1.5))
    return sweep(path, radius, 12)


def snail(rng: np.random.Generator) -> Mesh:
    """A snail's or sea shell: a tube that widens as it winds."""
    turns, rise, flat = rng.uniform(2.2, 3.2), rng.uniform(0.0, 1.6), rng.uniform(0.28, 0.42)
    angle = np.linspace(0.0, 2 * np.pi * turns, int(26 * turns))
    across = np.exp(0.17 * (angle - angle[-1]))
    path = np.stack([across * np.cos(angle), across * np.sin(angle), -rise * across], axis=1)
    radius = across * flat * (1.0 + rng.choice([0.0, 0.08]) * np.cos(6.0 * angle))
    return sweep(path, radius, 14)


# --- thin things ----------------------------------------------------------------------------------------------


def cloth(rng: np.random.Generator) -> Mesh:
    """A thin sheet, bent, crumpled or rippled: cloth, paper, crisps, petals, a sea shell's half."""
    sides, rings = 40, 9
    corner = float(rng.choice([2.0, 4.0, 16.0]))  # from disc to square
    edge = unit_circle(sides)
    edge = edge / (np.abs(edge) ** corner).sum(axis=1, keepdims=True) ** (1.0 / corner)
    wave = rng.choice([0.0, 0.1]) * np.cos(float(rng.integers(3, 12)) * np.arctan2(edge[:, 1], edge[:, 0]))
    edge = edge * (1.0 + wave)[:, None] * np.array([1.0, rng.uniform(0.45, 1.0)])
    flat = (np.linspace(0.08, 1.0, rings)[:, None, None] * edge).reshape(-1, 2)
    x, y = flat.T
    plane = np.c_[flat, np.zeros(len(flat))]
    height = rng.uniform(0.0, 0.5) * noise_at(plane, rng.uniform(0.7, 2.2), 2, _seed(rng))
    height += rng.uniform(-0.5, 0.5) * x**2 + rng.uniform(-0.5, 0.5) * y**2
    if rng.uniform() < 0.3:
        height += rng.uniform(0.02, 0.08) * np.cos(rng.uniform(6, 12) * (x if rng.uniform() < 0.5 else np.hypot(x, y)))
    bend = rng.choice([0.0, 1.0]) * rng.uniform(0.5, 2.6)
    if bend > 0.0:  # rolled about the y axis
        x, height = (1 / bend - height) * np.sin(bend * x), 1 / bend - (1 / bend - height) * np.cos(bend * x)
    top = np.stack([x, y, height], axis=1).reshape(rings, sides, 3)
    across = np.cross(np.roll(top, -1, 1) - np.roll(top, 1, 1), np.gradient(top, axis=0))
    across /= np.linalg.norm(across, axis=2, keepdims=True) + 1e-12
    half = 0.5 * rng.uniform(0.012, 0.05) * across
    return stack_rings(np.concatenate([top + half, (top - half)[::-1]]), 60.0)


MAKERS: dict[Callable[[np.random.Generator], Mesh], float] = {
    stone: 0.13,
    fruit: 0.09,
    figure: 0.09,
    rounded_box: 0.08,
    crystal: 0.07,
    vessel: 0.12,
    turned: 0.1,
    cut_out: 0.1,
    twisted: 0.04,
    ring: 0.04,
    knot: 0.03,
    spring: 0.02,
    tentacle: 0.04,
    snail: 0.02,
    cloth: 0.03,
}


def random_mesh(rng: np.random.Generator) -> Mesh:
    """One mesh from a maker drawn by its weight."""
    makers = list(MAKERS)
    return makers[int(rng.choice(len(makers), p=list(MAKERS.values())))](rng)
