"""How much of its fidelity does a rendered stack keep when depth is not exact? Beside published schemes, same errors.

    python benchmarks/depth_errors.py ../shared/truth --out benchmarks/results

Depth of path-traced scenes is changed as sensors, filters and networks change it, and rendered. PSNR in sRGB against
the truth, which knows nothing of the change; every third slice. "Ramps kept" is focalsim without its treatment of
smoothed edges (focalsim/render/edges.py), "not moved" without moving depth onto the image (registration.py).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from unittest.mock import patch

import cv2
import h5py
import numpy as np
from common import environment, markdown_table
from fidelity import OURS, camera_of, measure
from schemes import IN_LINEAR_LIGHT, SCHEMES
from tqdm import tqdm

from focalsim import render_stack
from focalsim.allocator import keep_freed_memory

EVERY = 3  # slices
RAMPS_KEPT, NOT_MOVED = "ramps kept", "not moved"


def square(side):
    return np.ones((side, side), np.uint8)


def in_disparity(change):
    return lambda depth_m: (1 / change(1 / depth_m)).astype(np.float32)


def enlarged(disparity, times=4):
    height, width = disparity.shape
    small = cv2.resize(disparity, (width // times, height // times), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def noisy(depth_m, share):
    return (depth_m * (1 + share * np.random.default_rng(0).standard_normal(depth_m.shape))).astype(np.float32)


def quantised(disparity):
    low, step = disparity.min(), np.ptp(disparity) / 255
    return low + step * np.rint((disparity - low) / step)


ERRORS = {
    "none": lambda d: d,
    "8-bit disparity": in_disparity(quantised),
    "noise of 1 %": lambda d: noisy(d, 0.01),
    "noise of 3 %": lambda d: noisy(d, 0.03),
    "median of 5 x 5": lambda d: cv2.medianBlur(d, 5),
    "edges blurred by 1 px": in_disparity(lambda q: cv2.GaussianBlur(q, (0, 0), 1)),
    "edges blurred by 2 px": in_disparity(lambda q: cv2.GaussianBlur(q, (0, 0), 2)),
    "a quarter of the size, enlarged": in_disparity(enlarged),
    "near things 1 px wider": lambda d: cv2.erode(d, square(3)),
    "near things 2 px wider": lambda d: cv2.erode(d, square(5)),
    "near things 1 px narrower": lambda d: cv2.dilate(d, square(3)),
    "shifted by 1 px": lambda d: np.roll(d, 1, axis=1),
}


def psnr_of(stack, truth):
    return np.mean([measure(image, true)[0] for image, true in zip(stack, truth, strict=True)])


def compare(scene, change):
    """Mean PSNR of every scheme on ``scene`` with its depth changed."""
    lens, focus, gain = camera_of(scene)
    rgb, depth = scene["aif"][:], change(scene["depth"][:])
    truth = scene["stack_fixed"][::EVERY].astype(np.float32)
    row = {
        name: psnr_of([SCHEMES[name](rgb, depth, gain, s) for s in focus[::EVERY]], truth) for name in IN_LINEAR_LIGHT
    }
    row[OURS] = psnr_of(render_stack(rgb, depth, **lens, focus_distances_m=focus)[::EVERY], truth)
    with patch("focalsim.render.stack.with_steps", lambda depth_m, _: depth_m):
        row[RAMPS_KEPT] = psnr_of(render_stack(rgb, depth, **lens, focus_distances_m=focus)[::EVERY], truth)
    with patch("focalsim.render.stack.registered", lambda depth_m, *_: depth_m):
        row[NOT_MOVED] = psnr_of(render_stack(rgb, depth, **lens, focus_distances_m=focus)[::EVERY], truth)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("truth", type=Path, help="folder of path-traced scenes (*.h5)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    paths = sorted(arguments.truth.glob("*.h5"))
    if not paths:
        raise SystemExit(f"no *.h5 in {arguments.truth}")
    keep_freed_memory()
    result = {}
    for name, change in tqdm(ERRORS.items(), disable=None):
        for path in paths:
            with h5py.File(path) as scene:
                result.setdefault(name, {})[path.stem] = compare(scene, change)
    names = [*IN_LINEAR_LIGHT, OURS, RAMPS_KEPT, NOT_MOVED]
    rows = []
    for error, scenes in result.items():
        best = sum(max(row[name] for name in IN_LINEAR_LIGHT) < row[OURS] for row in scenes.values())
        rows.append(
            [error, *(np.mean([row[name] for row in scenes.values()]) for name in names), f"{best} of {len(scenes)}"]
        )
    text = (
        f"PSNR in sRGB, dB, mean over {len(paths)} path-traced scenes and every third slice, by what was done to their "
        "depth, and on how many scenes focalsim is best\n\n"
        + markdown_table(["depth error", *names, "best on"], rows, 2)
    )
    print(text)
    arguments.out.mkdir(parents=True, exist_ok=True)
    record = {"environment": environment(), "errors": result}
    (arguments.out / "depth_errors.json").write_text(json.dumps(record, indent=1))
    (arguments.out / "depth_errors.md").write_text(text)


if __name__ == "__main__":
    main()
