"""What a pixel of a large picture costs, and how much memory beside picture and stack.

    python benchmarks/large.py ../shared/data/rgbd/slambook_kinect --out benchmarks/results

One real frame, enlarged to growing sizes: the blur in pixels grows with the width. Processor time of all threads, so
that other programs do not count. Every size runs in a process of its own, whose peak is reset before the stack is
rendered (Linux).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from common import environment, markdown_table
from render import lens_of

from focalsim import load_profile, render_stack
from focalsim.camera import draw_camera, focus_schedule_m, sensor_distance_m
from focalsim.color import linear_to_srgb
from focalsim.render import bands
from focalsim.sources import FrameRequest, open_source
from focalsim.sources.prepare import prepare_scene

WIDTHS = (504, 1008, 2016, 4032)
SLICES = 10
UNITS_PER_M = 20000  # of the depth that focalsim render reads


def scene(folder, phone, width):
    """Colour and depth (3/4 W, W) of the source's first frame, enlarged, and the camera of a stack."""
    profile = load_profile(phone)
    focus = focus_schedule_m(0.1, 1.0, SLICES)
    v_ref = float(sensor_distance_m(profile.focal_length_m, focus[0]))
    request = FrameRequest(WIDTHS[0], WIDTHS[0] * 3 // 4, 0.1, 1.0, v_ref / profile.sensor_width_m)
    frame = open_source(folder).load(0, request, np.random.default_rng(0))
    frame = prepare_scene(frame, request, max_holes=0.9, depth_policy="auto").scene
    size = (width, width * 3 // 4)
    camera = draw_camera(profile, focus, width, np.random.default_rng(0))
    rgb = cv2.resize(frame.rgb_linear, size, interpolation=cv2.INTER_LINEAR)
    return rgb, cv2.resize(frame.depth_m, size, interpolation=cv2.INTER_NEAREST), lens_of(profile, camera)


def memory_bytes(field):
    """VmRSS, what the process holds, or VmHWM, the most it held since the last :func:`reset_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(field))


def reset_peak():
    Path("/proc/self/clear_refs").write_text("5")


def measure(folder, phone, width, runs):
    """One size: seconds of preparing and of all, bytes of peak beside picture and stack, of light and of codes."""
    render_stack(*(a[:96, :128] for a in scene(folder, phone, WIDTHS[0])[:2]), **scene(folder, phone, 128)[2])
    rgb, depth, lens = scene(folder, phone, width)
    preparing, largest = [], []
    scatter = bands._scatter

    def timed(*arguments):
        start = time.process_time()
        samples = scatter(*arguments)
        preparing.append(time.process_time() - start)
        largest.append(arguments[-1])
        return samples

    bands._scatter = timed
    peaks, seconds = [], []
    for encode in (None, linear_to_srgb):
        before = memory_bytes("VmRSS")
        reset_peak()
        stack = render_stack(rgb, depth, **lens, encode=encode)
        peaks.append(memory_bytes("VmHWM") - before - stack.nbytes)
        del stack
    count = len(preparing) // 2
    preparing.clear()
    for _ in range(runs):
        start = time.process_time()
        render_stack(rgb, depth, **lens)
        seconds.append(time.process_time() - start)
    prepared = [sum(preparing[k * count : (k + 1) * count]) for k in range(runs)]
    return {
        "width": width,
        "height": len(depth),
        "largest_px": largest[0],
        "bands": count,
        "prepare_us": statistics.median(prepared) / depth.size * 1e6,
        "all_us": statistics.median(seconds) / depth.size * 1e6,
        "peak_bytes": peaks,
    }


def command_bytes(folder, phone):
    """The most memory that ``focalsim render`` holds while it makes one stack of the largest size, in one process."""
    rgb, depth, _ = scene(folder, phone, WIDTHS[-1])
    with tempfile.TemporaryDirectory() as place:
        cv2.imwrite(f"{place}/color_0.png", linear_to_srgb(rgb)[..., ::-1])
        cv2.imwrite(f"{place}/depth_0.png", np.rint(depth * UNITS_PER_M).astype(np.uint16))
        height, width = depth.shape
        options = ["--size", f"{width}x{height}", "--depth-scale", str(UNITS_PER_M), "--phone", phone]
        options += ["--samples", "1", "--workers", "1", "--quiet", "--out", f"{place}/out"]
        process = subprocess.Popen(
            [sys.executable, "-c", "from focalsim.cli import main; main()", "render", place, *options],
            stdout=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("focalsim render failed")
    return usage.ru_maxrss << 10


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("frames", type=Path, help="folder of RGB-D frames")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--phone", default="pixel4")
    parser.add_argument("--width", type=int, help="measure this width alone, and print it as JSON")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    if arguments.width:
        print(json.dumps(measure(arguments.frames, arguments.phone, arguments.width, arguments.runs)))
        return
    sizes = []
    for width in WIDTHS:
        command = [sys.executable, *sys.argv, "--width", str(width)]
        sizes.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    rows = [
        [
            f"{size['width']} x {size['height']}",
            size["largest_px"],
            size["bands"],
            size["prepare_us"],
            (size["all_us"] - size["prepare_us"]) / SLICES,
            size["all_us"],
            *(round(peak / 2**20) for peak in size["peak_bytes"]),
        ]
        for size in sizes
    ]
    command = command_bytes(arguments.frames, arguments.phone)
    area, cost = ((sizes[-1][name] / sizes[0][name]) for name in ("largest_px", "all_us"))
    text = (
        f"{arguments.frames.name} enlarged, {SLICES} slices, {arguments.phone}: microseconds of processor time for a "
        f"pixel of the picture, medians of {arguments.runs}; peak memory beside picture and stack, MiB\n\n"
        + markdown_table(
            ["picture", "largest disc, px", "bands", "prepare", "a slice", "stack", "MiB", "MiB, 8-bit stack"], rows, 2
        )
        + f"\nThe disc's area grows {area**2:.0f} times, the cost of a pixel {cost:.1f} times.\n\n"
        f"`focalsim render` of one stack of {rows[-1][0]}, one process: {command / 2**20:.0f} MiB at most, source, "
        "8-bit stack and program included.\n"
    )
    result = {"environment": environment(), "sizes": sizes, "command_bytes": command}
    print(text)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "large.md").write_text(text)
    (arguments.out / "large.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
