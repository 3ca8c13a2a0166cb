"""Do networks that have seen nothing but made scenes find depth? All of them, and what needs no learning, side by side.

    python benchmarks/learn.py ../shared --out benchmarks/results

One bundle, one number of steps; then unseen made scenes, path-traced scenes (SHARED/truth) and, to look at, photos
(SHARED/data/stacks). "published recipe" is that of Won & Jeon 2022 on the same batches: Adam at one learning rate, no
clipping, no average of weights, no noise. Networks that are in --work already are not trained again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import h5py
import numpy as np
import torch
from common import environment, markdown_table

from dffnet.data.photos import read_photos
from dffnet.engine.evaluate import evaluate, open_stacks
from dffnet.engine.predict import predict_photos
from dffnet.engine.predictor import Predictor
from focalsim import Sample, load_profile
from focalsim.allocator import keep_freed_memory
from focalsim.color import linear_to_srgb
from focalsim.config import RenderConfig
from focalsim.shards import ShardWriter

COMMANDS = Path(sys.executable).parent
RECIPE = ("--crop", 128, "--batch-size", 2, "--val-fraction", 0.04, "--epochs", 10000, "--workers", 0)
PUBLISHED = (*RECIPE, "--schedule", "constant", "--ema", 0, "--gradient-clip", 1e9, "--noise", 0)
UNTRAINED = ("classical", "classical-e2e")
TRAINED = {  # name -> options of dffnet train
    "dff-wild": ("--model", "dff-wild", *RECIPE),
    "dff-wild, published recipe": ("--model", "dff-wild", *PUBLISHED),
    "dfv": ("--model", "dfv", *RECIPE),
    "dff-wild-e2e": ("--model", "dff-wild-e2e", "--align", "none", *RECIPE),
    "aif-depth-net": ("--model", "aif-depth-net", *RECIPE),
}
GUESS = "mean depth"
RANGES = {"near": ("--near", 0.1, "--far", 1.0), "far": ("--near", 0.2, "--far", 3.0)}  # of focus, metres
PHOTOS = {  # folder -> focus distances, where it has none: any that are even in dioptres
    "mobiledepth_balls": None,
    "focusstack_pcb": tuple(1 / (5.0 + k) for k in range(10)),
}
SHOWN_PX = 176  # width of one picture


def run(*command):
    print("$", *command, file=sys.stderr, flush=True)
    subprocess.run([str(COMMANDS / command[0]), *map(str, command[1:])], check=True, stdout=subprocess.DEVNULL)


def render(out, samples, seed):
    """Half of the stacks in each of the ranges, of all phones."""
    for number, (name, focus) in enumerate(RANGES.items()):
        options = ("--phone", "all", "--slices", 6, *focus, "--samples", samples // 2, "--seed", seed + number)
        run("focalsim", "render", *options, "--out", out / name, "--resume")
    return [out / name for name in RANGES]


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


def trained(name, shards, work, steps):
    """Path of the checkpoint, and the minutes that its training took."""
    folder = work / name.replace(", ", "-").replace(" ", "-")
    minutes = folder / "minutes.txt"
    if not minutes.exists():
        start = time.perf_counter()
        run("dffnet", "train", *shards, "--out", folder, "--max-steps", steps, "--overwrite", *TRAINED[name])
        minutes.write_text(f"{(time.perf_counter() - start) / 60:.1f}")
    return folder / "model.pt", float(minutes.read_text())


def measures(predictor, shards):
    """(of the model, of the guess of the mean depth) on one set of images."""
    result = evaluate(predictor, open_stacks(predictor, shards))
    model, mean = ({**r["dioptres"]["per_image"]} for r in (result.model, result.mean_depth))
    for unit in (model, mean):
        unit.pop("bumpiness")
    curve = result.risk_coverage["model"]
    best = result.risk_coverage["best"]
    extra = {
        "psnr": result.all_in_focus["psnr"],
        "ssim": result.all_in_focus["ssim"],
        "half": curve[4] / curve[-1],
        "best_half": best[4] / best[-1],
        "before_px": result.alignment_px["before"]["mean"],
        "before_p95_px": result.alignment_px["before"]["p95"],
        "after_px": result.alignment_px["after"]["mean"],
        "after_p95_px": result.alignment_px["after"]["p95"],
    }
    return {**model, **extra}, mean


def colours(depth_m, low, high, known=None):
    """A depth map in colours uniform in 1/depth between ``low`` and ``high`` dioptres; unknown depth grey."""
    shares = np.clip((1 / np.maximum(depth_m, 1e-6) - low) / (high - low), 0, 1)
    picture = cv2.applyColorMap(np.rint(255 * shares).astype(np.uint8), cv2.COLORMAP_TURBO)
    if known is not None:
        picture[~known] = 128
    return picture


def sheet(rows, header):
    """Rows of pictures of one width under a line of captions."""
    width = SHOWN_PX
    head = np.full((22, width * len(header), 3), 255, np.uint8)
    for k, text in enumerate(header):
        cv2.putText(head, text, (k * width + 3, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (30, 30, 30), 1, cv2.LINE_AA)
    lines = [head]
    for row in rows:
        height = round(width * row[0].shape[0] / row[0].shape[1])
        lines.append(np.hstack([cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA) for p in row]))
    return np.vstack(lines)


def truth_pictures(predictor, tests):
    """What a model (None: the truth, beside the nearest slice) finds in the first image of each test."""
    pictures = []
    for shards in tests.values():
        stacks = open_stacks(predictor or Predictor(Path("classical")), shards[:1])
        depth, known = stacks.truth(0)
        low, high = np.percentile(1 / depth[known], [1, 99])
        if predictor is None:
            pictures.append([_bgr(stacks[0].images[-1]), colours(depth, low, high, known)])
        else:
            stack = stacks[0]
            pictures.append([colours(predictor(stack.images, stack.focus_positions).depth_m, low, high)])
    return pictures


def photo_pictures(predictor, shared):
    """What a model (None: the nearest photo) finds in each folder of photos; colours span the focus distances."""
    pictures = []
    for name, distances in PHOTOS.items():
        photos = read_photos(shared / "data" / "stacks" / name, focus_distances_m=distances, max_size_px=512)
        if predictor is None:
            pictures.append([np.ascontiguousarray(photos.images[-1][..., ::-1])])
            continue
        focal_length_m = None if predictor.config.align == "none" else photos.focal_length_m
        depth_m = predict_photos(predictor, photos, focal_length_m=focal_length_m)[0].depth_m
        pictures.append([colours(depth_m, *(1 / photos.focus_distance_m[[0, -1]]))])
    return pictures


def _bgr(image):
    return np.ascontiguousarray(np.rint(255 * image.permute(1, 2, 0).numpy()[..., ::-1]).astype(np.uint8))


def tables(results, minutes):
    """Markdown: one table a measure, models across; then what the models cost and what else they give."""
    models = list(next(iter(results.values())))
    text = []
    for key, title in (("mae", "MAE, dioptres"), ("abs_rel", "AbsRel"), ("delta_1", "delta 1")):
        rows = [[images, *(row[m][key] for m in models)] for images, row in results.items()]
        text.append(f"{title}\n\n" + markdown_table(["images", *models], rows, 3))
    names = [m for m in models if m != GUESS]
    made = {m: next(iter(results.values()))[m] for m in names}
    columns = {
        "PSNR": "psnr", "SSIM": "ssim", "error of the surest half": "half", "best possible": "best_half",
        "px before": "before_px", "95 %": "before_p95_px", "px after": "after_px", "95 % ": "after_p95_px",
    }  # fmt: skip
    rows = [[m, minutes.get(m, ""), *(made[m][key] for key in columns.values())] for m in names]
    title = (
        "On the unseen made scenes: the all-in-focus image; the error of the half of the pixels with the highest "
        "confidence, as a share of that of all; misalignment of the slices given and of those used. Minutes of training"
    )
    text.append(f"{title}\n\n" + markdown_table(["model", "minutes", *columns], rows, 3))
    return "\n".join(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shared", type=Path)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--samples", type=int, default=160)
    parser.add_argument("--unseen", type=int, default=16)
    parser.add_argument("--work", type=Path, help="keep bundles and networks here, and go on with those found")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        work = arguments.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        shards = render(work / "train", arguments.samples, seed=0)
        tests = {"unseen made scenes": render(work / "unseen", arguments.unseen, seed=100)}
        for path in sorted((arguments.shared / "truth").glob("*.h5")):
            tests[f"truth: {path.stem}"] = [truth_shard(path, work / f"{path.stem}-00000.h5")]
        results, minutes = {name: {} for name in tests}, {}
        sheets = {"truth": truth_pictures(None, tests), "photos": photo_pictures(None, arguments.shared)}
        done = []
        for name in [*UNTRAINED, *TRAINED]:
            checkpoint = Path(name)
            if name in TRAINED:
                checkpoint, minutes[name] = trained(name, shards, work, arguments.steps)
            predictor = Predictor(checkpoint)
            done.append(name)
            for images, paths in tests.items():
                own, mean = measures(predictor, paths)
                results[images].setdefault(GUESS, mean)
                results[images][name] = own
            for found, rows in (
                (truth_pictures(predictor, tests), sheets["truth"]),
                (photo_pictures(predictor, arguments.shared), sheets["photos"]),
            ):
                for row, picture in zip(rows, found, strict=True):
                    row += picture
            write(arguments, done, sheets, results, minutes)
    print((arguments.out / "learn.md").read_text())


def write(arguments, names, sheets, results, minutes):
    """Tables and pictures of the models so far."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    text = (
        f"{arguments.steps} steps of two 128 x 128 crops from {arguments.samples} made scenes of six slices, "
        f"all phones; {torch.get_num_threads()} threads. "
        f"{GUESS}: the mean of the tested images, which no method knows\n\n"
    )
    (arguments.out / "learn.md").write_text(text + tables(results, minutes))
    content = {"environment": environment(), "minutes": minutes, "results": results}
    (arguments.out / "learn.json").write_text(json.dumps(content, indent=1))
    for name, first in (("truth", ["nearest slice", "truth"]), ("photos", ["nearest photo"])):
        cv2.imwrite(str(arguments.out / f"learn_{name}.png"), sheet(sheets[name], [*first, *names]))


if __name__ == "__main__":
    main()
