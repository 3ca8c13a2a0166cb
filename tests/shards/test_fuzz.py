"""A damaged shard reads as the truth or is refused; it never crashes, hangs, or takes memory without end."""

from __future__ import annotations

import select
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

MUTATIONS = Path(__file__).with_name("mutations.py")
_PATIENCE_S = 60  # for one mutation; a good one takes milliseconds


def run(shard: Path, count: int) -> list[tuple[int, str, str]]:
    """(index, kind, outcome) of mutations 0 .. count; a process that crashes or hangs is followed by another."""
    done: list[tuple[int, str, str]] = []
    while len(done) < count:
        command = [sys.executable, str(MUTATIONS), str(shard), str(len(done)), str(count - len(done))]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
            assert process.stdout is not None
            before = len(done)
            while len(done) < count:
                if not select.select([process.stdout], [], [], _PATIENCE_S)[0]:
                    process.kill()
                    done.append((len(done), "?", "HANG"))
                    break
                line = process.stdout.readline()
                if not line:
                    assert len(done) > before, "the process did not start"
                    done.append((len(done), "?", "CRASH"))
                    break
                index, kind, outcome = line.rstrip("\n").split(" ", 2)
                assert int(index) == len(done)
                done.append((int(index), kind, outcome))
    return done


def check(done: list[tuple[int, str, str]]) -> None:
    tally = Counter((kind, outcome.split()[0]) for _, kind, outcome in done)
    for (kind, outcome), n in sorted(tally.items()):
        print(f"{kind:<16}{outcome:<8}{n:>5}")
    total = Counter(outcome.split()[0] for _, _, outcome in done)
    print(f"{len(done)} mutations: {dict(total)}")
    assert [entry for entry in done if entry[2] not in ("truth", "refused")] == []
    assert total["refused"] > len(done) / 3, "the mutations hardly do any harm"


def test_fifty_mutations(tmp_path, write_shard):
    check(run(write_shard(tmp_path / "shard.h5"), 50))


@pytest.mark.slow
def test_a_thousand_mutations(tmp_path, write_shard):
    check(run(write_shard(tmp_path / "shard.h5"), 1000))
