"""The config: closed, frozen, and the same text and fingerprint for the same content."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace

import pytest

from focalsim.camera import load_profile
from focalsim.config import RenderConfig
from focalsim.errors import ConfigError


@pytest.fixture
def config():
    return RenderConfig(phones=(load_profile("pixel4").to_dict(), load_profile("pixel6").to_dict()))


def test_round_trip(config):
    again = RenderConfig.from_json(config.to_json())
    assert again == config
    assert again.to_json() == config.to_json()
    assert again.fingerprint == config.fingerprint


def test_is_frozen(config):
    with pytest.raises(FrozenInstanceError):
        config.seed = 3


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1}, {"samples": 65}, {"width": 353}, {"near_m": 0.11}, {"depth": "keep"}, {"phones": ()},
        {"source_digest": "ab"}, {"match_fov": True}, {"max_holes": 0.25},
    ],
)  # fmt: skip
def test_every_change_changes_the_fingerprint(config, change):
    assert replace(config, **change).fingerprint != config.fingerprint


def test_whole_metres_are_metres():
    assert RenderConfig(near_m=1, far_m=2).to_json() == RenderConfig(near_m=1.0, far_m=2.0).to_json()


def test_unknown_keys_are_refused_by_name(config):
    data = json.loads(config.to_json()) | {"blur": 3, "aperture": 2}
    with pytest.raises(ConfigError, match="unknown keys: aperture, blur"):
        RenderConfig.from_json(json.dumps(data))


@pytest.mark.parametrize("text", ["{", "[1, 2]", "3", '{"samples": "many"}', '{"phones": 3}', '{"near_m": null}'])
def test_what_is_no_config(text):
    with pytest.raises(ConfigError):
        RenderConfig.from_json(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 0}, "samples must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"slices": 0}, "slices must be at least 1"),
        ({"shard_size": 0}, "shard_size must be at least 1"),
        ({"width": 0}, "size must be at least 16x16 pixels, got 0x224"),
        ({"height": 15}, "size must be at least 16x16 pixels, got 352x15"),
        ({"near_m": 2.0}, "near must be smaller than far, got near 2.0 m and far 1.0 m"),
        ({"depth": "guess"}, "depth must be one of auto, keep, fit, got 'guess'"),
        ({"samples": 3.0}, "samples must be int, got 3.0"),
        ({"match_fov": 1}, "match_fov must be bool, got 1"),
        ({"phones": ({"name": "mine"},)}, "phones must be profiles with the keys display_name, f_number"),
        ({"max_holes": 1.0}, r"max_holes must lie in \[0, 1\), got 1.0"),
        ({"max_holes": float("nan")}, "max_holes must lie in"),
    ],
)
def test_values_that_cannot_be(change, message):
    with pytest.raises(ConfigError, match=message):
        RenderConfig(**change)
