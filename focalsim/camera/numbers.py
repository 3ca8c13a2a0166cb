"""Numbers of TOML files: each has its unit in its key, a range that a camera's can have, and says where it is from."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from focalsim.errors import ProfileError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCHEMA = 1
_SOURCES = re.compile(r"seed release|data sheet|assumed|calibrated from \d+ images|published: .+")


@dataclass(frozen=True, slots=True)
class Number:
    """Where a number stands in the TOML file and what it may be: ``low`` <= value <= ``high``."""

    section: str
    key: str
    low: float
    high: float
    integer: bool = False
    unit: float = 1.0  # factor to SI
    drawn: bool = False  # may be a pair [low, high] to draw from

    @property
    def name(self) -> str:
        """The full key."""
        return f"{self.section}.{self.key}"


def read_toml(path: Path | Any, origin: str) -> dict[str, Any]:
    """A parsed TOML file; ``origin`` names it in the ProfileError that it raises."""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise ProfileError(f"{origin}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProfileError(f"{origin}: not a TOML file: {error}") from None


def check_schema(data: Mapping[str, Any], origin: str) -> None:
    """Raise ProfileError where ``data`` is not of this schema."""
    if "schema" not in data:
        raise ProfileError(f"{origin}: missing key 'schema'")
    if data["schema"] != SCHEMA:
        raise ProfileError(f"{origin}: 'schema' must be {SCHEMA}, got {data['schema']!r}")


def refuse_unknown(data: Mapping[str, Any], known: Collection[str], origin: str, prefix: str) -> None:
    """Raise ProfileError for a key that is not ``known``; ``prefix`` is the section with its dot."""
    for key in data:
        if key not in known:
            stem = key.rpartition("_")[0]
            close = [k for k in sorted(known) if stem and k.rpartition("_")[0] == stem]
            hint = f"; the unit must be that of '{prefix}{close[0]}'" if close else ""
            raise ProfileError(f"{origin}: unknown key '{prefix}{key}'{hint} (known: {', '.join(sorted(known))})")


def read_number(section: Mapping[str, Any], number: Number, origin: str) -> tuple[Any, str]:
    """Value in SI units and source of one number. Raises ProfileError that names the key.

    Numbers that may be ``drawn`` come as pairs (low, high), equal where one value was given.
    """
    name = number.name
    if number.key not in section:
        raise ProfileError(f"{origin}: missing key '{name}'")
    entry = section[number.key]
    if not isinstance(entry, Mapping) or set(entry) != {"value", "source"}:
        raise ProfileError(f"{origin}: '{name}' must be {{ value = ..., source = \"...\" }}, got {entry!r}")
    value, source = entry["value"], entry["source"]
    if isinstance(value, list):
        if not number.drawn or len(value) != 2:
            kind = "a number or a pair [low, high]" if number.drawn else "one number"
            raise ProfileError(f"{origin}: '{name}' must be {kind}, got {value!r}")
        low, high = (_checked(v, number, origin) for v in value)
        if low > high:
            raise ProfileError(f"{origin}: '{name}' must be a pair [low, high], got {value!r}")
    else:
        low = high = _checked(value, number, origin)
    if not isinstance(source, str) or not _SOURCES.fullmatch(source):
        raise ProfileError(
            f"{origin}: source of '{name}' must be 'seed release', 'data sheet', 'assumed', "
            f"'calibrated from N images' or 'published: WHERE', got {source!r}"
        )
    return ((low, high) if number.drawn else low), source


def _checked(value: Any, number: Number, origin: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, int if number.integer else (int, float)):
        kind = "a whole number" if number.integer else "a number"
        raise ProfileError(f"{origin}: '{number.name}' must be {kind}, got {value!r}")
    if not number.low <= value <= number.high:
        raise ProfileError(
            f"{origin}: '{number.name}' must lie in [{number.low:g}, {number.high:g}], got {value!r} (wrong unit?)"
        )
    return value if number.integer else value * number.unit
