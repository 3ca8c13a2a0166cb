"""Calibration: photos of one still scene at several focus distances become a phone profile.

captures -> similarity of each (target or features) -> field-of-view and principal-point errors -> profile, figure
"""

from focalsim.calibrate.captures import CaptureSet, read_captures
from focalsim.calibrate.fit import Calibration, fit_errors
from focalsim.calibrate.lens import Lens, find_lens
from focalsim.calibrate.profile_file import assumptions, profile_toml
from focalsim.calibrate.register import Registration, register
from focalsim.calibrate.target import TARGETS, Target, target_image

__all__ = [
    "TARGETS",
    "Calibration",
    "CaptureSet",
    "Lens",
    "Registration",
    "Target",
    "assumptions",
    "find_lens",
    "fit_errors",
    "profile_toml",
    "read_captures",
    "register",
    "target_image",
]
