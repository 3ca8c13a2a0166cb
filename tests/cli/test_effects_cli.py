"""Effects through the commands: into the shards and back out, off unless asked for, the same in any process."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
from commands import ok, run

from focalsim.shards import ShardReader, verify_bundle
from focalsim.shards.schema import EFFECT_DATA_SETS, REQUIRED_DATA_SETS

SMALL = ["--size", "40x32", "--slices", "3", "--samples", "3", "--shard-size", "2"]
NAMES = {d.name for d in EFFECT_DATA_SETS} - {"depth_enlarged"}  # that is no effect of a phone


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """The same scenes without and with effects."""
    folder = tmp_path_factory.mktemp("effects")
    ok("render", "--out", folder / "plain", "--workers", 1, *SMALL)
    ok("render", "--out", folder / "typical", "--workers", 1, "--effects", "typical", *SMALL)
    return folder


def test_effects_are_off_unless_asked_for(bundles, tmp_path):
    ok("render", "--out", tmp_path / "none", "--workers", 1, "--effects", "none", *SMALL)
    assert contents(tmp_path / "none") == contents(bundles / "plain")
    with h5py.File(bundles / "plain" / "shard-00000.h5") as file:
        assert set(file) == {d.name for d in REQUIRED_DATA_SETS}
        assert "effects" not in file.attrs["config"]
    assert "after the lens" not in (bundles / "plain" / "README.md").read_text()
    with ShardReader(bundles / "plain" / "shard-00000.h5") as reader:
        assert reader[0].shot_noise is None
        assert not NAMES & set(reader[0].keys())


def test_the_same_bytes_from_any_number_of_workers(bundles, tmp_path):
    ok("render", "--out", tmp_path / "two", "--workers", 2, "--effects", "typical", *SMALL)
    assert contents(tmp_path / "two") == contents(bundles / "typical")


def test_what_was_drawn_is_recorded(bundles):
    assert list(verify_bundle(bundles / "typical")) == []
    with ShardReader(bundles / "typical" / "shard-00000.h5") as reader:
        first, second = reader
        assert set(first.keys()) >= NAMES
        assert first.exposure_ev != second.exposure_ev
        assert -0.5 <= first.exposure_ev <= 0.5
        assert 100 / 6000 / 100 * 0.99 < first.shot_noise < 1600 / 6000 / 100 * 1.01
        assert first.read_noise == pytest.approx(2 * first.shot_noise, rel=1e-5)
        assert first.jpeg_quality in range(85, 98)
        recorded = json.loads(reader.config.to_json())["phones"][0]["effects"]
        assert recorded["noise"]["full_well_e"] == 6000
        assert recorded["sources"]["noise.full_well_e"] == "assumed"


def test_effects_change_the_pictures_and_not_the_geometry(bundles):
    """Switching effects on leaves scene, camera and depth as they were; noise differs from slice to slice."""
    for name in ("shard-00000.h5", "shard-00001.h5"):
        with ShardReader(bundles / "plain" / name) as plain, ShardReader(bundles / "typical" / name) as typical:
            for a, b in zip(plain, typical, strict=True):
                for field in ("depth_m", "valid", "magnification", "principal_point_px", "source_id"):
                    np.testing.assert_array_equal(a[field], b[field])
                noise = b.images.astype(int) - a.images
                assert noise.std() > 1
                assert np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1] < 0.95


def test_inspect_and_card_show_them(bundles):
    names = "lateral color, exposure, vignetting, mosaic, noise, adc, jpeg"
    assert f"effects         {names}" in ok("inspect", bundles / "typical").stdout
    shown = ok("inspect", bundles / "typical" / "shard-00000.h5").stdout
    assert f"effects         {names}" in shown
    assert "jpeg_quality" in shown
    card = (bundles / "typical" / "README.md").read_text()
    assert f"| after the lens | {names} |" in card
    assert "| `shot_noise` | (n) | float32 |" in card
    ranges = json.loads(ok("inspect", "--json", bundles / "typical" / "shard-00000.h5").stdout)["ranges"]
    assert 85 <= ranges["jpeg_quality"][0] <= ranges["jpeg_quality"][1] <= 97


def test_some_phones_may_have_them_and_others_not(tmp_path):
    from importlib.resources import files

    profiles = files("phone_profiles")
    mine = profiles.joinpath("pixel6.toml").read_text("utf-8").replace('"pixel6"', '"mine"')
    mine += '\n[effects.jpeg]\nquality = { value = 40, source = "assumed" }\n'
    (tmp_path / "mine.toml").write_text(mine, "utf-8")
    phones = ["--phone", "pixel4", "--phone", tmp_path / "mine.toml"]
    ok(
        "render",
        *phones,
        "--out",
        tmp_path / "b",
        "--workers",
        1,
        *SMALL,
        "--samples",
        6,
        "--seed",
        1,
        "--shard-size",
        6,
    )
    assert "none (pixel4); jpeg (mine)" in ok("inspect", tmp_path / "b").stdout
    with ShardReader(tmp_path / "b" / "shard-00000.h5") as reader:
        assert {(s.phone, s.jpeg_quality) for s in reader} == {("pixel4", None), ("mine", 40.0)}
    # Out as plain folders and back in, nothing is lost.
    ok("export", tmp_path / "b", "--format", "folder", "--out", tmp_path / "folders")
    ok("import", tmp_path / "folders", "--format", "folder", "--out", tmp_path / "again")
    with ShardReader(tmp_path / "again" / "shard-00000.h5") as reader:
        assert {(s.phone, s.jpeg_quality) for s in reader} == {("pixel4", None), ("mine", 40.0)}


def test_a_shard_that_lost_what_its_config_promises(bundles, tmp_path):
    path = tmp_path / "shard.h5"
    path.write_bytes((bundles / "typical" / "shard-00000.h5").read_bytes())
    with h5py.File(path, "a") as file:
        del file["shot_noise"]
    result = run("verify", path)
    assert result.exit_code == 1
    assert "missing data set 'shot_noise'" in result.output


def test_phones_shows_and_checks_them(tmp_path):
    shown = ok("phones", "show", "typical").stdout
    assert "effects.noise.full_well_e" in shown
    assert "6000   assumed" in shown
    good = tmp_path / "good.toml"
    good.write_text('schema = 1\n[effects.jpeg]\nquality = { value = 90, source = "assumed" }\n')
    assert ok("phones", "check", good).stdout == f"{good}: ok, jpeg\n"
    good.write_text('schema = 1\n[effects.jpeg]\nquality = { value = 900, source = "assumed" }\n')
    for command in (["phones", "check", good], ["render", "--effects", good, "--out", tmp_path / "b"]):
        result = run(*command)
        assert result.exit_code == 1
        assert "'effects.jpeg.quality' must lie in [1, 100], got 900" in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
    assert "unknown effects 'grainy'" in run("render", "--effects", "grainy", "--out", tmp_path / "b").stderr
