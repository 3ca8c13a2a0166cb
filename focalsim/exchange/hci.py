"""Focal stacks of the 4D Light Field benchmark (Honauer et al., ACCV 2016), as AiFDepthNet makes them.

One file ``HCI_FS_trainval.h5``:

    stack_train  (N, 10, 512, 512, 3)  float32, 0..255, R, G, B, far to near;   AiF_train (N, 512, 512, 3)
    disp_train   (N, 512, 512)         float32, pixels, -2.5 at the far end, 2.5 at the near one
    name_train   (N, 1);   focus_position_disp (1, 10);   and ``_val`` of all but the last

Where the depth is not known, the disparity is -3: readers mask what lies outside the focus positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from focalsim.errors import SourceError
from focalsim.exchange.base import SPLITS, Format, Imported, Provenance, Stacks, to_sample
from focalsim.exchange.disparity import to_depth_m, to_disparity
from focalsim.exchange.files import Hdf5Arrays, as_codes, new_hdf5
from focalsim.sample import Sample

SLICES = 10
LOW_PX, HIGH_PX = -2.5, 2.5
_UNKNOWN_PX = -3.0
_NAME = h5py.string_dtype("utf-8", 128)


class Hci(Format):
    name = "hci"
    description = "4D Light Field focal stacks, HCI_FS_trainval.h5, 512 x 512 (AiFDepthNet, Won & Jeon)"
    slices = SLICES
    tile_px = (512, 512)

    def write(self, out: Path, splits: Mapping[str, Stacks], provenance: Provenance) -> None:
        with new_hdf5(out, provenance) as file:
            for split in SPLITS:
                self._write_split(file, split, splits[split], provenance)
            file["focus_position_disp"] = np.linspace(LOW_PX, HIGH_PX, SLICES, dtype=np.float32)[None]

    def _write_split(self, file: Any, split: str, stacks: Stacks, span: Provenance) -> None:
        n, size = len(stacks), (512, 512)
        for key, shape in {"stack": (SLICES, *size, 3), "AiF": (*size, 3), "disp": size}.items():
            chunks = (1, *shape) if n else None
            file.create_dataset(f"{key}_{split}", (n, *shape), "<f4", chunks=chunks)
        file.create_dataset(f"name_{split}", (n, 1), _NAME)
        for i, sample in enumerate(stacks):
            file[f"stack_{split}"][i] = sample.images
            file[f"AiF_{split}"][i] = sample.all_in_focus
            disparity = to_disparity(np.where(sample.valid, sample.depth_m, 1), span, LOW_PX, HIGH_PX)
            file[f"disp_{split}"][i] = np.where(sample.valid, disparity, _UNKNOWN_PX)
            file[f"name_{split}"][i, 0] = sample.source_id.encode()[:128].decode(errors="ignore")

    def open(self, path: Path, assumed: Provenance) -> Imported:
        arrays = Hdf5Arrays(path)
        span = assumed.updated(arrays.attributes())
        positions = arrays.read("focus_position_disp", slice(None)).ravel()
        if len(positions) < 1 or not np.all(np.diff(positions) > 0):
            raise SourceError(f"{path}: 'focus_position_disp' must go from far to near, got {positions.tolist()}")
        focus_m = to_depth_m(positions, span, LOW_PX, HIGH_PX)
        names, places = arrays.names(), list[tuple[str, int]]()
        for split in SPLITS:
            if f"stack_{split}" in names:
                shape = arrays.shape(f"stack_{split}", axes=5)
                if shape[1] != len(positions) or shape[4] != 3:
                    raise SourceError(f"{path}: 'stack_{split}' must have {len(positions)} slices, got shape {shape}")
                for key, expected in {"disp": (shape[0], *shape[2:4]), "AiF": (shape[0], *shape[2:])}.items():
                    if arrays.shape(f"{key}_{split}", axes=len(expected)) != expected:
                        raise SourceError(f"{path}: '{key}_{split}' does not fit the shape {shape} of 'stack_{split}'")
                places += [(split, i) for i in range(shape[0])]

        def load(index: int) -> Sample:
            split, i = places[index]
            disparity = arrays.read(f"disp_{split}", i)
            depth_m = to_depth_m(disparity, span, LOW_PX, HIGH_PX)
            return to_sample(
                as_codes(arrays.read(f"stack_{split}", i)),
                focus_m,
                depth_m=np.where(disparity == _UNKNOWN_PX, np.float32(0), depth_m),
                all_in_focus=as_codes(arrays.read(f"AiF_{split}", i)),
                source_id=f"{path.stem}/{split}/{i:05d}",
            )

        return Imported(len(places), load, span)
