"""The fast path against the slow one, and the pieces of the fast path."""

from __future__ import annotations

import numpy as np
import pytest

from focalsim.render import reference
from focalsim.render.kernels import diameter_of, kernel_table, keys6, lens_basis, level_of
from focalsim.render.layers import split_layers
from focalsim.render.resample import AxisMap
from focalsim.render.scatter import Samples, Scatter
from focalsim.render.visibility import lens_points, lens_visibility


def sunflower(n):
    """n points that cover the unit disc evenly (Vogel 1979)."""
    i = np.arange(n) + 0.5
    return np.sqrt(i / n)[:, None] * np.stack([np.cos(i * 2.39996323), np.sin(i * 2.39996323)], axis=-1)


def psnr(a, b):
    return -10 * np.log10(np.mean((np.asarray(a, float) - b) ** 2))


def fast(layers, focus_q):
    table = kernel_table(10.0)
    samples = []
    for color, coverage, q in (
        (layers.front_rgb, layers.front_coverage, layers.front_disparity_px),
        (layers.back_rgb, layers.back_coverage, layers.back_disparity_px),
    ):
        seen, partial = lens_visibility(q, coverage > 0, layers.front_disparity_px, layers.front_coverage)
        samples.append(Samples.of_layer(color, coverage, q, seen, partial))
    slice_ = np.empty((*layers.front_coverage.shape, 4), np.float32)
    Scatter(samples[0], samples[1], table).blur(focus_q, slice_)
    return slice_[..., :3]


def scene(edges):
    rng = np.random.default_rng(1)
    rgb = np.kron(rng.random((12, 14, 3)), np.ones((3, 3, 1))).astype(np.float32)
    y, x = np.mgrid[:36, :42]
    q = (1.0 + 0.05 * x + 0.02 * y).astype(np.float32)
    if edges:
        q[8:20, 10:16] = 7.0
        q[18:30, 26:29] = 5.0
    return rgb, q


# Without edges the two differ by the 1/16 px of blur levels and the trimmed rims: 45 dB is an error below half a code.
# With edges the visibility is a polynomial of second order instead of a mask: within 2 % of full scale.
@pytest.mark.parametrize(("edges", "decibel"), [(False, 50.0), (True, 35.0)])
@pytest.mark.parametrize("focus_q", [0.5, 3.0, 7.0])
def test_fast_path_agrees_with_the_reference(edges, decibel, focus_q):
    layers = split_layers(*scene(edges))
    slow = reference.render_slice(layers, focus_q, sunflower(80))
    assert psnr(fast(layers, focus_q), slow) > decibel


def test_every_kernel_sums_to_one_and_the_other_basis_kernels_to_zero():
    table = kernel_table(8.0)
    for level in range(0, len(table.radius), 7):
        size = (2 * table.radius[level] + 1) * table.stride[level]
        for k in range(6):
            start = table.start[level] + k * size
            total = float(table.weights[start : start + size].sum(dtype=float))
            assert total == pytest.approx(1.0 if k == 0 else 0.0, abs=2e-3 if k else 1e-6)


@pytest.mark.parametrize("diameter", [1.0, 2.5, 7.5])
def test_kernels_have_the_disc_s_second_moment(diameter):
    table = kernel_table(8.0)
    level = int(level_of(diameter))
    n, stride = 2 * table.radius[level] + 1, table.stride[level]
    kernel = table.weights[table.start[level] :][: n * stride].reshape(n, stride)[:, :n]
    taps = np.arange(n) - n // 2
    assert float((kernel * taps**2).sum()) == pytest.approx(diameter**2 / 16, rel=0.03)
    assert float((kernel * taps[:, None] ** 2).sum()) == pytest.approx(diameter**2 / 16, rel=0.03)


def test_interpolating_kernel_reproduces_cubics():
    taps = np.arange(-4, 6)
    for shift in np.linspace(0, 1, 11):
        weights = keys6(taps - shift)
        for power in range(4):
            assert (weights * taps.astype(float) ** power).sum() == pytest.approx(shift**power, abs=1e-12)


def test_lens_basis_has_zero_mean_but_for_the_first():
    means = lens_basis(sunflower(20000)).mean(axis=0)
    np.testing.assert_allclose(means, [1, 0, 0, 0, 0, 0], atol=2e-3)
    np.testing.assert_allclose(lens_basis(lens_points()).mean(axis=0), [1, 0, 0, 0, 0, 0], atol=0.02)


def test_an_edge_hides_half_the_lens_from_a_point_right_behind_it():
    q = np.full((21, 41), 1.0, np.float32)
    front = q.copy()
    front[:, :20] = 9.0
    seen, partial = lens_visibility(q, np.ones(q.shape, bool), front, np.ones_like(q))
    assert partial[10, 20]
    assert seen[10, 20, 0] == pytest.approx(0.5, abs=0.1)
    assert seen[10, 20, 1] > 0.5  # seen from the lens' right, where nothing stands
    assert abs(seen[10, 20, 2]) < 0.05
    assert seen[10, 10, 0] == pytest.approx(0.0, abs=0.02)  # deep behind
    assert not partial[10, 30]  # far beside


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
    axis = AxisMap(slope, 7.3, n_out, n_in)
    first, weights = axis.weights()
    index = np.clip(first[:, None] + np.arange(weights.shape[1]), 0, n_in - 1)
    x = slope * np.arange(n_out) + 7.3
    want = (primitive(x + slope / 2) - primitive(x - slope / 2)) / slope
    got = (source[index] * weights).sum(axis=1)
    inner = (x > 8) & (x < n_in - 9)
    np.testing.assert_allclose(got[inner], want[inner], atol=2e-3)


@pytest.mark.parametrize("diameter", [0.0, 0.5, 15.75, 16.0, 16.25, 73.0])
def test_levels_and_diameters_are_inverse(diameter):
    assert diameter_of(int(level_of(diameter))) == diameter
