"""Made scenes: geometry against formulas, hidden surfaces, determinism, and what a network must not be able to use."""

from __future__ import annotations

import hashlib
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from casting import INTRINSICS, REQUEST, H, U, V, W, cast

from focalsim.errors import SourceError
from focalsim.rng import sample_rng
from focalsim.scene import Intrinsics, Scene
from focalsim.sources.base import FrameRequest
from focalsim.sources.synthetic import SyntheticSource, compose, kernel, primitives
from focalsim.sources.synthetic.primitives import Solid, pack_solids, solid_hit
from focalsim.sources.synthetic.stage import Stage, View, random_rotation


def load(index: int, request: FrameRequest = REQUEST, seed: int = 0) -> Scene:
    return SyntheticSource().load(index, request, sample_rng(seed, index, "scene"))


def digest(index: int) -> str:
    """sha256 of all arrays of one scene; runs in another process too."""
    scene = load(index)
    arrays = (scene.rgb_linear, scene.depth_m, scene.hidden_rgb_linear, scene.hidden_depth_m)
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays if a is not None)).hexdigest()


def ball(centre: tuple[float, float, float], radius: float, group: int) -> Solid:
    return Solid(primitives.ELLIPSOID, np.array(centre), np.eye(3), np.full(3, radius), group, group)


def ball_depth(centre: tuple[float, float, float], radius: float) -> np.ndarray:
    """z of the first hit of |z (u, v, 1) - c| = r, NaN outside the silhouette."""
    x, y, z = centre
    a, b = U**2 + V**2 + 1, U * x + V * y + z
    with np.errstate(invalid="ignore"):
        return (b - np.sqrt(b**2 - a * (x**2 + y**2 + z**2 - radius**2))) / a


# --- geometry -------------------------------------------------------------------------------------------------


def test_depth_of_a_slanted_plane_is_that_of_its_formula() -> None:
    normal, point = np.array([0.3, -0.5, -0.8]), np.array([0.05, 0.02, 0.6])
    frame = cast([], walls=(normal / (normal @ point))[None])
    expected = (normal @ point) / (normal[0] * U + normal[1] * V + normal[2])
    np.testing.assert_allclose(frame.depth_m, expected, rtol=1e-6)
    assert np.isnan(frame.hidden_depth_m).all()


def test_walls_make_a_concave_room() -> None:
    left, right = np.array([-1.5, 0.0, 1.5]), np.array([1.5, 0.2, 1.5])
    expected = 1 / np.maximum(1.5 - 1.5 * U, 1.5 + 1.5 * U + 0.2 * V)
    np.testing.assert_allclose(cast([], walls=np.stack([left, right])).depth_m, expected, rtol=1e-6)


def test_depth_of_a_ball_is_that_of_its_formula() -> None:
    expected = ball_depth((0.05, -0.03, 0.5), 0.12)
    frame = cast([ball((0.05, -0.03, 0.5), 0.12, 1)])
    np.testing.assert_allclose(frame.depth_m, np.where(np.isnan(expected), 1.0, expected), rtol=1e-6)


def test_what_hides_is_the_next_object_and_nothing_is_behind_the_wall() -> None:
    near, far = ((0.0, 0.0, 0.3), 0.05), ((0.05, 0.0, 0.6), 0.1)
    near_m, far_m = ball_depth(*near), ball_depth(*far)
    frame = cast([ball(*far, 2), ball(*near, 1)], shadows=0.0)
    on_near, on_far = ~np.isnan(near_m), np.isnan(near_m) & ~np.isnan(far_m)
    assert (on_near & ~np.isnan(far_m)).any()
    assert on_far.any()
    np.testing.assert_allclose(frame.hidden_depth_m[on_near], np.where(np.isnan(far_m), 1.0, far_m)[on_near], rtol=1e-6)
    np.testing.assert_allclose(frame.hidden_depth_m[on_far], 1.0, rtol=1e-6)
    assert np.isnan(frame.hidden_depth_m[~on_near & ~on_far]).all()
    # The hidden colour is that which is seen with the near ball taken away.
    alone = cast([ball(*far, 2)], shadows=0.0)
    inside = cv2.erode(on_near.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    inside &= cv2.morphologyEx((~np.isnan(far_m)).astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((5, 5))) == 0
    np.testing.assert_allclose(frame.hidden_rgb_linear[inside], alone.rgb_linear[inside], rtol=1e-5)


def test_parts_of_one_object_do_not_hide_each_other() -> None:
    frame = cast([ball((0.0, 0.0, 0.3), 0.05, 1), ball((0.0, 0.0, 0.6), 0.2, 1)])
    seen = frame.depth_m < 1
    np.testing.assert_allclose(frame.hidden_depth_m[seen], 1.0, rtol=1e-6)


def test_things_behind_the_backdrop_do_not_exist() -> None:
    frame = cast([ball((0.0, 0.0, 3.0), 0.5, 1)])
    np.testing.assert_allclose(frame.depth_m, 1.0, rtol=1e-6)
    assert np.isnan(frame.hidden_depth_m).all()


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (primitives.BOX, (0.0, 0.0)),
        (primitives.ELLIPSOID, (0.0, 0.0)),
        (primitives.FRUSTUM, (0.0, 0.0)),
        (primitives.FRUSTUM, (-0.7, 0.0)),
        (primitives.FRUSTUM, (1.0, 0.0)),
    ],
)
def test_first_hit_of_a_solid_is_where_a_march_enters_it(kind: int, shape: tuple[float, float]) -> None:
    rng = np.random.default_rng(kind)
    steps = np.linspace(0.2, 0.8, 6001)
    hits = 0
    for _ in range(40):
        rotation, size = random_rotation(rng), rng.uniform(0.03, 0.15, 3)
        solid = Solid(kind, np.array([0.02, -0.01, 0.5]), rotation, size, 0, 1, shape=shape)
        u, v = rng.uniform(-0.2, 0.2, 2)
        local = ((steps[:, None] * [u, v, 1.0] - solid.centre_m) @ rotation) / size
        x, y, z = local.T
        if kind == primitives.BOX:
            inside = np.abs(local).max(axis=1) <= 1
        elif kind == primitives.ELLIPSOID:
            inside = (local**2).sum(axis=1) <= 1
        else:
            inside = (np.abs(z) <= 1) & (np.hypot(x, y) <= (1 + shape[0] * z) / (1 + abs(shape[0])))
        depth, _face = solid_hit(pack_solids([solid])[0], u, v)
        if inside.sum() > 3:
            assert depth == pytest.approx(steps[inside.argmax()], abs=1.1e-4)
            hits += 1
        elif not inside.any():
            assert depth == np.inf or depth > 0
    assert hits > 10


def test_curved_sheet_hits_lie_on_the_sheet_within_its_outline() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        rotation, size = random_rotation(rng), np.array([0.1, 0.06, 0.1])
        sheet = Solid(primitives.SHEET, np.array([0, 0, 0.5]), rotation, size, 0, 1, primitives.DISC, (0.4, 3.0))
        u, v = rng.uniform(-0.15, 0.15, 2)
        depth, _face = solid_hit(pack_solids([sheet])[0], u, v)
        if np.isfinite(depth):
            x, y, z = ((depth * np.array([u, v, 1.0]) - sheet.centre_m) @ rotation) / size
            assert z == pytest.approx(0.4 * x * x, abs=1e-9)
            assert x * x + y * y <= 1
            hits += 1
    assert hits > 30


def test_open_cup_shows_its_inside() -> None:
    closed, cup = (
        cast(
            [
                Solid(
                    primitives.FRUSTUM,
                    np.array([0, 0, 0.5]),
                    np.eye(3),
                    np.array([0.1, 0.1, 0.1]),
                    1,
                    1,
                    0,
                    s,
                )
            ]
        )
        for s in ((0.0, 0.0), (0.0, 1.0))
    )
    middle = H // 2, W // 2
    assert closed.depth_m[middle] == pytest.approx(0.4)
    assert cup.depth_m[middle] == pytest.approx(1.0)  # straight through both ends


# --- colour ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_colour_is_averaged_over_the_pixel(seed: int) -> None:
    """At silhouettes against the mean of 6 x 6 finer pixels, where a point sample is wrong by half a step."""
    rng = np.random.default_rng(0)
    solids = [ball((*rng.uniform(-0.3, 0.3, 2), 0.7), 0.06, k % 7 + 1) for k in range(12)]
    k = 6
    frame = cast(solids, seed=seed)
    edge = cv2.morphologyEx(frame.depth_m, cv2.MORPH_GRADIENT, np.ones((3, 3))) > 0.2
    fine = np.minimum(cast(solids, scale=k, seed=seed).rgb_linear, 1)
    mean = fine.reshape(H, k, W, k, 3).mean(axis=(1, 3))
    point = fine[k // 2 :: k, k // 2 :: k]
    rms, rms_point = (
        float(np.sqrt(np.mean((np.minimum(image, 1) - mean)[edge] ** 2))) for image in (frame.rgb_linear, point)
    )
    assert edge.sum() > 300
    assert rms < 0.65 * rms_point
    # Away from silhouettes the textures are band-limited to the pixel instead.
    assert np.abs(np.minimum(frame.rgb_linear, 1) - mean)[~edge].mean() < 0.02


def test_texture_has_contrast_at_several_scales() -> None:
    request = FrameRequest(176, 112, 0.1, 1.0, 0.78)
    bands: list[list[float]] = []
    flat = 0
    for index in range(12):
        grey = np.log(load(index, request).rgb_linear.mean(axis=2) + 0.02)
        levels = [grey] + [cv2.GaussianBlur(grey, (0, 0), s) for s in (1, 2, 4, 8, 16)]
        bands.append([float(np.std(a - b)) for a, b in pairwise(levels)])
        detail = cv2.blur((levels[0] - levels[2]) ** 2, (15, 15))
        flat += bool((detail < 0.02**2).mean() > 0.05)
    assert np.median(bands, axis=0).min() > 0.03  # natural logarithm: 3 % in every octave from 1 to 16 px
    assert flat >= 2  # and places with little texture exist


def test_some_highlights_exceed_one() -> None:
    brightest = [float(load(index).rgb_linear.max()) for index in range(40)]
    assert max(brightest) > 2
    assert max(brightest) <= 12
    assert np.median([float(load(index).rgb_linear.mean()) for index in range(10)]) > 0.05


# --- shadows --------------------------------------------------------------------------------------------------

LAMP = np.array([0.4, -0.3, -1.0]) / np.linalg.norm([0.4, -0.3, -1.0])
CENTRE, RADIUS = np.array([0.0, 0.0, 0.6]), 0.08
ON_WALL = np.stack([U, V, np.ones_like(U)], axis=-1)  # the points of the wall at 1 m that the pixels see


def shade(solids: list[Solid], radius: float, **light: object) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) of the visible and of the hidden surface: light as a share of that without shadows."""
    light = {"direction": LAMP, "patches": 0.0, "lamp": 1.0, "ambient": 1.0, "lamp_radius": radius, **light}
    dark, bright = (cast(solids, **light, shadows=shadows) for shadows in (1.0, 0.0))
    np.testing.assert_array_equal(dark.depth_m, bright.depth_m)
    with np.errstate(invalid="ignore"):
        return tuple(  # type: ignore[return-value]
            getattr(dark, name).mean(axis=2) / getattr(bright, name).mean(axis=2)
            for name in ("rgb_linear", "hidden_rgb_linear")
        )


def misses_of_lamp_rays() -> np.ndarray:
    """(H, W) distance in metres at which the ray from each point of the wall to the lamp passes the ball's centre."""
    to_centre = CENTRE - ON_WALL
    return np.linalg.norm(np.cross(to_centre, LAMP), axis=-1)


def test_a_shadow_falls_where_the_ray_to_the_lamp_meets_the_ball() -> None:
    visible, _ = shade([ball(tuple(CENTRE), RADIUS, 1)], 1e-6)
    wall = np.isnan(ball_depth(tuple(CENTRE), RADIUS * 1.1))
    pixel_m = 1 / INTRINSICS.fx_px
    inside = wall & (misses_of_lamp_rays() < RADIUS - 4 * pixel_m)
    outside = wall & (misses_of_lamp_rays() > RADIUS + 4 * pixel_m)
    assert inside.sum() > 30
    assert visible[inside].max() < 0.9
    np.testing.assert_allclose(visible[outside], 1.0, rtol=1e-6)


def test_a_large_lamp_gives_a_soft_edge_as_wide_as_its_image_through_a_point() -> None:
    tangent = 0.15
    widths = []
    for radius in (1e-6, tangent):
        visible, _ = shade([ball(tuple(CENTRE), RADIUS, 1)], radius)
        wall = np.isnan(ball_depth(tuple(CENTRE), RADIUS * 1.1))
        misses = misses_of_lamp_rays()[wall & (visible < 0.999)]
        widths.append(misses.max())
    distance = (CENTRE[2] - 1.0) / LAMP[2]
    assert widths[0] == pytest.approx(RADIUS, abs=4 / INTRINSICS.fx_px)
    assert widths[1] == pytest.approx(RADIUS + tangent * distance, abs=3 / INTRINSICS.fx_px)  # the mean over pixels
    assert len(np.unique(np.round(visible[wall], 3))) > 10  # steps, not light and dark alone


def test_only_what_stands_towards_the_lamp_shades() -> None:
    """The ball hides the wall from the camera; lit from the camera it shades the hidden wall, not itself."""
    visible, hidden = shade([ball(tuple(CENTRE), RADIUS, 1)], 1e-6, direction=(0.0, 0.0, -1.0))
    on_ball = ~np.isnan(ball_depth(tuple(CENTRE), RADIUS * 0.95))
    np.testing.assert_allclose(visible[on_ball], 1.0, rtol=1e-6)
    shaded = on_ball & (np.hypot(U, V) < RADIUS - 4 / INTRINSICS.fx_px)
    assert shaded.sum() > 50
    assert hidden[shaded].max() < 0.9


def test_a_thing_outside_the_frame_casts_its_shadow_into_it() -> None:
    centre = CENTRE - 0.8 * LAMP / LAMP[2] * 0.6
    assert abs(centre[0] / centre[2]) > U.max()
    visible, _ = shade([ball(tuple(centre), RADIUS, 1)], 1e-6)
    assert np.isnan(ball_depth(tuple(centre), RADIUS)).all()
    assert (visible < 0.9).sum() > 50


def test_most_scenes_have_shadows_and_some_have_none() -> None:
    view = View.of_request(REQUEST, W, H)
    shadows = [compose.draw_light(np.random.default_rng(k), view)[0]["shadows"] for k in range(100)]
    assert 60 < np.count_nonzero(shadows) < 95


# --- the source -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("near_m", "far_m"), [(0.1, 1.0), (0.5, 10.0), (0.3, 0.3)])
def test_scene_is_complete_finite_and_within_its_depth_range(near_m: float, far_m: float) -> None:
    request = FrameRequest(40, 32, near_m, far_m, 0.7)
    for index in range(25):
        scene = load(index, request)
        assert scene.hidden_rgb_linear is not None
        assert scene.hidden_depth_m is not None
        assert scene.rgb_linear.shape == scene.hidden_rgb_linear.shape == (64, 80, 3)
        assert scene.depth_m.shape == scene.hidden_depth_m.shape == scene.valid.shape == (64, 80)
        for array in (scene.rgb_linear, scene.depth_m, scene.hidden_rgb_linear, scene.hidden_depth_m):
            assert array.dtype == np.float32
        assert scene.valid.all()
        for colour in (scene.rgb_linear, scene.hidden_rgb_linear):
            assert np.isfinite(colour).all()
            assert colour.min() >= 0
        behind = np.isfinite(scene.hidden_depth_m)
        assert (scene.hidden_depth_m[behind] >= scene.depth_m[behind]).all()
        for depth in (scene.depth_m, scene.hidden_depth_m[behind]):
            if depth.size:
                assert depth.min() >= 0.9 * near_m * (1 - 1e-6)
                assert depth.max() <= 1.3 * far_m * (1 + 1e-6)
        assert scene.intrinsics == Intrinsics(56.0, 56.0, 39.5, 31.5)


def test_same_seed_same_bytes_in_any_order_and_process() -> None:
    here = [digest(index) for index in range(4)]
    assert [digest(index) for index in (3, 1)] == [here[3], here[1]]
    assert len(set(here)) == 4
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(digest, (2, 0))) == [here[2], here[0]]


def test_other_seeds_make_other_scenes() -> None:
    assert not np.array_equal(load(0, seed=0).depth_m, load(0, seed=1).depth_m)


def test_the_source_describes_itself() -> None:
    source = SyntheticSource()
    assert len(source) == sys.maxsize
    assert (source.name, source.format, source.license) == ("synthetic", "synthetic", "CC0-1.0")
    assert "focalsim" in source.attribution
    assert source.frame_id(7) == load(7).source_id
    assert source.frame_id(7) != source.frame_id(8)


# --- composition ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", list(compose.RULES), ids=lambda rule: rule.__name__)
def test_every_rule_makes_scenes(rule: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "RULES", {rule: 1.0})
    ranges = []
    for index in range(6):
        scene = load(index)
        assert np.isfinite(scene.rgb_linear).all()
        ranges.append(1 / scene.depth_m.min() - 1 / scene.depth_m.max())
    assert max(ranges) > (0.3 if rule is compose.nearly_flat else 3.0)  # dioptres, of 9.0 in the focus range


def test_rules_share_the_whole_probability() -> None:
    assert sum(compose.RULES.values()) == pytest.approx(1.0)


def test_content_is_spread_over_the_range_in_inverse_depth() -> None:
    w = np.stack([1 / load(index).depth_m for index in range(120)])
    share, _ = np.histogram(w, bins=np.linspace(1, 10, 4))
    share = share / w.size
    assert share.sum() > 0.9  # the rest lies in the margins
    assert share.min() > 0.15  # each third of the dioptres is well filled


def test_depth_cannot_be_read_from_place_brightness_or_texture() -> None:
    """Mean correlations over many scenes; in a single scene each may be strong."""
    scenes = [load(index) for index in range(150)]
    v, u = np.indices((H, W))
    correlations = []
    for scene in scenes:
        w = 1 / scene.depth_m[1:]
        light = np.log(scene.rgb_linear.mean(axis=2) + 0.01)
        cues = (v[1:], u[1:], np.hypot(v - H / 2, u - W / 2)[1:], light[1:], np.abs(np.diff(light, axis=0)))
        correlations.append([np.corrcoef(w.ravel(), cue.ravel())[0, 1] for cue in cues])
    rows = np.array(correlations)
    # Depth does run along rows or columns within scenes, either way: 0.4 on average; 0.12 is 3 standard errors.
    assert np.abs(rows[:, :2]).mean() > 0.2
    assert np.abs(rows.mean(axis=0)).max() < 0.12


def test_thin_structures_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "RULES", {compose.thin_things: 1.0})
    thin = 0
    for index in range(4):
        w = 1 / load(index, FrameRequest(160, 120, 0.1, 1.0, 0.78)).depth_m
        opened = cv2.morphologyEx(w, cv2.MORPH_OPEN, np.ones((9, 9), np.uint8))  # removes what is under 9 px
        thin += int((w - opened > 0.5).sum() > 300)
    assert thin >= 3


def test_solids_are_thick_enough_to_be_found() -> None:
    stage = Stage(np.random.default_rng(0), View.of_request(REQUEST, W, H))
    stage.add(primitives.BOX, np.array([0.0, 0.0, 0.5]), np.eye(3), np.array([1e-6, 0.1, 1e-6]))
    pixel_m = 0.5 / INTRINSICS.fx_px
    assert 2 * stage.solids[0].size_m.min() >= pixel_m


# --- photos as textures ---------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    stripes = np.zeros((60, 80, 3), np.uint8)
    stripes[:, ::2] = (0, 0, 255)  # BGR: pure red, which no palette makes
    cv2.imwrite(str(folder / "red.png"), stripes)
    cv2.imwrite(str(folder / "sub" / "red.jpg"), stripes)
    (folder / "notes.txt").write_text("not a photo")
    return folder


def test_photos_are_used_on_a_share_of_the_surfaces(photos: Path) -> None:
    source = SyntheticSource(photos)
    shares = []
    for index in range(20):
        rgb = source.load(index, REQUEST, sample_rng(0, index, "scene")).rgb_linear
        shares.append(((rgb[..., 0] > 8 * rgb[..., 1]) & (rgb[..., 0] > 8 * rgb[..., 2])).mean())
    assert 0.1 < np.mean(shares) < 0.9
    again = source.load(19, REQUEST, sample_rng(0, 19, "scene")).rgb_linear
    np.testing.assert_array_equal(again, rgb)


def test_a_shrunken_photo_is_averaged_not_aliased(photos: Path) -> None:
    from focalsim.sources.synthetic.photos import find_photos, pack_photos, photo_colour

    texels, sizes = pack_photos(list(find_photos(photos))[:1])
    colours = [photo_colour(texels, sizes, 0, x, 20.0, 8.0)[0] for x in np.linspace(10, 60, 40)]
    np.testing.assert_allclose(colours, 0.5, atol=0.02)  # the mean of black and full red, in linear light
    sharp = [photo_colour(texels, sizes, 0, x + 0.5, 20.5, 1.0)[0] for x in range(10, 20)]
    np.testing.assert_allclose(sharp, [1.0, 0.0] * 5, atol=1e-6)


def test_photos_keep_their_own_licence(photos: Path) -> None:
    source = SyntheticSource(photos)
    assert "own licence" in source.license
    assert "2 of the user's own photos" in source.attribution
    assert len(source.digest) == 64
    cv2.imwrite(str(photos / "more.png"), np.full((8, 8, 3), 7, np.uint8))
    assert SyntheticSource(photos).digest != source.digest
    assert SyntheticSource().digest == ""


def test_folders_without_a_readable_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="expected a folder of photos"):
        SyntheticSource(tmp_path / "absent")
    with pytest.raises(SourceError, match="no readable image"):
        SyntheticSource(tmp_path)
    (tmp_path / "fake.jpg").write_text("no image at all")
    with pytest.raises(SourceError, match="no readable image"):
        SyntheticSource(tmp_path)


def test_a_truncated_photo_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(SourceError, match=r"cut\.png"):
        SyntheticSource(tmp_path).load(0, REQUEST, sample_rng(0, 0, "scene"))


# --- compilation ----------------------------------------------------------------------------------------------


def test_kernels_on_disk_are_stamped_with_the_whole_folder() -> None:
    """Without the stamp numba would go on using a kernel after a change in a file that it calls into."""
    assert solid_hit._cache._cache_file._source_stamp == kernel._STAMP
