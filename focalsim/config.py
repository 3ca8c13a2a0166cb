"""The config of a bundle: frozen, closed, round-trips through JSON, and fingerprinted into every shard."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from focalsim.camera import PhoneProfile, focus_schedule_m
from focalsim.errors import ConfigError

DEPTH_POLICIES = ("auto", "keep", "fit")
COMPRESSIONS = ("none", "lzf", "gzip")
UNLIMITED_SOURCE = "synthetic"


@dataclass(frozen=True, slots=True)
class RenderConfig:
    """Everything that decides the bytes of a bundle; nothing else may (workers, paths and time do not).

    source             name of the source ("synthetic" or the last part of its path)
    source_format      which reader; see focalsim.sources
    source_digest      sha256 over the source's usable frames, so that --resume notices a changed source
    phones             the profiles, as dicts (focalsim.camera.PhoneProfile.to_dict); each sample draws one
    samples, seed      how many stacks; the root of all randomness
    width, height      pixels of every image
    slices, near_m, far_m  focus schedule, uniform in 1/distance
    shard_size         samples in one shard
    depth              "keep" metres, "fit" scenes into the focus range, or "auto": fit only those outside it
    max_holes          largest fraction of pixels without depth that a frame may have
    match_fov          crop source frames with known intrinsics to the phone's field of view
    depth_enlarged     largest factor by which a source's depth map was enlarged; 1 = none, and not in the JSON
    compression        codec of the shards' images and maps, all of them lossless: see docs/shard_format.md
    """

    source: str = UNLIMITED_SOURCE
    source_format: str = UNLIMITED_SOURCE
    source_digest: str = ""
    phones: tuple[Mapping[str, Any], ...] = ()
    samples: int = 64
    seed: int = 0
    width: int = 352
    height: int = 224
    slices: int = 10
    near_m: float = 0.1
    far_m: float = 1.0
    shard_size: int = 64
    depth: str = "auto"
    max_holes: float = 0.5
    match_fov: bool = False
    compression: str = COMPRESSIONS[0]
    depth_enlarged: float = 1.0

    def __post_init__(self) -> None:
        self._check_types()
        for name, low in (("samples", 1), ("slices", 1), ("shard_size", 1), ("seed", 0)):
            if getattr(self, name) < low:
                raise ConfigError(f"{name} must be at least {low}, got {getattr(self, name)}")
        # Configs come from strangers' files too, and decide what is allocated.
        for name, high in (("slices", 10_000), ("samples", 10**12), ("shard_size", 10**9)):
            if getattr(self, name) > high:
                raise ConfigError(f"{name} must be at most {high}, got {getattr(self, name)}")
        if min(self.width, self.height) < 16:
            raise ConfigError(f"size must be at least 16x16 pixels, got {self.width}x{self.height}")
        if self.depth not in DEPTH_POLICIES:
            raise ConfigError(f"depth must be one of {', '.join(DEPTH_POLICIES)}, got {self.depth!r}")
        if self.compression not in COMPRESSIONS:
            raise ConfigError(f"compression must be one of {', '.join(COMPRESSIONS)}, got {self.compression!r}")
        if not 0 <= self.max_holes < 1:
            raise ConfigError(f"max_holes must lie in [0, 1), got {self.max_holes}")
        focus_schedule_m(self.near_m, self.far_m, self.slices)

    def _check_types(self) -> None:
        """Every field has the type of its default; whole numbers given for metres become floats."""
        for field in fields(self):
            value, kind = getattr(self, field.name), type(field.default)
            if kind is float and type(value) is int:
                # Equal configs must be equal texts: 1 and 1.0 are not.
                object.__setattr__(self, field.name, float(value))
            elif type(value) is not kind:
                raise ConfigError(f"{field.name} must be {kind.__name__}, got {value!r}")
        known = {field.name for field in fields(PhoneProfile)} - {"effects"}
        for phone in self.phones:
            if not isinstance(phone, Mapping) or set(phone) - {"effects"} != known:
                raise ConfigError(f"phones must be profiles with the keys {', '.join(sorted(known))}")

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, so that equal configs are equal texts.

        >>> RenderConfig.from_json(RenderConfig(seed=3).to_json()) == RenderConfig(seed=3)
        True
        """
        keys = asdict(self)
        if self.depth_enlarged == 1:  # most bundles: their text is that of versions which did not know the key
            del keys["depth_enlarged"]
        return json.dumps(keys, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> RenderConfig:
        """Inverse of :meth:`to_json`. Raises ConfigError for text that is no config and for unknown keys."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"config is not JSON: {error}") from None
        known = {field.name for field in fields(cls)}
        if not isinstance(data, dict) or set(data) - known:
            unknown = sorted(set(data) - known) if isinstance(data, dict) else [type(data).__name__]
            raise ConfigError(f"config has unknown keys: {', '.join(unknown)}")
        if isinstance(data.get("phones"), list):
            data["phones"] = tuple(data["phones"])
        return cls(**data)

    @property
    def fingerprint(self) -> str:
        """sha256 of the canonical JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()
