"""Render the damaged shards of a bundle again, to the bytes that its manifest promises."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from focalsim.errors import ConfigError, ShardError
from focalsim.job import plan_job
from focalsim.pipeline import render_bundle
from focalsim.shards import read_manifest
from focalsim.sources import Source


def repair_bundle(folder: Path, source: Source, *, workers: int = 1, progress: bool = False) -> list[str]:
    """Render those shards of the bundle in ``folder`` whose files are missing or are not what the manifest says.

    Returns the names of the shards rendered. Shards that are whole are not touched. ``source`` must be the one that
    the bundle was rendered from, with the same frames, and the versions of the libraries must be the manifest's.

    Raises ShardError where the manifest cannot be read or a shard comes out different, ConfigError where the source
    is of another kind, OutputError where its frames or the versions differ or the folder cannot be written.
    """
    manifest = read_manifest(folder)
    config = manifest.config
    if manifest.history:
        inputs = ", ".join(
            f"{i['name']} (manifest sha256 {i['manifest_sha256'][:12]})" for i in manifest.history[-1].inputs
        )
        raise ConfigError(
            f"{folder}: was not rendered but put together from other bundles; make it again ({manifest.history[-1]}) "
            f"from {inputs}"
        )
    if source.format != config.source_format:
        raise ConfigError(f"{folder}: was made from {config.source} ({config.source_format}), got {source.format}")
    promised = {shard.file: shard.sha256 for shard in manifest.shards if shard.complete}
    before = {name: _identity(folder / name) for name in promised}
    # Resuming keeps what fits its hash and renders the rest; it refuses another source, config or version.
    job = replace(plan_job(config, source, config.samples), skipped=manifest.skipped_frames)
    report = render_bundle(job, folder, workers=workers, resume=True, progress=progress)
    for shard in report.manifest.shards:
        if shard.sha256 != promised.get(shard.file, shard.sha256):
            raise ShardError(f"{folder / shard.file}: came out different from what the manifest promised")
    return [s.file for s in report.manifest.shards if _identity(folder / s.file) != before.get(s.file)]


def _identity(path: Path) -> tuple[int, int] | None:
    """Tells a file that was replaced from one that was not."""
    return (path.stat().st_ino, path.stat().st_mtime_ns) if path.is_file() else None
