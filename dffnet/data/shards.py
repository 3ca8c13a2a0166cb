"""The stacks of many shards as one data set, and its split by scene."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from dffnet.data.alignment import align_stack, thin_lens_magnification
from dffnet.data.batch import Batch
from dffnet.units import from_metres
from focalsim import Location, Sample, ShardReader, shard_paths
from focalsim.errors import ShardError

_MAX_OPEN_FILES = 32  # per process; data sets of thousands of shards must not exhaust the file handles


def shard_files(paths: Iterable[str | os.PathLike[str]]) -> list[Location]:
    """The shards that ``paths`` name: files themselves, bundles what they list, other folders the ``*.h5`` in them.

    Each file once. A bundle copied over another may lie among shards that are not its own, or lack some. URLs of object
    storage name a shard, or a bundle by its folder. Raises ShardError for a path that does not exist and a folder
    without shards.
    """
    found: dict[Location, Location] = {}
    for name in paths:
        path = Path(name)
        if "://" in str(name) or (path / "manifest.json").exists():
            listed = shard_paths([name])
            found |= {shard.resolve() if isinstance(shard, Path) else shard: shard for shard in listed}
            continue
        if not path.exists():
            raise ShardError(f"{path}: no such file or folder")
        shards = sorted(path.glob("*.h5")) if path.is_dir() else [path]
        if not shards:
            raise ShardError(f"{path}: no shard (*.h5) in this folder")
        found |= {shard.resolve(): shard for shard in shards}
    return list(found.values())


class ShardStacks(Dataset[Batch]):
    """All samples of ``shards`` in order, each a :class:`Batch` without its axis B, in the network's unit.

    unit   "dioptres" or "metres": of target and focus positions
    align  slices warped to the reference slice by their true magnification and shift ("metadata"), by the
           breathing of an ideal thin lens, as is known of any photo ("thin-lens"), or not at all ("none")

    Files are opened when a sample is asked for, anew in each process. Raises ShardError, naming the file, for
    shards that cannot be read or that differ in number of slices or size.
    """

    start_method: str | None = None  # of loader processes: the platform's own

    def __init__(self, shards: Sequence[Location], *, unit: str = "dioptres", align: str = "metadata") -> None:
        self.unit, self.align = unit, align
        self.source_ids: list[str] = []
        self.phones: list[str] = []
        self.shape: tuple[int, int, int] = (0, 0, 0)  # slices, height, width
        self._readers: list[ShardReader] = []
        self._open: list[int] = []  # shards open in this process, oldest first
        self._places: list[tuple[int, int]] = []  # (shard, index in it) of each sample
        for path in shards:
            self._add(path, first=shards[0])

    def _add(self, path: Location, first: Location) -> None:
        with ShardReader(path) as reader:
            shape = reader[0].images.shape[:3]
            if not self._readers:
                self.shape = shape
            elif shape != self.shape:
                raise ShardError(
                    f"{path}: holds {_describe(shape)}, but {first} holds {_describe(self.shape)}; "
                    "stacks of one run must agree"
                )
            self.source_ids += [str(source) for source in reader.column("source_id")]
            self.phones += [str(phone) for phone in reader.column("phone")]
            self._places += [(len(self._readers), i) for i in range(len(reader))]
        self._readers.append(reader)  # closed; it opens again by itself

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Batch:
        reader, i = self._reader(index)
        sample = reader[i]
        try:
            return to_batch(sample, unit=self.unit, align=self.align, reference=reader.reference_slice)
        except ValueError as error:
            raise ShardError(f"{reader.path}: sample {i}: {error}") from None

    def seen(self, epoch: int, index: int) -> Batch:  # noqa: ARG002
        """Stack ``index`` as ``epoch`` sees it: the same in every one."""
        return self[index]

    def name(self, index: int) -> str:
        """``shard.h5[i]`` of a sample, for messages and reports."""
        shard, i = self._places[index]
        return f"{self._readers[shard].path.name}[{i}]"

    def truth(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Depth in metres and where it is known, both (H, W), read without the images."""
        reader, i = self._reader(index)
        return known_depth(reader.read("depth_m", i), reader.read("valid", i))

    def _reader(self, index: int) -> tuple[ShardReader, int]:
        shard, i = self._places[index]
        if shard not in self._open:
            self._open.append(shard)
            if len(self._open) > _MAX_OPEN_FILES:
                self._readers[self._open.pop(0)].close()
        return self._readers[shard], i

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": []}


def to_batch(sample: Sample, *, unit: str, align: str, reference: int = -1) -> Batch:
    """One stored sample for a network. Invalid pixels, NaN, infinite and non-positive depth become target 0.

    ``reference`` is the slice whose geometry depth and all-in-focus image have. Raises ValueError for focus
    distances that are not positive, finite and far to near, and for a geometry that is not finite.
    """
    focus = sample.focus_distance_m
    if not (np.isfinite(focus) & (focus > 0)).all() or (np.diff(focus) > 0).any():
        raise ValueError(f"focus distances must be positive and far to near, got {focus.tolist()}")
    depth_m, valid = known_depth(sample.depth_m, sample.valid)
    images = to_images(sample.images)
    magnification, shift = torch.from_numpy(sample.magnification), torch.from_numpy(sample.principal_point_px)
    if align != "none":
        if not (torch.isfinite(magnification) & (magnification > 0)).all() or not torch.isfinite(shift).all():
            raise ValueError("magnification must be positive and principal_point_px finite")
        known, known_shift = magnification, shift
        if align == "thin-lens":
            known, known_shift = thin_lens_magnification(torch.from_numpy(focus), sample.focal_length_m), 0.0 * shift
            known = known / known[reference]
        images = align_stack(images, known, known_shift)
        # x_n = c + M (x - c) + t, and the warped slice shows at x what slice n shows at c + K (x - c) + k.
        magnification, shift = magnification / known, (shift - known_shift) / known[:, None]
    return Batch(
        images=images,
        focus_positions=torch.from_numpy(from_metres(focus, unit)),
        target=torch.from_numpy(np.where(valid, from_metres(depth_m, unit), np.float32(0.0))),
        valid=torch.from_numpy(valid),
        all_in_focus=to_images(sample.all_in_focus[None])[0],
        magnification=magnification,
        shift_px=shift,
    )


def known_depth(
    depth_m: NDArray[np.float32], valid: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Depth with 1 m where unknown, and the mask without NaN, infinite and non-positive depth; (H, W)."""
    known = valid & np.isfinite(depth_m) & (depth_m > 0)
    return np.where(known, depth_m, np.float32(1.0)), known


def to_images(images: NDArray[np.uint8]) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(255.0)


def split_by_scene(source_ids: Sequence[str], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Indices for training and validation; samples of one scene (equal source_id) stay on one side.

    About ``fraction`` of the scenes go to validation: at least one where fraction > 0, none of only one.
    """
    scenes = sorted(set(source_ids))
    count = min(max(1, round(fraction * len(scenes))), len(scenes) - 1) if fraction > 0 else 0
    held_out = {scenes[i] for i in np.random.default_rng(seed).permutation(len(scenes))[:count]}
    sides: tuple[list[int], list[int]] = ([], [])
    for index, source in enumerate(source_ids):
        sides[source in held_out].append(index)
    return sides


def _describe(shape: tuple[int, int, int]) -> str:
    return f"{shape[0]} slices of {shape[2]}x{shape[1]}"
