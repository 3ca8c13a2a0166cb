"""Does a network that has seen nothing but made scenes find depth? On unseen made scenes and on path-traced truth.

    python benchmarks/learn.py ../shared/truth --steps 360 --out benchmarks/results

Renders bundles, trains and evaluates by the command line, each beside the guess
that every depth is the test images' own mean.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
from common import environment, markdown_table

from focalsim import Sample, load_profile
from focalsim.color import linear_to_srgb
from focalsim.config import RenderConfig
from focalsim.shards import ShardWriter

COMMANDS = Path(sys.executable).parent


def run(*command):
    print("$", *command, file=sys.stderr, flush=True)
    return subprocess.run(
        [str(COMMANDS / command[0]), *map(str, command[1:])], check=True, stdout=subprocess.PIPE
    ).stdout


def truth_shard(scene_path, out):
    """A path-traced scene as a shard, in its breathing form: depth and image in the geometry of the nearest slice."""
    from focalsim.camera.draw import StackCamera
    from focalsim.render import warp_frame

    with h5py.File(scene_path) as scene:
        order = np.argsort(-scene["focus_distances_m"][:])  # far to near
        lens = {k: float(scene.attrs[k]) for k in ("focal_length_m", "f_number", "sensor_width_m")}
        camera = StackCamera(
            **lens,
            focus_distances_m=scene["focus_distances_m"][:][order],
            fov_error=np.zeros(len(order)),
            magnification=scene["fov_scale"][:][order],
            principal_point_px=scene["principal_point_px"][:][order],
        )
        depth = scene["depth"][:]
        sharp, near_depth, valid = warp_frame(
            scene["aif"][:],
            depth,
            np.ones(depth.shape, bool),
            magnification=float(camera.magnification[-1]),
            principal_point_px=tuple(camera.principal_point_px[-1]),
            output_size=depth.shape[::-1],
        )
        magnification, shift = camera.relative_to(-1)
        sample = Sample(
            images=linear_to_srgb(scene["stack_breathing"][:][order].astype(np.float32)),
            all_in_focus=linear_to_srgb(sharp),
            depth_m=np.where(valid, near_depth, np.float32(0)),
            valid=valid,
            focus_distance_m=camera.focus_distances_m.astype(np.float32),
            magnification=magnification.astype(np.float32),
            principal_point_px=shift.astype(np.float32),
            fov_error=np.zeros(len(order), np.float32),
            **lens,
            phone="truth",
            source_id=scene_path.stem,
            depth_scale=1.0,
            sample_index=0,
        )
        near, far = float(camera.focus_distances_m[-1]), float(camera.focus_distances_m[0])
    height, width = depth.shape
    config = RenderConfig(
        source="truth", phones=(load_profile("pixel4").to_dict(),), samples=1, slices=len(order),
        width=width, height=height, near_m=near, far_m=far,
    )  # fmt: skip
    attributes = {
        "schema_version": 1, "reference_slice": len(order) - 1, "seed": 0, "config": config.to_json(),
        "focalsim_version": environment()["focalsim"], "license": "for tests only", "attribution": "path-traced truth",
    }  # fmt: skip
    with ShardWriter(out, 1, attributes) as writer:
        writer.write(sample)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("truth", type=Path)
    parser.add_argument("--steps", type=int, default=360)
    parser.add_argument("--samples", type=int, default=160)
    parser.add_argument("--model", type=Path, help="evaluate this checkpoint instead of training one")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    rows, details = [], {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        unseen = ("--phone", "pixel4", "--slices", 6)
        run("focalsim", "render", *unseen, "--samples", 24, "--seed", 1, "--out", work / "unseen")
        model = arguments.model
        if model is None:
            run("focalsim", "render", *unseen, "--samples", arguments.samples, "--out", work / "train")
            run(
                "dffnet", "train", work / "train", "--out", work / "run", "--crop", 160, "--batch-size", 2,
                "--epochs", 1000, "--max-steps", arguments.steps,
            )  # fmt: skip
            model = work / "run" / "model.pt"
        tests = {"unseen made scenes": work / "unseen"}
        for path in sorted(arguments.truth.glob("*.h5")):
            tests[f"truth: {path.stem}"] = truth_shard(path, work / f"{path.stem}-00000.h5")
        for name, shards in tests.items():
            result = json.loads(run("dffnet", "eval", model, shards, "--json"))
            details[name] = result
            ours, mean = (result[which]["dioptres"]["per_image"] for which in ("model", "mean_depth"))
            rows.append([name, *(row[k] for k in ("mae", "rmse", "abs_rel", "delta_1") for row in (ours, mean))])
    header = [
        "images",
        *(f"{k}{who}" for k in ("MAE dpt", "RMSE dpt", "AbsRel", "delta 1") for who in ("", ", mean depth")),
    ]
    text = f"Trained for {arguments.steps} steps on {arguments.samples} made scenes of six slices\n\n" + markdown_table(
        header, rows, 3
    )
    print(text)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "learn.md").write_text(text)
    (arguments.out / "learn.json").write_text(json.dumps({"environment": environment(), "results": details}, indent=1))


if __name__ == "__main__":
    main()
