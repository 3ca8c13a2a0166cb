"""What the lens does reaches the samples: light from around the picture, the aperture's shape, lateral colour."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from focalsim.camera import NO_EFFECTS, Aperture, LateralColor, load_profile
from focalsim.config import RenderConfig
from focalsim.job import Job, render_sample
from focalsim.scene import Scene

W, H = 40, 32


@dataclass
class Wall:
    """A wall at 1 m, in frames taller than the picture: dots of light on it, and above the picture a lamp or none."""

    lamp: bool = False
    name: str = "wall"
    format: str = "wall"
    license: str = "CC0-1.0"
    attribution: str = "nobody"

    def __len__(self):
        return 1

    def frame_id(self, index):
        return f"wall/{index}"

    def load(self, index, request, rng):  # noqa: ARG002
        rgb = np.full((2 * H + 40, 2 * W, 3), 0.02, np.float32)
        rgb[24:-24:12, 8::12] = 10.0
        if self.lamp:
            rgb[16:20] = 30.0  # the picture begins at row 20
        depth_m = np.full(rgb.shape[:2], 1.0, np.float32)
        return Scene(rgb, depth_m, np.ones(depth_m.shape, bool), self.frame_id(index))


def sample(source, **effects):
    """Focused on the wall and very near, by a phone with a wide lens whose optical axis stays in the middle."""
    phone = load_profile("pixel4")
    still = {name: 0.0 for name in phone.sources if name.startswith(("fov_error", "principal_point"))}
    phone = replace(phone, **still, f_number=0.5, effects=replace(NO_EFFECTS, **effects))
    config = RenderConfig(
        phones=(phone.to_dict(),), samples=1, width=W, height=H, slices=2, near_m=0.05, depth="keep", source="wall"
    )
    return render_sample(Job(config, source, (0,)), 0)


def test_a_lamp_above_the_picture_blurs_into_it():
    dark, lit = (sample(Wall(lamp=lamp)).images.astype(int) for lamp in (False, True))
    sharp, blurred = (lit - dark).max(axis=(2, 3))
    assert sharp.max() <= 8  # in focus the lamp stays outside, but for the interpolation's ripples
    assert blurred[0] > 60  # out of focus it reaches in
    assert blurred[8:].max() == 0  # and not everywhere


@pytest.mark.parametrize("effects", [{"aperture": Aperture(3)}, {"lateral_color": LateralColor(0.02, -0.02)}])
def test_optical_effects_reach_the_slices(effects):
    plain, other = sample(Wall()), sample(Wall(), **effects)
    assert np.abs(other.images[1].astype(int) - plain.images[1]).max() > 10
    np.testing.assert_array_equal(other.all_in_focus, plain.all_in_focus)
    np.testing.assert_array_equal(other.depth_m, plain.depth_m)
    if "aperture" in effects:  # the shape shows in the blur alone
        assert np.abs(other.images[0].astype(int) - plain.images[0]).max() <= 2
