"""Captures of a target, rendered by the program's own renderer from a known phone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from focalsim.camera import (
    StackCamera,
    draw_camera,
    focus_schedule_m,
    load_effects,
    load_profile,
    sensor_distance_m,
)
from focalsim.color import linear_to_srgb
from focalsim.render import render_stack
from focalsim.sensor import View, develop_slice, draw_settings

SPACING_M, TARGET_M = 0.02, 0.35


@dataclass(frozen=True)
class Shoot:
    """A folder of captures, the camera that was drawn for them, and the profile it was drawn from."""

    folder: Path
    table: Path
    camera: StackCamera
    width: int


@pytest.fixture(scope="session")
def shoot(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Shoot]:
    """``shoot(n, size=(W, H), fov_error_std=0)``: n captures of a circle grid 9x6 by a Pixel 4, with noise.

    ``effects``: a set by name, what a phone adds after the lens in place of plain noise.

    Focus from 1 to 0.1 m, target at TARGET_M, SPACING_M between dots, its centre on the optical axis. The names of
    the files tell nothing; ``distances.csv`` does.
    """

    def make(
        n: int, size: tuple[int, int], fov_error_std: float = 0.0, seed: int = 0, effects: str | None = None
    ) -> Shoot:
        rng = np.random.default_rng(seed)
        profile = replace(load_profile("pixel4"), fov_error_std=fov_error_std)
        if effects is not None:
            profile = replace(profile, effects=load_effects(effects))
        camera = draw_camera(profile, focus_schedule_m(0.1, 1.0, n), size[0], rng)
        f = profile.focal_length_m
        v_near = float(sensor_distance_m(f, camera.focus_distances_m[-1]))
        # The phone's own image distance at the farthest focus is v_near / r_far, by the meaning of a relative field
        # of view. The frame handed to the renderer is what a pinhole at that distance sees.
        r = v_near / sensor_distance_m(f, camera.focus_distances_m) + camera.fov_error
        px_per_spacing = SPACING_M / TARGET_M * v_near / r[0] * size[0] / profile.sensor_width_m
        frame = _dots(size, px_per_spacing)
        stack = render_stack(
            np.repeat(frame[..., None], 3, axis=2),
            np.full(frame.shape, TARGET_M, np.float32),
            focal_length_m=f,
            f_number=profile.f_number,
            sensor_width_m=profile.sensor_width_m,
            focus_distances_m=camera.focus_distances_m,
            magnification=camera.magnification,
            principal_point_px=camera.principal_point_px,
            lateral_color=profile.effects.lateral_color,
        )
        settings = draw_settings(profile, size[0], rng)
        folder = tmp_path_factory.mktemp("captures")
        lines = ["file,focus_distance_m"]
        for k in rng.permutation(n):
            if effects is None:
                noisy = linear_to_srgb(stack[k]) + rng.normal(0, 4, stack[k].shape)
            else:
                view = View.of_slice(profile, camera, int(k), *size)
                noisy = develop_slice(stack[k], profile.effects, settings, view, rng)[..., ::-1]
            name = f"shot{len(lines):02d}.png"
            cv2.imwrite(str(folder / name), np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
            lines.append(f"{name},{camera.focus_distances_m[k]:.9g}")
        table = folder / "distances.csv"
        table.write_text("\n".join(lines) + "\n")
        return Shoot(folder, table, camera, size[0])

    return make


def _dots(size: tuple[int, int], px_per_spacing: float) -> NDArray[np.float32]:
    """A 9x6 grid of dark dots of half the spacing, centred, in linear light; rims one pixel wide."""
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float64)
    columns, rows = (x - (size[0] - 1) / 2) / px_per_spacing + 4, (y - (size[1] - 1) / 2) / px_per_spacing + 2.5
    nearest = np.clip(np.rint(columns), 0, 8), np.clip(np.rint(rows), 0, 5)
    radius = np.hypot(columns - nearest[0], rows - nearest[1]) * px_per_spacing
    inside = np.clip(0.25 * px_per_spacing - radius + 0.5, 0, 1)
    return (0.8 - 0.77 * inside).astype(np.float32)
