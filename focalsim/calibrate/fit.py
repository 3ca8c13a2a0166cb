"""From image scales to the errors of the phone's field of view and principal point.

The profile's model (focalsim/camera/draw.py):

    r_n = v_near / v_n + alpha_n,   alpha_n ~ Normal(slope / s_n + intercept, std)

A capture shows the target of spacing L at distance D with  q_n = L v_near / (D p r_n)  pixels a spacing, p the pixel's
size. With L and D known, r_n follows. Without them only ratios of r_n do, and since v_near / v_n is itself linear in
1/s, no fit can tell intercept from scale: then r = 1 is set at the nearest focus distance, on the fitted line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from focalsim.calibrate.captures import CaptureSet
from focalsim.calibrate.lens import Lens
from focalsim.calibrate.register import Registration
from focalsim.errors import ConfigError

CONFIDENCE = 0.95
_OUTLIER_SIGMAS = 5.0  # of a spread that ten captures tell only roughly
_MAD_TO_STD = 1.4826
_FLOOR_FOV, _FLOOR_PX = 1e-4, 0.1  # spread below which nothing is worth to be called an outlier
_MOVED_DEG = 1.0  # a rotation that no focusing makes: the camera was moved
_LARGEST_ERROR = 0.3  # of a field of view; more is a wrong number among the options
# A lens' axis meets the sensor within this part of its width from the centre; a target farther off stands there itself.
CENTRED = 0.01


@dataclass(frozen=True, slots=True)
class Calibration:
    """Result of :func:`fit_errors`. N captures far to near, NaN where one failed; (2,) are x and y.

    Pixels are of the full sensor. ``interval`` = (slope, intercept), half widths of the 95 % confidence intervals.
    """

    focus_distance_m: NDArray[np.float64]
    magnification: NDArray[np.float64]  # (N,) relative to the farthest usable capture
    thin_lens: NDArray[np.float64]  # (N,) the same of the thin lens
    fov_error: NDArray[np.float64]  # (N,) alpha
    principal_point_px: NDArray[np.float64]  # (N, 2)
    outlier: NDArray[np.bool_]  # (N,)
    slope_m: float
    intercept: float
    fov_error_std: float
    interval: tuple[float, float]
    principal_point_mean_px: NDArray[np.float64]
    principal_point_std_px: NDArray[np.float64]
    absolute: bool  # the scale is fixed by the target's distance and spacing
    centred: bool  # the target's centre is taken for the optical axis of a centred lens; else the mean is set to 0

    @property
    def images(self) -> int:
        """Number of captures that the fit rests on."""
        return int((~self.outlier & ~np.isnan(self.fov_error)).sum())


def fit_errors(
    captures: CaptureSet,
    registration: Registration,
    lens: Lens,
    *,
    has_target: bool,
    spacing_m: float | None = None,
    target_distance_m: float | None = None,
) -> Calibration:
    """Fit the profile's errors, robustly: captures that do not fit are marked and left out.

    The absolute scale is used where both ``spacing_m`` and ``target_distance_m`` (from the lens) are given.
    Raises ConfigError for numbers that contradict the captures.
    """
    s = np.array(captures.focus_distance_m)
    if s.min() <= lens.focal_length_m:
        raise ConfigError(f"focus distance {s.min():g} m must exceed the focal length {lens.focal_length_m:g} m")
    usable = ~np.isnan(registration.scale)
    moved = np.abs(np.nan_to_num(registration.rotation_deg)) > _MOVED_DEG
    good = usable & ~moved
    if len(set(s[good])) < 2:
        raise ConfigError("the captures are rotated against each other: the camera must not move between them")
    inverse = 1 / s
    image_distance = 1 / (1 / lens.focal_length_m - inverse)  # v, also at infinity
    v_near = float(image_distance[good].max())
    relative = 1 / registration.scale
    if spacing_m is not None and target_distance_m is not None:
        px_m = lens.sensor_width_m / captures.size_px[0]
        relative = relative * (spacing_m * v_near / (target_distance_m * px_m))
    else:
        line = _robust_line(inverse[good], relative[good])
        relative = relative / (line.intercept + line.slope * inverse[good].max())
    fov_error = relative - v_near / image_distance
    typical = float(np.median(fov_error[good]))
    if abs(typical) > _LARGEST_ERROR:
        raise ConfigError(
            f"the field of view comes out {100 * typical:+.0f} % off the thin lens: check the focal length, the "
            "sensor's width, the focus distances, and the target's spacing and distance"
        )
    line = _robust_line(inverse[good], fov_error[good])
    kept = good.copy()
    kept[good] = line.inlier
    full_px = lens.sensor_px[0] / captures.size_px[0]
    points, centred = _principal_points(registration, kept, lens, full_px, has_target)
    kept &= np.abs(points - np.median(points[kept], axis=0)).max(axis=1) <= _limit(points[kept], _FLOOR_PX).max()
    if kept.sum() < 3 or len(set(s[kept])) < 2:
        raise ConfigError(
            f"only {kept.sum()} captures agree with each other; a calibration needs at least 3 at 2 distances"
        )
    line = _least_squares(inverse[kept], fov_error[kept])
    farthest = int(np.flatnonzero(kept)[0])
    return Calibration(
        focus_distance_m=s,
        magnification=relative[farthest] / relative,
        thin_lens=image_distance / image_distance[farthest],
        fov_error=fov_error,
        principal_point_px=points,
        outlier=usable & ~kept,
        slope_m=line.slope,
        intercept=line.intercept,
        fov_error_std=line.std,
        interval=line.interval,
        principal_point_mean_px=points[kept].mean(axis=0),
        principal_point_std_px=points[kept].std(axis=0, ddof=1),
        absolute=spacing_m is not None and target_distance_m is not None,
        centred=centred,
    )


def _principal_points(
    registration: Registration, kept: NDArray[np.bool_], lens: Lens, full_px: float, has_target: bool
) -> tuple[NDArray[np.float64], bool]:
    """Shift (N, 2) of the optical axis, full-sensor pixels, and whether its mean is measured.

    A point o of the pinhole frame is seen at  m_n o + p_n.  A target set up on the axis has o = 0. For any other point,
    o and the mean of p cannot be told apart (m_n changes by few per cent), so o is what makes that mean 0.
    """
    place = registration.place_px * full_px
    mean = complex(place[kept].mean())
    centred = has_target and abs(mean) <= CENTRED * lens.sensor_px[0]
    if not centred:
        scale = registration.scale
        place = place - scale * (mean / float(scale[kept].mean()))
    return np.stack([place.real, place.imag], axis=1), centred


@dataclass(frozen=True, slots=True)
class _Line:
    slope: float
    intercept: float
    std: float
    interval: tuple[float, float]
    inlier: NDArray[np.bool_]


def _robust_line(x: NDArray[np.float64], y: NDArray[np.float64]) -> _Line:
    """Median of pairwise slopes first (Theil-Sen), then least squares over what lies near, until that settles."""
    from scipy.stats import theilslopes

    slope, intercept, *_ = theilslopes(y, x)
    inlier = np.ones(len(x), bool)
    for _ in range(5):
        residual = y - (intercept + slope * x)
        inlier = np.abs(residual - np.median(residual)) <= _limit(residual, _FLOOR_FOV)
        if inlier.sum() < 3 or len(set(x[inlier])) < 2:
            break
        line = _least_squares(x[inlier], y[inlier])
        slope, intercept = line.slope, line.intercept
    line = _least_squares(x[inlier], y[inlier])
    return _Line(line.slope, line.intercept, line.std, line.interval, inlier)


def _limit(values: NDArray[np.float64], floor: float) -> NDArray[np.float64]:
    deviation = np.median(np.abs(values - np.median(values, axis=0)), axis=0)
    return np.asarray(_OUTLIER_SIGMAS * np.maximum(_MAD_TO_STD * deviation, floor))


def _least_squares(x: NDArray[np.float64], y: NDArray[np.float64]) -> _Line:
    from scipy.stats import linregress, t

    fit = linregress(x, y)
    n = len(x)
    residual = y - (fit.intercept + fit.slope * x)
    std = float(np.sqrt((residual**2).sum() / max(n - 2, 1)))
    factor = float(t.ppf(0.5 + CONFIDENCE / 2, max(n - 2, 1)))
    interval = (factor * float(fit.stderr), factor * float(fit.intercept_stderr))
    return _Line(float(fit.slope), float(fit.intercept), std, interval, np.ones(n, bool))
