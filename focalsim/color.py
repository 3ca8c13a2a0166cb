"""sRGB transfer function (IEC 61966-2-1). Light mixes linearly: decode before any blur, encode after."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SRGB8_TO_LINEAR = np.where(
    np.arange(256) / 255.0 <= 0.04045,
    np.arange(256) / 255.0 / 12.92,
    ((np.arange(256) / 255.0 + 0.055) / 1.055) ** 2.4,
).astype(np.float32)

# Code value k is nearest for linear values between the decoded k - 0.5 and k + 0.5.
_half_codes = (np.arange(255) + 0.5) / 255.0
CODE_EDGES = np.where(_half_codes <= 0.04045, _half_codes / 12.92, ((_half_codes + 0.055) / 1.055) ** 2.4).astype(
    np.float32
)
# Darker light has code 0; and by how much numbers differ as integers whose first 16 bits follow on each other.
DARKEST, STEP = 2.0**-13, 1 << 16


def _encoding() -> NDArray[np.uint32]:
    """What :func:`focalsim.encode.encode8` looks up by the first 16 bits of light from ``DARKEST`` to 1.

    There is one edge at most between two steps. So a number here plus the bits of the light, which carry into the next
    code from an edge on, is the code times ``STEP`` and some rest.
    """
    first, last = (int(np.float32(light).view(np.uint32)) for light in (DARKEST, 1.0))
    starts = np.arange(first, last + 2 * STEP, STEP).astype(np.uint32)
    code = np.searchsorted(CODE_EDGES, starts.view(np.float32), side="right")
    edges = np.append(CODE_EDGES, np.float32(np.inf)).view(np.uint32)[code]  # where the code after each begins
    to_edge = np.minimum(edges - starts, STEP)
    table: NDArray[np.uint32] = (STEP * (code + 1) - to_edge - starts).astype(np.uint32)[:-1]
    return table


ENCODING = _encoding()


def srgb_to_linear(srgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Decode 8-bit sRGB codes (any shape, 0..255) to linear light in [0, 1].

    >>> srgb_to_linear(np.array([0, 128, 255], np.uint8)).round(3).tolist()  # code 128 is a fifth of the light
    [0.0, 0.2160000056028366, 1.0]
    """
    if srgb.dtype != np.uint8:
        raise TypeError(f"srgb_to_linear expects uint8 codes, got {srgb.dtype}")
    from focalsim.encode import decode8  # compiled; whoever only reads shards does without

    linear = np.empty(np.shape(srgb), np.float32)
    decode8(np.ascontiguousarray(srgb).reshape(-1), SRGB8_TO_LINEAR, linear.reshape(-1))
    return linear


def linear_light(rgb: NDArray[Any]) -> NDArray[np.float32]:
    """Linear light of ``rgb`` as a source stores it: 8-bit sRGB codes are decoded, light is returned as it is."""
    return srgb_to_linear(rgb) if rgb.dtype == np.uint8 else rgb


def linear_to_srgb(linear: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Encode linear light (any shape; clipped to [0, 1]) to the nearest 8-bit sRGB code.

    The inverse of :func:`srgb_to_linear` for every code.

    >>> linear_to_srgb(np.array([0.0, 0.5, 1.0, 7.0])).tolist()  # half the light is code 188
    [0, 188, 255, 255]
    """
    from focalsim.encode import encode8  # compiled; whoever only reads shards does without

    flat = np.ascontiguousarray(linear, np.float32).reshape(-1)
    return encode8(flat, ENCODING).reshape(np.shape(linear))


def encode_srgb(linear: NDArray[np.floating]) -> NDArray[np.float64]:
    """Encode linear light to continuous sRGB in [0, 1], for measures that must not be quantised."""
    clipped = np.clip(np.asarray(linear, np.float64), 0.0, 1.0)
    return np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)
