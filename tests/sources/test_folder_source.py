"""The folder reader, on made files and on real recordings."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from focalsim.color import srgb_to_linear
from focalsim.errors import FrameError
from focalsim.scene import Intrinsics, Scene
from focalsim.sources import FrameRequest, open_source
from focalsim.sources.base import FileSource

RNG = np.random.default_rng(0)
WritePair = Callable[..., None]
WriteImage = Callable[..., Path]


def opened(path: Path, depth_scale: float | None = None) -> FileSource:
    source = open_source(path, depth_scale=depth_scale)
    assert isinstance(source, FileSource)
    return source


def test_a_frame_in_linear_light_and_metres(tmp_path: Path, write_image: WriteImage, request_: FrameRequest) -> None:
    depth = np.arange(60 * 80).reshape(60, 80)
    write_image(tmp_path / "color_1.png", np.full((60, 80, 3), (10, 20, 30), np.uint8))
    write_image(tmp_path / "depth_1.png", depth.astype(np.uint16))
    scene = opened(tmp_path).load(0, request_, RNG)
    assert scene.source_id == f"{tmp_path.name}/color_1.png"
    np.testing.assert_array_equal(scene.rgb_linear[0, 0], srgb_to_linear(np.array([30, 20, 10], np.uint8)))
    np.testing.assert_array_equal(scene.valid, depth > 0)
    np.testing.assert_allclose(scene.depth_m[scene.valid], depth[depth > 0] / 1000, rtol=1e-6)


def test_the_assumed_unit_is_told_unless_it_is_given(tmp_path: Path, write_pair: WritePair) -> None:
    write_pair(tmp_path)
    assert "1000 units per metre" in opened(tmp_path).depth_assumption
    assert opened(tmp_path, 5000).depth_assumption == ""


def test_depth_of_another_aspect_names_both_sizes(
    tmp_path: Path, write_pair: WritePair, request_: FrameRequest
) -> None:
    write_pair(tmp_path, np.full((60, 100), 500))
    with pytest.raises(FrameError, match=r"depth_0\.png: depth of 100x60 .* colour image of 80x60") as caught:
        opened(tmp_path).load(0, request_, RNG)
    assert caught.value.reason == "depth of another aspect ratio"


def test_smaller_depth_of_the_same_aspect_is_enlarged(
    tmp_path: Path, write_pair: WritePair, request_: FrameRequest
) -> None:
    write_pair(tmp_path, np.full((15, 20), 500))
    scene = opened(tmp_path).load(0, request_, RNG)
    assert scene.depth_m.shape == (60, 80)
    np.testing.assert_allclose(scene.depth_m, 0.5)


def test_damaged_files_are_frame_errors(tmp_path: Path, write_pair: WritePair, request_: FrameRequest) -> None:
    write_pair(tmp_path)
    source = opened(tmp_path)
    for name in ("color_0.png", "depth_0.png"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_text("just a text")
        with pytest.raises(FrameError, match=rf"{name}: not an image file, or damaged"):
            source.load(0, request_, RNG)
        (tmp_path / name).unlink()
        with pytest.raises(FrameError, match=rf"{name}: cannot be read"):
            source.load(0, request_, RNG)
        with pytest.raises(FrameError, match=rf"{name}: cannot be read"):
            source.content_digest(0)
        (tmp_path / name).write_bytes(whole)


def test_intrinsics_of_an_open3d_file(tmp_path: Path, write_pair: WritePair, request_: FrameRequest) -> None:
    write_pair(tmp_path)
    matrix = [525.0, 0, 0, 0, 526.0, 0, 319.5, 239.5, 1]
    (tmp_path / "camera_x.json").write_text(json.dumps({"intrinsic_matrix": matrix}))
    assert opened(tmp_path).load(0, request_, RNG).intrinsics == Intrinsics(525.0, 526.0, 319.5, 239.5)


@pytest.mark.parametrize("name", ["camera_intrinsics.yaml", "intrinsics.txt"])
def test_intrinsics_of_lines(tmp_path: Path, write_pair: WritePair, request_: FrameRequest, name: str) -> None:
    write_pair(tmp_path)
    (tmp_path / name).write_text("# camera\nname: 'x'\nfx: 921   # px\nfy: -922.5\ncx: 642\ncy: 3.59e2\n")
    assert opened(tmp_path).load(0, request_, RNG).intrinsics == Intrinsics(921.0, 922.5, 642.0, 359.0)


@pytest.mark.parametrize("text", ["", "[]", '{"intrinsic_matrix": [1]}', '{"intrinsic_matrix": null}', "fx: 1"])
@pytest.mark.parametrize("name", ["camera.json", "camera.yaml"])
def test_what_is_no_camera_is_none(
    tmp_path: Path, write_pair: WritePair, request_: FrameRequest, name: str, text: str
) -> None:
    write_pair(tmp_path)
    (tmp_path / name).write_text(text)
    assert opened(tmp_path).load(0, request_, RNG).intrinsics is None


def test_licence_is_quoted(tmp_path: Path, write_pair: WritePair) -> None:
    write_pair(tmp_path)
    assert opened(tmp_path).license == "unknown"
    (tmp_path / "LICENSE.txt").write_text("\n   MIT License\n\nCopyright (c) 2018 A. Nybody\n\nPermission")
    assert opened(tmp_path).license == "MIT License, Copyright (c) 2018 A. Nybody"


def test_content_digest_follows_all_that_decides_the_frame(tmp_path: Path, write_pair: WritePair) -> None:
    write_pair(tmp_path)
    first = opened(tmp_path).content_digest(0)
    assert opened(tmp_path).content_digest(0) == first
    assert opened(tmp_path, 5000).content_digest(0) != first
    (tmp_path / "camera.yaml").write_text("fx: 1\nfy: 1\ncx: 1\ncy: 1\n")
    assert opened(tmp_path).content_digest(0) != first
    (tmp_path / "camera.yaml").unlink()
    write_pair(tmp_path, np.full((60, 80), 501))
    assert opened(tmp_path).content_digest(0) != first


def test_a_source_can_be_sent_to_another_process(tmp_path: Path, write_pair: WritePair, request_: FrameRequest) -> None:
    write_pair(tmp_path)
    source = opened(tmp_path)
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy.load(0, request_, RNG).depth_m, source.load(0, request_, RNG).depth_m)


# folder -> frames, stored units per metre, first colour and depth file, share of valid depth, median depth in metres
REAL = {
    "motorcycle": (1, None, "motorcycle_left.png", 0.93, 2.75),
    "open3d_redwood": (5, 1000, "color_00000.jpg", 0.87, 1.861),
    "metric3d_nyu": (3, 1000, "rgb_00000.jpg", 0.73, 3.258),
    "slambook_kinect": (3, 1000, "color_1.png", 0.68, 2.915),
    "cleargrasp_d435": (4, None, "000000080_rgb.jpg", 0.91, 0.599),
    "icl_nuim_synth": (5, 5000, "color_1.png", 1.0, 3.03),
    "open3d_tum": (1, 5000, "TUM_color.png", 0.81, 2.415),
    "promptda_iphone": (1, 1000, "image.jpg", 1.0, 2.654),
}


@pytest.mark.parametrize("name", REAL)
def test_real_folders(rgbd: Path, request_: FrameRequest, name: str) -> None:
    frames, depth_scale, first, valid, median_m = REAL[name]
    source = opened(rgbd / name, depth_scale)
    assert len(source) == frames
    assert source.frame_id(0) == f"{name}/{first}"
    assert source.license != "unknown"
    scene: Scene = source.load(0, request_, RNG)
    assert scene.depth_m.shape == scene.valid.shape == scene.rgb_linear.shape[:2]
    assert scene.valid.mean() == pytest.approx(valid, abs=0.01)
    assert float(np.median(scene.depth_m[scene.valid])) == pytest.approx(median_m, rel=0.01)
    assert np.isnan(scene.depth_m[~scene.valid]).all()


def test_real_intrinsics(rgbd: Path, request_: FrameRequest) -> None:
    cameras = {
        "open3d_redwood": Intrinsics(525.0, 525.0, 319.5, 239.5),
        "cleargrasp_d435": Intrinsics(921.0, 921.0, 642.0, 359.0),
        "motorcycle": None,
    }
    for name, camera in cameras.items():
        assert opened(rgbd / name).load(0, request_, RNG).intrinsics == camera


def test_real_depth_in_two_formats_agrees(rgbd: Path) -> None:
    """The half-float EXR beside the NumPy file of the same frame is the same depth map."""
    from focalsim.sources.image_files import read_depth

    folder = rgbd / "cleargrasp_d435"
    full, half = (read_depth(folder / f"000000080_depth.{kind}", None) for kind in ("npz", "exr"))
    both = np.isfinite(full) & np.isfinite(half)
    assert both.mean() > 0.9
    np.testing.assert_allclose(half[both], full[both], rtol=2**-10)


def test_licences_of_folders_below_are_quoted_with_their_names(tmp_path: Path, write_pair: Callable[..., None]) -> None:
    for number, name in enumerate(("kitchen", "garden", "shed")):
        write_pair(tmp_path / name, number=number)
    (tmp_path / "kitchen" / "LICENSE").write_text("MIT License\n")
    (tmp_path / "garden" / "LICENSE.txt").write_text("CC BY 4.0\n")
    assert open_source(tmp_path).license == "garden: CC BY 4.0; kitchen: MIT License"
    (tmp_path / "LICENSE").write_text("CC0\n")
    assert open_source(tmp_path).license == "CC0"
