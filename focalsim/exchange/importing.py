"""Import: the stacks of another format as a bundle of shards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from focalsim import __version__
from focalsim.config import RenderConfig
from focalsim.errors import ConfigError, SourceError
from focalsim.exchange.base import Format, Imported, Provenance
from focalsim.sample import Sample
from focalsim.shards import Manifest, plan_shards
from focalsim.shards.bundle import open_bundle, shard_attributes, write_shards


def import_stacks(
    kind: Format,
    path: Path,
    out: Path,
    *,
    assumed: Provenance,
    shard_size: int = 64,
    overwrite: bool = False,
    progress: bool = False,
) -> Manifest:
    """Write the stacks of ``path``, which is of format ``kind``, as a bundle into the folder ``out``.

    ``assumed`` is the provenance of data that does not carry its own. Raises SourceError where ``path`` is not of that
    format, OutputError where ``out`` cannot be written or may not be replaced.
    """
    from focalsim.progress import progress_bar

    found = kind.open(path, assumed)
    if found.count == 0:
        raise SourceError(f"{path}: holds no stack")
    config = _config(kind, path, found, shard_size)
    planned = Manifest(
        config=config,
        license=found.provenance.license,
        attribution=found.provenance.attribution,
        made_with={"focalsim": __version__},
        shards=plan_shards(found.count, shard_size),
    )
    with (
        open_bundle(out, planned, resume=False, overwrite=overwrite) as manifest,
        progress_bar(total=found.count, unit="sample", show=progress) as bar,
    ):
        attributes = shard_attributes(manifest, config.slices - 1)
        return write_shards(out, manifest, attributes, _samples(found, config, path), lambda _: bar.update())


def _config(kind: Format, path: Path, found: Imported, shard_size: int) -> RenderConfig:
    first = found.load(0)
    slices, height, width = first.images.shape[:3]
    try:
        return RenderConfig(
            source=path.name,
            source_format=kind.name,
            samples=found.count,
            slices=slices,
            height=height,
            width=width,
            near_m=float(first.focus_distance_m[-1]),
            far_m=float(first.focus_distance_m[0]),
            shard_size=shard_size,
            depth="keep",
        )
    except ConfigError as error:
        raise SourceError(f"{path}: {error}") from None


def _samples(found: Imported, config: RenderConfig, path: Path) -> Iterator[Sample]:
    expected = (config.slices, config.height, config.width, 3)
    for index in range(found.count):
        sample = found.load(index)
        if sample.images.shape != expected:
            raise SourceError(
                f"{path}: stacks of one bundle must agree: {sample.source_id} has shape {sample.images.shape}, "
                f"the first {expected}"
            )
        yield replace(sample, sample_index=index)
