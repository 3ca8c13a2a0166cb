"""Are made scenes the bottleneck? Time to make one beside the time to render its stack, on one core each.

    python benchmarks/scenes.py --runs 24 --out benchmarks/results

Scenes are made at twice the output's size, as ``focalsim render`` makes them; of each, the stack of 10 slices of
352 x 224 is rendered as the command does. Both run on one core, since the command has a process on every core, and
what is counted is the time that the process computed. Kernels are compiled before.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ["NUMBA_NUM_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import numpy as np
from common import environment, markdown_table, summary

from focalsim.camera import load_profile
from focalsim.config import RenderConfig
from focalsim.job import plan_job, render_sample
from focalsim.rng import sample_rng
from focalsim.sources import open_source


def seconds_of_scene(job, index):
    request = job.request(job.profiles[0])
    start = time.process_time()
    job.source.load(index, request, sample_rng(job.config.seed, index, "scene"))
    return time.process_time() - start


def seconds_of_sample(job, index):
    start = time.process_time()
    render_sample(job, index)
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=24, help="scenes; one more is made before, uncounted")
    parser.add_argument("--out", type=Path, help="folder for scenes.md and scenes.json")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    job = plan_job(RenderConfig(phones=(load_profile("pixel4").to_dict(),)), open_source(None))
    seconds_of_sample(job, 0)
    pairs = np.array([(seconds_of_scene(job, n), seconds_of_sample(job, n)) for n in range(1, args.runs + 1)])
    scene, sample = pairs.T
    rows = [
        ["make the scene", *summary(scene)],
        ["render and encode its stack", *summary(sample - scene)],
        ["both", *summary(sample)],
    ]
    table = markdown_table(["CPU ms", "median", "min", "max"], rows, 1)
    line = f"\nmaking takes {100 * scene.sum() / sample.sum():.0f} % of a sample's time over {args.runs} scenes\n"
    print(table + line)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "scenes.md").write_text(table + line, encoding="utf-8")
        record = {"environment": environment(), "scene_s": scene.tolist(), "sample_s": sample.tolist()}
        (args.out / "scenes.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
