"""Render a focal stack of one RGB-D frame and look at it: python examples/01_render_a_stack.py [OUT]

The frame here is made by the program; any linear-light image (H, W, 3) with depth in metres (H, W) does.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

import focalsim
from focalsim.camera import focus_schedule_m
from focalsim.color import linear_to_srgb
from focalsim.rng import sample_rng
from focalsim.sources import FrameRequest, open_source


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)

    request = FrameRequest(width=176, height=112, near_m=0.1, far_m=1.0, focal_over_width=0.79)
    scene = open_source(None).load(7, request, sample_rng(0, 7, "scene"))

    phone = focalsim.load_profile("pixel4")
    stack = focalsim.render_stack(  # (S, H, W, 3) linear light
        scene.rgb_linear,
        scene.depth_m,
        focal_length_m=phone.focal_length_m,
        f_number=phone.f_number,
        sensor_width_m=phone.sensor_width_m,
        focus_distances_m=focus_schedule_m(0.1, 1.0, 5),
        magnification="thin-lens",  # the image grows as the focus comes nearer
        hidden_rgb_linear=scene.hidden_rgb_linear,  # what a lens sees past the edges, where the source knows it
        hidden_depth_m=scene.hidden_depth_m,
        output_size=(request.width, request.height),
    )
    strip = np.hstack([linear_to_srgb(light) for light in stack])
    cv2.imwrite(str(out / "01_stack.png"), strip[..., ::-1])
    print(f"{len(stack)} slices of {stack.shape[2]}x{stack.shape[1]}, far to near: {out / '01_stack.png'}")


# The guard matters where worker processes are started: they import this file again.
if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "example_out"))
