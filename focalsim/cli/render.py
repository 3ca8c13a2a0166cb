"""``focalsim render``: focal stacks into a bundle."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import click

from focalsim.cli import options as opt
from focalsim.cli.group import counted, tell, tell_done


@click.command()
@click.argument("source", required=False, type=opt.PATH)
@opt.phone_opt
@opt.effects_opt
@click.option(
    "--out", type=opt.LOCATION, default="shards", show_default=True, help="Folder of the bundle, or s3://bucket/folder."
)
@opt.samples_opt
@opt.seed_opt
@opt.size_opt
@opt.slices_opt
@opt.near_opt
@opt.far_opt
@opt.shard_size_opt
@opt.workers_opt
@click.option(
    "--scheduler",
    metavar="tcp://HOST:PORT|local",
    help="Render on the workers of this Dask scheduler, or on one started here. They must see SOURCE and the output.",
)
@opt.part_shards_opt
@opt.task_opt
@opt.overwrite_opt
@click.option("--resume", is_flag=True, help="Finish a bundle that an earlier run has begun.")
@click.option("--source-format", metavar="NAME", help="Kind of SOURCE. [default: detected]")
@opt.depth_scale_opt
@opt.depth_opt
@opt.max_holes_opt
@opt.match_fov_opt
@opt.compression_opt
@opt.textures_opt
def render(source: Path | None, **given: Any) -> None:
    """Render focal stacks from SOURCE, or from made-up scenes.

    SOURCE is RGB-D data of a known kind; without it the program makes scenes of its own. The same options
    and seed give the same bytes, whatever the number of workers. docs/scale.md tells of clusters and object storage.

    \b
    focalsim render --samples 100 --out made/
    focalsim render my_rgbd/ --phone pixel4 --phone pixel6 --size 640x480 --out shards/
    focalsim render my_rgbd/ --out shards/ --resume
    """
    if given["overwrite"] and given["resume"]:
        raise click.UsageError("--overwrite and --resume exclude each other")
    part = given["task"] or given["part_shards"]
    if given["task"] and given["part_shards"]:
        raise click.UsageError("--task and --shards exclude each other")
    if part and given["scheduler"]:
        raise click.UsageError("--scheduler hands out all shards; leave out --task and --shards")

    from focalsim.allocator import keep_freed_memory
    from focalsim.camera import phone_dicts
    from focalsim.config import RenderConfig
    from focalsim.job import plan_job
    from focalsim.pipeline import render_bundle
    from focalsim.shards.bundle import check_output
    from focalsim.sources import open_source

    width, height = given["size"]
    config = RenderConfig(
        phones=phone_dicts(given["phones"], given["effects"]),
        seed=given["seed"],
        width=width,
        height=height,
        slices=given["slices"],
        near_m=given["near"],
        far_m=given["far"],
        shard_size=given["shard_size"],
        depth=given["depth"],
        max_holes=given["max_holes"],
        match_fov=given["match_fov"],
        compression=given["compression"],
    )
    textures = given["textures"]
    if given["scheduler"]:  # workers run in other folders
        source, textures = (path and path.absolute() for path in (source, textures))
    opened = open_source(
        source,
        source_format=given["source_format"],
        depth_scale=given["depth_scale"],
        textures=textures,
    )
    out = given["out"]
    if not part:  # of a part, it is decided when its shards are known
        check_output(out, resume=given["resume"], overwrite=given["overwrite"])
    keep_freed_memory()
    started = time.monotonic()
    try:
        job = plan_job(config, opened, given["samples"])
        for line in (getattr(opened, "depth_assumption", ""), job.summary):
            if line:
                tell(line)
        shards = part(-(-job.config.samples // job.config.shard_size)) if part else None
        if shards and shards[0] == shards[1]:
            tell("there are fewer shards than tasks: this one has none to render")
            return
        report = render_bundle(
            job,
            out,
            workers=given["workers"] or len(os.sched_getaffinity(0)),
            scheduler=given["scheduler"] or "",
            shards=shards,
            resume=given["resume"],
            overwrite=given["overwrite"],
            progress=True,
        )
    except KeyboardInterrupt:
        raise click.ClickException(f"interrupted; finish {out} with the same command and --resume") from None
    _summarise(report, out, started)
    if shards:
        tell(f"when all tasks are done, focalsim merge {out} completes the bundle")
    click.echo(out)


def _summarise(report: Any, out: Any, started: float) -> None:
    config, shards = report.manifest.config, report.manifest.shards
    scaled = [scale for scale in report.depth_scales if scale != 1]
    if scaled:
        tell(
            f"depth scaled to fit {config.near_m:g}-{config.far_m:g} m: {len(scaled)} of "
            f"{report.rendered} samples, factors {min(scaled):.3g}..{max(scaled):.3g}"
        )
    kept = sum(shard.samples for shard in shards) - report.rendered
    tell_done(
        started,
        report.rendered,
        "sample",
        f"rendered{f', {kept} kept' if kept else ''}",
        counted(len(shards), "shard"),
        size=sum(shard.bytes for shard in shards),
        where=out,
    )
