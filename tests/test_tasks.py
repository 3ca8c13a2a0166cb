"""Tasks that know nothing of each other render one bundle, to the bytes of one run; whatever goes wrong is said."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from focalsim.camera import load_profile
from focalsim.cli import main
from focalsim.config import RenderConfig
from focalsim.derive import gather_parts
from focalsim.errors import OutputError, ShardError
from focalsim.job import plan_job
from focalsim.pipeline import render_bundle
from focalsim.shards import Manifest, ShardEntry, plan_shards, read_manifest, verify_bundle
from focalsim.shards.lock import LOCK_NAME, hold
from focalsim.shards.parts import complete_bundle, part_name, share_of
from focalsim.sources import open_source

SMALL = RenderConfig(phones=(load_profile("pixel4").to_dict(),), samples=9, width=40, height=32, slices=2, shard_size=2)
SHARDS = 5
OPTIONS = ["--samples", "9", "--shard-size", "2", "--size", "40x32", "--slices", "2", "--workers", "1"]


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def job():
    return plan_job(SMALL, open_source(None), SMALL.samples)


@pytest.fixture(scope="module")
def alone(job, tmp_path_factory):
    """The bundle of one run."""
    folder = tmp_path_factory.mktemp("alone")
    render_bundle(job, folder)
    return contents(folder)


@given(st.integers(1, 40), st.integers(0, 100), st.sampled_from([0, 1]))
def test_shares_are_all_shards_once(tasks, shards, start):
    """Whether tasks are counted from 0 or from 1, and none has more than one shard more than another."""
    shares = sorted(share_of(i, tasks, shards) for i in range(start, start + tasks))
    assert shares[0][0] == 0
    assert shares[-1][1] == shards
    assert all(before[1] == after[0] for before, after in pairwise(shares))
    sizes = [last - first for first, last in shares]
    assert max(sizes) - min(sizes) <= 1


def test_tasks_at_once_give_the_bytes_of_one_run(tmp_path, alone):
    out = tmp_path / "out"
    program = "from focalsim.cli import main; main()"
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", program, "render", *OPTIONS, "--out", str(out), "--task", f"{i}/3"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for i in range(3)
    ]  # fmt: skip
    for run in runs:
        _, error = run.communicate()
        assert run.returncode == 0, error
        assert f"focalsim merge {out} completes the bundle" in error
    assert not (out / "manifest.json").exists()
    assert "complete it with focalsim merge" in next(iter(verify_bundle(out)))
    for _ in range(2):  # the second time there is nothing left to do
        done = CliRunner().invoke(main, ["merge", str(out)])
        assert (done.exit_code, done.stdout) == (0, f"{out}\n"), done.output
        assert contents(out) == alone
    assert list(verify_bundle(out)) == []


def test_a_task_that_is_killed(tmp_path, job, alone):
    """Its shards are rendered by a later run; the others never notice."""
    out = tmp_path / "out"
    render_bundle(job, out, shards=(3, 5))
    program = "from focalsim.cli import main; main()"
    command = [sys.executable, "-c", program, "render", *OPTIONS, "--out", str(out), "--shards", "0:3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        while not (out / "shard-00000.h5").exists() and run.poll() is None:
            time.sleep(0.01)
        run.kill()
    with pytest.raises(ShardError, match="shards are missing; render them with --shards "):
        complete_bundle(out)
    with pytest.raises(OutputError, match="already holds some of these shards; use --resume"):
        render_bundle(job, out, shards=(0, 3))
    render_bundle(job, out, shards=(0, 3), resume=True)
    complete_bundle(out)
    assert contents(out) == alone


def test_no_two_tasks_write_one_shard(tmp_path, job):
    """Ranges that overlap are refused while one is at work, others are not; nor does a whole run start beside it."""
    with hold(tmp_path / LOCK_NAME, 1, 2):
        for shards in ((0, 2), (2, 4), (0, 5), (1, 3)):
            with pytest.raises(OutputError, match="another run is writing this bundle"):
                render_bundle(job, tmp_path, shards=shards, overwrite=True)
        with pytest.raises(OutputError, match="another run is writing this bundle"):
            render_bundle(job, tmp_path)
        with pytest.raises(OutputError, match="another run is writing this bundle"):
            complete_bundle(tmp_path)
        render_bundle(job, tmp_path, shards=(0, 1))
        render_bundle(job, tmp_path, shards=(3, 5))
        assert (tmp_path / LOCK_NAME).exists()
    render_bundle(job, tmp_path, shards=(1, 3))
    assert sorted(contents(tmp_path)) == [
        *(part_name(*part) for part in ((0, 1), (1, 3), (3, 5))), *(f"shard-{i:05d}.h5" for i in range(SHARDS)),
    ]  # fmt: skip


def test_ranges_may_change_between_runs(tmp_path, job, alone):
    """The array was too long for the queue, and is sent again with another number of tasks."""
    render_bundle(job, tmp_path, shards=share_of(1, 2, SHARDS))
    for i in range(3):
        render_bundle(job, tmp_path, shards=share_of(i, 3, SHARDS), resume=True)
    complete_bundle(tmp_path)
    assert contents(tmp_path) == alone


def test_missing_shards_are_listed(tmp_path, job):
    render_bundle(job, tmp_path, shards=(1, 2))
    render_bundle(job, tmp_path, shards=(3, 4))
    before = contents(tmp_path)
    with pytest.raises(ShardError, match=r"3 of 5 .*--shards 0:1, --shards 2:3, --shards 4:5 --resume"):
        complete_bundle(tmp_path)
    (tmp_path / "shard-00003.h5").write_bytes(before["shard-00003.h5"][:-1])
    with pytest.raises(ShardError, match=r"4 of 5 .*--shards 0:1, --shards 2:5"):
        complete_bundle(tmp_path)
    with pytest.raises(OutputError, match="focalsim merge to complete what several tasks have rendered"):
        render_bundle(job, tmp_path, resume=True)
    assert before.keys() == contents(tmp_path).keys()


def test_tasks_of_another_plan_are_refused(tmp_path, job):
    other = plan_job(replace(SMALL, seed=1), open_source(None), SMALL.samples)
    render_bundle(job, tmp_path / "a", shards=(0, 2))
    for resume in (False, True):
        with pytest.raises(OutputError, match="its bundle differs: seed was 0, is now 1"):
            render_bundle(other, tmp_path / "a", shards=(2, 5), resume=resume)
    render_bundle(other, tmp_path / "b", shards=(2, 5))
    with pytest.raises(ShardError, match="its bundle differs: seed was 1, is now 0"):
        gather_parts([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    (tmp_path / "b" / part_name(2, 5)).rename(tmp_path / "a" / part_name(2, 5))
    with pytest.raises(ShardError, match="its bundle differs"):
        complete_bundle(tmp_path / "a")
    assert not (tmp_path / "out").exists()


def test_a_finished_bundle(tmp_path, job, alone):
    """A task mends its shards, and leaves no part behind; it does not replace a bundle by itself."""
    render_bundle(job, tmp_path)
    for options in ({}, {"overwrite": True}):
        with pytest.raises(OutputError, match="already holds a bundle; use --resume, or another folder"):
            render_bundle(job, tmp_path, shards=(0, 2), **options)
    (tmp_path / "shard-00001.h5").write_bytes(b"damaged")
    assert render_bundle(job, tmp_path, shards=(0, 2), resume=True).rendered == 2
    assert contents(tmp_path) == alone
    (tmp_path / "empty").mkdir()
    with pytest.raises(ShardError, match="neither a bundle nor parts"):
        complete_bundle(tmp_path / "empty")


@pytest.mark.parametrize("link", [False, True])
def test_tasks_without_a_common_folder(tmp_path, job, alone, link):
    folders = [tmp_path / str(i) for i in range(2)]
    for i, folder in enumerate(folders):
        render_bundle(job, folder, shards=share_of(i, 2, SHARDS))
    before = [contents(folder) for folder in folders]
    args = ["merge", *map(str, folders), "--out", str(tmp_path / "out"), *(["--link"] if link else [])]
    done = CliRunner().invoke(main, args)
    assert done.exit_code == 0, done.output
    assert contents(tmp_path / "out") == alone
    assert [contents(folder) for folder in folders] == before
    data = bytearray(before[0]["shard-00000.h5"])
    data[len(data) // 2] ^= 1
    (folders[0] / "shard-00000.h5").write_bytes(data)
    with pytest.raises(ShardError, match=r"shard-00000\.h5: sha256 differs"):
        gather_parts(folders, tmp_path / "other")
    with pytest.raises(ShardError, match="2 of 5 shards are missing"):
        gather_parts(folders[1:], tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file": "../shard-00000.h5"}, "is not the name of a shard"),
        ({"file": "shard-00007.h5"}, "does not belong to the plan"),
        ({"first_sample": 4}, "does not belong to the plan"),
    ],
)
def test_forged_parts(tmp_path, job, change, message):
    render_bundle(job, tmp_path, shards=(0, 2))
    path = tmp_path / part_name(0, 2)
    data = json.loads(path.read_text())
    data["shards"][0] |= change
    path.write_text(json.dumps(data))
    with pytest.raises(ShardError, match=message):
        complete_bundle(tmp_path)


@pytest.mark.parametrize(("page", "tasks"), [("bundles.md", range(1, 51)), ("scale.md", range(20))])
def test_the_array_of_the_documents(tmp_path, alone, page, tasks):
    """The line of the page, as Slurm runs it for each task of its array: only the options are small ones."""
    text = (Path(__file__).resolve().parents[1] / "docs" / page).read_text(encoding="utf-8")
    array = re.search(r"#SBATCH --array=(\d+)-(\d+)\n *(focalsim render .*)", text)
    assert range(int(array[1]), int(array[2]) + 1) == tasks
    line = shlex.split(array[3].replace("$SLURM_ARRAY_TASK_ID", '"$SLURM_ARRAY_TASK_ID"'))
    out = tmp_path / "out"
    small = [*OPTIONS, "--phone", "pixel4"]
    for task in tasks:
        words = [word.replace("$SLURM_ARRAY_TASK_ID", str(task)) for word in line[1:]]
        words[words.index("--out") + 1] = str(out)
        words.remove(next(word for word in words if word in ("my_rgbd/", "data/")))  # made scenes instead
        done = CliRunner().invoke(main, [*words, *small])
        assert done.exit_code == 0, done.output
    assert CliRunner().invoke(main, ["merge", str(out)]).exit_code == 0
    assert contents(out) == alone


def test_the_variable_of_the_array_in_a_shell(tmp_path):
    script = (
        f'{sys.executable} -c "from focalsim.cli import main; main()" render {" ".join(OPTIONS)} --out {tmp_path}/out'
    )
    environment = os.environ | {"SLURM_ARRAY_TASK_ID": "2"}
    subprocess.run(["bash", "-ec", f"{script} --task $SLURM_ARRAY_TASK_ID/3"], env=environment, check=True)
    first, last = share_of(2, 3, SHARDS)
    assert (tmp_path / "out" / part_name(first, last)).is_file()


@pytest.mark.parametrize(
    ("args", "exit_code", "message"),
    [
        (["--task", "3/2"], 2, "expected I/N"),
        (["--task", "0/0"], 2, "expected I/N"),
        (["--task", "-1/2"], 2, "expected I/N"),
        (["--shards", "2:2"], 2, "expected FIRST:LAST"),
        (["--shards", "x"], 2, "expected FIRST:LAST"),
        (["--shards", "0:1", "--task", "0/1"], 2, "exclude each other"),
        (["--shards", "0:6"], 1, "the bundle has 5 shards, 0:5"),
        (["--task", "0/9"], 0, "fewer shards than tasks"),
    ],
)
def test_command_line(tmp_path, args, exit_code, message):
    done = CliRunner().invoke(main, ["render", *OPTIONS, "--out", str(tmp_path / "out"), *args])
    assert (done.exit_code, message in done.stderr) == (exit_code, True), done.output
    assert os.listdir(tmp_path) == []


def test_a_hundred_thousand_shards(tmp_path):
    """What was written is read again, and a shard that is listed twice is found; benchmarks/manifest.py times it."""
    config = replace(SMALL, samples=200_000)
    shards = tuple(ShardEntry(s.file, s.first_sample, s.samples, "ab" * 32) for s in plan_shards(200_000, 2))
    whole = Manifest(config, "CC0-1.0", "nobody", {"focalsim": "0.1.0"}, shards)
    whole.write(tmp_path)
    assert read_manifest(tmp_path) == whole
    replace(whole, shards=(*shards, shards[70_000])).write(tmp_path)
    with pytest.raises(ShardError, match="a shard is listed twice"):
        read_manifest(tmp_path)
