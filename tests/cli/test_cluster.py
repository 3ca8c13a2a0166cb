"""Shards as tasks of a Dask cluster: whoever dies, comes late or restarts, the bytes are those of one process."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="needs Dask's distributed")

from commands import ok, run

from focalsim.camera import load_profile
from focalsim.cluster import render_shards, use_threads
from focalsim.config import RenderConfig
from focalsim.errors import ConfigError, OutputError
from focalsim.job import plan_job
from focalsim.pipeline import ShardTask
from focalsim.shards import Manifest, plan_shards, verify_bundle
from focalsim.shards.bundle import open_bundle
from focalsim.shards.staging import announced
from focalsim.sources import open_source

OPTIONS = ("--samples", "32", "--shard-size", "2", "--size", "96x64", "--slices", "4", "--workers", "2")
SHARDS = 16
PROGRAM = "from focalsim.cli import main; main()"
# A worker of Dask whose process dies of the first shard.
DEADLY = """
import os, focalsim.pipeline
focalsim.pipeline.ShardTask.render = lambda self, shard: os._exit(9)
from dask.__main__ import main
main()
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The bytes of one process."""
    folder = tmp_path_factory.mktemp("alone")
    ok("render", *OPTIONS, "--workers", "1", "--out", folder)
    return contents(folder)


class Process:
    """A program whose standard error is read line by line."""

    def __init__(self, *command: str) -> None:
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        self.lines.extend(iter(self._process.stdout.readline, ""))

    def says(self, pattern: str) -> str:
        """Wait for a line that matches; the first group of the match."""
        self.poll(lambda: any(re.search(pattern, line) for line in self.lines), f"said {pattern}")
        return next(match[1] for line in self.lines if (match := re.search(pattern, line)))

    def poll(self, happened, what: str) -> None:
        """Wait until ``happened`` while the program runs."""
        for _ in range(3600):
            if happened():
                return
            assert self._process.poll() is None, f"ended before it {what}:\n{self.output}"
            time.sleep(0.05)
        raise AssertionError(f"has not {what}:\n{self.output}")

    def wait(self) -> int:
        code = self._process.wait(300)
        self._reader.join()
        return code

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self.wait()
        self._process.stdout.close()

    @property
    def output(self) -> str:
        return "".join(self.lines)


@contextmanager
def started():
    """A function that starts processes, all of which are gone at the end."""
    with ExitStack() as stack:

        def start(*command: str) -> Process:
            process = Process(*command)
            stack.callback(process.kill)
            return process

        yield start


def scheduler_of(start, port=0):
    where = ("--host", "127.0.0.1", "--port", str(port), "--dashboard-address", "127.0.0.1:0")
    scheduler = start("-m", "dask", "scheduler", *where)
    return scheduler, scheduler.says(r"Scheduler at: *(tcp://\S+)")


def worker_of(start, address, folder, *program):
    (folder / "dask").mkdir(exist_ok=True)
    return start(
        *(program or ("-m", "dask", "worker")), address, "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny",
        "--no-dashboard", "--local-directory", str(folder / "dask"),
    )  # fmt: skip


def complete(out):
    return len(list(out.glob("shard-?????.h5")))


def test_workers_die_and_others_come_late(alone, tmp_path):
    """Both workers that begin the run are killed in the middle of it; a third that joins meanwhile ends it."""
    out = tmp_path / "out"
    with started() as start:
        _, address = scheduler_of(start)
        first, second = (worker_of(start, address, tmp_path) for _ in range(2))
        client = start("-c", PROGRAM, "render", *OPTIONS, "--out", str(out), "--scheduler", address)
        assert client.says(r"dashboard: (\S+)").startswith("http://127.0.0.1:")
        client.poll(lambda: complete(out) >= 2, "rendered two shards")
        second.pause()  # so that something is left to do for the late one
        first.kill()
        late = worker_of(start, address, tmp_path)
        late.says(r"(Registered to)")
        assert complete(out) < SHARDS, "all was done before the workers died"
        second.kill()
        assert client.wait() == 0, client.output
    assert contents(out) == alone


@pytest.mark.slow
@pytest.mark.parametrize("back", [True, False])
def test_a_scheduler_that_goes_away(alone, tmp_path, back):
    """It comes back and the client goes on; or it does not, and another command with --resume ends the run."""
    out, command = tmp_path / "out", ["render", *OPTIONS, "--out", str(tmp_path / "out"), "--resume", "--scheduler"]
    impatient = "import focalsim.cluster as c; c._PATIENCE_S = 3; " + PROGRAM
    with started() as start:
        scheduler, address = scheduler_of(start)
        worker_of(start, address, tmp_path)
        client = start("-c", PROGRAM if back else impatient, *command, address)
        client.poll(lambda: complete(out) >= 2, "rendered two shards")
        scheduler.kill()
        client.says("(the scheduler went away)")
        assert complete(out) < SHARDS
        if not back:
            assert client.wait() == 1
            assert client.output.splitlines()[-1].endswith("finish with the same command and --resume")
            assert "Traceback" not in client.output
        scheduler_of(start, address.rpartition(":")[2])
        worker_of(start, address, tmp_path)
        if not back:
            client = start("-c", PROGRAM, *command, address)
        assert client.wait() == 0, client.output
    assert contents(out) == alone


@pytest.mark.slow
def test_a_cluster_started_here(alone, tmp_path):
    with started() as start:
        client = start("-c", PROGRAM, "render", *OPTIONS, "--out", str(tmp_path / "out"), "--scheduler", "local")
        assert client.wait() == 0, client.output
    assert "dashboard: http://" in client.output
    assert contents(tmp_path / "out") == alone


@pytest.fixture
def job():
    config = RenderConfig(
        phones=(load_profile("pixel4").to_dict(),), samples=2, width=48, height=32, slices=3, shard_size=1
    )
    return plan_job(config, open_source(None))


@pytest.fixture
def plan(job):
    made_with = {"focalsim": "0"}
    return Manifest(job.config, "CC0-1.0", "nobody", made_with, plan_shards(2, 1))


def test_a_worker_that_does_not_see_the_folder(job, plan, tmp_path):
    """As one whose disk has another folder of the same name."""
    with pytest.raises(OutputError, match="every worker must see the output folder by the same path"):
        ShardTask(job, tmp_path, plan, "00000000").render(plan.shards[0])
    assert list(tmp_path.iterdir()) == []


def test_two_workers_on_one_shard_and_one_that_outlives_its_run(job, plan, tmp_path):
    with open_bundle(tmp_path, plan, resume=False, overwrite=False), announced(tmp_path) as token:
        task = ShardTask(job, tmp_path, plan, token)
        entry, depth_scales = task.render(plan.shards[0])
        before = (tmp_path / entry.file).read_bytes()
        assert task.render(plan.shards[0]) == (entry, depth_scales)
        assert (tmp_path / entry.file).read_bytes() == before
    with pytest.raises(OutputError, match="its run has ended"):
        task.render(plan.shards[1])
    assert {path.name for path in tmp_path.iterdir()} == {"manifest.json", entry.file}


def test_a_shard_that_kills_every_worker(tmp_path):
    """As one does that needs more memory than there is: which shard, how many workers, and no traceback."""
    out = tmp_path / "out"
    with started() as start:
        _, address = scheduler_of(start)
        one_shard = (*OPTIONS, "--samples", "2")
        client = start("-c", PROGRAM, "render", *one_shard, "--out", str(out), "--scheduler", address)
        client.says(r"(dashboard: )")
        for _ in range(4):  # Dask allows three deaths
            worker_of(start, address, tmp_path, "-c", DEADLY, "worker")
        assert client.wait() == 1, client.output
    error = client.lines[-1]
    assert re.match(r"Error: shard-\d{5}\.h5: 4 workers died while they rendered it, perhaps for want of memory", error)
    assert "Traceback" not in client.output
    assert not list(out.glob("shard-?????.h5"))


def test_a_worker_of_another_version(job, plan, tmp_path, monkeypatch):
    from distributed import LocalCluster

    import focalsim.cluster

    versions = focalsim.cluster.versions()
    asked = iter([{**versions, "numpy": "1.0"}])  # the client's; the workers then give the true ones
    monkeypatch.setattr(focalsim.cluster, "versions", lambda: next(asked, versions))
    with (
        LocalCluster(n_workers=1, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0") as cluster,
        announced(tmp_path) as token,
    ):
        task = ShardTask(job, tmp_path, plan, token)
        with pytest.raises(ConfigError, match=rf"worker .* has numpy {versions['numpy']}, not 1\.0"):
            list(render_shards(task, plan.shards, cluster.scheduler_address, 1, tell=lambda _: None))


def test_threads_of_a_worker():
    import numba

    before = numba.get_num_threads()
    try:
        use_threads(1)
        assert numba.get_num_threads() == 1
        use_threads(64)
        assert numba.get_num_threads() == numba.config.NUMBA_NUM_THREADS
    finally:
        use_threads(before)


@pytest.mark.parametrize(
    ("address", "message"),
    [("tcp://127.0.0.1:9", "no scheduler answers there"), ("nonsense:", "expected tcp://host:port, or local")],
)
def test_no_scheduler_there(address, message, tmp_path, monkeypatch):
    monkeypatch.setattr("focalsim.cluster._CONNECT_S", 0.5)
    failed = run("render", "--samples", "1", "--size", "48x32", "--out", tmp_path / "out", "--scheduler", address)
    assert failed.exit_code == 1
    assert message in failed.output.splitlines()[-1]
    assert list(verify_bundle(tmp_path / "out")) == [
        f"{tmp_path / 'out'}: the bundle is incomplete; finish it with --resume"
    ]


def test_without_dask(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    failed = run("render", "--samples", "1", "--out", tmp_path / "out", "--scheduler", "local")
    assert failed.exit_code == 1
    assert failed.output.splitlines()[-1] == 'Error: --scheduler needs Dask: pip install "focalsim[dask]"'


def test_tasks_and_a_scheduler_exclude_each_other(tmp_path):
    failed = run("render", "--samples", "1", "--out", tmp_path / "out", "--scheduler", "local", "--task", "1/2")
    assert failed.exit_code == 2
    assert "--scheduler hands out all shards" in failed.output
