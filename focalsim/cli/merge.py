"""``focalsim merge``: several bundles, or what several tasks rendered, as one bundle."""

from __future__ import annotations

from pathlib import Path

import click

from focalsim.cli import options as opt


@click.command()
@click.argument("bundles", nargs=-1, required=True, type=opt.PATH, metavar="BUNDLE...")
@opt.out_folder_opt
@click.option("--same-scenes", is_flag=True, help="Allow stacks of one scene in several bundles.")
@opt.link_opt
@opt.overwrite_opt
def merge(bundles: tuple[Path, ...], out: Path, same_scenes: bool, link: bool, overwrite: bool) -> None:
    """Merge bundles of stacks of the same size into one bundle OUT.

    Shards are copied as they are. A scene may be in one of the bundles only.
    """
    from focalsim.derive import merge_bundles

    manifest = merge_bundles(bundles, out, same_scenes=same_scenes, link=link, overwrite=overwrite, progress=True)
    opt.tell_bundle(manifest, out)
