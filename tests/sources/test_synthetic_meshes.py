"""Meshes of made scenes: closed and outward for every seed, cast as exactly as a reference casts them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from casting import REQUEST, H, U, V, W, cast

from focalsim.scene import Intrinsics
from focalsim.sources.synthetic import compose, primitives, shapes, surfaces
from focalsim.sources.synthetic.mesh_rays import draw_mesh, mesh_blocks, mesh_frame
from focalsim.sources.synthetic.meshes import Mesh, build_mesh, pack_meshes
from focalsim.sources.synthetic.photos import NO_PHOTOS
from focalsim.sources.synthetic.primitives import MESH, Solid, pack_solids
from focalsim.sources.synthetic.rays import Hits, rays_of
from focalsim.sources.synthetic.stage import View, random_rotation

MAKERS = pytest.mark.parametrize("maker", list(shapes.MAKERS), ids=lambda maker: maker.__name__)
LIT_FROM_ABOVE = {"direction": (0.0, -1.0, 0.0), "lamp_radius": 1e-6, "lamp": 1.0, "ambient": 1.0, "patches": 0.0}


def solid_of(
    mesh: Mesh, centre: tuple[float, float, float], radius: float, rotation: np.ndarray, number: int = 0
) -> Solid:
    size = radius * mesh.extent
    return Solid(MESH, np.array(centre), rotation, size, 1, 100 + number, shape=(radius, 0.0), mesh=number)


def world_corners(mesh: Mesh, solid: Solid) -> np.ndarray:
    """(m, 3, 3) corners of the triangles in metres."""
    return solid.centre_m + (mesh.triangles["corners"] * solid.size_m) @ solid.rotation.T


def all_depths(corners: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """(n, k) ascending depths at which rays (u, v, 1) meet triangles that face the camera; inf where no more are.

    Moeller & Trumbore with doubles, every ray against every triangle.
    """
    a, e, f = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    d = np.stack([u, v, np.ones_like(u)], axis=1)[:, None]
    p = np.cross(d, f)
    det = (p * e).sum(axis=2)
    q = np.cross(-a, e)
    with np.errstate(divide="ignore", invalid="ignore"):
        b, c, z = (p * -a).sum(axis=2) / det, (d * q).sum(axis=2) / det, (q * f).sum(axis=1) / det
    hit = (det > 0) & (b >= 0) & (c >= 0) & (b + c <= 1)
    return np.sort(np.where(hit, z, np.inf), axis=1)[:, :4]


# --- the meshes -----------------------------------------------------------------------------------------------


@MAKERS
def test_meshes_are_closed_outward_and_fill_the_local_cube(maker) -> None:
    for seed in range(25):
        mesh = maker(np.random.default_rng(seed))
        corners = mesh.triangles["corners"]
        assert 8 <= len(corners) <= 2500 < primitives.FACES
        assert np.abs(corners).max(axis=(0, 1)) == pytest.approx([1.0, 1.0, 1.0])
        assert mesh.extent.max() == pytest.approx(1.0)
        _points, index = np.unique(np.round(corners.reshape(-1, 3), 12), axis=0, return_inverse=True)
        index = index.reshape(-1, 3)
        sides = np.stack([index, np.roll(index, -1, axis=1)], axis=2).reshape(-1, 2)
        forward, counts = np.unique(sides, axis=0, return_counts=True)
        assert (counts == 1).all()
        np.testing.assert_array_equal(np.unique(sides[:, ::-1], axis=0), forward)
        assert np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) > 0
        assert len(mesh.edges) == len(corners) * 3 // 2
        # The edges that triangles name are theirs.
        named = mesh.edges[np.abs(mesh.triangles["edges"]) - 1]
        named = np.where((mesh.triangles["edges"] < 0)[..., None, None], named[:, :, ::-1], named)
        np.testing.assert_array_equal(named[:, :, 0], corners)


@MAKERS
def test_normals_agree_with_triangles_and_charts_with_lengths(maker) -> None:
    stretches = []
    for seed in range(12):
        mesh = maker(np.random.default_rng(seed))
        records = mesh.triangles
        points, normals = records["corners"] * mesh.extent, records["normals"] / mesh.extent
        np.testing.assert_allclose(np.linalg.norm(normals, axis=2), 1.0, rtol=1e-9)
        flat = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])
        area = np.linalg.norm(flat, axis=1)
        agree = (normals * flat[:, None]).sum(axis=2) / (area[:, None] + 1e-30)
        assert (agree.mean(axis=1) * area).sum() > 0.75 * area.sum()
        a, b = (np.linalg.norm(np.diff(x, axis=1), axis=2).ravel() for x in (records["chart"], points))
        stretches.append(np.median(a[b > 1e-9] / b[b > 1e-9]))
    assert 0.5 < np.median(stretches) < 2.0


@MAKERS
def test_the_tree_holds_every_triangle_once_within_its_boxes(maker) -> None:
    mesh = maker(np.random.default_rng(3))
    held = np.zeros(len(mesh.triangles), int)
    in_branches = held.copy()
    for k, node in enumerate(mesh.nodes):
        below = mesh.nodes[k : node["skip"]]
        triangles = np.concatenate([np.arange(n["first"], n["first"] + n["count"]) for n in below])
        corners = mesh.triangles["corners"][triangles]
        np.testing.assert_array_equal(corners.min(axis=(0, 1)), node["low"])
        np.testing.assert_array_equal(corners.max(axis=(0, 1)), node["high"])
        held[node["first"] : node["first"] + node["count"]] += 1
        in_branches[triangles] += node["branch"]
    assert (held == 1).all()
    assert (in_branches == 1).all()


def test_the_same_seed_gives_the_same_mesh_and_others_give_others() -> None:
    a, b, c = (shapes.random_mesh(np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert a.triangles.tobytes() == b.triangles.tobytes()
    assert a.triangles.tobytes() != c.triangles.tobytes()
    assert sum(shapes.MAKERS.values()) == pytest.approx(1.0)


def test_creases_are_sharp_and_the_rest_is_smooth() -> None:
    corners = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    cube = surfaces.hull(corners)
    assert len(np.unique(cube.triangles["patch"])) == 6
    np.testing.assert_allclose(np.sort(np.abs(cube.triangles["normals"]), axis=2), [[[0, 0, 1]] * 3] * 12, atol=1e-12)
    ball = build_mesh(*surfaces.sphere(11))
    assert (ball.triangles["patch"] == 0).all()
    np.testing.assert_allclose(ball.triangles["normals"], ball.triangles["corners"], atol=0.05)


def test_open_and_branching_surfaces_are_refused() -> None:
    points, triangles, chart = surfaces.sphere(3)
    for wrong in (triangles[1:], np.concatenate([triangles, triangles[:1]])):
        with pytest.raises(ValueError, match="expected a closed mesh"):
            build_mesh(points, wrong, np.concatenate([chart, chart])[: len(wrong)])


# --- rays -----------------------------------------------------------------------------------------------------


@MAKERS
def test_depth_and_hidden_depth_are_those_of_every_ray_against_every_triangle(maker) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        mesh = maker(rng)
        solid = solid_of(mesh, (0.03, -0.02, 0.5), 0.18, random_rotation(rng))
        frame = cast([solid], meshes=[mesh], shadows=0.0)
        pick = rng.choice(np.flatnonzero(frame.depth_m.ravel() < 1.0), 300)
        near = np.append(pick, rng.choice(H * W, 100))
        first, second = all_depths(world_corners(mesh, solid), U.ravel()[near], V.ravel()[near])[:, :2].T
        np.testing.assert_allclose(frame.depth_m.ravel()[near], np.minimum(first, 1.0), rtol=1e-6)
        hidden = np.where(np.isfinite(first), np.minimum(second, 1.0), np.nan)
        np.testing.assert_allclose(frame.hidden_depth_m.ravel()[near], hidden, rtol=1e-6)


def test_no_ray_slips_between_triangles_or_meets_an_edge_twice() -> None:
    """A plate whose corners lie exactly on the rays: its middle is hit everywhere, once, at its depth."""
    cells = 16
    rays = rays_of(np.arange(64 * 64), np.zeros((1, 2)), 64, 64, Intrinsics(64.0, 64.0, 32.0, 32.0))
    ticks = np.linspace(-1.0, 1.0, cells + 1)
    x, y = (a.ravel() for a in np.meshgrid(ticks, ticks))
    rim = (np.abs(x) == 1.0) | (np.abs(y) == 1.0)
    points = np.concatenate([np.c_[x, y, np.full_like(x, z)] for z in (-0.5, 0.5)])
    number = np.arange((cells + 1) ** 2).reshape(cells + 1, cells + 1)
    quads = np.stack([number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]], axis=2).reshape(-1, 4)
    other = quads[:, ::-1] + len(x)
    loop = np.concatenate([number[0], number[1:, -1], number[-1, -2::-1], number[-2:0:-1, 0]])
    assert rim[loop].all()
    step = np.roll(loop, -1)
    sides = np.stack([step, loop, loop + len(x), step + len(x)], axis=1)
    triangles = np.concatenate([quads, other, sides])[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3)
    mesh = build_mesh(points, triangles, np.zeros((len(triangles), 3, 2)), 30.0)
    # Its front is at 1 m, where a pixel is 1/64 m wide: corners of the lattice fall on pixels, edges along rows.
    solid = pack_solids([solid_of(mesh, (0.0, 0.0, 1.125), 0.25, np.eye(3))])[0]
    n = 64 * 64
    hits = Hits(np.full((2, n), np.inf), np.full((2, n), -1, np.int32), np.full(n, -1, np.int32))
    draw_mesh(solid, 0, pack_meshes([mesh]), rays, hits)
    inside = (np.abs(rays.u) <= 0.25) & (np.abs(rays.v) <= 0.25)
    assert inside.sum() == 33 * 33
    np.testing.assert_allclose(hits.depth[0, inside], 1.0, rtol=1e-12)
    assert np.isinf(hits.depth[1]).all()
    assert np.isinf(hits.depth[0, ~inside]).all()


@pytest.mark.parametrize("seed", range(6))
def test_meshes_are_watertight_under_a_fine_raster(seed: int) -> None:
    """Rays inside the silhouette all hit: the pixels that a mesh leaves out are not inside it."""
    rng = np.random.default_rng(seed)
    mesh = shapes.stone(rng)
    solid = solid_of(mesh, (0.01, 0.0, 0.5), 0.15, random_rotation(rng))
    frame = cast([solid], meshes=[mesh], scale=4, shadows=0.0)
    hit = (frame.depth_m < 1.0).astype(np.uint8)
    outside, count = hit.copy(), cv2.connectedComponents(1 - hit, connectivity=8)[0]
    cv2.floodFill(outside, None, (0, 0), 1)
    assert hit.sum() > 5000
    assert count == 2  # the mesh and one ground around it, without a hole
    assert outside.all()


def test_what_a_ring_hides_is_its_own_far_side_and_what_stands_between() -> None:
    angle = 2 * np.pi * np.arange(60) / 60
    path = np.stack([np.cos(angle), np.zeros(60), np.sin(angle)], axis=1)  # seen from its edge
    mesh = surfaces.sweep(path, np.full(60, 0.2), 16, looped=True)
    ring = solid_of(mesh, (0.0, 0.0, 0.6), 0.24, np.eye(3))
    ball = Solid(primitives.ELLIPSOID, np.array([0.0, 0.0, 0.6]), np.eye(3), np.full(3, 0.03), 2, 2)
    middle = slice(H // 2 - 1, H // 2 + 1), slice(W // 2 - 1, W // 2 + 1)
    alone, between = cast([ring], meshes=[mesh]), cast([ball, ring], meshes=[mesh])
    tube = 0.24 / 1.2
    assert alone.depth_m[middle] == pytest.approx(0.36, abs=2e-3)
    assert alone.hidden_depth_m[middle] == pytest.approx(0.6 + tube - 0.04, abs=2e-3)
    assert between.depth_m[middle] == pytest.approx(0.36, abs=2e-3)
    assert between.hidden_depth_m[middle] == pytest.approx(0.57, abs=2e-3)


# --- colour and light -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("maker", [shapes.knot, shapes.vessel, shapes.cut_out])
def test_colour_is_averaged_over_the_pixel_at_outlines_folds_and_creases(maker) -> None:
    rng = np.random.default_rng(1)
    mesh = maker(rng)
    solid = solid_of(mesh, (0.0, 0.0, 0.5), 0.2, random_rotation(rng))
    k = 6
    frame = cast([solid], meshes=[mesh], shadows=0.0)
    fine = np.minimum(cast([solid], meshes=[mesh], scale=k, shadows=0.0).rgb_linear, 1)
    mean = fine.reshape(H, k, W, k, 3).mean(axis=(1, 3))
    point = fine[k // 2 :: k, k // 2 :: k]
    rough = np.abs(point - mean).max(axis=2) > 0.05
    assert rough.sum() > 100
    errors = [float(np.sqrt(np.mean((np.minimum(a, 1) - mean)[rough] ** 2))) for a in (frame.rgb_linear, point)]
    assert errors[0] < 0.6 * errors[1]


def test_the_shadow_of_a_mesh_is_that_of_the_solid_it_copies() -> None:
    size, centre, rotation = (
        np.array([0.08, 0.05, 0.06]),
        np.array([0.0, -0.02, 0.5]),
        random_rotation(np.random.default_rng(2)),
    )
    corners = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    mesh = surfaces.hull(corners * size)
    floor = np.array([[0.0, 4.0, 0.4], [0.0, 0.0, 0.5]])
    light = {**LIT_FROM_ABOVE, "direction": (0.3, -0.95, 0.1)}
    copies = [
        cast([solid], meshes=[mesh], walls=floor, **light, shadows=1.0)
        for solid in (
            Solid(primitives.BOX, centre, rotation, size, 1, 1),
            Solid(MESH, centre, rotation, size, 1, 1, shape=(0.08, 0.0)),
        )
    ]
    wall = copies[0].hidden_depth_m != copies[0].hidden_depth_m
    np.testing.assert_allclose(copies[0].depth_m, copies[1].depth_m, rtol=1e-6)
    outline = cv2.dilate((~wall).astype(np.uint8), np.ones((5, 5))) > 0
    differs = np.abs(copies[0].rgb_linear - copies[1].rgb_linear).max(axis=2) > 1e-6
    assert differs[~outline].mean() < 0.002


def test_a_vessel_shades_its_inside_and_a_ball_of_triangles_has_no_spots() -> None:
    mesh = surfaces.hull(surfaces.sphere(11)[0])
    solid = solid_of(mesh, (0.0, 0.0, 0.5), 0.15, np.eye(3))
    for direction in ((0.0, 0.0, -1.0), (0.7, -0.3, -0.6), (-0.9, 0.4, 0.2)):
        light = {**LIT_FROM_ABOVE, "direction": direction / np.linalg.norm(direction)}
        dark, bright = (cast([solid], meshes=[mesh], **light, shadows=s) for s in (1.0, 0.0))
        inside = cv2.erode((dark.depth_m < 1).astype(np.uint8), np.ones((3, 3))) > 0
        np.testing.assert_array_equal(
            dark.rgb_linear[inside], bright.rgb_linear[inside]
        )  # a ball shades no part of itself
    rings = np.array(
        [np.c_[r * surfaces.unit_circle(24), np.full(24, h)] for r, h in ((1, 0), (1, 2), (0.9, 2), (0.9, 0.1))]
    )
    cup = surfaces.stack_rings(rings, 40.0)
    table = pack_meshes([cup])
    down = np.array([0.0, 0.0, -0.85])  # on the floor inside, which light reaches straight from above alone
    assert not mesh_blocks(table, 0, 0, *down, 0.0, 0.0, 1.0, 1e-3)
    assert mesh_blocks(table, 0, 0, *down, 1.0, 0.0, 0.1, 1e-3)
    assert not mesh_blocks(table, 0, 0, 0.0, 0.0, -0.95, 0.0, 0.0, 1.0, 1e-3)  # within the wall: leaving is no entering


def test_the_chart_on_a_mesh_is_in_metres_and_its_normal_a_unit_vector() -> None:
    mesh = shapes.rounded_box(np.random.default_rng(0))
    scales = []
    for radius in (0.05, 0.1):
        record = pack_solids([solid_of(mesh, (0.0, 0.0, 0.5), radius, np.eye(3))])[0]
        corners = world_corners(mesh, solid_of(mesh, (0.0, 0.0, 0.5), radius, np.eye(3)))
        a, b, _c = corners[40]
        s, t = np.array([mesh_frame(record, mesh.triangles[40], *(p[:2] / p[2]), p[2])[3:5] for p in (a, b)])
        scales.append(np.linalg.norm(s - t) / np.linalg.norm(a - b))
        middle = corners[40].mean(axis=0)
        normal = mesh_frame(record, mesh.triangles[40], *(middle[:2] / middle[2]), middle[2])[5:]
        assert np.linalg.norm(normal) == pytest.approx(1.0)
    assert scales[0] == pytest.approx(scales[1])
    assert 0.3 < scales[0] < 3.0


# --- scenes ---------------------------------------------------------------------------------------------------


def test_scenes_are_full_of_different_meshes() -> None:
    view = View.of_request(REQUEST, W, H)
    worlds = [compose.compose_world(np.random.default_rng(k), view, NO_PHOTOS) for k in range(40)]
    shares = [np.mean(world.solids["kind"] == MESH) for world in worlds if len(world.solids)]
    assert np.mean(shares) > 0.25
    assert np.median([len(world.meshes.first) - 1 for world in worlds]) >= 2
    for world in worlds:
        groups = world.solids["group"]
        alone = groups[world.solids["kind"] == MESH]
        assert (np.bincount(groups, minlength=1)[alone] == 1).all()  # what hits of a mesh hide rests on this
