"""Plain folders, for programs of one's own and for looking: nothing is lost.

PATH/train/000000/slice_00.png ..   far to near;   all_in_focus.png
PATH/train/000000/depth_m.exr       one channel, float32, metres, 0 where not known;   valid.png (255: known)
PATH/train/000000/sample.json       every number of the sample, by the names of the shard schema
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from focalsim.errors import SourceError
from focalsim.exchange.base import SPLITS, Format, Imported, Provenance, Stacks
from focalsim.exchange.files import (
    new_folder,
    read_provenance,
    read_stack,
    write_exr,
    write_image,
    write_provenance,
)  # fmt: skip
from focalsim.sample import Sample
from focalsim.shards.schema import DATA_SETS, REQUIRED_DATA_SETS, TEXT
from focalsim.sources.image_files import read_colour, read_exr

_SMALL = tuple(data_set for data_set in DATA_SETS if not data_set.is_map)


class Folder(Format):
    name = "folder"
    description = "a folder a sample: PNG slices, EXR depth, and all its numbers as JSON"
    one_schedule = False
    aligned = False

    def write(self, out: Path, splits: Mapping[str, Stacks], provenance: Provenance) -> None:
        with new_folder(out) as root:
            write_provenance(root, provenance)
            for split in SPLITS:
                for k, sample in enumerate(splits[split]):
                    folder = root / split / f"{k:06d}"
                    folder.mkdir(parents=True)
                    _write(folder, sample)

    def open(self, path: Path, assumed: Provenance) -> Imported:
        folders = [f.parent for split in SPLITS for f in sorted((path / split).glob("*/sample.json"))]
        if not folders:
            raise SourceError(f"{path}: holds no train/*/sample.json or val/*/sample.json")
        return Imported(len(folders), lambda index: _read(folders[index]), read_provenance(path, assumed))


def _write(folder: Path, sample: Sample) -> None:
    for i, image in enumerate(sample.images):
        write_image(folder / f"slice_{i:02d}.png", image)
    write_image(folder / "all_in_focus.png", sample.all_in_focus)
    write_exr(folder / "depth_m.exr", {"Z": sample.depth_m})
    write_image(folder / "valid.png", np.repeat(np.uint8(255) * sample.valid[..., None], 3, axis=2))
    numbers = {d.name: np.asarray(sample[d.name]).tolist() for d in _SMALL if sample[d.name] is not None}
    (folder / "sample.json").write_text(json.dumps(numbers, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _read(folder: Path) -> Sample:
    slices = sorted(folder.glob("slice_*.png"))
    images = read_stack(slices) if slices else np.zeros((0, 0, 0, 3), np.uint8)
    values: dict[str, Any] = {
        "images": images,
        "all_in_focus": read_colour(folder / "all_in_focus.png"),
        "depth_m": read_exr(folder / "depth_m.exr"),
        "valid": read_colour(folder / "valid.png")[..., 0] > 127,
    }
    try:
        numbers = json.loads((folder / "sample.json").read_text("utf-8"))
        for d in _SMALL:
            if d.effect and d.name not in numbers:
                continue
            value = str(numbers[d.name]) if d.dtype == TEXT else np.asarray(numbers[d.name], d.dtype)
            values[d.name] = value if isinstance(value, str) or d.shape else value.item()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{folder / 'sample.json'}: is damaged: {type(error).__name__} {error}") from None
    slices_n, height, width = images.shape[:3]
    for d in REQUIRED_DATA_SETS:
        expected = d.sample_shape((slices_n, height, width))
        if slices_n == 0 or np.shape(values[d.name]) != expected:
            raise SourceError(f"{folder}: {d.name} must have shape {expected}, got {np.shape(values[d.name])}")
    return Sample(**values)
