"""Large pictures in bands of rows: the light of the whole, in memory that does not grow with the height."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from focalsim.camera import Aperture, LateralColor, coc_diameter_px
from focalsim.color import linear_to_srgb
from focalsim.render import bands, render_stack
from focalsim.render.bands import Frame, plan_bands
from focalsim.render.scatter import reach_rows

LENS = {"focal_length_m": 4.4e-3, "f_number": 1.7, "sensor_width_m": 5.6e-3, "focus_distances_m": [1.0, 0.3, 0.1]}


def scene(width=96, height=230, seed=0):
    """Discs at random depths before a slanted wall."""
    rng = np.random.default_rng(seed)
    rgb = rng.random((height, width, 3)).astype(np.float32)
    y, x = np.mgrid[:height, :width]
    depth = (0.6 + 0.3 * y / height).astype(np.float32)
    for _ in range(14):
        inside = np.hypot(y - rng.uniform(0, height), x - rng.uniform(0, width)) < rng.uniform(3, 12)
        depth[inside] = rng.uniform(0.1, 0.5)
    return rgb, depth


def in_bands(monkeypatch, pixels, render):
    """The result of ``render`` with memory for bands of so many pixels, and how many there were."""
    used = []

    def spy(*arguments):
        used.extend(plan_bands(*arguments))
        return iter(used)

    with monkeypatch.context() as patch:
        patch.setattr(bands, "plan_bands", spy)
        patch.setattr(bands, "MEMORY_BYTES", pixels * bands._BYTES_PER_PIXEL)
        return render(), len(used)


def hidden(rgb, depth):
    return {
        "hidden_rgb_linear": rgb[::-1].copy(),
        "hidden_depth_m": np.where(depth < 0.5, depth + 9.0, np.nan).astype(np.float32),
    }


OPTIONS = {
    "plain": {},
    "moved": {"magnification": [1.0, 1.02, 1.07], "principal_point_px": [[0, 0], [3.2, -6.4], [-2.5, 9.1]]},
    "reduced": {"output_size": (48, 115), "magnification": "thin-lens"},
    "window": {"window": (8, 15, 80, 200), "magnification": [1.0, 0.95, 0.9]},
    "lateral color": {"lateral_color": LateralColor(0.02, -0.03)},
    "polygon": {"aperture": Aperture(blades=5)},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("known", [False, True], ids=["", "hidden surfaces"])
def test_bands_make_the_light_of_the_whole_picture(options, known, monkeypatch):
    rgb, depth = scene()
    surfaces = hidden(rgb, depth) if known else {}

    def render():
        return render_stack(rgb, depth, **LENS, **options, **surfaces)

    whole = render()
    banded, count = in_bands(monkeypatch, 90 * 96, render)
    assert count > 3
    np.testing.assert_array_equal(banded, whole)


@pytest.mark.parametrize(("f_number", "largest_px"), [(0.1, 30), (0.05, 60)])
def test_bands_of_large_blur_join_its_coarser_levels(f_number, largest_px, monkeypatch):
    """Discs of 30 and 60 pixels: one and two coarser levels, whose pixels no border of a band may cut."""
    rgb, depth = scene(height=1201)
    camera = {"focal_length_m": LENS["focal_length_m"], "sensor_width_m": LENS["sensor_width_m"]}
    assert coc_diameter_px(0.1, 1.0, **camera, f_number=f_number, width_px=96) == pytest.approx(largest_px, rel=0.05)
    lens = LENS | {"f_number": f_number, "magnification": [1.0, 1.01, 0.97]}
    whole = render_stack(rgb, depth, **lens)
    for rows in (290, 300, 331):
        banded, count = in_bands(monkeypatch, rows * 96, lambda: render_stack(rgb, depth, **lens))
        assert count > 3
        np.testing.assert_array_equal(banded, whole)


def test_filled_depth_does_not_depend_on_bands(monkeypatch):
    """The nearest known depth may lie outside a band."""
    rgb, depth = scene()
    valid = np.zeros(depth.shape, bool)
    valid[:40], valid[-10:, :30] = True, True
    whole = render_stack(rgb, depth, valid=valid, **LENS)
    banded, count = in_bands(monkeypatch, 90 * 96, lambda: render_stack(rgb, depth, valid=valid, **LENS))
    assert count > 3
    np.testing.assert_array_equal(banded, whole)


@pytest.mark.parametrize("largest", [5.0, 30.0, 78.0])
def test_bands_share_out_all_rows_and_keep_to_their_memory(largest):
    """Frames of any height, of phone width, whose largest blur is this."""
    rows = bands.MEMORY_BYTES // (bands._BYTES_PER_PIXEL * 4032)
    for height in (rows, rows + 1, 3 * rows, 20 * rows + 7):
        depth = np.broadcast_to(np.float32(1.0), (height, 4032)).copy()
        depth[0, 0] = 0.1
        frame = Frame(np.empty((height, 0, 3), np.float32), depth, None, None, largest / 9)
        reach, whole = reach_rows(largest)
        plan = list(plan_bands(frame, reach, whole, 9))
        assert (len(plan) == 1) == (height == rows)
        assert max(band.frame.stop - band.frame.start for band in plan) <= rows
        starts = [0, *(band.blurred.start + 9 for band in plan[1:])]
        assert starts == [0, *(band.blurred.stop for band in plan[:-1])]
        assert plan[-1].blurred.stop == height
        for band in plan:
            assert band.samples.start % whole == 0
            assert band.samples.stop % whole == 0 or band.samples.stop == height


def test_memory_does_not_grow_with_the_height(monkeypatch):
    budget = 12 << 20
    monkeypatch.setattr(bands, "MEMORY_BYTES", budget)

    def taken(height):
        rgb, depth = scene(256, height)
        tracemalloc.start()
        stack = render_stack(rgb, depth, **LENS)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak - stack.nbytes

    taken(300)  # kernels are made once
    assert taken(800) < 1.1 * budget
    assert taken(2400) < 1.1 * budget


@pytest.mark.parametrize("options", [{}, OPTIONS["lateral color"], OPTIONS["moved"]], ids=["", "lateral", "moved"])
def test_codes_are_those_of_the_light(options, monkeypatch):
    rgb, depth = scene()

    def render(**encoding):
        return render_stack(rgb, depth, **LENS, **options, **encoding)

    codes, count = in_bands(monkeypatch, 90 * 96, lambda: render(encode=linear_to_srgb))
    assert count > 3
    assert codes.dtype == np.uint8
    np.testing.assert_array_equal(codes, linear_to_srgb(render()))


def test_codes_of_large_pictures_need_no_stack_of_light(monkeypatch):
    rgb, depth = scene(256, 1500)
    lens = LENS | {"focus_distances_m": np.geomspace(0.1, 1.0, 12)}
    monkeypatch.setattr(bands, "MEMORY_BYTES", 12 << 20)
    render_stack(rgb[:99], depth[:99], **lens, encode=linear_to_srgb)
    tracemalloc.start()
    codes = render_stack(rgb, depth, **lens, encode=linear_to_srgb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - codes.nbytes < 15 << 20  # the light is 55 MB
