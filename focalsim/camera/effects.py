"""What a phone adds to the light of a thin lens: one group of numbers an effect, each off (None) unless given.

docs/effects.md has the models and their sources. The optics' part is done by focalsim.render, the rest by
focalsim.sensor, in the order of a real camera, which is that of the groups below. A pair of numbers is drawn
from, evenly and once a stack; one number stands for a pair of equals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from focalsim.camera.numbers import Number, check_schema, read_number, read_toml, refuse_unknown
from focalsim.errors import ProfileError

BAYER_PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")
_SECTION = "effects"
_Group = TypeVar("_Group")


def _number(low: float, high: float, *, default: Any = MISSING, integer: bool = False, drawn: bool = False) -> Any:
    metadata = {"low": low, "high": high, "integer": integer, "drawn": drawn}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


def _choice(*choices: Any) -> Any:
    """One of ``choices``; the first is the default."""
    return field(default=choices[0], metadata={"choices": choices})


@dataclass(frozen=True, slots=True)
class Aperture:
    """A regular polygon of ``blades`` edges, its corners on the rim of the round aperture of diameter f/N.

    rotation_deg  turns the first corner from +x (right) towards +y (down), as the lens is seen from the scene's side
                  through a blur BEHIND the focus; before the focus the shape is turned by half a turn
    curvature     of the blades: 0 straight edges, 1 the full disc
    """

    blades: int = _number(3, 32, integer=True)
    rotation_deg: float = _number(-360, 360, default=0.0)
    curvature: float = _number(0, 1, default=0.0)


@dataclass(frozen=True, slots=True)
class LateralColor:
    """Image scale of red and blue relative to green, less one: lateral chromatic aberration."""

    red: float = _number(-0.02, 0.02)
    blue: float = _number(-0.02, 0.02)


@dataclass(frozen=True, slots=True)
class Exposure:
    """Light is multiplied by 2^ev."""

    ev: tuple[float, float] = _number(-10, 10, drawn=True)


@dataclass(frozen=True, slots=True)
class Vignetting:
    """Light falls off as  cos^4(field angle)  (where ``natural``)  times  1 + k1 r^2 + k2 r^4 + k3 r^6.

    r is 1 at the corners of the sensor. ``corrected`` is the part (0..1, an exponent) that the phone multiplies back.
    """

    natural: bool = _choice(True, False)
    k1: float = _number(-2, 2, default=0.0)
    k2: float = _number(-2, 2, default=0.0)
    k3: float = _number(-2, 2, default=0.0)
    corrected: float = _number(0, 1, default=0.0)


@dataclass(frozen=True, slots=True)
class Mosaic:
    """A Bayer filter, undone by the gradient-corrected linear interpolation of Malvar, He and Cutler."""

    pattern: str = _choice(*BAYER_PATTERNS)


@dataclass(frozen=True, slots=True)
class Noise:
    """Photon and read noise of one exposure; white is ``full_well_e`` base_iso / iso electrons.

    binned  an output pixel is the mean of all sensor pixels that it covers, else it stands for one of them
    """

    full_well_e: float = _number(50, 1e7)
    read_noise_e: float = _number(0, 1e4)
    iso: tuple[float, float] = _number(1, 1e6, drawn=True)
    base_iso: float = _number(1, 1e4, default=100.0)
    binned: bool = _choice(False, True)


@dataclass(frozen=True, slots=True)
class Adc:
    """Raw values are rounded to ``bits`` bits; black is the code ``black_level``, white the largest."""

    bits: int = _number(6, 16, integer=True)
    black_level: int = _number(0, 16384, default=0, integer=True)


@dataclass(frozen=True, slots=True)
class Tone:
    """A tone curve on sRGB values: x + contrast (3 x^2 - 2 x^3 - x)."""

    contrast: float = _number(0, 1)


@dataclass(frozen=True, slots=True)
class Jpeg:
    """The picture is compressed and decompressed."""

    quality: tuple[float, float] = _number(1, 100, integer=True, drawn=True)
    subsampling: str = _choice("4:2:0", "4:2:2", "4:4:4")


@dataclass(frozen=True, slots=True)
class Effects:
    """All effects of a phone; None = off. ``sources`` says where each number is from, by ``group.key``."""

    aperture: Aperture | None = None
    lateral_color: LateralColor | None = None
    exposure: Exposure | None = None
    vignetting: Vignetting | None = None
    mosaic: Mosaic | None = None
    noise: Noise | None = None
    adc: Adc | None = None
    tone: Tone | None = None
    jpeg: Jpeg | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(getattr(self, name) is not None for name in GROUPS)

    @classmethod
    def from_toml(cls, data: Any, origin: str) -> Effects:
        """From the table ``effects`` of a TOML document; ``origin`` names the file in errors.

        Raises ProfileError that names the key for what is unknown, missing or impossible.
        """
        if not isinstance(data, Mapping):
            raise ProfileError(f"{origin}: '{_SECTION}' must be sections [{_SECTION}.NAME], got {data!r}")
        refuse_unknown(data, GROUPS, origin, f"{_SECTION}.")
        sources: dict[str, str] = {}
        groups = {name: _read_group(GROUPS[name], name, data[name], origin, sources) for name in data}
        adc = groups.get("adc")
        if adc is not None and adc.black_level >= 2**adc.bits - 1:
            raise ProfileError(
                f"{origin}: '{_SECTION}.adc.black_level' must be below white, {2**adc.bits - 1}, got {adc.black_level}"
            )
        return cls(**groups, sources=sources)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Effects:
        """Inverse of :meth:`to_dict`, also after JSON. Raises ProfileError for what is no such dict."""
        groups = {}
        for name, values in data.items():
            if name == "sources":
                continue
            if name not in GROUPS or set(values) - {f.name for f in fields(GROUPS[name])}:
                raise ProfileError(f"unknown effects: '{name}' with {', '.join(values)}")
            pairs = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
            groups[name] = GROUPS[name](**pairs)
        return cls(**groups, sources=dict(data.get("sources", {})))

    def to_dict(self) -> dict[str, Any]:
        """The groups that are on, and the sources, as plain JSON-able values."""
        groups = {name: getattr(self, name) for name in GROUPS}
        on = {
            name: {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(group).items()}
            for name, group in groups.items()
            if group is not None
        }
        return {**on, "sources": dict(self.sources)} if on else {}

    def describe(self) -> Iterator[tuple[str, str, str]]:
        """Rows of (key, value, source), for the effects that are on."""
        for name in GROUPS:
            group = getattr(self, name)
            for f in fields(GROUPS[name]) if group is not None else ():
                yield (
                    f"{_SECTION}.{name}.{f.name}",
                    _text(getattr(group, f.name)),
                    self.sources.get(f"{name}.{f.name}", "choice" if "choices" in f.metadata else "default"),
                )


GROUPS: dict[str, Any] = {
    name: next(kind for kind in hint.__args__ if kind is not type(None))
    for name, hint in get_type_hints(Effects).items()
    if name != "sources"
}
NO_EFFECTS = Effects()


def list_effects() -> list[str]:
    """Names of the sets of effects that come with the package."""
    return sorted(p.name.removesuffix(".toml") for p in _folder().iterdir() if p.name.endswith(".toml"))


def load_effects(name_or_path: str) -> Effects:
    """A set of effects by name (``typical``) or by the path of the user's own file (anything ending in ``.toml``).

    The file holds ``schema`` and sections ``[effects.NAME]``, as a profile may. Raises ProfileError.
    """
    if name_or_path.endswith(".toml"):
        origin, path = name_or_path, Path(name_or_path)
        if not path.is_file():
            raise ProfileError(f"{origin}: no such file of effects")
    elif name_or_path in list_effects():
        origin = f"phone_profiles/effects/{name_or_path}.toml"
        path = _folder().joinpath(f"{name_or_path}.toml")
    else:
        raise ProfileError(
            f"unknown effects {name_or_path!r}; known: {', '.join(list_effects())}, or the path of a .toml file"
        )
    data = read_toml(path, origin)
    refuse_unknown(data, ("schema", _SECTION), origin, "")
    check_schema(data, origin)
    return Effects.from_toml(data.get(_SECTION, {}), origin)


def is_effects_file(path: str) -> bool:
    """Whether a TOML file holds effects and no phone."""
    return Path(path).is_file() and set(read_toml(Path(path), path)) <= {"schema", _SECTION}


def _read_group(kind: Any, name: str, data: Any, origin: str, sources: dict[str, str]) -> Any:
    section = f"{_SECTION}.{name}"
    if not isinstance(data, Mapping):
        raise ProfileError(f"{origin}: '{section}' must be a section, got {data!r}")
    known = {f.name: f for f in fields(kind)}
    refuse_unknown(data, known, origin, f"{section}.")
    values = {}
    for key, f in known.items():
        if key not in data and f.default is not MISSING:
            continue
        if "choices" in f.metadata:
            values[key] = _read_choice(data[key], f, f"{section}.{key}", origin)
        else:
            number = Number(section, key, **f.metadata)
            values[key], sources[f"{name}.{key}"] = read_number(data, number, origin)
    return kind(**values)


def _read_choice(value: Any, f: Field[Any], name: str, origin: str) -> Any:
    choices = f.metadata["choices"]
    # 1 == True, but only one of them is meant.
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ProfileError(f"{origin}: '{name}' must be one of {', '.join(map(_text, choices))}, got {value!r}")
    return value


def _text(value: Any) -> str:
    """A value as it stands in the file."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return _text(value[0]) if value[0] == value[1] else f"{_text(value[0])} to {_text(value[1])}"
    return value if isinstance(value, str) else f"{value:g}"


def _folder() -> Any:
    return files("phone_profiles").joinpath("effects")
