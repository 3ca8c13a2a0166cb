"""``focalsim inspect``: what a shard or a bundle holds."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from focalsim.cli.group import tell_done
from focalsim.cli.options import LOCATION


@click.command()
@click.argument("shard", type=LOCATION)
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON.")
def inspect(shard: Any, as_json: bool) -> None:
    """Show what SHARD (a shard file, or the folder of a bundle) holds. All of a bundle's shards are read.

    \b
    focalsim inspect shards/
    focalsim inspect shards/shard-00000.h5 --json
    """
    from focalsim.shards import describe_bundle, describe_shard
    from focalsim.shards.remote import is_folder

    is_bundle = is_folder(shard)
    started = time.monotonic()
    described = describe_bundle(shard) if is_bundle else describe_shard(shard)
    samples = described["totals"]["samples"] if is_bundle else described["samples"]
    tell_done(started, samples, "sample", "read")
    if as_json:
        click.echo(json.dumps(described, indent=1, ensure_ascii=False))
        return
    for key, value in (_bundle_rows if is_bundle else _shard_rows)(described):
        click.echo(f"{key:<16}{value}")


def _shard_rows(d: dict[str, Any]) -> list[tuple[str, str]]:
    focus = ", ".join(f"{s:.3g}" for s in d["focus_distance_m"])
    rows = [
        ("shard", f"{d['path']} ({d['bytes'] / 1e6:.1f} MB, schema {d['schema_version']})"),
        ("samples", f"{d['samples']} of {d['slices']} slices, {d['width']} x {d['height']} px"),
        ("focus (first)", f"{focus} m"),
        ("phones", ", ".join(f"{name} ({n})" for name, n in d["phones"].items())),
        *_effect_rows(d["config"]),
        ("source", f"{d['config']['source']}, {d['source_frames']} frames"),
        ("license", f"{d['license']}; {d['attribution']}"),
        ("seed", str(d["seed"])),
        ("focalsim", d["focalsim_version"]),
        ("config sha256", d["config_sha256"]),
    ]
    for name, s in d["data_sets"].items():
        checked = "fletcher32" if s["fletcher32"] else "no checksum"
        shape = " x ".join(map(str, s["shape"]))
        stored = f"{s['compression'] or 'uncompressed'}, {checked}"
        rows.append((f"  {name:<20}", f"{shape:<26}{s['dtype']:<9}{stored}"))
    return rows + _histogram_rows(d["histograms"])


def _bundle_rows(d: dict[str, Any]) -> list[tuple[str, str]]:
    config, totals = d["config"], d["totals"]
    return [
        ("bundle", f"{d['path']} ({d['state']}, schema {d['schema_version']})"),
        ("samples", f"{totals['samples']} of {config['samples']}, {config['slices']} slices, "
                    f"{config['width']} x {config['height']} px"),
        ("shards", f"{totals['shards']} of {len(d['shards'])}, {totals['bytes'] / 1e6:.1f} MB"),
        ("focus", f"{config['far_m']:g} to {config['near_m']:g} m"),
        ("phones", ", ".join(f"{name} ({n})" for name, n in d["phones"].items())),
        *_effect_rows(config),
        ("source", config["source"]),
        ("skipped", ", ".join(f"{n} {reason}" for reason, n in d["skipped"].items()) or "no frame"),
        ("license", f"{d['license']}; {d['attribution']}"),
        ("seed", ", ".join(map(str, d["seeds"]))),
        *d["provenance"],
        ("made with", ", ".join(f"{name} {version}" for name, version in d["made_with"].items())),
        ("config sha256", d["config_sha256"]),
        *_histogram_rows(d["histograms"]),
    ]  # fmt: skip


def _effect_rows(config: dict[str, Any]) -> list[tuple[str, str]]:
    """What the phones add after the lens, and that depth maps were enlarged; no row where it is not so."""
    from focalsim.shards.card import effects_text

    text = effects_text(config["phones"])
    rows = [("effects", text)] if text else []
    if config.get("depth_enlarged", 1) > 1:
        rows.append(("depth maps", f"enlarged up to {config['depth_enlarged']:.3g} times along the images' edges"))
    return rows


def _histogram_rows(histograms: dict[str, Any]) -> list[tuple[str, str]]:
    """A bar a bin, as long as its share of the pixels."""
    rows = []
    for name, unit in (("depth_m", "m"), ("blur_px", "px")):
        edges, counts = histograms[name]["edges"], histograms[name]["counts"]
        rows.append((name.partition("_")[0], "" if counts else "nowhere known"))
        for low, high, count in zip(edges, edges[1:], counts, strict=False):
            share = count / sum(counts)
            span = f"{low:g} to {high:g} {unit}" if high is not None else f"over {low:g} {unit}"
            rows.append((f"  {span:<20}", f"{share:>7.1%}  {'#' * round(40 * share)}"))
    return rows
