"""Depth of a stack by its sharpness, in twenty lines: python examples/03_depth_without_learning.py [OUT]

Uses the bundle of the second example. Slices are brought into one geometry by what the shard knows, the sharpest
slice of each pixel names its depth, and the result is compared with the truth. ``dffnet eval classical`` does it well.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

import focalsim


def main(out: Path) -> None:
    with focalsim.ShardReader(out / "02_bundle" / "shard-00000.h5") as shard:
        sample = shard[0]

    height, width = sample.depth_m.shape
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    sharpness = []
    for image, m, shift in zip(sample.images, sample.magnification, sample.principal_point_px, strict=True):
        # x_n = c + m (x - c) + shift: where a point x of the reference slice stands in slice n.
        matrix = np.array([[m, 0, (1 - m) * centre[0] + shift[0]], [0, m, (1 - m) * centre[1] + shift[1]]], np.float64)
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        aligned = cv2.warpAffine(image, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        gray = cv2.cvtColor(aligned, cv2.COLOR_RGB2GRAY).astype(np.float32)
        sharpness.append(cv2.GaussianBlur(cv2.Laplacian(gray, cv2.CV_32F) ** 2, (0, 0), 4))

    estimate_m = sample.focus_distance_m[np.argmax(sharpness, axis=0)]
    error_dpt = np.abs(1 / estimate_m - 1 / np.maximum(sample.depth_m, 1e-3))[sample.valid].mean()
    mean_dpt = np.abs(1 / sample.depth_m - (1 / sample.depth_m[sample.valid]).mean())[sample.valid].mean()
    print(f"mean error {error_dpt:.2f} dioptres; the guess of one depth everywhere: {mean_dpt:.2f}")


# The guard matters where worker processes are started: they import this file again.
if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "example_out"))
