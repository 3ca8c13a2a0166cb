"""The fitted phone as a TOML profile that ``focalsim.camera.load_profile`` reads."""

from __future__ import annotations

import json
import sys

from focalsim.calibrate.fit import CONFIDENCE, Calibration
from focalsim.calibrate.lens import Lens
from focalsim.camera import PhoneProfile
from focalsim.errors import ProfileError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_LARGEST_MISFIT = 3.0  # of the thin lens' own growth; a stack in units that are no metres has far more

_TEMPLATE = '''# Written by focalsim calibrate. Units are in the keys; every number says where it is from.
schema = 1
name = {name}
display_name = {display_name}
notes = """
{notes}
"""

[lens]
focal_length_mm = {{ value = {focal_mm:.6g}, source = "data sheet" }}
f_number = {{ value = {f_number:.6g}, source = "data sheet" }}

[sensor]
width_px = {{ value = {width}, source = "data sheet" }}
height_px = {{ value = {height}, source = "data sheet" }}
pixel_pitch_um = {{ value = {pitch_um:.6g}, source = "{pitch_source}" }}

# Relative field of view against the thin lens: alpha = slope_m / focus_distance_m + intercept, plus Normal(0, std).
[fov_error]
slope_m = {{ value = {slope:.8f}, source = "{fitted}" }}
intercept = {{ value = {intercept:.8f}, source = "{fitted}" }}
std = {{ value = {std:.8f}, source = "{fitted}" }}

# Pixels at full sensor resolution, +x right, +y down; drawn anew for every slice.
[principal_point]
x_mean_px = {{ value = {x_mean:.4f}, source = "{mean_source}" }}
x_std_px = {{ value = {x_std:.4f}, source = "{fitted}" }}
y_mean_px = {{ value = {y_mean:.4f}, source = "{mean_source}" }}
y_std_px = {{ value = {y_std:.4f}, source = "{fitted}" }}
'''


def profile_toml(calibration: Calibration, lens: Lens, name: str, display_name: str) -> str:
    """Text of the profile. Raises ProfileError where a number is outside what a profile may hold."""
    fitted = f"calibrated from {calibration.images} images"
    mean, std = calibration.principal_point_mean_px, calibration.principal_point_std_px
    text = _TEMPLATE.format(
        name=_quoted(name),
        display_name=_quoted(display_name),
        notes=_quoted("\n".join(assumptions(calibration)))[1:-1].replace("\\n", "\n"),
        focal_mm=lens.focal_length_m * 1e3,
        f_number=lens.f_number,
        width=lens.sensor_px[0],
        height=lens.sensor_px[1],
        pitch_um=lens.pixel_pitch_m * 1e6,
        pitch_source=lens.pitch_source,
        slope=calibration.slope_m,
        intercept=calibration.intercept,
        std=calibration.fov_error_std,
        x_mean=mean[0] if calibration.centred else 0.0,
        y_mean=mean[1] if calibration.centred else 0.0,
        x_std=std[0],
        y_std=std[1],
        mean_source=fitted if calibration.centred else "assumed",
        fitted=fitted,
    )
    try:
        PhoneProfile.from_dict(tomllib.loads(text), name)
    except ProfileError as error:
        raise ProfileError(f"{error}. {_growth(calibration)}") from None
    return text


def _growth(c: Calibration) -> str:
    """How much the image grows, beside the thin lens, and a doubt where that is far from any phone."""
    usable = ~c.outlier & (c.magnification == c.magnification)
    s = c.focus_distance_m[usable]
    measured, thin = 100 * (c.magnification[usable][-1] - 1), 100 * (c.thin_lens[usable][-1] - 1)
    text = f"From {s[0]:g} to {s[-1]:g} m the image grows by {measured:.2f} %, that of a thin lens by {thin:.2f} %."
    if abs(measured - thin) > _LARGEST_MISFIT * thin + 0.5:
        text += " Phones are nearer to it: are the focus distances metres, and is the focal length right?"
    return text


def assumptions(calibration: Calibration) -> list[str]:
    """What the numbers rest on, a line each: intervals, the thin-lens check, and what was taken for granted."""
    c = calibration
    percent = round(100 * CONFIDENCE)
    lines = [
        f"{percent} % intervals: slope {c.slope_m:.6f} +- {c.interval[0]:.6f} m, "
        f"intercept {c.intercept:.6f} +- {c.interval[1]:.6f}.",
        f"Thin-lens check: {_growth(c)}",
    ]
    if c.absolute:
        lines.append("Scale of the field of view: from the target's spacing and distance.")
    else:
        lines.append(
            "Scale of the field of view: only ratios are measured; "
            "the thin lens is taken to be exact at the nearest focus."
        )
    if c.centred:
        lines.append("Principal point: the target's centre is taken for the optical axis of a centred lens.")
    else:
        lines.append("Principal point: no point of known place was seen; the mean is set to 0, the spread is measured.")
    return lines


def _quoted(text: str) -> str:
    """A TOML basic string; JSON's escapes are among TOML's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
