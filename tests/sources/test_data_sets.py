"""Readers of published data sets.

Where no real sample is at hand, the fixture is written here from the set's published definition: each is a plane
z = 2 + x / 10 (metres, x from 0 to 1 across the picture) with one unknown pixel, stored as that set stores it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from focalsim.errors import ConfigError, FrameError, SourceError
from focalsim.sources import FrameRequest, open_source
from focalsim.sources.survey import survey

W, H = 48, 32
Write = Callable[[Path], None]


def plane():
    return np.broadcast_to(2 + np.arange(W) / (10 * (W - 1)), (H, W)).copy()


def picture(path, size=(W, H)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[..., 2] = 200  # red, in OpenCV's order
    cv2.imwrite(str(path), pixels)


def pfm(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = f"Pf\n{values.shape[1]} {values.shape[0]}\n-1\n".encode()
    path.write_bytes(header + np.flipud(values).astype("<f4").tobytes())


def load(source, index=0):
    request = FrameRequest(width=24, height=16, near_m=0.1, far_m=1.0, focal_over_width=0.8)
    return source.load(index, request, np.random.default_rng(0))


def middlebury(folder):
    """z = baseline f / (d + doffs); the lines of calib.txt are those of the set's page."""
    scene = folder / "Adirondack-perfect"
    picture(scene / "im0.png")
    disparity = 176.252 * 4161.221 * 1e-3 / plane() - 209.059
    disparity[3, 5] = np.inf
    pfm(scene / "disp0.pfm", disparity)
    (scene / "calib.txt").write_text(
        "cam0=[4161.221 0 21.5; 0 4161.221 16.5; 0 0 1]\ncam1=[4161.221 0 30.5; 0 4161.221 16.5; 0 0 1]\n"
        f"doffs=209.059\nbaseline=176.252\nwidth={W}\nheight={H}\nndisp=280\nisint=0\nvmin=48\nvmax=260\ndyavg=0\ndymax=0\n"
    )


def tum(folder):
    """Lists of "timestamp file" with a header of comments; depth in 1/5000 m, 0 unknown."""
    depth = np.rint(5000 * plane()).astype(np.uint16)
    depth[3, 5] = 0
    for time in ("1.000", "1.033", "1.066"):
        picture(folder / f"rgb/{time}.png")
    (folder / "depth").mkdir()
    for time in ("1.005", "1.050", "1.500"):
        cv2.imwrite(str(folder / f"depth/{time}.png"), depth)
    head = "# color images\n# file: 'x.bag'\n# timestamp filename\n"
    (folder / "rgb.txt").write_text(head + "".join(f"{t} rgb/{t}.png\n" for t in ("1.000", "1.033", "1.066")))
    (folder / "depth.txt").write_text(head + "".join(f"{t} depth/{t}.png\n" for t in ("1.005", "1.050", "1.500")))


def icl(folder):
    """ICL-NUIM's associations.txt names depth first."""
    depth = np.rint(5000 * plane()).astype(np.uint16)
    depth[3, 5] = 0
    picture(folder / "rgb/0.png")
    (folder / "depth").mkdir()
    cv2.imwrite(str(folder / "depth/0.png"), depth)
    (folder / "associations.txt").write_text("0 depth/0.png 0 rgb/0.png\n")


def diode(folder):
    scan = folder / "val/indoors/scene_00019/scan_00183"
    picture(scan / "00019_00183_indoors_000_010.png")
    mask = np.ones((H, W))
    mask[3, 5] = 0
    np.save(scan / "00019_00183_indoors_000_010_depth.npy", plane().astype(np.float32)[..., None])
    np.save(scan / "00019_00183_indoors_000_010_depth_mask.npy", mask)


def hypersim(folder):
    """Distance along the ray: z times sqrt(x^2 + y^2 + f^2) / f; NaN where nothing was hit."""
    images = folder / "ai_001_001/images"
    picture(images / "scene_cam_00_final_preview/frame.0000.tonemap.jpg")
    geometry = images / "scene_cam_00_geometry_hdf5"
    geometry.mkdir()
    f = 886.81 * W / 1024
    y, x = np.mgrid[:H, :W] - np.array([(H - 1) / 2, (W - 1) / 2])[:, None, None]
    distance = plane() * np.sqrt(x**2 + y**2 + f**2) / f
    distance[3, 5] = np.nan
    with h5py.File(geometry / "frame.0000.depth_meters.hdf5", "w") as file:
        file["dataset"] = distance.astype(np.float16)


def sceneflow(folder):
    """f = 1050 px and a baseline of one unit."""
    picture(folder / "frames_finalpass/TRAIN/A/0000/left/0006.png")
    disparity = 1050 / plane()
    disparity[3, 5] = 0
    pfm(folder / "disparity/TRAIN/A/0000/left/0006.pfm", disparity)
    pfm(folder / "disparity/TRAIN/A/0000/right/0006.pfm", disparity)


def hci(folder):
    """Disparity between neighbouring cameras, 0 at the focus distance, here within the plane: so of both signs."""
    scene = folder / "training/boxes"
    picture(scene / "input_Cam040.png")
    disparity = (1 / plane() - 1 / 2.05) * 50 * 100 * W / (1000 * 35)
    disparity[3, 5] = np.nan
    pfm(scene / "gt_disp_lowres.pfm", disparity)
    (scene / "parameters.cfg").write_text(
        f"[intrinsics]\nfocal_length_mm = 100.0\nimage_resolution_x_px = {W}\nimage_resolution_y_px = {H}\n"
        "sensor_size_mm = 35.0\nfstop = 100.0\n[extrinsics]\nnum_cams_x = 9\nnum_cams_y = 9\nbaseline_mm = 50.0\n"
        "focus_distance_m = 2.05\n[meta]\nscene = boxes\ndisp_min = -1.2\ndisp_max = 2.2\n"
    )


def tartanair(folder):
    trajectory = folder / "office/Easy/P001"
    picture(trajectory / "image_left/000000_left.png")
    (trajectory / "depth_left").mkdir()
    depth = plane().astype(np.float32)
    depth[3, 5] = np.nan
    np.save(trajectory / "depth_left/000000_left_depth.npy", depth)


def mono(folder):
    """Any affine function of 1/z is as good as 1/z: the range says the rest."""
    picture(folder / "photo_1.jpg")
    relative = 17 + 5 / plane()
    relative[3, 5] = np.nan
    np.save(folder / "photo_1_depth.npy", relative.astype(np.float32))
    (folder / "depth_range.txt").write_text("near_m: 2\nfar_m: 2.1\nstored: inverse\n")


# Depth in the file is only as fine as its type: half floats near 2 m step by 2 mm, 1/5000 m by 0.2 mm.
WRITERS = {
    middlebury: 1e-5,
    tum: 1.1e-4,
    icl: 1.1e-4,
    diode: 1e-6,
    hypersim: 1.2e-3,
    sceneflow: 1e-5,
    hci: 1e-5,
    tartanair: 1e-6,
    mono: 1e-4,
}
FORMATS = {icl: "tum"}


@pytest.fixture(params=WRITERS, ids=lambda writer: writer.__name__)
def written(request, tmp_path):
    request.param(tmp_path)
    return request.param, tmp_path


def test_found_by_layout_and_read_in_metres(written):
    writer, folder = written
    source = open_source(folder)
    assert source.format == FORMATS.get(writer, writer.__name__)
    scene = load(source)
    expected = plane()
    assert not scene.valid[3, 5]
    assert np.isnan(scene.depth_m[3, 5])
    assert scene.valid.sum() == W * H - 1
    np.testing.assert_allclose(scene.depth_m[scene.valid], expected[scene.valid], atol=WRITERS[writer])
    red, green, blue = scene.rgb_linear.mean(axis=(0, 1))
    assert red == pytest.approx(0.58, abs=0.02)  # 200 of 255 in linear light; a JPEG is near it
    assert max(green, blue) < 0.01
    assert source.attribution
    assert source.license
    assert source.frame_id(0).startswith(f"{folder.name}/")


def test_what_decides_the_depth_decides_the_digest(written):
    _, folder = written
    source = open_source(folder)
    before = source.content_digest(0)
    assert open_source(folder).content_digest(0) == before
    for path in (source._frames[0].depth, *source._frames[0].others):
        content = path.read_bytes()
        path.write_bytes(content + b"\n")
        assert source.content_digest(0) != before
        path.write_bytes(content)


def test_a_damaged_file_is_one_bad_frame(written):
    _, folder = written
    source = open_source(folder)
    frame = source._frames[0]
    intact = frame.depth.read_bytes()
    for damage in (b"", intact[: len(intact) // 2], b"nonsense"):
        frame.depth.write_bytes(damage)
        with pytest.raises(FrameError, match=re.escape(frame.depth.name)):
            load(source)
    frame.depth.write_bytes(intact)
    picture(frame.colour, (W // 2, H))
    with pytest.raises(FrameError, match=r"but its image .* has"):
        load(source)
    frame.colour.write_bytes(b"nonsense")
    with pytest.raises(FrameError, match="not an image file"):
        load(source)


def test_a_damaged_file_is_skipped_and_counted(written, request_):
    """The good frame of two is used, the other is named with its reason."""
    _, folder = written
    source = open_source(folder)
    frame, good = source._frames[0], len(source)
    damaged = frame.depth.with_name(f"damaged_{frame.depth.name}")
    damaged.write_bytes(frame.depth.read_bytes()[:40])
    source._frames.append(replace(frame, depth=damaged))
    found = survey(source, [replace(request_, width=24, height=16)], max_holes=0.5)
    assert list(found.usable) == list(range(good))
    assert sum(len(frames) for frames in found.skipped.values()) == 1
    assert f"1 of {good + 1} frames skipped" in found.summary()
    assert damaged.name in found.summary()


MILLIMETRES = (
    "the median depth is {}; if that is wrong, give --depth-scale 1000 (the numbers are millimetres: then it is {})"
)


def told(folder, request_, **options):
    return survey(open_source(folder, **options), [replace(request_, width=24, height=16)], max_holes=0.5).summary()


@pytest.mark.parametrize("writer", [diode, hypersim, sceneflow, tartanair], ids=lambda writer: writer.__name__)
def test_millimetres_where_the_format_means_metres_are_told_with_the_option(tmp_path, request_, monkeypatch, writer):
    true_plane = plane()
    monkeypatch.setitem(globals(), "plane", lambda: 1000 * true_plane)
    writer(tmp_path)
    assert told(tmp_path, request_) == MILLIMETRES.format("2050 m", "2.05 m")
    # What it says to do helps, and notices itself.
    assert told(tmp_path, request_, depth_scale=1000) == ""
    scene = load(open_source(tmp_path, depth_scale=1000))
    np.testing.assert_allclose(scene.depth_m[scene.valid], true_plane[scene.valid], rtol=2e-3)
    assert open_source(tmp_path, depth_scale=1000).content_digest(0) != open_source(tmp_path).content_digest(0)


@pytest.mark.parametrize("writer", [tum, icl], ids=lambda writer: writer.__name__)
def test_millimetres_in_the_layout_of_tum_are_too_near_for_its_sensors(tmp_path, request_, monkeypatch, writer):
    """TUM has 5000 units a metre: a room comes out five times too near, where a Kinect sees nothing."""
    near_plane = 0.75 * plane()
    monkeypatch.setitem(globals(), "plane", lambda: near_plane / 5)
    writer(tmp_path)
    message = told(tmp_path, request_)
    assert message.startswith("the median depth is 0.308 m, and one pixel in a hundred is nearer than 0.3 m: ")
    assert "measure nothing nearer than 0.4 m; if that is wrong, give --depth-scale 1000 (" in message
    assert "then it is 1.54 m" in message
    assert told(tmp_path, request_, depth_scale=1000) == ""
    np.testing.assert_allclose(load(open_source(tmp_path, depth_scale=1000)).depth_m[0], near_plane[0], atol=1e-3)


@pytest.mark.parametrize("writer", [tum, icl], ids=lambda writer: writer.__name__)
def test_units_of_tum_read_as_another_unit(tmp_path, request_, writer):
    writer(tmp_path)
    for scale in (1, 1000):
        assert "give --depth-scale 5000 (" in told(tmp_path, request_, depth_scale=scale)
    assert told(tmp_path, request_) == ""


@pytest.mark.parametrize(
    ("writer", "name", "right", "wrong", "median"),
    [
        (middlebury, "calib.txt", "baseline=176.252", "baseline=176252", "2050 m"),
        (middlebury, "calib.txt", "baseline=176.252", "baseline=0.176252", "0.00205 m"),
        (hci, "parameters.cfg", "focus_distance_m = 2.05", "focus_distance_m = 2050", None),
        (mono, "depth_range.txt", "near_m: 2\nfar_m: 2.1\n", "near_m: 2000\nfar_m: 2100\n", "2050 m"),
    ],
)
def test_a_wrong_unit_in_the_file_beside_the_pictures(tmp_path, request_, writer, name, right, wrong, median):
    writer(tmp_path)
    path = next(tmp_path.rglob(name))
    assert right in path.read_text()
    path.write_text(path.read_text().replace(right, wrong))
    message = told(tmp_path, request_)
    assert f"the median depth is {median or ''}" in message
    assert f"; if that is wrong, check {name}: " in message
    with pytest.raises(ConfigError, match=f"takes no depth scale; see {name}"):
        open_source(tmp_path, depth_scale=1000)


@pytest.mark.parametrize(
    ("name", "scale"),
    [("icl_nuim_synth", 5000), ("open3d_tum", 5000), ("open3d_redwood", 1000), ("metric3d_nyu", 1000),
     ("slambook_kinect", 1000), ("promptda_iphone", 1000), ("cleargrasp_d435", None), ("motorcycle", None)],
)  # fmt: skip
def test_real_frames_are_told_of_in_the_wrong_unit_alone(rgbd, tmp_path, request_, name, scale):
    assert open_source(rgbd / name, depth_scale=scale).load(0, request_, np.random.default_rng(0)).valid.any()
    assert "if that is wrong" not in told(rgbd / name, request_, depth_scale=scale)
    if scale == 5000:
        assert "give --depth-scale 5000 (" in told(rgbd / name, request_)
    if scale == 1000:  # the same frames in the layout of TUM
        (tmp_path / "rgb").mkdir()
        (tmp_path / "depth").mkdir()
        pairs = open_source(rgbd / name)._pairs
        for n, pair in enumerate(pairs):
            depth = cv2.imread(str(pair.depth), cv2.IMREAD_UNCHANGED)
            cv2.imwrite(str(tmp_path / f"depth/{n}.png"), depth)
            picture(tmp_path / f"rgb/{n}.png", depth.shape[::-1])
        (tmp_path / "associations.txt").write_text(
            "".join(f"{n} rgb/{n}.png {n} depth/{n}.png\n" for n in range(len(pairs)))
        )
        assert "give --depth-scale 1000 (the numbers are millimetres: " in told(tmp_path, request_)
        assert "if that is wrong" not in told(tmp_path, request_, depth_scale=1000)


def test_numbers_of_the_camera_that_are_missing_are_one_bad_frame(tmp_path):
    for writer, name in ((middlebury, "calib.txt"), (hci, "parameters.cfg")):
        folder = tmp_path / writer.__name__
        folder.mkdir()
        writer(folder)
        source = open_source(folder)
        next(folder.rglob(name)).write_text("[intrinsics]\n")
        with pytest.raises(FrameError, match=f"{name}: expected") as caught:
            load(source)
        assert caught.value.reason == "bad calibration"


def test_intrinsics(tmp_path):
    # Middlebury's are in calib.txt; Hypersim sees 60 degrees; FlyingThings has 1050 px about the middle.
    known = {
        middlebury: (4161.221, 21.5),
        hypersim: (W / 2 / np.tan(np.radians(30)), 23.5),
        sceneflow: (1050, 23.5),
        hci: (100 / 35 * W, 23.5),
    }
    for writer, (fx, cx) in known.items():
        folder = tmp_path / writer.__name__
        folder.mkdir()
        writer(folder)
        camera = load(open_source(folder)).intrinsics
        assert camera.fx_px == pytest.approx(fx, rel=1e-3)
        assert camera.cx_px == pytest.approx(cx)


def test_times_are_paired_once_and_by_nearness(tmp_path):
    """1.033 is 0.017 from 1.050 and 1.066 is 0.016: the nearer gets it; 1.500 is alone."""
    tum(tmp_path)
    source = open_source(tmp_path)
    assert source.license == "unknown"  # laid out alike, but not known to be TUM's
    pairs = [(f.colour.name, f.depth.name) for f in source._frames]
    assert pairs == [("1.000.png", "1.005.png"), ("1.066.png", "1.050.png")]


def test_the_recordings_of_freiburg_have_their_camera(tmp_path):
    folder = tmp_path / "rgbd_dataset_freiburg3_office"
    folder.mkdir()
    tum(folder)
    assert load(open_source(folder)).intrinsics.fx_px == 535.4
    assert open_source(folder).license == "CC BY 4.0"
    assert load(open_source(tmp_path)).intrinsics.fx_px == 535.4  # a folder of recordings


def test_units(tmp_path):
    (tmp_path / "tum").mkdir()
    (tmp_path / "hci").mkdir()
    tum(tmp_path / "tum")
    hci(tmp_path / "hci")
    assert "5000 units per metre" in open_source(tmp_path / "tum").depth_assumption
    scene = load(open_source(tmp_path / "tum", depth_scale=1000))
    np.testing.assert_allclose(scene.depth_m[0], 5 * plane()[0], atol=1e-3)
    with pytest.raises(ConfigError, match=r"hci takes no depth scale; see parameters\.cfg"):
        open_source(tmp_path / "hci", depth_scale=1000)


def test_lists_that_are_broken(tmp_path):
    tum(tmp_path)
    (tmp_path / "depth.txt").write_text("soon depth/1.png\n")
    with pytest.raises(SourceError, match=r"depth\.txt: expected a timestamp"):
        open_source(tmp_path)
    (tmp_path / "depth.txt").write_text("1.0\n")
    with pytest.raises(SourceError, match="expected 2 words a line"):
        open_source(tmp_path)


@pytest.mark.parametrize("text", ["near_m: 1\nfar_m: 2\n", "near_m: 2\nfar_m: 1\nstored: depth\n", "near_m: a\n"])
def test_ranges_that_cannot_be(tmp_path, text):
    mono(tmp_path)
    (tmp_path / "depth_range.txt").write_text(text)
    with pytest.raises(SourceError, match=r"depth_range\.txt: expected"):
        open_source(tmp_path)


def test_relative_depth_of_8_bits_that_grows_with_distance(tmp_path):
    mono(tmp_path)
    (tmp_path / "photo_1_depth.npy").unlink()
    ramp = np.broadcast_to(np.linspace(0, 255, W).round().astype(np.uint8), (H, W))
    cv2.imwrite(str(tmp_path / "photo_1_depth.png"), np.repeat(ramp[..., None], 3, axis=2))
    (tmp_path / "depth_range.txt").write_text("near_m: 2\nfar_m: 2.1\nstored: depth\n")
    np.testing.assert_allclose(load(open_source(tmp_path)).depth_m, plane(), atol=3e-4)


def test_relative_depth_of_another_size_is_brought_to_the_photo(tmp_path):
    """Networks give depth at their own size; a plane stays one, and the enlargement is told."""
    mono(tmp_path)
    columns = (np.arange(W // 3) + 0.5) * 3 - 0.5
    small = np.broadcast_to(17 + 5 / (2 + columns / (10 * (W - 1))), (H // 3 + 1, W // 3))[: H // 3 + 1]
    picture(tmp_path / "photo_1.jpg", (W, 3 * (H // 3 + 1)))
    np.save(tmp_path / "photo_1_depth.npy", small.astype(np.float32))
    scene = load(open_source(tmp_path))
    assert scene.depth_m.shape == scene.rgb_linear.shape[:2]
    assert scene.depth_enlarged == 3
    assert scene.valid.all()
    steps = np.diff(scene.depth_m[0, 2:-2])
    np.testing.assert_allclose(steps, steps.mean(), rtol=0.1)
    assert (np.diff(scene.depth_m[0]) >= 0).all()


def test_depth_of_arkit_scenes_is_enlarged_and_told(tmp_path, request_):
    """ARKitScenes: lowres_depth of 256 x 192 in millimetres beside vga_wide of 640 x 480, and confidences."""
    for folder, image in (("vga_wide", np.full((96, 128, 3), 90, np.uint8)), ("lowres_depth", None)):
        (tmp_path / folder).mkdir()
        image = np.full((24, 32), 1500, np.uint16) if image is None else image
        cv2.imwrite(str(tmp_path / folder / "40753679_6791.548.png"), image)
    (tmp_path / "confidence").mkdir()
    cv2.imwrite(str(tmp_path / "confidence/40753679_6791.548.png"), np.full((24, 32), 2, np.uint8))
    source = open_source(tmp_path)
    scene = load(source)
    assert scene.depth_enlarged == 4
    np.testing.assert_allclose(scene.depth_m, 1.5)
    found = survey(source, [request_], max_holes=0.5)
    assert found.depth_enlarged == 4
    assert "enlarged up to 4 times" in found.summary()


def test_a_forced_format_that_is_not_there(tmp_path):
    (tmp_path / "a.png").touch()
    for name in ("middlebury", "tum", "diode", "hypersim", "sceneflow", "hci", "tartanair", "mono"):
        with pytest.raises(SourceError, match="no frame found"):
            open_source(tmp_path, source_format=name)
        with pytest.raises(SourceError, match="no frame found"):
            open_source(tmp_path / "a.png", source_format=name)


def test_the_real_motorcycle_laid_out_as_middlebury_publishes_it(rgbd, tmp_path):
    """Its disparity in pixels, and its depth in metres as computed by others."""
    real = rgbd / "motorcycle"
    disparity = np.load(real / "motorcycle_disp.npz")
    disparity = disparity[disparity.files[0]]
    scene = tmp_path / "Motorcycle"
    scene.mkdir()
    (scene / "im0.png").write_bytes((real / "motorcycle_left.png").read_bytes())
    pfm(scene / "disp0.pfm", disparity)
    (scene / "calib.txt").write_text(
        "cam0=[994.978 0 311.193; 0 994.978 254.877; 0 0 1]\ncam1=[994.978 0 342.279; 0 994.978 254.877; 0 0 1]\n"
        "doffs=31.086\nbaseline=193.001\nwidth=741\nheight=500\nndisp=64\n"
    )
    expected = np.load(real / "motorcycle_depth_m.npz")
    expected = expected[expected.files[0]]
    read = load(open_source(tmp_path))
    np.testing.assert_array_equal(read.valid, np.isfinite(expected))
    np.testing.assert_allclose(read.depth_m[read.valid], expected[read.valid], rtol=1e-4)


def test_real_frames_laid_out_as_tum_publishes_them(rgbd, tmp_path):
    real = rgbd / "icl_nuim_synth"
    for kind, name in (("rgb", "color"), ("depth", "depth")):
        (tmp_path / kind).mkdir()
        for n in (1, 2):
            (tmp_path / f"{kind}/{n}.png").write_bytes((real / f"{name}_{n}.png").read_bytes())
        (tmp_path / f"{kind}.txt").write_text("".join(f"{n}.0 {kind}/{n}.png\n" for n in (1, 2)))
    source = open_source(tmp_path)
    assert (source.format, len(source)) == ("tum", 2)
    folder = open_source(real, depth_scale=5000)
    for n in (0, 1):
        np.testing.assert_array_equal(load(source, n).depth_m, load(folder, n).depth_m)
        np.testing.assert_array_equal(load(source, n).rgb_linear, load(folder, n).rgb_linear)
