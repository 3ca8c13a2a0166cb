"""``focalsim merge``: several bundles, or what several tasks rendered, as one bundle."""

from __future__ import annotations

import time
from pathlib import Path

import click

from focalsim.cli import options as opt


@click.command()
@click.argument("bundles", nargs=-1, required=True, type=opt.LOCAL_FOLDER, metavar="BUNDLE...")
@click.option(
    "--out", type=opt.LOCAL_FOLDER, help="Folder of the bundle. [default: the only BUNDLE, where tasks rendered it]"
)
@click.option("--same-scenes", is_flag=True, help="Allow stacks of one scene in several bundles.")
@opt.link_opt
@opt.overwrite_opt
def merge(bundles: tuple[Path, ...], out: Path | None, same_scenes: bool, link: bool, overwrite: bool) -> None:
    """Merge bundles of stacks of the same size into one bundle OUT.

    Shards are copied as they are. A scene may be in one of the bundles only.

    Where tasks (focalsim render --task, --shards) have rendered shards of one bundle, the result is the bundle that one
    run would have rendered, to the byte: "focalsim merge FOLDER" completes it in place, and with --out it is
    gathered from the folders of the tasks.

    \b
    focalsim merge rooms/ tables/ --out both/
    focalsim merge shards/
    """
    from focalsim.derive import gather_parts, holds_parts, merge_bundles
    from focalsim.shards.parts import complete_bundle

    started = time.monotonic()
    if out is None:
        if len(bundles) > 1 or same_scenes or link or overwrite:
            raise click.UsageError("--out is needed, unless one folder is to be completed in which tasks have rendered")
        out = bundles[0]
        manifest = complete_bundle(out)
    elif all(map(holds_parts, bundles)):
        manifest = gather_parts(bundles, out, link=link, overwrite=overwrite, progress=True)
    else:
        manifest = merge_bundles(bundles, out, same_scenes=same_scenes, link=link, overwrite=overwrite, progress=True)
    opt.tell_bundle(manifest, out, "merged", started)
