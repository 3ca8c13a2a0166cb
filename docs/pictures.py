"""The pictures of made scenes in the documents: python docs/pictures.py"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from focalsim.camera import load_profile
from focalsim.color import linear_to_srgb
from focalsim.config import RenderConfig
from focalsim.job import plan_job, render_sample
from focalsim.preview import contact_sheet
from focalsim.rng import sample_rng
from focalsim.sources import FrameRequest, open_source

IMAGES = Path(__file__).resolve().parent / "images"
COLUMNS, ROWS, SIZE = 6, 5, (240, 160)
CHOSEN = 20  # of the thirty, whose stack is shown
REQUEST = FrameRequest(*SIZE, near_m=0.1, far_m=1.0, focal_over_width=0.79)


def main() -> None:
    """The pictures, into docs/images."""
    scenes()
    stack()


def stack() -> None:
    """The focal stack of a scene that has something in front of something everywhere."""
    config = RenderConfig(phones=(load_profile("pixel4").to_dict(),), slices=4)
    sample = render_sample(plan_job(config, open_source(None), CHOSEN + 1), CHOSEN)
    cv2.imwrite(str(IMAGES / "stack.png"), contact_sheet([sample])[..., ::-1])


def scenes() -> None:
    """Thirty scenes in order of their seed, none chosen, each above its inverse depth (bright is near)."""
    source = open_source(None)
    rows = []
    for row in range(ROWS):
        scenes = [source.load(n, REQUEST, sample_rng(0, n, "scene")) for n in range(row * COLUMNS, (row + 1) * COLUMNS)]
        rows.append(np.hstack([_small(linear_to_srgb(scene.rgb_linear)) for scene in scenes]))
        rows.append(np.hstack([_inverse_depth(scene.depth_m) for scene in scenes]))
    cv2.imwrite(str(IMAGES / "scenes.jpg"), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 82])


def _small(rgb: np.ndarray) -> np.ndarray:
    return cv2.resize(rgb[..., ::-1], SIZE, interpolation=cv2.INTER_AREA)


def _inverse_depth(depth_m: np.ndarray) -> np.ndarray:
    inverse = (1 / depth_m - 1 / REQUEST.far_m) / (1 / REQUEST.near_m - 1 / REQUEST.far_m)
    codes = np.clip(255 * inverse, 0, 255).astype(np.uint8)
    half = cv2.resize(codes, (SIZE[0], SIZE[1] // 2), interpolation=cv2.INTER_AREA)
    return cv2.applyColorMap(half, cv2.COLORMAP_MAGMA)


if __name__ == "__main__":
    main()
