"""Random scenes of flat cut-outs, whose thin-lens pictures are known exactly: no scheme can have been made for them.

    python benchmarks/cutouts.py --scenes 12 --out benchmarks/results

Every scene has a wall and up to six sheets at depths of their own, with discs, bars, threads, ragged shapes or specks
cut out, plain, patterned or striped, some with highlights. Seen from a point of the lens every sheet is shifted by its
blur; the mean over many points, at four times the resolution, is the truth. Three focus distances: wall, middle,
nearest sheet. PSNR and SSIM in sRGB beside published schemes, and of focalsim once more with the next sheet behind
every pixel given as its hidden surface.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from common import environment, markdown_table
from fidelity import OURS, measure
from schemes import IN_LINEAR_LIGHT, SCHEMES
from tqdm import tqdm

from focalsim import render_stack
from focalsim.allocator import keep_freed_memory

WIDTH, HEIGHT, MARGIN = 224, 160, 32  # pixels
FINE = 4  # of them make one, along each axis
LENS_POINTS = 200
FOCAL_LENGTH_M, F_NUMBER, SENSOR_WIDTH_M = 0.05, 2.0, 0.036
SIZE = FINE * (WIDTH + 2 * MARGIN), FINE * (HEIGHT + 2 * MARGIN)  # of a sheet


def noise(rng, spacing):
    """Smooth noise (h, w, 3) of unit variance at knots so far apart."""
    knots = rng.standard_normal((SIZE[1] // spacing + 2, SIZE[0] // spacing + 2, 3)).astype(np.float32)
    return cv2.resize(knots, SIZE, interpolation=cv2.INTER_CUBIC)


def waves(rng, period):
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    angle = rng.uniform(0, np.pi)
    return np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)[..., None]


def colours(rng):
    """Linear light (h, w, 3) of a sheet."""
    rough = sum(weight * noise(rng, spacing) for spacing, weight in ((64, 1.0), (24, 0.7), (8, 0.5), (4, 0.3)))
    light = rng.random(3) ** 2 * np.exp(rng.uniform(0.05, 0.6) * rough)
    if rng.random() < 0.3:
        light *= np.where(waves(rng, rng.uniform(12, 48)) > 0, 1.0, 0.25)
    light = np.clip(light, 0, 1).astype(np.float32)
    if rng.random() < 0.3:
        for _ in range(rng.integers(1, 5)):
            centre = rng.integers(0, SIZE[0]), rng.integers(0, SIZE[1])
            cv2.circle(light, [int(c) for c in centre], int(rng.integers(3, 10)), rng.uniform(2, 15, 3).tolist(), -1)
    return light


def outline(rng):
    """Where a sheet is (h, w)."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]].astype(np.float32)

    def disc(radius):
        stretch = rng.uniform(0.6, 1.6)
        return np.hypot((x - rng.uniform(0, SIZE[0])) / stretch, y - rng.uniform(0, SIZE[1])) < radius

    def bar(length, width):
        angle, dx, dy = rng.uniform(0, np.pi), x - rng.uniform(0, SIZE[0]), y - rng.uniform(0, SIZE[1])
        along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
        return (np.abs(along) < length) & (np.abs(across) < width)

    kind = rng.integers(5)
    if kind == 0:
        return disc(rng.uniform(20, 160))
    if kind == 1:
        return bar(rng.uniform(40, 250), rng.uniform(4, 80))
    if kind == 2:
        return np.any([bar(2000, rng.uniform(2, 10)) for _ in range(rng.integers(3, 12))], axis=0)
    if kind == 3:
        return noise(rng, 60)[..., 0] > rng.uniform(0.5, 1.2)
    return np.any([disc(rng.uniform(5, 40)) for _ in range(rng.integers(5, 30))], axis=0)


def make(seed):
    """All-in-focus image, disparity (pixels), the same of what is hidden (NaN = nothing), focus disparities (3,) and
    their pictures.
    """
    rng = np.random.default_rng(seed)
    count = rng.integers(3, 8)
    disparity = np.sort(rng.uniform(0.2, rng.uniform(3, 24), count))
    sheets = [(colours(rng), outline(rng) if n else np.ones(SIZE[::-1], bool)) for n in range(count)]

    def view(point, focus, below=count):
        """Of the sheets farther than the one numbered ``below``."""
        for n, (light, there) in enumerate(sheets[:below]):
            dx, dy = np.rint(point * (disparity[n] - focus) / 2 * FINE)
            move = {"M": np.float32([[1, 0, dx], [0, 1, dy]]), "dsize": SIZE, "flags": cv2.INTER_NEAREST}
            moved = cv2.warpAffine(light, **move, borderMode=cv2.BORDER_REPLICATE)
            if n == 0:
                picture = moved
            else:
                np.copyto(picture, moved, where=cv2.warpAffine(there.view(np.uint8), **move)[..., None] > 0)
        return picture

    def pixels(fine):
        shape = SIZE[1] // FINE, FINE, SIZE[0] // FINE, FINE, 3
        mean = fine.reshape(shape).mean(axis=(1, 3))
        return np.ascontiguousarray(mean[MARGIN:-MARGIN, MARGIN:-MARGIN], np.float32)

    radius = np.sqrt((np.arange(LENS_POINTS) + 0.5) / LENS_POINTS)
    focus = disparity[[0, count // 2, -1]]
    truth = []
    for f in focus:
        angle = np.arange(LENS_POINTS) * np.pi * (3 - np.sqrt(5)) + rng.uniform(0, 2 * np.pi)
        points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        points += rng.uniform(-0.5, 0.5, points.shape) / np.sqrt(LENS_POINTS)
        truth.append(pixels(sum(view(point, f) for point in points) / LENS_POINTS))

    def nearest(below=count):
        """The number of the nearest of these sheets at pixel centres."""
        number = np.zeros(SIZE[::-1], int)
        for n, (_, there) in enumerate(sheets[:below]):
            number[there] = n
        return number[FINE // 2 :: FINE, FINE // 2 :: FINE][MARGIN:-MARGIN, MARGIN:-MARGIN]

    seen, pinhole = nearest(), np.zeros(2)
    hidden, hidden_disparity = np.zeros((*seen.shape, 3), np.float32), np.full(seen.shape, np.nan, np.float32)
    for n in range(1, count):
        here = seen == n
        hidden[here], hidden_disparity[here] = pixels(view(pinhole, 0.0, n))[here], disparity[nearest(n)][here]
    visible = pixels(view(pinhole, 0.0)), disparity[seen].astype(np.float32)
    return *visible, hidden, hidden_disparity, focus, truth


def camera_of(focus_disparity):
    """The gain g (px m) of blur g |1/s - 1/d| and the distances s = g / q: g depends on the farthest of them."""
    v_ref = FOCAL_LENGTH_M
    for _ in range(100):
        gain = FOCAL_LENGTH_M / F_NUMBER * v_ref * WIDTH / SENSOR_WIDTH_M
        distances = gain / focus_disparity
        v_ref = FOCAL_LENGTH_M * distances.max() / (distances.max() - FOCAL_LENGTH_M)
    return gain, distances


def compare(seed):
    """Mean (PSNR, SSIM) over the slices, of every scheme."""
    rgb, disparity, hidden_rgb, hidden_disparity, focus_disparity, truth = make(seed)
    gain, focus = camera_of(focus_disparity)
    depth = (gain / disparity).astype(np.float32)
    stacks = {name: [SCHEMES[name](rgb, depth, gain, s) for s in focus] for name in IN_LINEAR_LIGHT}
    lens = {"focal_length_m": FOCAL_LENGTH_M, "f_number": F_NUMBER, "sensor_width_m": SENSOR_WIDTH_M}
    stacks[OURS] = render_stack(rgb, depth, **lens, focus_distances_m=focus)
    hidden = {"hidden_rgb_linear": hidden_rgb, "hidden_depth_m": (gain / hidden_disparity).astype(np.float32)}
    stacks[f"{OURS}, hidden known"] = render_stack(rgb, depth, **lens, focus_distances_m=focus, **hidden)
    return {
        name: np.mean([measure(a, b) for a, b in zip(stack, truth, strict=True)], axis=0).tolist()
        for name, stack in stacks.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    keep_freed_memory()
    scenes = [compare(seed) for seed in tqdm(range(arguments.scenes), disable=None)]
    names = list(scenes[0])
    psnr = [[scene[name][0] for name in names] for scene in scenes]
    rows = [[n, *row] for n, row in enumerate(psnr)] + [["mean", *np.mean(psnr, axis=0)]]
    ssim = [np.mean([scene[name][1] for scene in scenes]) for name in names]
    text = "PSNR in sRGB, dB, mean over three slices, border of 8 px left out\n\n"
    text += markdown_table(["scene", *names], rows, 2)
    text += "\nSSIM in sRGB\n\n" + markdown_table(["scenes", *names], [["mean", *ssim]], 4)
    print(text)
    arguments.out.mkdir(parents=True, exist_ok=True)
    record = {"environment": environment(), "scenes": scenes}
    (arguments.out / "cutouts.json").write_text(json.dumps(record, indent=1))
    (arguments.out / "cutouts.md").write_text(text)


if __name__ == "__main__":
    main()
