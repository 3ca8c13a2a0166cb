"""The figure of a calibration, after Fig. 5 of Won & Jeon, "Learning Depth from Focus in the Wild", ECCV 2022."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.calibrate.fit import Calibration

_FIT, _DATA, _OUTLIER = "tab:red", "tab:blue", "tab:gray"


def draw_figure(calibration: Calibration, title: str) -> bytes:
    """Field-of-view error against 1/focus distance with the fit, principal-point errors with normal fits; PNG bytes."""
    from matplotlib.figure import Figure  # no pyplot: no window system, no global state

    figure = Figure(figsize=(13, 4), layout="constrained")
    figure.suptitle(title)
    left, middle, right = figure.subplots(1, 3)
    _field_of_view(left, calibration)
    usable = ~np.isnan(calibration.fov_error)
    for axis, name, column in ((middle, "x", 0), (right, "y", 1)):
        _principal_point(axis, calibration, usable, name, column)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=150)
    return stream.getvalue()


def _field_of_view(axis: Any, c: Calibration) -> None:
    inverse = 1 / c.focus_distance_m
    kept = ~c.outlier & ~np.isnan(c.fov_error)
    axis.plot(inverse[kept], 100 * c.fov_error[kept], "o", ms=4, color=_DATA, label=f"{kept.sum()} captures")
    if c.outlier.any():
        axis.plot(inverse[c.outlier], 100 * c.fov_error[c.outlier], "x", color=_OUTLIER, label="outliers")
    ends = np.array([inverse.min(), inverse.max()])
    label = f"{c.slope_m:.5f} m / s {c.intercept:+.5f}"
    axis.plot(ends, 100 * (c.slope_m * ends + c.intercept), color=_FIT, label=label)
    axis.set(xlabel="1 / focus distance (1/m)", ylabel="field-of-view error (%)")
    axis.legend()


def _principal_point(axis: Any, c: Calibration, usable: NDArray[np.bool_], name: str, column: int) -> None:
    values = c.principal_point_px[usable & ~c.outlier, column]
    mean, std = c.principal_point_mean_px[column], max(float(c.principal_point_std_px[column]), 1e-6)
    axis.hist(values, bins=max(5, round(len(values) ** 0.5)), density=True, color=_DATA, alpha=0.5)
    x = np.linspace(mean - 4 * std, mean + 4 * std, 200)
    label = f"mean {round(float(mean), 2) + 0.0:.2f}, std {std:.2f}"  # no "-0.00"
    axis.plot(x, np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi)), color=_FIT, label=label)
    strays = c.principal_point_px[c.outlier, column]
    if len(strays):
        axis.plot(strays, np.zeros_like(strays), "x", color=_OUTLIER, label="outliers", clip_on=False)
    axis.margins(y=0.3)  # room for the legend
    axis.set(xlabel=f"principal point {name} (px of the sensor)", ylabel="density")
    axis.legend()
