"""Bundles to take samples from: whole, known by hash, and alike where they must be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from focalsim.config import UNLIMITED_SOURCE, RenderConfig
from focalsim.errors import ShardError
from focalsim.shards import Manifest, ShardEntry, ShardReader, read_manifest
from focalsim.shards.files import sha256_of
from focalsim.shards.manifest import MANIFEST_NAME
from focalsim.shards.provenance import Origin, Step


@dataclass(frozen=True, slots=True)
class Member:
    """One sample of an input: its place there, and what samples are chosen by.

    ``scene`` is the same for all stacks of one scene, in every bundle: the name of the source's frame, and for made
    scenes, whose names are counted anew for every seed, the seed too.
    """

    bundle: Bundle
    shard: ShardEntry
    row: int
    sample_index: int
    phone: str
    source_id: str
    scene: str

    @property
    def origin(self) -> Origin:
        """The bundle that rendered the sample."""
        return self.bundle.origins[self.shard.origin]


@dataclass(frozen=True, eq=False)
class Bundle:
    """A complete bundle that is read from."""

    folder: Path
    manifest: Manifest
    manifest_sha256: str

    @property
    def name(self) -> str:
        """The folder's own name, without the path to it, which belongs to this machine."""
        return self.folder.resolve().name

    @cached_property
    def origins(self) -> tuple[Origin, ...]:
        """The bundles that rendered its samples: itself, or those that it was put together from."""
        m = self.manifest
        itself = Origin(
            self.name, self.manifest_sha256, m.config, m.license, m.attribution, m.made_with, m.skipped_frames
        )
        return m.origins or (itself,)

    def as_input(self) -> dict[str, str]:
        """How later manifests name it."""
        return {"name": self.name, "manifest_sha256": self.manifest_sha256}

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """All its samples, in order. Raises ShardError where a shard is damaged or not what the manifest says."""
        return tuple(member for shard in self.manifest.shards for member in self._of_shard(shard))

    def _of_shard(self, shard: ShardEntry) -> list[Member]:
        path = self.folder / shard.file
        config = self.manifest.config
        with ShardReader(path) as reader:
            if (reader.slices, reader.height, reader.width) != (config.slices, config.height, config.width):
                raise ShardError(f"{path}: holds {_size(reader)}, its manifest says {_size(config)}")
            if len(reader) != shard.samples:
                raise ShardError(f"{path}: holds {len(reader)} samples, its manifest says {shard.samples}")
            columns = [reader.column(name).tolist() for name in ("sample_index", "phone", "source_id")]
        made = self.origins[shard.origin].config
        suffix = f" seed {made.seed}" if made.source_format == UNLIMITED_SOURCE else ""
        return [
            Member(self, shard, row, index, phone, source_id, source_id + suffix)
            for row, (index, phone, source_id) in enumerate(zip(*columns, strict=True))
        ]


def open_bundle_to_read(folder: Path) -> Bundle:
    """The bundle in ``folder``. Raises ShardError where it is none, is damaged, or is not complete."""
    if not folder.is_dir():
        raise ShardError(f"{folder}: no such bundle: expected the folder of one")
    manifest = read_manifest(folder)
    if not manifest.complete or not manifest.shards:
        raise ShardError(f"{folder}: the bundle is incomplete; finish it with focalsim render --resume first")
    return Bundle(folder, manifest, sha256_of(folder / MANIFEST_NAME))


def merged_origins(bundles: Sequence[Bundle]) -> tuple[Origin, ...]:
    """The origins of several bundles, each once."""
    return tuple({origin.manifest_sha256: origin for bundle in bundles for origin in bundle.origins}.values())


def merged_history(bundles: Sequence[Bundle]) -> tuple[Step, ...]:
    """The steps behind several bundles, each once."""
    steps: list[Step] = []
    for bundle in bundles:
        steps += [step for step in bundle.manifest.history if step not in steps]
    return tuple(steps)


def _size(of: ShardReader | RenderConfig) -> str:
    return f"stacks of {of.slices} slices, {of.width} x {of.height} pixels"


def check_alike(bundles: Sequence[Bundle]) -> None:
    """Raises ShardError where stacks differ in slices or size: one bundle holds stacks of one shape."""
    first = bundles[0]
    for bundle in bundles[1:]:
        if _size(bundle.manifest.config) != _size(first.manifest.config):
            raise ShardError(
                f"{bundle.folder}: holds {_size(bundle.manifest.config)}, "
                f"but {first.folder} holds {_size(first.manifest.config)}"
            )
