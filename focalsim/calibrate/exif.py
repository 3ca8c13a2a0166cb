"""What a photo says of itself: the few EXIF tags that a calibration can use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from focalsim.errors import SourceError

_EXIF_IFD = 0x8769
_MAKE, _MODEL, _ORIENTATION = 0x010F, 0x0110, 0x0112
_F_NUMBER, _SUBJECT_DISTANCE, _FOCAL_LENGTH, _FOCAL_LENGTH_35MM = 0x829D, 0x9206, 0x920A, 0xA405
_INFINITY_M = 4294967295.0  # EXIF 2.3: the numerator FFFFFFFF is infinity, 0 is unknown


@dataclass(frozen=True, slots=True)
class Exif:
    """Size as stored, and tags; None where the photo does not say."""

    size_px: tuple[int, int]  # (W, H)
    orientation: int = 1
    camera: str | None = None  # maker and model
    subject_distance_m: float | None = None
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
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise SourceError(f"{path}: not an image file, or damaged ({type(error).__name__})") from None
    distance = _positive(details.get(_SUBJECT_DISTANCE))
    camera = " ".join(str(tags[tag]).strip("\0 ") for tag in (_MAKE, _MODEL) if tags.get(tag))
    return Exif(
        size_px=size,
        orientation=int(tags.get(_ORIENTATION) or 1),
        camera=camera or None,
        subject_distance_m=float("inf") if distance is not None and distance >= _INFINITY_M else distance,
        focal_length_mm=_positive(details.get(_FOCAL_LENGTH)),
        focal_length_35mm=_positive(details.get(_FOCAL_LENGTH_35MM)),
        f_number=_positive(details.get(_F_NUMBER)),
    )


def _positive(value: Any) -> float | None:
    """A tag's number, None where it is missing, broken (a denominator of 0) or not positive."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if number > 0 else None
