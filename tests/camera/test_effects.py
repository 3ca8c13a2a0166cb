"""Effects in TOML files: off unless named, and every mistake refused by name."""

from __future__ import annotations

import json
import re

import pytest

from focalsim.camera import NO_EFFECTS, Effects, PhoneProfile, list_effects, load_effects, load_profile, phone_dicts
from focalsim.config import RenderConfig
from focalsim.errors import ProfileError

ALL = """
schema = 1
[effects.aperture]
blades = { value = 6, source = "data sheet" }
[effects.lateral_color]
red = { value = 0.001, source = "calibrated from 50 images" }
blue = { value = -0.001, source = "assumed" }
[effects.exposure]
ev = { value = [-1, 1.5], source = "assumed" }
[effects.vignetting]
k1 = { value = -0.1, source = "assumed" }
[effects.mosaic]
pattern = "GBRG"
[effects.noise]
full_well_e = { value = 6000, source = "published: somewhere" }
read_noise_e = { value = 2, source = "assumed" }
iso = { value = [100, 800], source = "assumed" }
binned = true
[effects.adc]
bits = { value = 10, source = "assumed" }
[effects.tone]
contrast = { value = 0.5, source = "assumed" }
[effects.jpeg]
quality = { value = 90, source = "assumed" }
"""


def load_text(tmp_path, text):
    path = tmp_path / "my.toml"
    path.write_text(text, "utf-8")
    return load_effects(str(path))


@pytest.mark.parametrize("name", ["galaxy_note10", "galaxy_s8plus", "pixel4", "pixel6"])
def test_published_phones_have_none(name):
    """Off where the measured profiles have none, and then no trace of them in the config."""
    assert load_profile(name).effects == NO_EFFECTS
    assert "effects" not in load_profile(name).to_dict()


def test_those_that_come_along_round_trip():
    assert list_effects() == ["typical"]
    effects = load_effects("typical")
    assert effects
    assert Effects.from_dict(json.loads(json.dumps(effects.to_dict()))) == effects


def test_every_group_of_a_file(tmp_path):
    effects = load_text(tmp_path, ALL)
    assert effects.aperture.blades == 6
    assert effects.aperture.curvature == 0
    assert effects.exposure.ev == (-1, 1.5)
    assert effects.vignetting.natural
    assert effects.mosaic.pattern == "GBRG"
    assert effects.noise.iso == (100, 800)
    assert effects.noise.binned
    assert effects.jpeg.quality == (90, 90)
    assert effects.jpeg.subsampling == "4:2:0"
    assert None not in [getattr(effects, name) for name in Effects.__slots__]
    assert Effects.from_dict(json.loads(json.dumps(effects.to_dict()))) == effects
    rows = {key: (value, source) for key, value, source in effects.describe()}
    assert rows["effects.exposure.ev"] == ("-1 to 1.5", "assumed")
    assert rows["effects.noise.full_well_e"] == ("6000", "published: somewhere")
    assert rows["effects.aperture.curvature"] == ("0", "default")


def test_in_a_profile_and_in_a_config(tmp_path):
    from importlib.resources import files

    profile = tmp_path / "my_phone.toml"
    own = files("phone_profiles").joinpath("pixel4.toml").read_text("utf-8")
    profile.write_text(own + ALL.replace("schema = 1", ""), "utf-8")
    (phone,) = phone_dicts([str(profile)])
    assert PhoneProfile(**json.loads(json.dumps(phone))).effects == load_text(tmp_path, ALL)
    config = RenderConfig(phones=(phone,))
    assert RenderConfig.from_json(config.to_json()) == config
    plain = RenderConfig(phones=phone_dicts([str(profile)], "none"))
    assert plain == RenderConfig(phones=phone_dicts(["pixel4"]))
    assert config.fingerprint != plain.fingerprint


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("effects.noise", "effects.grain", r"unknown key 'effects\.grain' \(known: adc, aperture"),
        ("schema = 1", "schema = 1\n[lens]", "unknown key 'lens'"),
        ("schema = 1", "", "missing key 'schema'"),
        ("schema = 1", "schema = 2", "'schema' must be 1, got 2"),
        ("schema = 1", "schema = 1\neffects = 3", "not a TOML file|must be sections"),
        ("iso = ", "gain = ", r"unknown key 'effects\.noise\.gain'"),
        ("full_well_e = .*", "", r"missing key 'effects\.noise\.full_well_e'"),
        ("value = 6000", "value = 6", r"'effects\.noise\.full_well_e' must lie in \[50, 1e\+07\], got 6"),
        ("value = 6,", "value = 2,", r"'effects\.aperture\.blades' must lie in \[3, 32\], got 2"),
        ("value = 6,", "value = 6.5,", r"'effects\.aperture\.blades' must be a whole number, got 6\.5"),
        (r"\[-1, 1.5\]", "[1.5, -1]", r"'effects\.exposure\.ev' must be a pair \[low, high\], got \[1\.5, -1\]"),
        (r"\[-1, 1.5\]", "[1, 2, 3]", r"'effects\.exposure\.ev' must be a number or a pair"),
        ("value = 0.5,", "value = [0.1, 0.5],", r"'effects\.tone\.contrast' must be one number"),
        ("value = 90", "value = 101", r"'effects\.jpeg\.quality' must lie in \[1, 100\]"),
        ('"GBRG"', '"RGBG"', r"'effects\.mosaic\.pattern' must be one of RGGB, BGGR, GRBG, GBRG, got 'RGBG'"),
        ("binned = true", "binned = 1", r"'effects\.noise\.binned' must be one of false, true, got 1"),
        ('"published: somewhere"', '"a friend"', r"source of 'effects\.noise\.full_well_e' must be"),
        (
            r"bits = .*",
            'bits = { value = 8, source = "assumed" }\nblack_level = { value = 255, source = "assumed" }',
            r"'effects\.adc\.black_level' must be below white, 255, got 255",
        ),
    ],
)
def test_mistakes_are_refused_by_name(tmp_path, old, new, message):
    changed = re.sub(old, new, ALL, count=1)
    assert changed != ALL
    with pytest.raises(ProfileError, match=message) as error:
        load_text(tmp_path, changed)
    assert "my.toml" in str(error.value)


def test_missing_files_and_unknown_names():
    with pytest.raises(ProfileError, match="unknown effects 'grainy'; known: typical, or the path"):
        load_effects("grainy")
    with pytest.raises(ProfileError, match="no such file"):
        load_effects("grainy.toml")
