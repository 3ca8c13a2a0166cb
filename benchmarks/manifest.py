"""How long do the manifests of very large bundles take? Simulated: the shards are empty files.

    python benchmarks/manifest.py --shards 100000 --tasks 100 --out benchmarks/results

write       the manifest of a whole bundle
read        it again, and check it: names, hash of the config, every line
list files  compare the shards with the files in the folder
merge       what the tasks have listed, into one manifest, as focalsim merge does: files are compared by size
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from common import environment, markdown_table, summary

from focalsim.config import RenderConfig
from focalsim.shards import Manifest, plan_shards, read_manifest
from focalsim.shards.manifest import MANIFEST_NAME
from focalsim.shards.parts import complete_bundle, listed_shards, part_name, share_of


def timed(call, times):
    started = time.perf_counter()
    result = call()
    times.append(time.perf_counter() - started)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, default=100_000)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    config = RenderConfig(samples=64 * arguments.shards)
    # Empty files are of the size that is stated.
    shards = tuple(replace(shard, sha256=f"{i:064x}") for i, shard in enumerate(plan_shards(config.samples, 64)))
    whole = Manifest(config, "CC0-1.0", "nobody", {"focalsim": "0.1.0"}, shards)
    times = {name: [] for name in ("write", "read", "list files", "merge")}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for shard in shards:
            (folder / shard.file).touch()
        for _ in range(arguments.runs):
            timed(lambda: whole.write(folder), times["write"])
            size = (folder / MANIFEST_NAME).stat().st_size
            assert timed(lambda: read_manifest(folder), times["read"]) == whole
            _, found = timed(lambda: listed_shards(folder, [whole]), times["list files"])
            assert len(found) == arguments.shards
            (folder / MANIFEST_NAME).unlink()
            for task in range(arguments.tasks):
                first, last = share_of(task, arguments.tasks, arguments.shards)
                replace(whole, shards=shards[first:last]).write(folder, part_name(first, last))
            assert timed(lambda: complete_bundle(folder), times["merge"]) == whole
    rows = [[name, *(ms / 1e3 for ms in summary(seconds))] for name, seconds in times.items()]
    table = markdown_table([f"{arguments.shards} shards, {size / 1e6:.0f} MB", "s", "min", "max"], rows, 2)
    print(table)
    arguments.out.mkdir(parents=True, exist_ok=True)
    result = {"environment": environment(), "shards": arguments.shards, "tasks": arguments.tasks, "seconds": times}
    (arguments.out / "manifest.json").write_text(json.dumps(result, indent=1) + "\n")
    (arguments.out / "manifest.md").write_text(table)


if __name__ == "__main__":
    main()
