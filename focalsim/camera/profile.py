"""Phone profiles: TOML files in which every number has its unit in its key and says where it comes from."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from focalsim.errors import ProfileError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROFILE_SCHEMA = 1
_SOURCES = re.compile(r"seed release|data sheet|assumed|calibrated from \d+ images")


@dataclass(frozen=True, slots=True)
class _Number:
    """Where a number stands in the TOML file and what it may be: ``low`` <= value <= ``high``."""

    section: str
    key: str
    low: float
    high: float
    integer: bool = False
    unit: float = 1.0  # factor to SI


# field of PhoneProfile -> its place, its unit and the range outside which it cannot be a camera's.
_NUMBERS: dict[str, _Number] = {
    "focal_length_m": _Number("lens", "focal_length_mm", 0.5, 1000.0, unit=1e-3),
    "f_number": _Number("lens", "f_number", 0.5, 64.0),
    "sensor_width_px": _Number("sensor", "width_px", 16, 100_000, integer=True),
    "sensor_height_px": _Number("sensor", "height_px", 16, 100_000, integer=True),
    "pixel_pitch_m": _Number("sensor", "pixel_pitch_um", 0.3, 50.0, unit=1e-6),
    "fov_error_slope_m": _Number("fov_error", "slope_m", -0.1, 0.1),
    "fov_error_intercept": _Number("fov_error", "intercept", -0.5, 0.5),
    "fov_error_std": _Number("fov_error", "std", 0.0, 0.2),
    "principal_point_x_mean_px": _Number("principal_point", "x_mean_px", -1000.0, 1000.0),
    "principal_point_x_std_px": _Number("principal_point", "x_std_px", 0.0, 1000.0),
    "principal_point_y_mean_px": _Number("principal_point", "y_mean_px", -1000.0, 1000.0),
    "principal_point_y_std_px": _Number("principal_point", "y_std_px", 0.0, 1000.0),
}
_TEXTS = ("schema", "name", "display_name", "notes")


@dataclass(frozen=True, slots=True)
class PhoneProfile:
    """One phone's camera. Lengths in metres, pixels at full sensor resolution.

    fov_error_*        alpha_n ~ Normal(slope_m / s_n + intercept, std), relative field of view (no unit)
    principal_point_*  (x, y) ~ Normal(mean, std), pixels, +x right, +y down
    sources            where each number is from
    """

    name: str
    display_name: str
    notes: str
    focal_length_m: float
    f_number: float
    sensor_width_px: int
    sensor_height_px: int
    pixel_pitch_m: float
    fov_error_slope_m: float
    fov_error_intercept: float
    fov_error_std: float
    principal_point_x_mean_px: float
    principal_point_x_std_px: float
    principal_point_y_mean_px: float
    principal_point_y_std_px: float
    sources: Mapping[str, str]

    @property
    def sensor_width_m(self) -> float:
        """Width of the active sensor in metres."""
        return self.sensor_width_px * self.pixel_pitch_m

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], origin: str) -> PhoneProfile:
        """Build a profile from a parsed TOML document; ``origin`` names the file in errors.

        Raises ProfileError that names the key for unknown or missing keys, wrong units and impossible values.
        """
        sections = {number.section for number in _NUMBERS.values()}
        _refuse_unknown(data, {*_TEXTS, *sections}, origin, "")
        for key in ("schema", "name", "display_name"):
            if key not in data:
                raise ProfileError(f"{origin}: missing key '{key}'")
        if data["schema"] != PROFILE_SCHEMA:
            raise ProfileError(f"{origin}: 'schema' must be {PROFILE_SCHEMA}, got {data['schema']!r}")
        for key in _TEXTS[1:]:
            if not isinstance(data.get(key, ""), str):
                raise ProfileError(f"{origin}: '{key}' must be a string, got {data[key]!r}")
        for section in sorted(sections):
            if not isinstance(data.get(section), Mapping):
                raise ProfileError(f"{origin}: missing section [{section}]")
            keys = {number.key for number in _NUMBERS.values() if number.section == section}
            _refuse_unknown(data[section], keys, origin, f"{section}.")
        values: dict[str, Any] = {}
        sources: dict[str, str] = {}
        for field, number in _NUMBERS.items():
            values[field], sources[field] = _read_number(data[number.section], number, origin)
        return cls(
            name=data["name"],
            display_name=data["display_name"],
            notes=data.get("notes", ""),
            sources=sources,
            **values,
        )

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain JSON-able values; what a bundle's config stores."""
        return {**asdict(self), "sources": dict(self.sources)}

    def describe(self) -> list[tuple[str, str, str]]:
        """Rows of (key with unit, value, source) as they stand in the file."""
        rows = []
        for field in fields(self):
            number = _NUMBERS.get(field.name)
            if number is not None:
                value = getattr(self, field.name) / number.unit
                rows.append((f"{number.section}.{number.key}", f"{value:g}", self.sources[field.name]))
        return rows


def _refuse_unknown(data: Mapping[str, Any], known: set[str], origin: str, prefix: str) -> None:
    for key in data:
        if key not in known:
            stem = key.rpartition("_")[0]
            close = [k for k in sorted(known) if stem and k.rpartition("_")[0] == stem]
            hint = f"; the unit must be that of '{prefix}{close[0]}'" if close else ""
            raise ProfileError(f"{origin}: unknown key '{prefix}{key}'{hint} (known: {', '.join(sorted(known))})")


def _read_number(section: Mapping[str, Any], number: _Number, origin: str) -> tuple[float, str]:
    name = f"{number.section}.{number.key}"
    if number.key not in section:
        raise ProfileError(f"{origin}: missing key '{name}'")
    entry = section[number.key]
    if not isinstance(entry, Mapping) or set(entry) != {"value", "source"}:
        raise ProfileError(f"{origin}: '{name}' must be {{ value = ..., source = \"...\" }}, got {entry!r}")
    value, source = entry["value"], entry["source"]
    if isinstance(value, bool) or not isinstance(value, int if number.integer else (int, float)):
        kind = "a whole number" if number.integer else "a number"
        raise ProfileError(f"{origin}: '{name}' must be {kind}, got {value!r}")
    if not number.low <= value <= number.high:
        raise ProfileError(
            f"{origin}: '{name}' must lie in [{number.low:g}, {number.high:g}], got {value!r} (wrong unit?)"
        )
    if not isinstance(source, str) or not _SOURCES.fullmatch(source):
        raise ProfileError(
            f"{origin}: source of '{name}' must be 'seed release', 'data sheet', 'assumed' or "
            f"'calibrated from N images', got {source!r}"
        )
    return (value if number.integer else value * number.unit), source


def list_profiles() -> list[str]:
    """Names of the profiles that come with the package."""
    return sorted(p.name.removesuffix(".toml") for p in _folder().iterdir() if p.name.endswith(".toml"))


def load_profile(name_or_path: str) -> PhoneProfile:
    """A profile by name (``pixel4``) or by the path of the user's own file (anything ending in ``.toml``).

    Raises ProfileError for an unknown name, an unreadable file or a file that is not a valid profile.
    """
    if name_or_path.endswith(".toml"):
        origin, path = name_or_path, Path(name_or_path)
        if not path.is_file():
            raise ProfileError(f"{origin}: no such profile file")
        raw = path.read_bytes()
    else:
        if name_or_path not in list_profiles():
            raise ProfileError(
                f"unknown phone {name_or_path!r}; known: {', '.join(list_profiles())}, or the path of a .toml file"
            )
        origin = f"phone_profiles/{name_or_path}.toml"
        raw = _folder().joinpath(f"{name_or_path}.toml").read_bytes()
    try:
        data = tomllib.loads(raw.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProfileError(f"{origin}: not a TOML file: {error}") from None
    return PhoneProfile.from_dict(data, origin)


def _folder() -> Any:
    return files("phone_profiles")
