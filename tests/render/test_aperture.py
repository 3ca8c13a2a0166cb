"""Polygonal apertures: the shape, size and light of a blurred point, and the same occlusion as the disc's."""

from __future__ import annotations

import numpy as np
import pytest

from focalsim.camera import Aperture, coc_diameter_px
from focalsim.render import reference, render_stack
from focalsim.render.aperture import aperture_kernels, rim_radius
from focalsim.render.interpolation import best_kernels
from focalsim.render.layers import split_layers

DIAMETER = 24.0
LENS = {"focal_length_m": 4.4e-3, "f_number": 1.7}
SIZE = 65


def point_picture(aperture, blur_px=DIAMETER, *, behind=True):
    """A point of light behind or before the focus whose disc would have the diameter ``blur_px``."""
    rgb = np.zeros((SIZE, SIZE, 3), np.float32)
    rgb[SIZE // 2, SIZE // 2] = 1.0
    depth_m, focus_m = (1.0, 0.1) if behind else (0.1, 1.0)
    at_one_metre = coc_diameter_px(depth_m, focus_m, **LENS, width_px=SIZE, sensor_width_m=1.0)
    lens = {**LENS, "sensor_width_m": float(at_one_metre) / blur_px}
    depth = np.full((SIZE, SIZE), depth_m, np.float32)
    return render_stack(rgb, depth, **lens, focus_distances_m=[focus_m], aperture=aperture)[0, ..., 0]


def lit_radius(image, degrees):
    """How far from the centre the light falls to half of what it is inside, in the direction +x towards +y."""
    x, y = (np.array([f(np.radians(degrees))]) for f in (np.cos, np.sin))
    radii = np.arange(0, SIZE // 2, 0.05)
    columns, rows = (np.rint(SIZE // 2 + radii * a).astype(int) for a in (x, y))
    lit = image[rows, columns] > 0.5 * np.median(image[image > 0.5 * image.max()])
    return float(radii[lit].max())


@pytest.mark.parametrize("blades", [3, 5, 6, 8])
def test_a_point_of_light_becomes_the_polygon(blades):
    image = point_picture(Aperture(blades, rotation_deg=15.0))
    corner, edge = DIAMETER / 2, DIAMETER / 2 * np.cos(np.pi / blades)
    for k in range(blades):
        direction = 15.0 + 360 / blades * k
        assert lit_radius(image, direction) == pytest.approx(corner, abs=2.0)
        assert lit_radius(image, direction + 180 / blades) == pytest.approx(edge, abs=1.0)
    assert image.sum(dtype=float) == pytest.approx(1.0, rel=1e-4)
    # The same light on the smaller area of the polygon.
    inside = np.median(image[image > 0.5 * image.max()])
    area = blades / 2 * np.sin(2 * np.pi / blades) * corner**2
    assert inside == pytest.approx(1 / area, rel=0.05)


def test_before_the_focus_the_shape_is_upside_down():
    behind, before = (point_picture(Aperture(3), behind=b) for b in (True, False))
    np.testing.assert_allclose(before, behind[::-1, ::-1], atol=1e-6)
    assert np.abs(before - behind).max() > 0.5 * behind.max()


@pytest.mark.parametrize("diameter_px", [0.7, 3.0, 12.4])
def test_fully_bent_blades_are_the_disc(diameter_px):
    """Within what interpolation by Keys' kernel differs from the best."""
    bent = aperture_kernels(Aperture(5, curvature=1.0), diameter_px)
    disc = best_kernels([diameter_px], bent.shape[1] // 2)[0]
    np.testing.assert_allclose(bent, disc, atol=0.035 * disc.max())


def test_curvature_lies_between_polygon_and_disc():
    radii = [lit_radius(point_picture(Aperture(4, curvature=c)), 45.0) for c in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose(radii, DIAMETER / 2 * np.array([np.sqrt(0.5), 0.5 + 0.5 * np.sqrt(0.5), 1.0]), atol=1.0)


@pytest.mark.parametrize("diameter_px", [0.3, 2.0, 9.7])
def test_kernels_have_the_polygons_moments(diameter_px):
    """Mean r^2 over a regular polygon of circumradius one: (2 + cos(2 pi / n)) / 6; interpolation adds nothing."""
    kernel = aperture_kernels(Aperture(6), diameter_px)
    taps = np.arange(kernel.shape[1]) - kernel.shape[1] // 2
    variance = (2 + np.cos(2 * np.pi / 6)) / 6 * (diameter_px / 2) ** 2 / 2  # along one axis
    assert kernel[0].sum() == pytest.approx(1.0)
    assert (kernel[0] * taps**2).sum() == pytest.approx(variance, rel=2e-3)
    assert (kernel[0] * taps[:, None] ** 2).sum() == pytest.approx(variance, rel=2e-3)


def test_in_focus_and_constant_pictures_stay():
    rng = np.random.default_rng(0)
    rgb = rng.random((40, 48, 3)).astype(np.float32)
    depth = np.full((40, 48), 0.25, np.float32)
    depth[10:20, 10:30] = 0.12
    lens = {**LENS, "sensor_width_m": 1.4e-3}
    sharp = render_stack(rgb, np.full_like(depth, 0.25), **lens, focus_distances_m=[0.25], aperture=Aperture(5))
    np.testing.assert_allclose(sharp[0], rgb, atol=1e-5)
    grey = render_stack(np.full_like(rgb, 0.4), depth, **lens, focus_distances_m=[1.0, 0.1], aperture=Aperture(5))
    np.testing.assert_allclose(grey, 0.4, atol=1e-5)


@pytest.mark.parametrize("focus_q", [0.5, pytest.param(7.0, marks=pytest.mark.slow)])
def test_occlusion_agrees_with_single_lens_points(focus_q):
    """The slow path takes points of the polygon one by one. Visibility is a polynomial here, as it is for the disc."""
    rng = np.random.default_rng(1)
    rgb = np.kron(rng.random((12, 14, 3)), np.ones((3, 3, 1))).astype(np.float32)
    q = np.full((36, 42), 2.0, np.float32)
    q[8:20, 10:16] = 7.0
    q[18:30, 26:29] = 5.0
    aperture = Aperture(3, rotation_deg=20.0)
    i = np.arange(120) + 0.5
    radius, angle = np.sqrt(i / 120), i * 2.39996323  # Vogel's sunflower, even over the disc
    points = (radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1))[radius < rim_radius(aperture, angle)]
    slow = reference.render_slice(split_layers(rgb, q), focus_q, points)
    # A camera in which the blur of depth d focused at s is |gain/s - gain/d|.
    camera = {"focal_length_m": 1e-4, "f_number": 1e-3, "sensor_width_m": 1e-5 * 42}
    gain = 1.0
    for _ in range(5):  # the lens-to-sensor distance depends a little on the focus, and that on the gain
        s = gain / focus_q
        gain = 0.1 * (1e-4 * s / (s - 1e-4)) * 42 / camera["sensor_width_m"]
    depth = (gain / q).astype(np.float32)
    polygon, disc = (
        render_stack(rgb, depth, **camera, focus_distances_m=[gain / focus_q], aperture=a)[0] for a in (aperture, None)
    )

    def psnr(a):
        return -10 * np.log10(np.mean((a - slow) ** 2))

    assert psnr(polygon) > 32
    assert psnr(polygon) > psnr(disc) + 4


def test_threads_do_not_matter():
    import numba

    rgb = np.random.default_rng(0).random((150, 40, 3)).astype(np.float32)
    depth = np.linspace(0.1, 0.5, 150, dtype=np.float32)[:, None].repeat(40, 1)
    lens = {**LENS, "sensor_width_m": 2e-3, "focus_distances_m": [0.2]}
    before = numba.get_num_threads()
    stacks = []
    for threads in sorted({1, before}):
        numba.set_num_threads(threads)
        stacks.append(render_stack(rgb, depth, **lens, aperture=Aperture(5)))
    numba.set_num_threads(before)
    np.testing.assert_array_equal(stacks[0], stacks[-1])
