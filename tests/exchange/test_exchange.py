"""Exports have the dtype, order, units and names of each format; imports bring the same values back."""

from __future__ import annotations

import json
import shutil

import cv2
import h5py
import numpy as np
import OpenEXR
import pytest
from click.testing import CliRunner

from focalsim.cli import main
from focalsim.cli.options import EXCHANGE_NAMES
from focalsim.errors import ConfigError, OutputError, SourceError
from focalsim.exchange import EXCHANGE_FORMATS, Provenance, adapt, export_stacks, import_stacks
from focalsim.exchange.ddff import DISPARITY_M
from focalsim.shards import ShardReader, read_manifest, verify_bundle

ASSUMED = Provenance("unknown", "unknown", 0.1, 1.0)


def exported(name, shard, tmp_path, **options):
    out = tmp_path / "out" / ("stacks.h5" if name in ("ddff", "ddff-large", "hci") else "stacks")
    out.parent.mkdir(exist_ok=True)
    with ShardReader(shard) as reader:
        counts, notes = export_stacks(EXCHANGE_FORMATS[name], [reader], out, **options)
        samples = list(reader)
    assert [path.name for path in out.parent.iterdir()] == [out.name], "something half written was left"
    return out, counts, notes, samples


def imported(name, path, tmp_path):
    folder = tmp_path / "bundle"
    import_stacks(EXCHANGE_FORMATS[name], path, folder, assumed=ASSUMED)
    assert list(verify_bundle(folder)) == []
    with ShardReader(folder / "shard-00000.h5") as reader:
        return list(reader), reader.license, reader.attribution


def test_names_of_the_command_line():
    assert tuple(EXCHANGE_FORMATS) == EXCHANGE_NAMES
    assert {kind.name for kind in EXCHANGE_FORMATS.values()} == set(EXCHANGE_NAMES)


# name, shard (slices, height, width, near, far), relative precision of the depth (None: no depth in the format)
ROUND_TRIPS = [
    ("ddff", (10, 224, 224, 0.5, 7), 1e-6),
    ("ddff-large", (10, 225, 230, 0.5, 7), 1e-6),
    ("fs6", (15, 256, 256, 0.1, 1.5), 2**-11),
    ("hci", (10, 512, 512, 0.1, 1), 1e-5),
    ("flyingthings-list", (15, 20, 30, 0.1, 1), 1e-5),
    ("middlebury-list", (15, 20, 30, 0.2, 3), 1e-5),
    ("real-scene", (10, 20, 30, 0.1, 1), None),
    ("folder", (4, 20, 30, 0.1, 1), 0),
]


@pytest.mark.parametrize(("name", "shape", "precision"), ROUND_TRIPS)
def test_round_trip(name, shape, precision, shard, tmp_path):
    slices, height, width, near, far = shape
    path, counts, _, samples = exported(name, shard(slices, height, width, near=near, far=far), tmp_path)
    assert counts == {"train": 2, "val": 1}
    back, license_, attribution = imported(name, path, tmp_path)
    assert (license_, attribution) == ("CC-BY-4.0", "Köln lab")
    assert len(back) == 3
    # 1.5, 0.7, 0.3, 0.15 and 0.1 m are among fifteen slices even in dioptres.
    taken = [0, 1, 4, 9, 14] if name == "fs6" else list(range(slices))
    for was, now in zip(samples, back, strict=True):
        np.testing.assert_array_equal(now.images, was.images[taken])
        np.testing.assert_allclose(now.focus_distance_m, was.focus_distance_m[taken], rtol=0.08)
        if name != "fs6":
            np.testing.assert_allclose(now.focus_distance_m, was.focus_distance_m, rtol=1e-5)
        if precision is None:
            assert not now.valid.any()
        else:
            np.testing.assert_array_equal(now.valid, was.valid)
            np.testing.assert_allclose(now.depth_m, was.depth_m, rtol=precision)
        if name not in ("ddff", "fs6", "real-scene"):
            np.testing.assert_array_equal(now.all_in_focus, was.all_in_focus)


def test_folder_keeps_every_number(shard, tmp_path):
    path, _, _, samples = exported("folder", shard(4, 20, 30), tmp_path)
    back, _, _ = imported("folder", path, tmp_path)
    for was, now in zip(samples, back, strict=True):
        for name in was:
            np.testing.assert_array_equal(now[name], was[name], err_msg=name)


def test_ddff_file(shard, tmp_path):
    path, _, notes, samples = exported("ddff", shard(10, 224, 224, near=0.5, far=7), tmp_path)
    with h5py.File(path) as file:
        assert set(file) == {"stack_train", "disp_train", "stack_val", "disp_val", "stack_test"}
        assert (file["stack_train"].shape, file["stack_train"].dtype) == ((2, 10, 224, 224, 3), np.uint8)
        assert (file["disp_train"].shape, file["disp_train"].dtype) == ((2, 224, 224), np.float64)
        assert file["stack_test"] == file["stack_val"]
        # Nearest slice first, and the colours in the order B, G, R.
        np.testing.assert_array_equal(file["stack_train"][0, 0], samples[0].images[9, ..., ::-1])
        disparity, valid = file["disp_train"][0], samples[0].valid
    assert (disparity[~valid] == 0).all()
    np.testing.assert_allclose(DISPARITY_M / disparity[valid], samples[0].depth_m[valid], rtol=1e-12)
    assert pytest.approx(0.141234, abs=1e-5) == DISPARITY_M
    assert notes == ["readers of ddff take the slices to be aligned; these breathe: --align warps them"]


def test_ddff_large_file(shard, tmp_path):
    path, _, _, samples = exported("ddff-large", shard(10, 240, 230), tmp_path)
    with h5py.File(path) as file:
        assert {"AiF_train", "AiF_val"} < set(file)
        assert {file[key].dtype for key in file} == {np.dtype("f4")}
        np.testing.assert_array_equal(file["stack_train"][1, 2], samples[1].images[7])
        np.testing.assert_array_equal(file["AiF_val"][0], samples[2].all_in_focus)


def test_fs6_folder(shard, tmp_path):
    path, _, _, samples = exported("fs6", shard(15, 256, 256, near=0.1, far=1.5), tmp_path)
    stems = ["000000", "000001", "000400"]
    tifs = sorted(f.name for f in path.glob("*.tif"))
    assert tifs == [f"{stem}_{i:02d}All.tif" for stem in stems for i in range(5)]
    assert sorted(f.name for f in path.glob("*.exr")) == [f"{stem}Dpt.exr" for stem in stems]
    nearest = cv2.imread(str(path / "000001_00All.tif"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(nearest[..., ::-1], samples[1].images[14])
    # As the readers open it: by the older binding, half floats.
    exr = OpenEXR.InputFile(str(path / "000400Dpt.exr"))
    assert {name: str(channel) for name, channel in exr.header()["channels"].items()} == dict.fromkeys(
        "RGB", "HALF (1, 1)"
    )
    red = np.frombuffer(exr.channel("R"), np.float16).reshape(256, 256)
    np.testing.assert_array_equal(red, samples[2].depth_m.astype(np.float16))


def test_hci_file(shard, tmp_path):
    path, _, _, samples = exported("hci", shard(10, 512, 512), tmp_path)
    with h5py.File(path) as file:
        splits = {f"{key}_{split}" for key in ("stack", "AiF", "disp", "name") for split in ("train", "val")}
        assert set(file) == splits | {"focus_position_disp"}
        np.testing.assert_allclose(file["focus_position_disp"][:], np.linspace(-2.5, 2.5, 10)[None], atol=1e-6)
        assert file["stack_train"].dtype == file["disp_train"].dtype == file["AiF_train"].dtype == np.float32
        np.testing.assert_array_equal(file["stack_val"][0], samples[2].images)
        disparity = file["disp_val"][0]
        assert file["name_val"][0, 0] == b"room/2"
    assert (disparity[~samples[2].valid] == -3).all()
    known = disparity[samples[2].valid]
    assert -2.5 - 1e-5 <= known.min() < -2
    assert 2 < known.max() <= 2.5 + 1e-5  # the nearest depths have the highest disparity


@pytest.mark.parametrize(("name", "high"), [("flyingthings-list", 100), ("middlebury-list", 60)])
def test_lists(name, high, shard, tmp_path):
    path, _, _, samples = exported(name, shard(15, 20, 30), tmp_path)
    lines = (path / "train.txt").read_text().splitlines()
    assert len(lines) == 2
    files = lines[1].split()
    assert len(files) == 17
    positions = [float(file.rpartition("/")[2].removesuffix(".png")) for file in files[:15]]
    np.testing.assert_allclose(positions, np.linspace(10, high, 15), rtol=1e-3)
    assert files[0].endswith("/10.0.png")
    np.testing.assert_array_equal(cv2.imread(files[0])[..., ::-1], samples[1].images[0])
    assert (files[15].rpartition("/")[2], files[16].rpartition("/")[2]) == ("AiF.png", "disp.exr")
    with OpenEXR.File(files[16], separate_channels=True) as exr:
        ((_, channel),) = exr.channels().items()
        assert channel.pixels.dtype == np.float32
        assert np.array_equal(channel.pixels > 0, samples[1].valid)


def test_a_list_reads_after_a_move_and_leads_nowhere_else(shard, tmp_path):
    path, _, _, _ = exported("flyingthings-list", shard(15, 20, 30), tmp_path)
    moved = tmp_path / "moved"
    shutil.move(path, moved)
    assert len(imported("flyingthings-list", moved, tmp_path)[0]) == 3
    secret = tmp_path / "secret.png"
    cv2.imwrite(str(secret), np.zeros((20, 30, 3), np.uint8))
    words = (moved / "train.txt").read_text().split()
    for hostile in (str(secret), "../secret.png"):
        (moved / "train.txt").write_text(" ".join([hostile, *words[1:17]]) + "\n")
        with pytest.raises(SourceError, match=r"holds no file .*secret\.png"):
            EXCHANGE_FORMATS["flyingthings-list"].open(moved, ASSUMED)


def test_real_scene_folder(shard, tmp_path):
    path, _, notes, samples = exported("real-scene", shard(10, 20, 30), tmp_path)
    assert notes == []  # its readers expect breathing
    assert sorted(p.name for p in path.iterdir()) == ["0", "1", "2"]
    assert len(list((path / "1").glob("*.png"))) == 10
    focus = [float(line) for line in (path / "1" / "focus_distance.txt").read_text().splitlines()]
    np.testing.assert_allclose(focus, samples[1].focus_distance_m, rtol=1e-8)
    assert float((path / "1" / "focal_length.txt").read_text()) == pytest.approx(0.00438, rel=1e-7)
    last = cv2.imread(str(path / "1" / "09.png"))[..., ::-1]
    np.testing.assert_array_equal(last, samples[1].images[9])
    (back, *_), _, _ = imported("real-scene", path, tmp_path)
    v = 1 / (1 / back.focal_length_m - 1 / back.focus_distance_m.astype(float))
    np.testing.assert_allclose(back.magnification, v / v[-1], rtol=1e-6)


def test_alignment_undoes_breathing_and_shift(shard, picture, tmp_path):
    path, _, notes, _ = exported("ddff-large", shard(10, 240, 230), tmp_path, align=True)
    assert not any("breathe" in note for note in notes)
    with h5py.File(path) as file:
        error = np.abs(file["stack_train"][0] - picture(240, 230).astype(float))
    assert error.max() < 3
    assert error.mean() < 0.6


def test_a_tile_keeps_the_geometry(shard):
    with ShardReader(shard(3, 50, 64)) as reader:
        sample = reader[0]
    for tile in adapt.tiles(sample, (20, 30)):
        aligned = adapt.align(tile).images.astype(float)
        inner = np.s_[4:-4, 4:-4]
        assert np.abs(aligned[0] - tile.all_in_focus)[inner].max() < 4
        # Blur in pixels depends on sensor width over image width: a crop keeps it.
        assert tile.sensor_width_m / 30 == pytest.approx(sample.sensor_width_m / 64, rel=1e-6)


def test_tiles_cover_the_middle(shard):
    with ShardReader(shard(3, 50, 64)) as reader:
        sample = reader[0]
    found = list(adapt.tiles(sample, (20, 30)))
    assert len(found) == adapt.tile_count(50, 64, (20, 30)) == 4
    joined = np.block([[found[0].depth_m, found[1].depth_m], [found[2].depth_m, found[3].depth_m]])
    np.testing.assert_array_equal(joined, sample.depth_m[5:45, 2:62])


def test_no_scene_is_in_both_splits(shard, tmp_path):
    path, counts, _, _ = exported("folder", shard(3, 16, 16, n=10), tmp_path, val_fraction=0.3)
    assert counts == {"train": 7, "val": 3}
    ids = {
        split: {json.loads(f.read_text())["source_id"] for f in (path / split).glob("*/sample.json")}
        for split in counts
    }
    assert len(ids["train"]) == 7
    assert not ids["train"] & ids["val"]


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("ddff", (10, 200, 230), "needs images of at least 224 x 224, got 230 x 200"),
        ("ddff", (9, 224, 224), "needs 10 slices"),
        ("ddff-large", (10, 224, 400), "needs images larger than 224 x 224"),
        ("fs6", (4, 256, 256), "needs 5 slices"),
        ("real-scene", (3, 16, 16), "needs 10 slices"),
    ],
)
def test_stacks_that_do_not_fit(name, shape, message, shard, tmp_path):
    with ShardReader(shard(*shape)) as reader, pytest.raises(ConfigError, match=message):
        export_stacks(EXCHANGE_FORMATS[name], [reader], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_focus_that_readers_do_not_expect_is_said(shard, tmp_path):
    _, _, notes, _ = exported("ddff", shard(10, 224, 224), tmp_path)
    assert "readers of ddff take the focus distances to be 7, 2.86, " in notes[0]
    assert "(up to 8 dpt off)" in notes[0]


@pytest.mark.parametrize("name", EXCHANGE_NAMES)
def test_what_is_not_of_the_format(name, tmp_path):
    (tmp_path / "text").write_text("no")
    (tmp_path / "empty").mkdir()
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["stack_train"] = h5py.ExternalLink("elsewhere.h5", "/stack")
        file["focus_position_disp"] = h5py.SoftLink("/nowhere")
    for path in ("text", "empty", "other.h5", "missing"):
        with pytest.raises(SourceError):
            import_stacks(EXCHANGE_FORMATS[name], tmp_path / path, tmp_path / "b", assumed=ASSUMED)
    assert not (tmp_path / "b").exists()


def test_an_output_that_is_there_is_kept(shard, tmp_path):
    (tmp_path / "mine").write_text("mine")
    with ShardReader(shard(3, 16, 16)) as reader, pytest.raises(OutputError, match="exists"):
        export_stacks(EXCHANGE_FORMATS["folder"], [reader], tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "mine"


def test_command_line(shard, tmp_path):
    path = shard(10, 16, 20)

    def run(*args):
        return CliRunner().invoke(main, [str(arg) for arg in args])

    done = run("export", path, "--format", "real-scene", "--out", tmp_path / "scenes", "--val-fraction", 0)
    assert (done.exit_code, done.stdout.strip()) == (0, str(tmp_path / "scenes")), done.stderr
    again = run("export", path, "--format", "real-scene", "--out", tmp_path / "scenes")
    assert again.exit_code == 1
    assert again.stderr.startswith("Error: ")
    assert run("export", path, "--format", "nothing", "--out", tmp_path / "x").exit_code == 2
    done = run(
        "import", tmp_path / "scenes", "--format", "real-scene", "--out", tmp_path / "b", "--shard-size", 2,
        "--license", "mine",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    manifest = read_manifest(tmp_path / "b")
    assert [shard.samples for shard in manifest.shards] == [2, 1]
    assert manifest.license == "CC-BY-4.0"  # the data's own word comes first
    assert run("verify", tmp_path / "b").exit_code == 0
    assert run("import", tmp_path / "scenes", "--format", "ddff", "--out", tmp_path / "c").exit_code == 1
