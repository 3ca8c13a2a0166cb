"""What one capture of a stack draws from the phone's profile: magnification and shift of every slice.

Model (Won & Jeon, "Learning Depth from Focus in the Wild", ECCV 2022, section "Simulator"):
  relative field of view   r_n = v_near / v_n + alpha_n,  alpha_n ~ Normal(slope / s_n + intercept, std)
  magnification            m_n = r_ref / r_n relative to a slice ref
  principal point          (beta_n, gamma_n) ~ Normal(mean, std), pixels at full sensor resolution
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from focalsim.camera.profile import PhoneProfile
from focalsim.camera.thin_lens import sensor_distance_m
from focalsim.errors import ProfileError


@dataclass(frozen=True, slots=True)
class StackCamera:
    """The camera of one stack, in the geometry of its source frame (the FARTHEST slice's pinhole frame).

    A point x of the source frame lands in slice n at  c + magnification[n] (x - c) + principal_point_px[n],
    c the image centre. S slices, far to near.
    """

    focal_length_m: float
    f_number: float
    sensor_width_m: float
    focus_distances_m: NDArray[np.float64]  # (S,)
    fov_error: NDArray[np.float64]  # (S,) alpha
    magnification: NDArray[np.float64]  # (S,) relative to the farthest slice
    principal_point_px: NDArray[np.float64]  # (S, 2) x right, y down, output pixels

    def relative_to(self, reference: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Magnification (S,) and shift (S, 2) that map the reference slice's frame to each slice.

        x_n = c + M_n (x_ref - c) + t_n with M_n = m_n / m_ref and t_n = p_n - M_n p_ref.
        """
        magnification = self.magnification / self.magnification[reference]
        shift = self.principal_point_px - magnification[:, None] * self.principal_point_px[reference]
        return magnification, shift


def draw_camera(
    profile: PhoneProfile,
    focus_distances_m: NDArray[np.float64],
    width_px: int,
    rng: np.random.Generator,
) -> StackCamera:
    """Draw the camera of one stack of ``width_px`` wide images; ``focus_distances_m`` (S,) far to near.

    Raises ProfileError where the profile's errors leave no positive field of view at these distances.
    """
    s = np.asarray(focus_distances_m, np.float64)
    v = sensor_distance_m(profile.focal_length_m, s)
    nearest, farthest = int(np.argmin(s)), int(np.argmax(s))
    fov_error = rng.normal(profile.fov_error_slope_m / s + profile.fov_error_intercept, profile.fov_error_std)
    relative_fov = v[nearest] / v + fov_error
    if not np.all(relative_fov > 0):
        raise ProfileError(
            f"profile {profile.name!r}: the field-of-view error {float(fov_error.min()):.3g} leaves "
            f"no field of view at {float(s[np.argmin(relative_fov)]):.3g} m"
        )
    scale = width_px / profile.sensor_width_px
    principal_point = scale * rng.normal(
        [profile.principal_point_x_mean_px, profile.principal_point_y_mean_px],
        [profile.principal_point_x_std_px, profile.principal_point_y_std_px],
        size=(len(s), 2),
    )
    return StackCamera(
        focal_length_m=profile.focal_length_m,
        f_number=profile.f_number,
        sensor_width_m=profile.sensor_width_m,
        focus_distances_m=s,
        fov_error=fov_error,
        magnification=relative_fov[farthest] / relative_fov,
        principal_point_px=principal_point,
    )
