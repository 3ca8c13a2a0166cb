"""Phone profiles: the published numbers, and every mistake in a file of one's own refused by name."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from importlib.resources import files

import pytest

from focalsim.camera import PhoneProfile, list_profiles, load_profile
from focalsim.errors import ProfileError

# f mm, slope m, intercept, x mean, x std, y mean, y std: the table of Won & Jeon's release.
PUBLISHED = {
    "pixel4": (4.4, -0.00266, 0.019155, -4.45515, 7.18485, -9.9504701, 8.04556863),
    "pixel6": (6.8, -0.00429249, 0.00330253, 0.470281, 6.2634662, 2.69174424, 6.859772247),
    "galaxy_s8plus": (4.3, -0.00203839, 0.0166955, 4.430173117, 4.60067699, 3.695449964, 3.589144555),
    "galaxy_note10": (4.8, -0.00402384, 0.0247385, -4.315575939, 2.9198626, -0.9456601, 0.153538997),
}


@pytest.fixture
def text():
    return files("phone_profiles").joinpath("pixel4.toml").read_text("utf-8")


def load_text(tmp_path, text):
    path = tmp_path / "my.toml"
    path.write_text(text, "utf-8")
    return load_profile(str(path))


def test_the_profiles_that_come_along():
    assert list_profiles() == sorted(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_numbers(name):
    p = load_profile(name)
    assert p.name == name
    numbers = (
        p.focal_length_m * 1e3, p.fov_error_slope_m, p.fov_error_intercept, p.principal_point_x_mean_px,
        p.principal_point_x_std_px, p.principal_point_y_mean_px, p.principal_point_y_std_px,
    )  # fmt: skip
    assert numbers == pytest.approx(PUBLISHED[name], rel=1e-12)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_number_has_a_source(name):
    p = load_profile(name)
    numbers = {f.name for f in fields(PhoneProfile)} - {"name", "display_name", "notes", "sources", "effects"}
    assert set(p.sources) == numbers
    assert len(p.describe()) == len(numbers)
    assert all(source for _, _, source in p.describe())


def test_round_trips_through_json(text, tmp_path):
    p = load_profile("pixel4")
    assert PhoneProfile(**json.loads(json.dumps(p.to_dict()))) == p
    assert load_text(tmp_path, text) == p


def test_unknown_name():
    with pytest.raises(ProfileError, match=r"unknown phone 'pixel44'; known: galaxy_note10, .*pixel6"):
        load_profile("pixel44")


def test_names_are_not_paths():
    with pytest.raises(ProfileError, match="unknown phone"):
        load_profile("../phone_profiles/pixel4")


def test_missing_unreadable_and_foreign_files(tmp_path):
    with pytest.raises(ProfileError, match="no such profile file"):
        load_profile(str(tmp_path / "none.toml"))
    with pytest.raises(ProfileError, match="not a TOML file"):
        load_text(tmp_path, "a = [1,")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProfileError, match="not a TOML file"):
        load_profile(str(tmp_path / "binary.toml"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("f_number =", "fnumber =", "unknown key 'lens.fnumber'"),
        ("[lens]", "colour = 3\n[lens]", "unknown key 'lens|unknown key 'colour'"),
        (
            "focal_length_mm =",
            "focal_length_m =",
            r"unknown key 'lens\.focal_length_m'; the unit must be that of",
        ),
        ("pixel_pitch_um =", "pixel_pitch_mm =", r"unknown key 'sensor\.pixel_pitch_mm'; the unit must be"),
        (r"f_number = .*\n", "", r"missing key 'lens\.f_number'"),
        (r"schema = 1\n", "", "missing key 'schema'"),
        (r"name = \"pixel4\"\n", "", "missing key 'name'"),
        ("schema = 1", "schema = 2", "'schema' must be 1, got 2"),
        (r"\[fov_error\]\n(.*\n){3}", "", r"missing section \[fov_error\]"),
        (
            "value = 4.4,",
            "value = 0.0044,",
            r"'lens\.focal_length_mm' must lie in .*got 0\.0044 \(wrong unit\?\)",
        ),
        ("value = 1.4,", "value = 1.4e-6,", r"'sensor\.pixel_pitch_um' must lie in"),
        ("value = 1.7,", "value = -1.7,", r"'lens\.f_number' must lie in"),
        ("value = 1.7,", "value = nan,", r"'lens\.f_number' must lie in"),
        ("value = 1.7,", 'value = "1.7",', r"'lens\.f_number' must be a number, got '1\.7'"),
        ("value = 1.7,", "value = true,", r"'lens\.f_number' must be a number, got True"),
        ("value = 4032,", "value = 4032.5,", r"'sensor\.width_px' must be a whole number"),
        ("value = 7.18485,", "value = -7.0,", r"'principal_point\.x_std_px' must lie in"),
        (r"f_number = .*", "f_number = 1.7", r"'lens\.f_number' must be \{ value = \.\.\., source = "),
        (r'(value = 1.7, source = )"seed release"', r'\1"a friend"', r"source of 'lens\.f_number' must be"),
        ('"pixel4"', "4", "'name' must be a string"),
    ],
)
def test_mistakes_are_refused_by_name(tmp_path, text, old, new, message):
    changed = re.sub(old, new, text, count=1) if "\\" in old or "." in old else text.replace(old, new, 1)
    assert changed != text
    with pytest.raises(ProfileError, match=message) as error:
        load_text(tmp_path, changed)
    assert "my.toml" in str(error.value)


def test_sources_may_be_calibrations(tmp_path, text):
    changed = text.replace('source = "assumed"', 'source = "calibrated from 50 images"')
    assert load_text(tmp_path, changed).sources["fov_error_std"] == "calibrated from 50 images"
