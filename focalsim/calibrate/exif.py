"""What a photo says of itself: the few tags that a calibration can use.

The focus distance stands, in this order, in

EXIF    SubjectDistance, metres
XMP     aux:ApproximateFocusDistance, metres, a decimal or a fraction
text    ``android.lens.focusDistance``, dioptres, as camera programs copy it from Android's capture result: in XMP or
        any text of EXIF (UserComment, ImageDescription, makers' JSON), also spelt LensFocusDistance or
        LENS_FOCUS_DISTANCE, or with the unit in its name, FocusDistanceDiopters
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from focalsim.errors import SourceError

_EXIF_IFD = 0x8769
_MAKE, _MODEL, _ORIENTATION = 0x010F, 0x0110, 0x0112
_F_NUMBER, _SUBJECT_DISTANCE, _FOCAL_LENGTH, _FOCAL_LENGTH_35MM = 0x829D, 0x9206, 0x920A, 0xA405
_INFINITY_M = 4294967295.0  # EXIF 2.3: the numerator FFFFFFFF is infinity, 0 is unknown
_XMP = re.compile(rb"<x:xmpmeta.*?</x:xmpmeta>", re.DOTALL)
_XMP_WITHIN = 1 << 18  # bytes; metadata stand before the pixels
# An attribute, an element, a key of JSON or a plain "key: value".
_VALUE = r"""["']?\s*[>=:]\s*["']?\s*([-+0-9.eE/]+)"""
_METRES = re.compile(r"\bApproximateFocusDistance" + _VALUE)
_DIOPTRES = re.compile(
    r"\b(?:lens[._ ]?focus[._ ]?distance|focus[._ ]?dist(?:ance)?[._ ]?(?:in[._ ]?)?(?:diopt(?:er|re)s?|dpt))" + _VALUE,
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Exif:
    """Size as stored, and tags; None where the photo does not say."""

    size_px: tuple[int, int]  # (W, H)
    orientation: int = 1
    camera: str | None = None  # maker and model
    focus_distance_m: float | None = None  # may be infinite
    focal_length_mm: float | None = None
    focal_length_35mm: float | None = None  # of the same diagonal view on 36 x 24 mm film
    f_number: float | None = None


def read_exif(path: Path) -> Exif:
    """Tags and size of a photo, without decoding its pixels. Raises SourceError for a file that is no image."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            size = (image.width, image.height)
            tags = image.getexif()
            details = tags.get_ifd(_EXIF_IFD)
        with path.open("rb") as file:
            xmp = b"".join(_XMP.findall(file.read(_XMP_WITHIN))).decode("utf-8", "replace")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise SourceError(f"{path}: not an image file, or damaged ({type(error).__name__})") from None
    texts = [xmp, *_texts(tags.values()), *_texts(details.values())]
    camera = " ".join(str(tags[tag]).strip("\0 ") for tag in (_MAKE, _MODEL) if tags.get(tag))
    return Exif(
        size_px=size,
        orientation=int(tags.get(_ORIENTATION) or 1),
        camera=camera or None,
        focus_distance_m=_focus_distance_m(details.get(_SUBJECT_DISTANCE), texts),
        focal_length_mm=_positive(details.get(_FOCAL_LENGTH)),
        focal_length_35mm=_positive(details.get(_FOCAL_LENGTH_35MM)),
        f_number=_positive(details.get(_F_NUMBER)),
    )


def _focus_distance_m(subject_distance: Any, texts: Iterable[str]) -> float | None:
    texts = list(texts)
    metres = _positive(subject_distance) or next(filter(None, (_positive(m) for m in _found(_METRES, texts))), None)
    if metres is not None:
        return float("inf") if metres >= _INFINITY_M else metres
    for word in _found(_DIOPTRES, texts):
        dioptres = _number(word)
        if dioptres is not None and dioptres >= 0:
            return 1 / dioptres if dioptres else float("inf")
    return None


def _texts(values: Iterable[Any]) -> list[str]:
    """Those values of tags that are text; UserComment and some makers' notes are text in bytes."""
    texts = [value.decode("latin-1") if isinstance(value, bytes) else value for value in values]
    # Several zeros end a word; single ones stand between the letters of UTF-16.
    return [re.sub("\0{2,}", " ", text).replace("\0", "") for text in texts if isinstance(text, str)]


def _found(pattern: re.Pattern[str], texts: Iterable[str]) -> list[str]:
    return [word for text in texts for word in pattern.findall(text)]


def _number(value: Any) -> float | None:
    """A tag's number, None where it is missing or broken (a denominator of 0)."""
    try:
        return float(Fraction(value) if isinstance(value, str) and "/" in value else value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None


def _positive(value: Any) -> float | None:
    """As :func:`_number`, None where it is not positive."""
    number = _number(value)
    return number if number is not None and number > 0 else None
