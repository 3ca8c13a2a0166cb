"""The breathing warp keeps contrast: over all phones' ranges, at any fraction of a pixel, along both axes."""

from __future__ import annotations

import numpy as np
import pytest

from focalsim.camera import draw_camera, focus_schedule_m, list_profiles, load_profile
from focalsim.render import render_stack
from focalsim.rng import sample_rng

LENS = {"focal_length_m": 4.4e-3, "f_number": 1.7, "sensor_width_m": 4032 * 1.4e-6}


def kept_contrast(zoom, shift_px, *, rows):
    """Contrast that a grating of half the Nyquist frequency (4 pixels a period) keeps in the slice that is in focus."""
    wave = 0.5 + 0.4 * np.sin(np.pi / 2 * np.arange(160) + 0.3)
    rgb = np.repeat(np.repeat(wave[None, :, None], 32, 0), 3, 2).astype(np.float32)
    shift = [[shift_px, 0.0]]
    if rows:
        rgb, shift = np.ascontiguousarray(rgb.transpose(1, 0, 2)), [[0.0, shift_px]]
    depth = np.full(rgb.shape[:2], 0.5, np.float32)
    warped = render_stack(rgb, depth, **LENS, focus_distances_m=[0.5], magnification=[zoom], principal_point_px=shift)[
        0, ..., 0
    ]
    lines = warped[:, 16] if rows else warped[16]
    inner = slice(20, -20)
    # The amplitude, by projection on the grating as it stands in the slice: no aliasing adds to it.
    x = np.arange(160)[inner]
    phase = np.pi / 2 * ((x - 79.5 - shift_px) / zoom + 79.5) + 0.3
    basis = np.stack([np.sin(phase), np.cos(phase), np.ones_like(phase)], axis=1)
    sine, cosine, _ = np.linalg.lstsq(basis, lines[inner], rcond=None)[0]
    assert abs(cosine) < 0.02 * abs(sine)  # and it stands where it should
    return sine / 0.4


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("zoom", [0.95, 1.0, 1.0007, 1.02, 1.045, 1.08, 1.12])
def test_at_half_the_nyquist_frequency_95_percent_are_kept(zoom, rows):
    kept = [kept_contrast(zoom, shift, rows=rows) for shift in (-1.75, -0.5, 0.0, 0.1, 0.25, 0.5, 0.9)]
    assert min(kept) >= 0.95
    # Nor is it sharpened: a pixel averages sinc(1/4) of the grating away before the zoom, sinc(1/4 / zoom) after it.
    assert max(kept) <= max(1.0, np.sinc(0.25 / zoom) / np.sinc(0.25)) + 0.01


def test_the_range_above_is_that_of_the_phones():
    focus_m = focus_schedule_m(0.1, 1.0, 10)
    zooms = [
        draw_camera(load_profile(name), focus_m, 352, sample_rng(0, index, "camera")).magnification
        for name in list_profiles()
        for index in range(5)
    ]
    assert np.min(zooms) >= 0.95
    assert 1.08 < np.max(zooms) <= 1.12
