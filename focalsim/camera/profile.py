"""Phone profiles: TOML files in which every number has its unit in its key and says where it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from focalsim.camera.effects import NO_EFFECTS, Effects, load_effects
from focalsim.camera.numbers import Number, check_schema, read_number, read_toml, refuse_unknown
from focalsim.errors import ProfileError

# field of PhoneProfile -> its place, its unit and the range outside which it cannot be a camera's.
_NUMBERS: dict[str, Number] = {
    "focal_length_m": Number("lens", "focal_length_mm", 0.5, 1000.0, unit=1e-3),
    "f_number": Number("lens", "f_number", 0.5, 64.0),
    "sensor_width_px": Number("sensor", "width_px", 16, 100_000, integer=True),
    "sensor_height_px": Number("sensor", "height_px", 16, 100_000, integer=True),
    "pixel_pitch_m": Number("sensor", "pixel_pitch_um", 0.3, 50.0, unit=1e-6),
    "fov_error_slope_m": Number("fov_error", "slope_m", -1.0, 1.0),  # a phone has thousandths of a metre
    "fov_error_intercept": Number("fov_error", "intercept", -0.5, 0.5),
    "fov_error_std": Number("fov_error", "std", 0.0, 0.2),
    "principal_point_x_mean_px": Number("principal_point", "x_mean_px", -1000.0, 1000.0),
    "principal_point_x_std_px": Number("principal_point", "x_std_px", 0.0, 1000.0),
    "principal_point_y_mean_px": Number("principal_point", "y_mean_px", -1000.0, 1000.0),
    "principal_point_y_std_px": Number("principal_point", "y_std_px", 0.0, 1000.0),
}
_TEXTS = ("schema", "name", "display_name", "notes")


@dataclass(frozen=True, slots=True)
class PhoneProfile:
    """One phone's camera. Lengths in metres, pixels at full sensor resolution.

    fov_error_*        alpha_n ~ Normal(slope_m / s_n + intercept, std), relative field of view (no unit)
    principal_point_*  (x, y) ~ Normal(mean, std), pixels, +x right, +y down
    sources            where each number is from
    effects            what the phone adds after the lens; none unless the file has sections [effects.NAME]
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
    effects: Effects = NO_EFFECTS

    def __post_init__(self) -> None:
        if isinstance(self.effects, Mapping):  # as a bundle's config has them
            object.__setattr__(self, "effects", Effects.from_dict(self.effects))

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
        refuse_unknown(data, {*_TEXTS, *sections, "effects"}, origin, "")
        check_schema(data, origin)
        for key in ("name", "display_name"):
            if key not in data:
                raise ProfileError(f"{origin}: missing key '{key}'")
        for key in _TEXTS[1:]:
            if not isinstance(data.get(key, ""), str):
                raise ProfileError(f"{origin}: '{key}' must be a string, got {data[key]!r}")
        for section in sorted(sections):
            if not isinstance(data.get(section), Mapping):
                raise ProfileError(f"{origin}: missing section [{section}]")
            keys = {number.key for number in _NUMBERS.values() if number.section == section}
            refuse_unknown(data[section], keys, origin, f"{section}.")
        values: dict[str, Any] = {}
        sources: dict[str, str] = {}
        for field, number in _NUMBERS.items():
            values[field], sources[field] = read_number(data[number.section], number, origin)
        return cls(
            name=data["name"],
            display_name=data["display_name"],
            notes=data.get("notes", ""),
            sources=sources,
            effects=Effects.from_toml(data.get("effects", {}), origin),
            **values,
        )

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain JSON-able values, what a bundle's config stores; without ``effects`` that are off."""
        plain = {**asdict(self), "sources": dict(self.sources)}
        del plain["effects"]
        return {**plain, "effects": self.effects.to_dict()} if self.effects else plain

    def describe(self) -> list[tuple[str, str, str]]:
        """Rows of (key with unit, value, source) as they stand in the file."""
        rows = []
        for field in fields(self):
            number = _NUMBERS.get(field.name)
            if number is not None:
                value = getattr(self, field.name) / number.unit
                rows.append((number.name, f"{value:g}", self.sources[field.name]))
        return [*rows, *self.effects.describe()]


def list_profiles() -> list[str]:
    """Names of the profiles that come with the package."""
    return sorted(p.name.removesuffix(".toml") for p in _folder().iterdir() if p.name.endswith(".toml"))


def load_profile(name_or_path: str) -> PhoneProfile:
    """A profile by name (``pixel4``) or by the path of the user's own file (anything ending in ``.toml``).

    Raises ProfileError for an unknown name, an unreadable file or a file that is not a valid profile.

    >>> phone = load_profile("pixel4")
    >>> phone.f_number, phone.sources["f_number"]
    (1.7, 'seed release')
    """
    if name_or_path.endswith(".toml"):
        origin, path = name_or_path, Path(name_or_path)
        if not path.is_file():
            raise ProfileError(f"{origin}: no such profile file")
    else:
        if name_or_path not in list_profiles():
            raise ProfileError(
                f"unknown phone {name_or_path!r}; known: {', '.join(list_profiles())}, or the path of a .toml file"
            )
        origin = f"phone_profiles/{name_or_path}.toml"
        path = _folder().joinpath(f"{name_or_path}.toml")
    return PhoneProfile.from_dict(read_toml(path, origin), origin)


def phone_dicts(names: Iterable[str], effects: str | None = None) -> tuple[dict[str, Any], ...]:
    """What a config's ``phones`` holds: the profiles of these names or paths, each once; "all": those that come along.

    ``effects`` (a name, a path, or "none") takes the place of the profiles' own. Raises ProfileError.
    """
    wanted = [name for given in names for name in (list_profiles() if given == "all" else [given])]
    profiles = [load_profile(name) for name in dict.fromkeys(wanted)]
    if effects is not None:
        chosen = NO_EFFECTS if effects == "none" else load_effects(effects)
        profiles = [replace(profile, effects=chosen) for profile in profiles]
    return tuple(profile.to_dict() for profile in profiles)


def _folder() -> Any:
    return files("phone_profiles")
