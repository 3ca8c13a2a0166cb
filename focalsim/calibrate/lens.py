"""The lens and sensor of the captures: from options, else from EXIF."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot

from focalsim.calibrate.captures import CaptureSet
from focalsim.errors import ConfigError

_FILM_DIAGONAL_MM = hypot(36, 24)
_TOLERANCE = 1.1  # an option and EXIF may differ by rounding, not by more


@dataclass(frozen=True, slots=True)
class Lens:
    """Numbers of the profile that are not fitted, with the source of the pixel pitch."""

    focal_length_m: float
    f_number: float
    sensor_px: tuple[int, int]
    pixel_pitch_m: float
    pitch_source: str

    @property
    def sensor_width_m(self) -> float:
        return self.sensor_px[0] * self.pixel_pitch_m


def find_lens(
    captures: CaptureSet,
    *,
    focal_length_mm: float | None = None,
    f_number: float | None = None,
    sensor_width_mm: float | None = None,
    sensor_px: tuple[int, int] | None = None,
) -> Lens:
    """Options, else EXIF, else ConfigError that names the option. ``sensor_px`` None = that of the captures.

    Without ``sensor_width_mm`` the pitch follows from EXIF's 35 mm equivalent of the focal length:
    sensor diagonal = 43.27 mm f / f_35.
    """
    exif = captures.exif[0]
    focal_mm = _one("focal length", "--focal-length-mm", focal_length_mm, exif.focal_length_mm)
    number = _one("f-number", "--f-number", f_number, exif.f_number)
    width, height = sensor_px or captures.size_px
    if abs(width * captures.size_px[1] / (height * captures.size_px[0]) - 1) > 0.01:
        raise ConfigError(
            f"the sensor of {width}x{height} px has another aspect ratio than the captures of "
            f"{captures.size_px[0]}x{captures.size_px[1]} px"
        )
    if sensor_width_mm is not None:
        pitch_mm, source = sensor_width_mm / width, "data sheet"
    elif exif.focal_length_mm and exif.focal_length_35mm:
        diagonal_mm = _FILM_DIAGONAL_MM * exif.focal_length_mm / exif.focal_length_35mm
        pitch_mm, source = diagonal_mm / hypot(width, height), "assumed"
    else:
        raise ConfigError("the sensor's width is not in EXIF: give it with --sensor-width-mm")
    return Lens(focal_mm * 1e-3, number, (width, height), pitch_mm * 1e-3, source)


def _one(what: str, option: str, given: float | None, told: float | None) -> float:
    if given is None and told is None:
        raise ConfigError(f"the {what} is not in EXIF: give it with {option}")
    if given is not None and told is not None and not 1 / _TOLERANCE <= given / told <= _TOLERANCE:
        raise ConfigError(f"{option} is {given:g}, but EXIF says {told:g}")
    return given if given is not None else told  # type: ignore[return-value]  # one of them is a number
