"""What stands above a bundle's samples: from its manifest, or of single shards from the shards themselves."""

from __future__ import annotations

from collections.abc import Sequence

from focalsim.config import RenderConfig
from focalsim.shards import ShardReader, read_manifest
from focalsim.shards.remote import Location, is_folder


def bundle_facts(paths: Sequence[Location]) -> list[tuple[str, str]]:
    """Names and values of shards and bundles, those of several joined. Raises ShardError."""
    rows = [_bundle(path) if is_folder(path) else _shard(path) for path in paths]
    samples = sum(count for count, _ in rows)
    names = dict.fromkeys(name for _, row in rows for name in row)
    joined = {name: "; ".join(dict.fromkeys(row[name] for _, row in rows if row.get(name))) for name in names}
    return [("samples", f"{samples} of {joined.pop('slices')} slices, {joined.pop('size')}"), *joined.items()]


def _bundle(folder: Location) -> tuple[int, dict[str, str]]:
    manifest = read_manifest(folder)
    samples = sum(shard.samples for shard in manifest.shards if shard.complete)
    shards = f"{len(manifest.shards)}, {sum(shard.bytes for shard in manifest.shards) / 1e6:.1f} MB"
    row = _of_config(manifest.config)
    return samples, {**row, "shards": shards, "licence": manifest.license, "attribution": manifest.attribution}


def _shard(path: Location) -> tuple[int, dict[str, str]]:
    with ShardReader(path) as reader:
        row = _of_config(reader.config)
        return len(reader), {**row, "licence": reader.license, "attribution": reader.attribution}


def _of_config(config: RenderConfig) -> dict[str, str]:
    return {
        "slices": str(config.slices),
        "size": f"{config.width} x {config.height} px",
        "phone": ", ".join(str(phone["name"]) for phone in config.phones) or "unknown",
        "focus": f"{config.far_m:g} to {config.near_m:g} m",
        "source": f"{config.source} ({config.source_format})",
        "seed": str(config.seed),
    }
