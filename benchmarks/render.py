"""How fast is a stack rendered? Against the plain OpenCV scheme, in one run, in turn.

    python benchmarks/render.py ../shared/data/rgbd --runs 15 --out benchmarks/results

The plain scheme, per slice: 8-bit image warped bilinearly, integer radii, one filter2D of the whole image per radius,
each pixel taken from its own. Ours: render_stack with hidden samples, breathing and shift, from decoded linear light.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
from common import environment, markdown_table, summary, time_pair
from numba import get_num_threads, njit, prange

from focalsim import load_profile
from focalsim.camera import draw_camera, focus_schedule_m, sensor_distance_m
from focalsim.color import linear_to_srgb
from focalsim.render.kernels import LEVELS_PER_PX, kernel_table
from focalsim.render.layers import split_layers
from focalsim.render.resample import LOBES
from focalsim.simd import BYTES, LANES, address, fma_each, load, store
from focalsim.sources import FrameRequest, open_source
from focalsim.sources.prepare import prepare_scene

WIDTH, HEIGHT = 352, 224


def plain_opencv(image, depth, camera, gain):
    stack = np.empty((len(camera.focus_distances_m), *image.shape), np.uint8)
    height, width = depth.shape
    for n, s in enumerate(camera.focus_distances_m):
        m, (px, py) = camera.magnification[n], camera.principal_point_px[n]
        move = np.array([[m, 0, (1 - m) * (width - 1) / 2 + px], [0, m, (1 - m) * (height - 1) / 2 + py]])
        size = {"dsize": (width, height), "borderMode": cv2.BORDER_REPLICATE}
        warped = cv2.warpAffine(image, move, flags=cv2.INTER_LINEAR, **size)
        z = cv2.warpAffine(depth, move, flags=cv2.INTER_NEAREST, **size)
        radius = np.rint(gain * m * np.abs(1 / s - 1 / z) / 2).astype(np.int32)
        for r in range(int(radius.max()) + 1):
            pick = radius == r
            if not pick.any():
                continue
            y, x = np.mgrid[-r : r + 1, -r : r + 1]
            disc = (x * x + y * y <= r * r).astype(np.float32)
            stack[n][pick] = cv2.filter2D(warped, -1, disc / disc.sum(), borderType=cv2.BORDER_REPLICATE)[pick]
    return stack


@njit(parallel=True)
def _multiply_adds(data, rounds):
    """Eight independent chains of sixteen multiply-adds in every thread."""
    for thread in prange(len(data)):
        place = address(data) + 2 * BYTES * thread
        w = load(place)
        a, b, c, d, e, f, g, h = w, w, w, w, w, w, w, w
        for _ in range(rounds):
            a, b, c, d = fma_each(a, w, w), fma_each(b, w, w), fma_each(c, w, w), fma_each(d, w, w)
            e, f, g, h = fma_each(e, w, w), fma_each(f, w, w), fma_each(g, w, w), fma_each(h, w, w)
        store(place, a)
        for value in (b, c, d, e, f, g, h):
            store(place + BYTES, value)


def machine(runs=7):
    """(multiply-adds a second, bytes moved a second) of this machine, the best of ``runs``, on all its threads."""
    threads, rounds = get_num_threads(), 2_000_000
    data = np.zeros((threads, 2 * LANES), np.float32)
    large = np.zeros((threads, 1 << 25), np.uint8)

    @njit(parallel=True)
    def copy(to, source):
        for thread in prange(len(to)):
            to[thread] = source[thread]

    other = np.empty_like(large)
    arithmetic, moving = (
        min(time_pair(call, lambda: None, runs)[0])
        for call in (lambda: _multiply_adds(data, rounds), lambda: copy(other, large))
    )
    return threads * rounds * 8 * LANES / arithmetic, 2 * large.nbytes / moving


def work(rgb, depth, lens, gain):
    """(multiply-adds, bytes) that a stack needs at least: the taps of every sample's kernel, four channels each, and of
    the warp, three channels; the samples read and the slices written once a slice.
    """
    layers = split_layers(rgb, (gain / depth).astype(np.float32))
    table = kernel_table(18.0)
    taps = 0
    for coverage, q in (
        (layers.front_coverage, layers.front_disparity_px),
        (layers.back_coverage, layers.back_disparity_px),
    ):
        for s in lens["focus_distances_m"]:
            level = np.rint(np.abs(gain / s - q[coverage > 0]) * LEVELS_PER_PX).astype(int)
            taps += int(((2 * table.radius[level] + 1) ** 2).sum())
    pixels = depth.size * len(lens["focus_distances_m"])
    samples = 1 + np.count_nonzero(layers.back_coverage) / depth.size
    return 4 * taps + 3 * 2 * (2 * LOBES + 1) * pixels, pixels * (samples * 6 * 4 + 3 * 4)


def stacks(rgbd, phone):
    """(name, linear light, depth) of the first frame of every folder in ``rgbd``, the lens as render_stack takes it,
    the drawn camera and the gain of the blur, pixel metres.
    """
    profile = load_profile(phone)
    focus = focus_schedule_m(0.1, 1.0, 10)
    v_ref = float(sensor_distance_m(profile.focal_length_m, focus[0]))
    gain = profile.focal_length_m / profile.f_number * v_ref * WIDTH / profile.sensor_width_m
    request = FrameRequest(WIDTH, HEIGHT, 0.1, 1.0, v_ref / profile.sensor_width_m)
    camera = draw_camera(profile, focus, WIDTH, np.random.default_rng(0))
    return _frames(rgbd, request), lens_of(profile, camera), camera, gain


def lens_of(profile, camera):
    """What a drawn camera is to render_stack."""
    return {
        "focal_length_m": profile.focal_length_m,
        "f_number": profile.f_number,
        "sensor_width_m": profile.sensor_width_m,
        "focus_distances_m": camera.focus_distances_m,
        "magnification": camera.magnification,
        "principal_point_px": camera.principal_point_px,
    }


def _frames(rgbd, request):
    for folder in sorted(p for p in rgbd.iterdir() if p.is_dir()):
        scale = 5000.0 if folder.name.startswith(("icl", "open3d_tum")) else None
        source = open_source(folder, depth_scale=scale)
        frame = prepare_scene(
            source.load(0, request, np.random.default_rng(0)), request, max_holes=0.9, depth_policy="auto"
        ).scene
        size = (WIDTH, HEIGHT)
        rgb = cv2.resize(frame.rgb_linear, size, interpolation=cv2.INTER_AREA)
        yield folder.name, rgb, cv2.resize(frame.depth_m, size, interpolation=cv2.INTER_NEAREST)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rgbd", type=Path, help="folder that holds folders of RGB-D frames")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--phone", default="pixel4")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    frames, lens, camera, gain = stacks(arguments.rgbd, arguments.phone)
    from focalsim import render_stack

    rows, ratios, first_call = [], [], None
    multiply_adds, bandwidth = machine()
    for name, rgb, depth in frames:
        image = linear_to_srgb(rgb)
        if first_call is None:
            start = time.perf_counter()
            render_stack(rgb, depth, **lens)
            first_call = time.perf_counter() - start
        ours, plain = time_pair(
            lambda rgb=rgb, depth=depth: render_stack(rgb, depth, **lens),
            lambda image=image, depth=depth: plain_opencv(image, depth, camera, gain),
            arguments.runs,
        )
        ratio = float(np.median(np.array(plain) / np.array(ours)))
        ratios.append(ratio)
        needed, moved = work(rgb, depth, lens, gain)
        floor = needed / multiply_adds * 1e3
        rows.append([name, *summary(ours), *summary(plain), ratio, needed / 1e6, floor, moved / bandwidth * 1e3])
    text = (
        f"Milliseconds for a stack of {len(lens['focus_distances_m'])} x {WIDTH} x {HEIGHT}, {arguments.phone}: "
        f"median, minimum, maximum of {arguments.runs} runs in turn\n\n"
        + markdown_table(
            ["frame", "focalsim", "min", "max", "plain OpenCV", "min", "max", "OpenCV / focalsim"],
            [row[:8] for row in rows],
            2,
        )
        + f"\nmedian ratio {np.median(ratios):.2f}; first call with kernels from the cache {first_call * 1e3:.0f} ms\n"
        f"\nThe floor: on its {get_num_threads()} threads this machine does {multiply_adds / 1e9:.0f} thousand million "
        f"multiply-adds a second and copies {bandwidth / 1e9:.0f} GB a second (read and written). A stack needs:\n\n"
        + markdown_table(
            ["frame", "million multiply-adds", "ms at that rate", "ms at that bandwidth", "taken / floor"],
            [[row[0], *row[8:], row[1] / max(row[9:])] for row in rows],
            2,
        )
    )
    print(text)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "render.md").write_text(text)
    result = {"environment": environment(), "rows": rows, "first_call_s": first_call}
    (arguments.out / "render.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
