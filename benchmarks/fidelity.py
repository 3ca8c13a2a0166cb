"""How close is a rendered stack to path-traced truth? PSNR and SSIM in sRGB beside published schemes.

    python benchmarks/fidelity.py ../shared/truth --out benchmarks/results

Prints the tables and writes fidelity.md, fidelity.json and one picture of each scene's worst 64 x 64 patch.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import h5py
import numpy as np
import torch
from common import environment, markdown_table
from schemes import SCHEMES
from torchmetrics.functional.image import structural_similarity_index_measure

from focalsim import render_stack
from focalsim.allocator import keep_freed_memory
from focalsim.camera import sensor_distance_m
from focalsim.color import encode_srgb

BORDER_PX = 8  # what stands outside the frame bleeds in and cannot be known
PATCH_PX = 64
OURS = "focalsim"


def measure(image, truth):
    inner = np.s_[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]
    a, b = encode_srgb(image)[inner], encode_srgb(truth)[inner]
    psnr = -10 * np.log10(np.mean((a - b) ** 2))
    planes = [torch.from_numpy(x.transpose(2, 0, 1)[None]) for x in (a, b)]
    return psnr, float(structural_similarity_index_measure(*planes, data_range=1.0))


def camera_of(scene):
    """The lens as render_stack asks for it, the focus distances, and the gain g (px m) of blur g |1/s - 1/d|."""
    lens = {name: float(scene.attrs[name]) for name in ("focal_length_m", "f_number", "sensor_width_m")}
    focus = scene["focus_distances_m"][:]
    v_ref = sensor_distance_m(lens["focal_length_m"], focus).min()
    gain = lens["focal_length_m"] / lens["f_number"] * v_ref * scene["depth"].shape[1] / lens["sensor_width_m"]
    return lens, focus, gain


def stacks_of(scene):
    """Everything that is compared: name -> (stack, truth)."""
    lens, focus, gain = camera_of(scene)
    rgb, depth = scene["aif"][:], scene["depth"][:]
    height, width = depth.shape
    fixed = scene["stack_fixed"][:].astype(np.float32)
    for name, scheme in SCHEMES.items():
        yield name, np.stack([scheme(rgb, depth, gain, s) for s in focus]), fixed
    yield OURS, render_stack(rgb, depth, **lens, focus_distances_m=focus), fixed
    breathing = scene["stack_breathing"][:].astype(np.float32)
    warp = {"magnification": "thin-lens", "principal_point_px": scene["principal_point_px"][:]}
    yield "breathing", render_stack(rgb, depth, **lens, focus_distances_m=focus, **warp), breathing
    big = scene["aif_2x"][:].astype(np.float32), scene["depth_2x"][:]
    size = {"output_size": (width, height)}
    yield "breathing from 2x", render_stack(*big, **lens, focus_distances_m=focus, **warp, **size), breathing
    yield "fixed from 2x", render_stack(*big, **lens, focus_distances_m=focus, **size), fixed


def worst_patch(stack, truth):
    """Ours, truth and eight times their difference where the error is largest."""
    error = ((encode_srgb(stack) - encode_srgb(truth)) ** 2).mean(axis=-1)
    sums = np.stack([cv2.boxFilter(e, -1, (PATCH_PX, PATCH_PX), normalize=False) for e in error])
    half = PATCH_PX // 2
    sums[:, : half + BORDER_PX], sums[:, -half - BORDER_PX :] = 0, 0
    sums[:, :, : half + BORDER_PX], sums[:, :, -half - BORDER_PX :] = 0, 0
    n, y, x = np.unravel_index(sums.argmax(), sums.shape)
    cut = np.s_[n, y - half : y + half, x - half : x + half]
    a, b = encode_srgb(stack[cut]), encode_srgb(truth[cut])
    return n, np.hstack([a, b, np.clip(8 * np.abs(a - b), 0, 1)])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("truth", type=Path, help="folder of path-traced scenes (*.h5)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    keep_freed_memory()
    scenes, patches = {}, []
    for path in sorted(arguments.truth.glob("*.h5")):
        with h5py.File(path) as scene:
            row = {}
            for name, stack, truth in stacks_of(scene):
                values = np.array([measure(a, b) for a, b in zip(stack, truth, strict=True)])
                row[name] = {"psnr": values[:, 0].tolist(), "ssim": values[:, 1].tolist()}
                if name == OURS:
                    n, patch = worst_patch(stack, truth)
                    patches.append((f"{path.stem}, slice {n}: focalsim, truth, 8 x difference", patch))
            scenes[path.stem] = row
    if not scenes:
        raise SystemExit(f"no *.h5 in {arguments.truth}")
    report = []
    for key, digits in (("psnr", 2), ("ssim", 4)):
        names = list(next(iter(scenes.values())))
        rows = [[scene, *(np.mean(row[name][key]) for name in names)] for scene, row in scenes.items()]
        rows.append(["mean", *np.mean([r[1:] for r in rows], axis=0)])
        unit = "PSNR in sRGB, dB" if key == "psnr" else "SSIM in sRGB"
        report.append(f"{unit}, mean over slices, border of {BORDER_PX} px left out\n")
        report.append(markdown_table(["scene", *names], rows, digits))
    text = "\n".join(report)
    print(text)
    arguments.out.mkdir(parents=True, exist_ok=True)
    result = {"environment": environment(), "scenes": scenes}
    (arguments.out / "fidelity.json").write_text(json.dumps(result, indent=1))
    (arguments.out / "fidelity.md").write_text(text)
    tiles = []
    for caption, patch in patches:
        tile = cv2.resize(np.rint(255 * patch[..., ::-1]).astype(np.uint8), None, fx=3, fy=3, interpolation=0)
        tile = cv2.copyMakeBorder(tile, 22, 4, 0, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        cv2.putText(tile, caption, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
        tiles.append(tile)
    cv2.imwrite(str(arguments.out / "fidelity_worst.png"), np.vstack(tiles))


if __name__ == "__main__":
    main()
