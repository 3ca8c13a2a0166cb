"""The camera: thin lens, phone profiles and effects, focus schedule, and the draw of a stack's intrinsics."""

from focalsim.camera.draw import StackCamera, draw_camera
from focalsim.camera.effects import (
    NO_EFFECTS,
    Aperture,
    Effects,
    LateralColor,
    is_effects_file,
    list_effects,
    load_effects,
)
from focalsim.camera.profile import PhoneProfile, list_profiles, load_profile, phone_dicts
from focalsim.camera.schedule import focus_schedule_m
from focalsim.camera.thin_lens import blur_gain_px_m, coc_diameter_px, sensor_distance_m

__all__ = [
    "NO_EFFECTS",
    "Aperture",
    "Effects",
    "LateralColor",
    "PhoneProfile",
    "StackCamera",
    "blur_gain_px_m",
    "coc_diameter_px",
    "draw_camera",
    "focus_schedule_m",
    "is_effects_file",
    "list_effects",
    "list_profiles",
    "load_effects",
    "load_profile",
    "phone_dicts",
    "sensor_distance_m",
]
