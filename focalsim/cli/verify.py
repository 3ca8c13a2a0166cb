"""``focalsim verify``: are shards and bundles whole and sound?"""

from __future__ import annotations

from pathlib import Path

import click

from focalsim.cli.options import shards_arg


@click.command()
@shards_arg
def verify(shards: tuple[Path, ...]) -> None:
    """Check shards, or whole bundles given by their folder: hashes, checksums and values.

    Reads every byte. Prints one line per problem, or that all is well; exit code 1 if there is any problem.
    """
    from tqdm import tqdm

    from focalsim.shards import find_entry, verify_bundle, verify_shard

    problems = 0
    with tqdm(unit=" samples", desc="verify", disable=None, leave=False) as bar:

        def tick() -> None:
            bar.update()

        for path in shards:
            if path.is_dir():
                found = list(verify_bundle(path, tick))
            else:
                found = list(verify_shard(path, find_entry(path), tick))
            for line in found or [f"{path}: ok"]:
                click.echo(line)
            problems += len(found)
    if problems:
        raise click.ClickException(f"{problems} {'problem' if problems == 1 else 'problems'} found")
