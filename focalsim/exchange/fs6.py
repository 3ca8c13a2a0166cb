"""DefocusNet's ``fs_6`` folder (Maximov et al., CVPR 2020), which DFV's FoD500 and Won & Jeon read too.

One flat folder; sample k is ``kkkkkk_00All.tif`` .. ``_04All.tif``, 8-bit R, G, B, nearest slice first, and
``kkkkkkDpt.exr`` with the channels R, G, B of type HALF, all of them z in metres, 0 = not known. Readers pair files by
their sorted order and take the numbers from 400 on for validation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from focalsim.errors import SourceError
from focalsim.exchange.base import SPLITS, Format, Imported, Provenance, Stacks, to_sample
from focalsim.exchange.files import new_folder, read_provenance, read_stack, write_exr, write_image, write_provenance
from focalsim.sample import Sample
from focalsim.sources.image_files import read_depth

FOCUS_M = np.array([1.5, 0.7, 0.3, 0.15, 0.1])
FIRST_VALIDATION = 400
_DEPTH_NAME = re.compile(r"(\d{6})Dpt\.exr")


class Fs6(Format):
    name = "fs6"
    description = "DefocusNet's fs_6 folder: five TIFF of 256 x 256 and one EXR a sample (DefocusNet, DFV, AiFDepthNet)"
    slices = len(FOCUS_M)
    focus_m = FOCUS_M
    tile_px = (256, 256)

    def write(self, out: Path, splits: Mapping[str, Stacks], provenance: Provenance) -> None:
        first = {"train": 0, "val": max(FIRST_VALIDATION, len(splits["train"]))}
        with new_folder(out) as folder:
            write_provenance(folder, provenance)
            for split in SPLITS:
                for k, sample in enumerate(splits[split], first[split]):
                    for i, image in enumerate(sample.images[::-1]):
                        write_image(folder / f"{k:06d}_{i:02d}All.tif", image)
                    depth = np.where(sample.valid, sample.depth_m, 0).astype(np.float16)
                    write_exr(folder / f"{k:06d}Dpt.exr", dict.fromkeys("RGB", depth))

    def open(self, path: Path, assumed: Provenance) -> Imported:
        if not path.is_dir():
            raise SourceError(f"{path}: no such folder")
        numbers = sorted(match[1] for file in path.iterdir() if (match := _DEPTH_NAME.fullmatch(file.name)))
        if not numbers:
            raise SourceError(f"{path}: holds no NNNNNNDpt.exr")

        def load(index: int) -> Sample:
            number = numbers[index]
            return to_sample(
                read_stack([path / f"{number}_{i:02d}All.tif" for i in reversed(range(len(FOCUS_M)))]),
                FOCUS_M,
                depth_m=read_depth(path / f"{number}Dpt.exr", 1.0),
                source_id=f"{path.name}/{number}",
            )

        return Imported(len(numbers), load, read_provenance(path, assumed))
