"""The renderer against path-traced thin-lens stacks whose camera is known."""

from __future__ import annotations

from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from focalsim import render_stack
from focalsim.color import encode_srgb

TRUTH = Path(__file__).resolve().parents[1] / ".." / "shared" / "truth"
SCENES = sorted(TRUTH.glob("*.h5")) if TRUTH.is_dir() else []
BORDER_PX = 8  # what stands outside the frame cannot be known

# Best published scheme of each scene, mean PSNR over slices of stack_fixed, from the truth's own README.
BEST_PUBLISHED = {"dslr": 32.82, "macro_room": 36.92, "room": 39.43, "slant": 36.82, "thin": 34.31}
MEAN_SELECT, MEAN_BEST = 33.74, 36.06

pytestmark = pytest.mark.skipif(not SCENES, reason="path-traced truth is not at ../shared/truth")


def psnr(stack, truth):
    inner = np.s_[:, BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]
    error = (encode_srgb(stack[inner]) - encode_srgb(truth[inner])) ** 2
    return float(np.mean(-10 * np.log10(error.mean(axis=(1, 2, 3)))))


def render(path, *, breathing=False, doubled=False, change=None):
    with h5py.File(path) as scene:
        rgb, depth = (
            scene[name][:].astype(np.float32) for name in (("aif_2x", "depth_2x") if doubled else ("aif", "depth"))
        )
        depth = depth if change is None else change(depth)
        height, width = scene["depth"].shape
        warp = {"magnification": "thin-lens", "principal_point_px": scene["principal_point_px"][:]} if breathing else {}
        stack = render_stack(
            rgb,
            depth,
            **{name: float(scene.attrs[name]) for name in ("focal_length_m", "f_number", "sensor_width_m")},
            focus_distances_m=scene["focus_distances_m"][:],
            output_size=(width, height),
            **warp,
        )
        return psnr(stack, scene["stack_breathing" if breathing else "stack_fixed"][:].astype(np.float32))


def test_defocus_is_closer_to_the_truth_than_any_published_scheme():
    ours = {path.stem: render(path) for path in SCENES}
    for scene, published in BEST_PUBLISHED.items():
        assert ours[scene] > published + 1.0, ours
    assert np.mean(list(ours.values())) > MEAN_SELECT + 5.0
    assert np.mean(list(ours.values())) > MEAN_BEST + 2.5


@pytest.mark.parametrize("scene", [p for p in SCENES if p.stem in {"slant", "macro_room"}], ids=lambda p: p.stem)
def test_breathing_from_a_doubled_source_costs_less_than_1_5_db(scene):
    assert render(scene, breathing=True, doubled=True) > render(scene) - 1.5


@pytest.mark.parametrize("scene", [p for p in SCENES if p.stem in {"thin", "macro_room"}], ids=lambda p: p.stem)
def test_depth_that_was_smoothed_costs_less_where_its_edges_are_made_steps(scene, monkeypatch):
    def smoothed(depth_m):
        return 1 / cv2.GaussianBlur(1 / depth_m, (0, 0), 1.0)

    stepped = render(scene, change=smoothed)
    monkeypatch.setattr("focalsim.render.stack.with_steps", lambda depth_m, _: depth_m)
    assert stepped > render(scene, change=smoothed) + 1.5
