"""Light above 1 goes from the file through the renderer: highlights become bokeh discs."""

from __future__ import annotations

from pathlib import Path

import cv2
import h5py
import numpy as np
import OpenEXR
import pytest

from focalsim.camera import phone_dicts
from focalsim.config import RenderConfig
from focalsim.errors import FrameError, SourceError
from focalsim.job import plan_job, render_sample
from focalsim.sources import FrameRequest, open_source
from focalsim.sources.image_files import read_rgb

H, W = 64, 96
LAMP = 60.0


def lamp_scene():
    """A dark wall at 1 m with a lamp of a few pixels on it; half of what is too bright to be told apart in 8 bits."""
    light = np.full((H, W, 3), 0.02, np.float32)
    light[31:33, 47:49] = LAMP
    return light


def write_exr(path: Path, channels: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}, channels).write(str(path))


def write_frame(folder: Path, light: np.ndarray, suffix: str) -> None:
    (folder / "rgb").mkdir(parents=True)
    path = folder / f"rgb/0{suffix}"
    if suffix == ".exr":
        write_exr(path, {name: np.ascontiguousarray(light[..., k]) for k, name in enumerate("RGB")})
    elif suffix == ".hdr":
        cv2.imwrite(str(path), light[..., ::-1])
    else:
        cv2.imwrite(str(path), np.clip(255 * light[..., ::-1], 0, 255).astype(np.uint8))
    (folder / "depth").mkdir()
    np.save(folder / "depth/0.npy", np.full((H, W), 1.0, np.float32))


def load(folder: Path):
    request = FrameRequest(48, 32, 0.1, 1.0, 0.8)
    return open_source(folder).load(0, request, np.random.default_rng(0))


@pytest.mark.parametrize(("suffix", "tolerance"), [(".exr", 1e-6), (".hdr", 0.01)])
def test_files_of_linear_light_are_read_as_they_are(tmp_path, suffix, tolerance):
    write_frame(tmp_path / "a", lamp_scene(), suffix)
    np.testing.assert_allclose(load(tmp_path / "a").rgb_linear, lamp_scene(), rtol=tolerance)


def test_a_lamp_becomes_a_bokeh_disc(tmp_path):
    """Focused near, the lamp's light is spread over a disc; in 8 bits there is too little of it to be seen."""
    config = RenderConfig(phones=phone_dicts(["pixel4"]), width=48, height=32, slices=2, near_m=0.03, depth="keep")
    discs = {}
    for suffix in (".exr", ".png"):
        write_frame(tmp_path / suffix, lamp_scene(), suffix)
        sample = render_sample(plan_job(config, open_source(tmp_path / suffix)), 0)
        disc = sample.images[1, ..., 1] > 110
        discs[suffix] = int(disc.sum())
    # c = A v (1/0.03 - 1/1) W / w, and the lamp's own pixel: 3.3 px across, 8 pixels and a rim.
    assert 8 <= discs[".exr"] <= 40
    assert discs[".png"] < discs[".exr"] / 2


def test_what_is_not_light_becomes_dark(tmp_path):
    light = lamp_scene()
    light[0, :3] = [np.nan, np.inf, -1.0]
    write_exr(tmp_path / "a.exr", {name: np.ascontiguousarray(light[..., k]) for k, name in enumerate("RGB")})
    assert np.all(read_rgb(tmp_path / "a.exr")[0, 0] == [0, 0, 0])


def test_an_exr_without_colours_is_one_bad_frame(tmp_path):
    write_exr(tmp_path / "a.exr", {"Z": np.ones((4, 4), np.float32)})
    with pytest.raises(FrameError, match=r"a\.exr: expected the channels R, G and B, got Z"):
        read_rgb(tmp_path / "a.exr")


def test_linear_light_goes_before_eight_bits(tmp_path):
    write_frame(tmp_path / "a", lamp_scene(), ".exr")
    cv2.imwrite(str(tmp_path / "a/rgb/0.png"), np.zeros((H, W, 3), np.uint8))
    assert open_source(tmp_path / "a").frame_id(0) == "a/rgb/0.exr"
    cv2.imwrite(str(tmp_path / "a/rgb/0.jpg"), np.zeros((H, W, 3), np.uint8))
    assert load(tmp_path / "a").rgb_linear.max() == LAMP
    (tmp_path / "a/rgb/0.exr").unlink()
    with pytest.raises(SourceError, match="2 images for one depth map"):
        open_source(tmp_path / "a")


def test_an_exr_of_no_told_role_is_depth_still(tmp_path):
    (tmp_path / "a").mkdir()
    cv2.imwrite(str(tmp_path / "a/0.png"), np.zeros((H, W, 3), np.uint8))
    write_exr(tmp_path / "a/0.exr", {"Z": np.full((H, W), 0.7, np.float32)})
    np.testing.assert_allclose(load(tmp_path / "a").depth_m, 0.7)


def hypersim(folder: Path, light: np.ndarray) -> Path:
    images = folder / "ai_001_001/images"
    for name, file, values in (
        ("final_hdf5", "color", light),
        ("geometry_hdf5", "depth_meters", np.full(light.shape[:2], 2.0)),
    ):
        path = images / f"scene_cam_00_{name}/frame.0000.{file}.hdf5"
        path.parent.mkdir(parents=True)
        with h5py.File(path, "w") as out:
            out["dataset"] = values.astype(np.float16)
    return folder


def test_hypersim_keeps_its_lamps(tmp_path):
    """Exposed by the set's own rule: nine tenths of the pixels stay below 0.8, encoded; lamps stay above 1."""
    rng = np.random.default_rng(0)
    light = (5 * rng.random((H, W, 1)) * np.ones(3)).astype(np.float32)
    light[10:12, 10:12] = 500.0
    scene = load(hypersim(tmp_path, light))
    brightness = scene.rgb_linear.mean(axis=2)
    assert np.percentile(brightness, 90) == pytest.approx(0.8**2.2, rel=0.01)
    assert scene.rgb_linear.max() > 50
    np.testing.assert_allclose(scene.rgb_linear / scene.rgb_linear.max(), light / 500, atol=1e-4)
    dark = load(hypersim(tmp_path / "dark", 0 * light))
    assert dark.rgb_linear.max() == 0


def test_hypersim_light_that_is_none(tmp_path):
    folder = hypersim(tmp_path, np.zeros((H, W)))
    with pytest.raises(FrameError, match=r"color\.hdf5: expected light \(H, W, 3\), got \(64, 96\)"):
        load(folder)
