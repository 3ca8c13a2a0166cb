"""The camera: thin lens, phone profiles, focus schedule, and the draw of a stack's intrinsics."""

from focalsim.camera.draw import StackCamera, draw_camera
from focalsim.camera.profile import PhoneProfile, list_profiles, load_profile
from focalsim.camera.schedule import focus_schedule_m
from focalsim.camera.thin_lens import coc_diameter_px, sensor_distance_m

__all__ = [
    "PhoneProfile",
    "StackCamera",
    "coc_diameter_px",
    "draw_camera",
    "focus_schedule_m",
    "list_profiles",
    "load_profile",
    "sensor_distance_m",
]
