"""How large and where every capture shows the same scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from focalsim.calibrate.captures import CaptureSet
from focalsim.calibrate.detect import Points, find_target
from focalsim.calibrate.features import find_features, register_features
from focalsim.calibrate.similarity import Complex, common_geometry
from focalsim.calibrate.target import Target
from focalsim.errors import SourceError

_LEAST_CAPTURES = 3
_LEAST_POINTS = 6
_MISFIT = 0.015  # of the target's spacing: beyond it, points are misplaced or the camera was moved

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Registration:
    """Similarity of each of N captures; NaN where ``failed`` names its file.

    scale          (N,) image scale: pixels a spacing of the target, or relative to the first capture without target
    rotation_deg   (N,) against the median
    place_px       (N,) x + iy from the image centre, capture pixels: where one fixed point of the scene is, the
                   target's centre, or without target the point that the first capture shows at its image centre
    failed         file name -> reason
    """

    scale: NDArray[np.float64]
    rotation_deg: NDArray[np.float64]
    place_px: Complex
    failed: dict[str, str]


def register(captures: CaptureSet, target: Target | None) -> Registration:
    """Find ``target``, or features of any scene where it is None, in all captures.

    Raises SourceError where fewer than three captures, or only one focus distance, can be used.
    """
    found = _by_features(captures) if target is None else _by_target(captures, target)
    usable = ~np.isnan(found.scale)
    if not usable.any():
        what = "features that match" if target is None else f"a {target.kind} target {target.columns}x{target.rows}"
        reason = next(iter(found.failed.values()), "")
        raise SourceError(f"{captures.paths[0].parent}: {what} found in none of {len(usable)} captures: {reason}")
    left = len({s for s, u in zip(captures.focus_distance_m, usable, strict=True) if u})
    if usable.sum() < _LEAST_CAPTURES or left < 2:
        raise SourceError(
            f"{captures.paths[0].parent}: {usable.sum()} of {len(usable)} captures can be used, at {left} focus "
            f"distances; a calibration needs at least {_LEAST_CAPTURES} at 2"
        )
    return found


def _by_target(captures: CaptureSet, target: Target) -> Registration:
    failed: dict[str, str] = {}
    found: dict[int, Points] = {}
    for n, points in enumerate(_read_each(captures.paths, lambda gray: find_target(gray, target), failed)):
        if points is not None and len(points[0]) >= _LEAST_POINTS:
            found[n] = points
        else:
            failed.setdefault(
                captures.paths[n].name, f"no {target.kind} target found (out of the picture or too blurred)"
            )
    result = _empty(len(captures.paths), failed)
    if not found:
        return result
    ideal = target.points()
    geometry, a, b, rms = common_geometry([p[0] for p in found.values()], [p[1] for p in found.values()], len(ideal))
    seen = ~np.isnan(geometry)
    px_per_spacing, centre = _pose(ideal[seen], geometry[seen])
    for k, n in enumerate(found):
        scale = abs(a[k]) * px_per_spacing
        if rms[k] > _MISFIT * scale:
            failed[captures.paths[n].name] = (
                f"its points do not fit the others' (by {rms[k]:.1f} px): too blurred, or the camera was moved"
            )
        else:
            _set(result, n, scale, a[k], a[k] * centre + b[k] - _image_centre(captures))
    return _relative_rotation(result)


def _pose(ideal: Complex, geometry: Complex) -> tuple[float, complex]:
    """Pixels a spacing, and the place of the target's centre.

    Of an affine map's two scales the larger is taken: a tilted target is foreshortened along one axis only.
    """
    design = np.stack([ideal.real, ideal.imag, np.ones(len(ideal))], axis=1)
    solution = np.linalg.lstsq(design, np.stack([geometry.real, geometry.imag], axis=1), rcond=None)[0]
    return float(np.linalg.svd(solution[:2], compute_uv=False)[0]), complex(solution[2, 0], solution[2, 1])


def _by_features(captures: CaptureSet) -> Registration:
    failed: dict[str, str] = {}
    empty = (np.empty(0, np.complex128), np.empty((0, 128), np.float32))
    features = [f or empty for f in _read_each(captures.paths, find_features, failed)]
    slices, similarity = register_features(features, max(captures.size_px))
    result = _empty(len(features), failed)
    for n, (a, b) in zip(slices, similarity.T, strict=True):
        _set(result, int(n), abs(a), a, b)
    for n in set(range(len(features))) - set(slices.tolist()):
        reason = f"too few of its {len(features[n][0])} features match the other captures"
        failed.setdefault(captures.paths[n].name, reason)
    return _relative_rotation(result)


def _read_each(
    paths: Sequence[Path], measure: Callable[[NDArray[np.uint8]], _T | None], failed: dict[str, str]
) -> list[_T | None]:
    """``measure`` of every photo in grey, as stored; one at a time, since fifty large photos fill the memory."""
    from focalsim.progress import progress_bar

    measured: list[_T | None] = []
    for path in progress_bar(paths, desc="measure", unit="photo", leave=False):
        raw = np.frombuffer(path.read_bytes(), np.uint8)
        gray = cv2.imdecode(raw, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION) if raw.size else None
        if gray is None:
            failed[path.name] = "its pixels cannot be decoded"
        measured.append(None if gray is None else measure(np.asarray(gray, np.uint8)))
    return measured


def _image_centre(captures: CaptureSet) -> complex:
    return complex((captures.size_px[0] - 1) / 2, (captures.size_px[1] - 1) / 2)


def _empty(n: int, failed: dict[str, str]) -> Registration:
    return Registration(np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan, np.complex128), failed)


def _set(result: Registration, n: int, scale: float, a: complex, place: complex) -> None:
    result.scale[n], result.rotation_deg[n], result.place_px[n] = scale, np.degrees(np.angle(a)), place


def _relative_rotation(result: Registration) -> Registration:
    if not np.isnan(result.rotation_deg).all():
        result.rotation_deg[:] -= np.nanmedian(result.rotation_deg)
    return result
