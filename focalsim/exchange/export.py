"""Export: samples of shards, fitted to a format, as its files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from focalsim.errors import ConfigError, OutputError
from focalsim.exchange import adapt
from focalsim.exchange.base import Format, Provenance
from focalsim.progress import progress_bar
from focalsim.sample import Sample
from focalsim.shards import ShardReader
from focalsim.shards.files import partial_path

_FOCUS_TOLERANCE_DPT = 0.02


@dataclass(frozen=True, slots=True)
class _Fitted:
    """Some samples of shards as a format takes them, read one at a time."""

    kind: Format
    places: Sequence[tuple[ShardReader, int]]
    align: bool
    tiles_each: int

    def __len__(self) -> int:
        return len(self.places) * self.tiles_each

    def __iter__(self) -> Iterator[Sample]:
        for reader, index in progress_bar(self.places, desc="export", unit="sample", leave=False):
            sample = reader[index]
            wanted = _wanted_focus_m(self.kind, sample.focus_distance_m)
            sample = adapt.take_slices(sample, adapt.nearest_slices(sample.focus_distance_m, wanted))
            if self.align:
                sample = adapt.align(sample)
            if self.kind.tile_px is None:
                yield sample
            else:
                yield from adapt.tiles(sample, self.kind.tile_px)


def export_stacks(
    kind: Format,
    readers: Sequence[ShardReader],
    out: Path,
    *,
    align: bool = False,
    val_fraction: float = 0.2,
) -> tuple[dict[str, int], list[str]]:
    """Write all samples of ``readers`` to ``out`` as ``kind``; returns stacks written per split, and notes.

    align         warp every slice to the reference slice, for readers that expect stacks without breathing
    val_fraction  part of the scenes (source_id) for the validation split, the last ones; no scene is in both

    Notes say what a reader of the format will take for granted and these stacks do not have. Raises ConfigError
    where the samples do not fit the format, OutputError where ``out`` exists or cannot be written, ShardError.
    """
    if out.exists() or partial_path(out).exists():
        raise OutputError(f"{out if out.exists() else partial_path(out)}: exists; export to another path or remove it")
    places = [(reader, index) for reader in readers for index in range(len(reader))]
    _, height, width = _common_shape(readers)
    focus_m = np.concatenate([reader.column("focus_distance_m") for reader in readers])
    if kind.one_schedule and np.ptp(focus_m, axis=0).any():
        raise ConfigError(f"{kind.name} needs the same focus distances in all stacks; export the bundles one by one")
    taken = focus_m[0][adapt.nearest_slices(focus_m[0], _wanted_focus_m(kind, focus_m[0]))]
    kind.check_size(height, width)
    tiles_each = 1 if kind.tile_px is None else adapt.tile_count(height, width, kind.tile_px)
    if tiles_each == 0 and kind.tile_px is not None:
        raise ConfigError(
            f"{kind.name} needs images of at least {kind.tile_px[1]} x {kind.tile_px[0]}, got {width} x {height}"
        )
    provenance = Provenance(
        license="; ".join(dict.fromkeys(reader.license for reader in readers)),
        attribution="; ".join(dict.fromkeys(reader.attribution for reader in readers)),
        near_m=float(taken[-1]),
        far_m=float(taken[0]),
    )
    splits = {split: _Fitted(kind, chosen, align, tiles_each) for split, chosen in _split(places, val_fraction).items()}
    kind.write(out, splits, provenance)
    notes = [*_focus_notes(kind, taken), *_geometry_notes(kind, readers, align, height, width)]
    return {split: len(stacks) for split, stacks in splits.items()}, notes


def _wanted_focus_m(kind: Format, focus_m: NDArray[np.floating]) -> NDArray[np.float64]:
    """The focus distances that the format's readers assume; by default even in dioptres over the stack's range."""
    if kind.focus_m is not None:
        return kind.focus_m
    slices = kind.slices or len(focus_m)
    if slices == len(focus_m):
        return np.asarray(focus_m, np.float64)
    return 1 / np.linspace(1 / focus_m[0], 1 / focus_m[-1], slices, dtype=np.float64)


def _common_shape(readers: Sequence[ShardReader]) -> tuple[int, int, int]:
    shapes = {(reader.slices, reader.height, reader.width) for reader in readers}
    if len(shapes) != 1:
        raise ConfigError(f"stacks of one export must have one shape, got (slices, height, width) {sorted(shapes)}")
    return shapes.pop()


def _split(places: Sequence[tuple[ShardReader, int]], val_fraction: float) -> dict[str, list[tuple[ShardReader, int]]]:
    scenes = list(dict.fromkeys(str(reader.column("source_id")[index]) for reader, index in places))
    held_out = min(max(round(val_fraction * len(scenes)), int(val_fraction > 0)), len(scenes) - 1)
    val = set(scenes[len(scenes) - held_out :])
    chosen: dict[str, list[tuple[ShardReader, int]]] = {"train": [], "val": []}
    for reader, index in places:
        chosen["val" if str(reader.column("source_id")[index]) in val else "train"].append((reader, index))
    return chosen


def _focus_notes(kind: Format, taken_m: NDArray[np.floating]) -> list[str]:
    wanted = _wanted_focus_m(kind, taken_m)
    if kind.focus_m is None and kind.one_schedule:
        wanted = 1 / np.linspace(1 / taken_m[0], 1 / taken_m[-1], len(taken_m), dtype=np.float64)
    off_dpt = float(np.abs(1 / wanted - 1 / taken_m.astype(np.float64)).max())
    if off_dpt <= _FOCUS_TOLERANCE_DPT:
        return []
    return [
        f"readers of {kind.name} take the focus distances to be {_join(wanted)} m; here they are {_join(taken_m)} m "
        f"(up to {off_dpt:.2g} dpt off)"
    ]


def _geometry_notes(
    kind: Format, readers: Sequence[ShardReader], align: bool, height: int, width: int
) -> Iterator[str]:
    breathing = any((reader.column("magnification") != 1).any() for reader in readers)
    if kind.aligned and breathing and not align:
        yield f"readers of {kind.name} take the slices to be aligned; these breathe: --align warps them"
    if kind.tile_px is not None and (height, width) != kind.tile_px:
        yield f"images of {width} x {height} were cut into tiles of {kind.tile_px[1]} x {kind.tile_px[0]}"


def _join(distances_m: NDArray[np.floating]) -> str:
    return ", ".join(f"{distance:.3g}" for distance in distances_m)
