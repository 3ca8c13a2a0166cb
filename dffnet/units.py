"""The unit of depth inside a network: dioptres (1/metres, linear in blur) or metres."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

UNITS = ("dioptres", "metres")
_Array = TypeVar("_Array", bound=Any)


def from_metres(metres: _Array, unit: str) -> _Array:
    """Metres (array or tensor, any shape) in ``unit``. In dioptres 0 becomes inf and inf becomes 0.

    >>> from_metres(np.array([0.25, 1.0, np.inf]), "dioptres").tolist()
    [4.0, 1.0, 0.0]
    """
    if unit not in UNITS:
        raise ValueError(f"unit must be one of {', '.join(UNITS)}, got {unit!r}")
    if unit == "metres":
        return metres
    with np.errstate(divide="ignore"):
        inverse: Any = 1.0 / metres
    return inverse  # type: ignore[no-any-return]


def to_metres(value: _Array, unit: str) -> _Array:
    """The inverse of :func:`from_metres`, which is its own inverse."""
    return from_metres(value, unit)
