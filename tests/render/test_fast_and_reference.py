"""The fast path against the slow one, and the pieces of the fast path."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from focalsim.render import reference, scatter, visibility
from focalsim.render.kernels import (
    BASIS_SIZE,
    NARROW_PX,
    WIDE_PX,
    diameter_of,
    kernel_table,
    lens_basis,
    level_of,
    octant_place,
)
from focalsim.render.layers import Layers, split_layers
from focalsim.render.resample import AxisMap, Warp
from focalsim.render.scatter import Scatter
from focalsim.render.unmix import EDGE_PX
from focalsim.render.visibility import NONE, PARTIAL, WHOLE, lens_points, lens_visibility, seen_samples


def sunflower(n):
    """n points that cover the unit disc evenly (Vogel 1979)."""
    i = np.arange(n) + 0.5
    return np.sqrt(i / n)[:, None] * np.stack([np.cos(i * 2.39996323), np.sin(i * 2.39996323)], axis=-1)


def psnr(a, b):
    return -10 * np.log10(np.mean((np.asarray(a, float) - b) ** 2))


def unmoved(pixels):
    return AxisMap(np.ones((1, 1)), np.zeros((1, 1)), pixels, pixels)


def fast(layers, focus_q, largest_px=10.0):
    height, width = layers.front_coverage.shape
    stack = np.empty((1, height, width, 3), np.float32)
    nothing = Warp(unmoved(width), unmoved(height)).whole()
    Scatter(seen_samples(layers), largest_px).render(np.array([focus_q]), nothing, stack)
    return stack[0]


def scene(edges):
    rng = np.random.default_rng(1)
    rgb = np.kron(rng.random((12, 14, 3)), np.ones((3, 3, 1))).astype(np.float32)
    y, x = np.mgrid[:36, :42]
    q = (1.0 + 0.05 * x + 0.02 * y).astype(np.float32)
    if edges:
        q[8:20, 10:16] = 7.0
        q[18:30, 26:29] = 5.0
    return rgb, q


# Without edges the two differ by the 1/16 px of blur levels and by how they interpolate, little in a smooth picture.
# With edges the visibility is a polynomial of second order instead of a mask: within 2 % of full scale.
@pytest.mark.parametrize(("edges", "decibel"), [(False, 50.0), (True, 35.0)])
@pytest.mark.parametrize("focus_q", [0.5, 3.0, 7.0])
def test_fast_path_agrees_with_the_reference(edges, decibel, focus_q):
    rgb, q = scene(edges)
    layers = split_layers(cv2.GaussianBlur(rgb, (0, 0), 1.0), q)
    slow = reference.render_slice(layers, focus_q, sunflower(80))
    assert psnr(fast(layers, focus_q), slow) > decibel


def whole_kernel(table, level, k):
    """Basis kernel k of a level from the lower half that the wide table keeps."""
    lower = table.wide[level + 1, k].astype(float)
    upper = lower[:0:-1] * (-1 if k in (2, 3) else 1)
    return np.concatenate([upper, lower])


def test_every_kernel_sums_to_one_and_the_other_basis_kernels_to_zero():
    table = kernel_table(18.0)
    for level in range(0, len(table.radius), 7):
        for k in range(6):
            total = whole_kernel(table, level, k).sum()
            assert total == (1.0 if k == 0 else 0.0)


def test_kernels_are_whole_steps_far_coarser_than_a_solver_s_rounding():
    """Else a machine with another solver, or more threads, would write bundles of other bytes."""
    table = kernel_table(18.0)
    for numbers in (table.narrow, table.wide, table.octant):
        np.testing.assert_array_equal(numbers * 2.0**20, np.round(numbers * 2.0**20))


def test_narrow_and_wide_kernels_are_the_same():
    table = kernel_table(18.0)
    narrow = table.radius <= NARROW_PX
    assert 40 < narrow.sum() < len(narrow)
    shift = WIDE_PX - NARROW_PX
    columns = 2 * NARROW_PX + 1
    np.testing.assert_array_equal(
        table.narrow[1:][narrow][..., :columns],
        table.wide[1:][narrow][:, :, : NARROW_PX + 1, shift : shift + columns],
    )


def test_an_octant_mirrored_is_the_whole_kernel():
    table = kernel_table(18.0)
    dy, dx = np.abs(np.indices((2 * WIDE_PX + 1,) * 2) - WIDE_PX)
    for level in range(0, len(table.radius), 7):
        mirrored = table.octant[level + 1, octant_place(dy, dx)]
        np.testing.assert_array_equal(mirrored, whole_kernel(table, level, 0)[:, : 2 * WIDE_PX + 1])
        reach = table.radius[level]
        assert not table.octant[level + 1, (reach + 1) * (reach + 2) // 2 :].any()


@pytest.mark.parametrize("diameter", [1.0, 2.5, 7.5, 15.0])
def test_kernels_have_the_disc_s_second_moment(diameter):
    kernel = whole_kernel(kernel_table(16.0), int(level_of(diameter)), 0)
    dy, dx = np.arange(len(kernel)) - WIDE_PX, np.arange(kernel.shape[1]) - WIDE_PX
    assert float((kernel * dx**2).sum()) == pytest.approx(diameter**2 / 16, rel=1e-4)
    assert float((kernel * dy[:, None] ** 2).sum()) == pytest.approx(diameter**2 / 16, rel=1e-4)


# The coarser levels see the scene through averages of 2 x 2 and more pixels, each spread by a disc of 8 px or more.
@pytest.mark.parametrize(("edges", "decibel"), [(False, 55.0), (True, 45.0)])
def test_coarser_levels_make_the_same_light_as_kernels_of_full_size(edges, decibel, monkeypatch):
    rgb, q = (np.kron(a, np.ones((4, 4) + (1,) * (a.ndim - 2), np.float32)) for a in scene(edges))
    layers = split_layers(rgb, q)
    levels = fast(layers, 18.0, 17.5)  # no coarser level
    monkeypatch.setattr(scatter, "LARGEST_PX", 16.0)
    coarse = fast(layers, 18.0, 17.5)
    assert psnr(coarse, levels) > decibel
    assert np.abs(coarse - levels).max() > 0  # it did take another way


@pytest.mark.parametrize("blur", [-60.0, -80.0])
def test_a_speck_before_a_sharp_wall_is_spread_though_no_coarse_pixel_can_take_it(blur):
    """Its neighbours are in focus: it is alone at its level with a disc larger than any kernel made."""
    rgb, q = np.zeros((121, 121, 3), np.float32), np.zeros((121, 121), np.float32)
    rgb[60, 60], q[60, 60] = 1.0, -blur
    light = fast(Layers(rgb, np.ones_like(q), q, 0 * rgb, 0 * q, 0 * q), 0.0, abs(blur))[..., 0].astype(float)
    offset = np.arange(121) - 60
    assert light.sum() == pytest.approx(1.0, rel=0.1)
    assert (light * offset**2).sum() / light.sum() == pytest.approx(blur**2 / 16, rel=0.05)


def test_lens_basis_has_zero_mean_but_for_the_first():
    means = lens_basis(sunflower(20000)).mean(axis=0)
    np.testing.assert_allclose(means, [1, 0, 0, 0, 0, 0], atol=2e-3)
    np.testing.assert_allclose(lens_basis(lens_points()).mean(axis=0), [1, 0, 0, 0, 0, 0], atol=0.02)


def test_an_edge_hides_half_the_lens_from_a_point_right_behind_it():
    q = np.full((21, 41), 1.0, np.float32)
    front = q.copy()
    front[:, :20] = 9.0
    index, coefficients = lens_visibility(q, np.ones(q.shape, bool), front, np.ones_like(q))
    assert index[10, 20] >= PARTIAL
    seen = coefficients[index[10, 20] - PARTIAL]
    assert seen[0] == pytest.approx(0.5, abs=0.1)
    assert seen[1] > 0.5  # seen from the lens' right, where nothing stands
    assert abs(seen[2]) < 0.05
    assert index[10, 10] == NONE  # deep behind
    assert index[10, 30] == WHOLE  # far beside


@pytest.mark.parametrize("angle", [0.0, 0.5, 1.2, 2.9])
def test_the_steep_polynomial_tells_an_edge_better_than_the_fit(angle):
    """Lens points before an edge far nearer see nothing; a sum of six smooth functions cannot step."""
    y, x = np.mgrid[-30:31, -30:31]
    q = np.full(x.shape, 1.0, np.float32)
    front = np.where(x * np.cos(angle) + y * np.sin(angle) < -3.2, np.float32(25.0), q)
    index, coefficients = lens_visibility(q, np.ones(q.shape, bool), front, np.ones_like(q))
    both = coefficients[index[30, 30] - PARTIAL].reshape(2, BASIS_SIZE)
    # A point u hides behind what stands at u times half the difference of disparities.
    u = sunflower(2000)
    seen = 12 * (u @ [np.cos(angle), np.sin(angle)]) > -3.2
    fit, steep = lens_basis(u) @ both.T[:, 0], np.clip(lens_basis(u) @ both.T[:, 1], 0, 1)
    assert np.abs(steep - seen).mean() < 0.4 * np.abs(fit - seen).mean()
    assert steep.mean() == pytest.approx(seen.mean(), abs=0.035)


def test_a_sharp_object_has_no_rim_of_the_blurred_background():
    """Dark and in focus before bright discs of 15 px, of which a part of the lens sees the wall behind the edge."""
    q = np.full((60, 90), 1.0, np.float32)
    q[:, 30:60] = 16.0
    rgb = np.repeat(np.where(q > 1, 0.0, 1.0)[..., None], 3, axis=2).astype(np.float32)
    image = fast(split_layers(rgb, q), 16.0, 15.0)
    assert image[30, 30, 0] < 0.12
    assert np.abs(image[30, 31:59]).max() < 0.01
    assert image[30, 29, 0] > 0.99


@pytest.mark.parametrize("seed", range(4))
def test_squares_that_grow_miss_nothing_that_may_hide_a_sample(seed):
    """Against a search through all pixels for those on some ray from the lens: specks before a wall."""
    rng = np.random.default_rng(seed)
    q = rng.uniform(0, 0.2, (40, 34)).astype(np.float32)
    q[rng.integers(0, 40, 3), rng.integers(0, 34, 3)] = rng.uniform(1, 60, 3)
    present = rng.random(q.shape) < 0.8
    (reach,) = visibility._occluder_reach([(q, present)], q)
    y, x = np.mgrid[: q.shape[0], : q.shape[1]]
    for row, column in np.argwhere(present):
        gap = q - q[row, column]
        dy, dx = y - row, x - column
        on_a_ray = (gap > EDGE_PX) & (np.hypot(dx, dy) <= gap / 2 + 1.42)
        needed = np.maximum(abs(dx), abs(dy))[on_a_ray].max(initial=0)
        assert reach[row, column] >= needed
    assert np.all(reach[~present] == 0)
    assert 0 < np.count_nonzero(reach) < present.sum()


def test_unmixing_keeps_the_compositing_equation():
    rgb, q = scene(edges=True)
    layers = split_layers(rgb, q)
    edge = (layers.back_coverage > 0) & (layers.front_coverage < 1)
    assert edge.sum() > 50
    a = layers.front_coverage[..., None]
    mixed = a * layers.front_rgb + (1 - a) * layers.back_rgb
    np.testing.assert_allclose(mixed[edge], rgb[edge], atol=1e-5)
    assert layers.front_rgb.min() >= 0
    assert layers.back_rgb.min() >= -1e-6
    assert np.all(layers.back_disparity_px[edge] < layers.front_disparity_px[edge])


def test_unmixing_finds_the_coverage_of_a_straight_edge():
    """Two flat colours and an edge a quarter pixel off: the mixed column must be found 0.75 : 0.25."""
    rgb = np.zeros((16, 16, 3), np.float32)
    rgb[:, :8] = (0.9, 0.1, 0.1)
    rgb[:, 8:] = (0.1, 0.2, 0.8)
    rgb[:, 7] = 0.75 * rgb[0, 0] + 0.25 * rgb[0, 15]
    q = np.where(np.arange(16) < 8, 6.0, 1.0)[None].repeat(16, 0).astype(np.float32)
    layers = split_layers(rgb, q)
    np.testing.assert_allclose(layers.front_coverage[4:12, 7], 0.75, atol=0.02)
    np.testing.assert_allclose(layers.front_rgb[8, 7], rgb[0, 0], atol=0.03)


@pytest.mark.parametrize("slope", [0.93, 1.0, 1.9])
def test_resampling_keeps_area_averages(slope):
    """Exact averages of a smooth scene in, exact averages over the new pixels out."""

    def primitive(x):
        return 0.5 * x - 0.3 / 0.4 * np.cos(0.4 * x)

    n_in, n_out = 120, 50
    source = np.diff(primitive(np.arange(n_in + 1) - 0.5))
    image = np.broadcast_to(source[:, None], (5, n_in, 3)).astype(np.float32)
    along, down = AxisMap(np.full((1, 1), slope), np.full((1, 1), 7.3), n_out, n_in), unmoved(5)
    stack = np.empty((1, 5, n_out, 3), np.float32)
    Warp(along, down).whole().apply(image, 0, stack)
    x = slope * np.arange(n_out) + 7.3
    want = (primitive(x + slope / 2) - primitive(x - slope / 2)) / slope
    got = stack[0, 4, :, 1]
    inner = (x > 8) & (x < n_in - 9)
    np.testing.assert_allclose(got[inner], want[inner], atol=2e-3)


@pytest.mark.parametrize("slope", [0.5, 1.0, 4 / 3, 2.0])
def test_rounded_borders_of_pixels_are_no_trouble(slope):
    """Where borders of output pixels fall on those of source pixels, rounding decides which pixel comes first."""
    rng = np.random.default_rng(0)
    for n_in in (2, 40, 41, 333):
        offset = np.concatenate([np.arange(-8, 8) / 16, rng.integers(-40, 40, 30) / 10])[:, None]
        axis = AxisMap(np.full_like(offset, slope), offset, 64, n_in)
        stack = np.empty((len(offset), 64, 64, 3), np.float32)
        piece = Warp(axis, axis).whole()
        for n in range(len(offset)):
            piece.apply(np.full((n_in, n_in, 3), 0.7, np.float32), n, stack)
        np.testing.assert_allclose(stack, 0.7, rtol=1e-5)


@pytest.mark.parametrize("diameter", [0.0, 0.5, 15.75, 16.0, 16.25, 73.0])
def test_levels_and_diameters_are_inverse(diameter):
    assert diameter_of(int(level_of(diameter))) == diameter
