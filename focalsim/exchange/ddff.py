"""DDFF 12-Scene HDF5 (Hazirbas et al., ACCV 2018), and the variant that DFV reads (Yang et al., CVPR 2022).

    stack_train, stack_val   (N, 10, H, W, 3)  0..255, nearest slice first
    disp_train, disp_val     (N, H, W)         pixels, 0 = not known; depth = DISPARITY_M / disparity

``stack_test`` is the validation split under a second name (a hard link: no bytes of its own), because readers of
the benchmark open it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from focalsim.errors import ConfigError, SourceError
from focalsim.exchange.base import SPLITS, Format, Imported, Provenance, Stacks, to_sample
from focalsim.exchange.files import Hdf5Arrays, as_codes, new_hdf5
from focalsim.sample import Sample

FOCAL_LENGTH_PX = 521.4052
BASELINE_M = 1982.0250823695178 / 7317.020641763665 * 1e-3
DISPARITY_M = BASELINE_M * FOCAL_LENGTH_PX  # disparity in pixels = this / depth in metres
SLICES = 10
FOCUS_M = 1 / np.linspace(1 / 7, 1 / 0.5, SLICES)


class Ddff(Format):
    """As the benchmark publishes it: uint8 B, G, R, float64 disparity, crops of 224 x 224."""

    name = "ddff"
    description = "DDFF 12-Scene HDF5, crops of 224 x 224 (ddff-pytorch, AiFDepthNet, Won & Jeon)"
    slices = SLICES
    focus_m = FOCUS_M
    tile_px: ClassVar[tuple[int, int] | None] = (224, 224)
    stack_dtype: ClassVar[str] = "u1"
    disparity_dtype: ClassVar[str] = "<f8"
    channels: ClassVar[slice] = slice(None, None, -1)  # B, G, R
    has_all_in_focus: ClassVar[bool] = False

    def write(self, out: Path, splits: Mapping[str, Stacks], provenance: Provenance) -> None:
        with new_hdf5(out, provenance) as file:
            for split in SPLITS:
                self._write_split(file, split, splits[split])
            file["stack_test"] = file["stack_val"]

    def _write_split(self, file: Any, split: str, stacks: Stacks) -> None:
        n, made = len(stacks), False
        for i, sample in enumerate(stacks):
            slices, height, width = sample.images.shape[:3]
            if not made:
                self._create(file, split, n, (slices, height, width))
                made = True
            file[f"stack_{split}"][i] = sample.images[::-1, ..., self.channels]
            known = np.where(sample.valid, sample.depth_m, np.inf).astype(np.float64)
            file[f"disp_{split}"][i] = DISPARITY_M / known
            if self.has_all_in_focus:
                file[f"AiF_{split}"][i] = sample.all_in_focus[..., self.channels]
        if not made:
            self._create(file, split, 0, (SLICES, *(self.tile_px or (0, 0))))

    def _create(self, file: Any, split: str, n: int, dims: tuple[int, int, int]) -> None:
        slices, height, width = dims
        shapes = {"stack": (slices, height, width, 3), "disp": (height, width)}
        if self.has_all_in_focus:
            shapes["AiF"] = (height, width, 3)
        for key, shape in shapes.items():
            dtype = self.disparity_dtype if key == "disp" else self.stack_dtype
            # One chunk a stack: readers take them in any order.
            chunks = (1, *shape) if n else None
            file.create_dataset(f"{key}_{split}", (n, *shape), dtype, chunks=chunks)

    def open(self, path: Path, assumed: Provenance) -> Imported:
        arrays = Hdf5Arrays(path)
        names, places = arrays.names(), list[tuple[str, int]]()
        for split in SPLITS:
            if f"stack_{split}" in names:
                shape = arrays.shape(f"stack_{split}", axes=5)
                if shape[1] != SLICES or shape[4] != 3:
                    raise SourceError(f"{path}: 'stack_{split}' must have shape (N, {SLICES}, H, W, 3), got {shape}")
                if arrays.shape(f"disp_{split}", axes=3) != (shape[0], *shape[2:4]):
                    raise SourceError(f"{path}: 'disp_{split}' does not fit the shape {shape} of 'stack_{split}'")
                places += [(split, i) for i in range(shape[0])]

        def load(index: int) -> Sample:
            split, i = places[index]
            sharp = arrays.read(f"AiF_{split}", i) if f"AiF_{split}" in names else None
            disparity = arrays.read(f"disp_{split}", i).astype(np.float64)
            return to_sample(
                self._rgb(arrays.read(f"stack_{split}", i))[::-1],
                FOCUS_M,
                depth_m=np.where(disparity > 0, DISPARITY_M / np.maximum(disparity, 1e-9), 0).astype(np.float32),
                all_in_focus=None if sharp is None else self._rgb(sharp),
                source_id=f"{path.stem}/{split}/{i:05d}",
            )

        return Imported(len(places), load, assumed.updated(arrays.attributes()))

    def _rgb(self, stored: NDArray[Any]) -> NDArray[np.uint8]:
        return as_codes(stored)[..., self.channels]


class DdffLarge(Ddff):
    """As DFV's own file: float32 R, G, B, with all-in-focus images, larger than its crops of 224 x 224."""

    name = "ddff-large"
    description = "DDFF HDF5 as DFV reads it: images larger than 224 x 224, float32, all-in-focus images"
    tile_px = None
    stack_dtype = "<f4"
    disparity_dtype = "<f4"
    channels = slice(None)
    has_all_in_focus = True

    def check_size(self, height: int, width: int) -> None:
        if min(height, width) <= 224:
            raise ConfigError(f"{self.name} needs images larger than 224 x 224, got {width} x {height}")
