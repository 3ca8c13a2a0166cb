"""Render a bundle: by processes of this machine or the workers of a cluster, the same bytes every time."""

from __future__ import annotations

import atexit
import os
import platform
import signal
import sys
import threading
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from itertools import cycle
from multiprocessing import connection, get_context, parent_process
from multiprocessing.synchronize import Semaphore
from pathlib import Path

from focalsim import __version__
from focalsim.code_cache import tell_when_compiling
from focalsim.errors import FocalsimError, OutputError
from focalsim.handover import Places, sample_bytes
from focalsim.interrupts import deaf_children, held_interrupts
from focalsim.job import REFERENCE_SLICE, Job, render_nothing, render_sample, use_one_thread
from focalsim.sample import Sample
from focalsim.shards import Manifest, plan_shards
from focalsim.shards.bundle import (
    finish_bundle,
    manifest_log,
    open_bundle,
    shard_attributes,
    write_shard,
    write_shards,
)
from focalsim.shards.manifest import MANIFEST_NAME, ShardEntry
from focalsim.shards.parts import open_part, part_name
from focalsim.shards.remote import Location, RemotePath, location
from focalsim.shards.staging import announced, goes_on

# Samples that each worker may be ahead of the writer, so that all go on rendering while it closes a shard, and what
# they may take, which fits the shared memory of a container (64 MiB); at the least each worker has two.
_AHEAD, _AHEAD_BYTES = 5, 48 << 20


@dataclass(slots=True)
class Report:
    """What a run did: the finished manifest, samples rendered by this run, and the scales of their depth."""

    manifest: Manifest
    rendered: int = 0
    depth_scales: list[float] = field(default_factory=list)


def render_bundle(
    job: Job,
    out: str | os.PathLike[str] | RemotePath,
    *,
    workers: int = 1,
    scheduler: str = "",
    shards: tuple[int, int] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Report:
    """Render ``job`` into the folder or URL ``out``; the files depend on neither ``workers`` nor interruptions.

    scheduler  address of a Dask scheduler whose workers render whole shards, or "local" to start one here with
               ``workers`` processes; see :mod:`focalsim.cluster`
    shards     first and last (exclusive) of the shards to render; other runs render the others into the same folder,
               and :func:`focalsim.shards.parts.complete_bundle` makes one bundle of them

    Several workers are separate processes started afresh, so a script that calls this must be importable
    (keep the call under ``if __name__ == "__main__"``). Whatever stops the run leaves only complete shards.

    Raises OutputError where ``out`` cannot be written or may not be replaced, FocalsimError where a sample
    fails.
    """
    from tqdm import tqdm

    from focalsim.progress import progress_bar

    folder = location(out)
    planned = Manifest(
        config=job.config,
        license=job.source.license,
        attribution=job.source.attribution,
        made_with=versions(),
        shards=plan_shards(job.config.samples, job.config.shard_size),
        skipped_frames=job.skipped,
    )
    attributes = shard_attributes(planned, REFERENCE_SLICE % job.config.slices)
    if shards is None:
        name, opened = MANIFEST_NAME, open_bundle(folder, planned, resume=resume, overwrite=overwrite)
    elif isinstance(folder, RemotePath):
        raise OutputError(f"{folder}: parts of a bundle can be rendered into a folder only, not into object storage")
    else:
        name, opened = part_name(*shards), open_part(folder, planned, *shards, resume=resume, overwrite=overwrite)
    with opened as manifest:
        report = Report(manifest)
        todo = [shard for shard in manifest.shards if not shard.complete]
        indices = [s.first_sample + i for s in todo for i in range(s.samples)]
        total = sum(shard.samples for shard in manifest.shards)
        with (
            announced(folder) if scheduler or isinstance(folder, RemotePath) else nullcontext("") as token,
            progress_bar(total=total, initial=total - len(indices), unit="sample", show=progress) as bar,
            held_interrupts() as interrupts,
        ):

            def wrote(depth_scales: Sequence[float]) -> None:
                report.depth_scales += depth_scales
                report.rendered += len(depth_scales)
                bar.update(len(depth_scales))
                interrupts.check()

            if scheduler:
                from focalsim.cluster import render_shards

                def tell(text: str) -> None:
                    if progress:
                        tqdm.write(text, file=sys.stderr)

                task = ShardTask(job, folder.absolute() if isinstance(folder, Path) else folder, planned, token)
                with (
                    manifest_log(folder, manifest, name) as log,
                    closing(render_shards(task, todo, scheduler, workers, tell=tell)) as finished,
                ):
                    for shard, depth_scales in interrupts.during(finished):
                        log.record(shard)
                        wrote(depth_scales)
                report.manifest = finish_bundle(folder, log)
            else:
                with closing(_rendered(job, indices, workers, tell=not bar.disable)) as samples:
                    report.manifest = write_shards(
                        folder,
                        manifest,
                        attributes,
                        interrupts.during(samples),
                        lambda sample: wrote([sample.depth_scale]),
                        token=token,
                        name=name,
                    )
    return report


@dataclass(frozen=True, slots=True)
class ShardTask:
    """All that a worker on another machine needs to render any shard of a bundle. Pickles."""

    job: Job
    folder: Location
    plan: Manifest
    token: str

    def __post_init__(self) -> None:
        # The list of shards, which may be long, is not needed to render one.
        object.__setattr__(self, "plan", replace(self.plan, shards=()))

    def render(self, shard: ShardEntry) -> tuple[ShardEntry, list[float]]:
        """Render one shard into the bundle; returns its entry, and the scales of its samples' depth.

        Raises OutputError where this machine does not see the folder that the run writes to.
        """
        if not goes_on(self.folder, self.token):
            raise OutputError(
                f"{self.folder}: cannot be seen from {platform.node()}, or its run has ended; every worker must see "
                "the output folder by the same path: use a shared file system, or a URL of object storage"
            )
        depth_scales: list[float] = []
        indices = range(shard.first_sample, shard.first_sample + shard.samples)
        entry = write_shard(
            self.folder,
            shard,
            self.plan,
            shard_attributes(self.plan, REFERENCE_SLICE % self.job.config.slices),
            (render_sample(self.job, index) for index in indices),
            lambda sample: depth_scales.append(sample.depth_scale),
            token=self.token,
        )
        return entry, depth_scales


def _rendered(job: Job, indices: Sequence[int], workers: int, *, tell: bool) -> Generator[Sample]:
    """The samples in the order of ``indices``; only a few more than there are workers exist at any time.

    ``tell`` on the terminal what takes long where it does.
    """
    workers = min(workers, len(indices))
    if workers <= 1:
        if tell:
            tell_when_compiling(_tell_of_compiling)
        yield from (render_sample(job, index) for index in indices)
        return
    # Processes are spawned, not forked: threads of numba, OpenCV and HDF5 do not survive a fork.
    context = get_context("spawn")
    most = min(_AHEAD * workers + 1, _AHEAD_BYTES // sample_bytes(job.config))
    places = Places(context, max(most, 2 * workers + 1), job.config)
    once = context.Semaphore(), context.Semaphore() if tell else None
    pool = ProcessPoolExecutor(workers, context, _start_worker, (job, places, *once))
    turns = cycle(range(len(places)))
    ahead: deque[tuple[int, Future[Sample]]] = deque()
    try:
        for index in indices:
            place = next(turns)
            with deaf_children():  # the first ones start a worker each; the parent decides when they end
                ahead.append((place, pool.submit(_work, index, place)))
            # The sample that is yielded has been written by the time that its place comes round again.
            if len(ahead) == len(places):
                yield _taken(places, *ahead.popleft())
        while ahead:
            yield _taken(places, *ahead.popleft())
    except BrokenProcessPool:
        raise FocalsimError("a worker process died, perhaps for want of memory; try fewer --workers") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _taken(places: Places, place: int, rest: Future[Sample]) -> Sample:
    return places.take(place, rest.result())


_job: Job  # of a worker process
_places: Places


def _start_worker(job: Job, places: Places, first: Semaphore, telling: Semaphore | None) -> None:
    """Set up a worker: one thread, gone when the parent is. ``first`` and ``telling`` are for one of all workers."""
    global _job, _places
    _job, _places = job, places
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be started deaf
    atexit.register(os._exit, 0)  # taking down the interpreter with all its compiled code takes half a second
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    use_one_thread()
    if telling is not None:
        tell_when_compiling(lambda: _tell_of_compiling() if telling.acquire(block=False) else None)
    # Where nothing is compiled yet, the first worker begins with what its sample begins with, and the others with what
    # it comes to last, so that all is compiled in little more than half the time.
    if not first.acquire(block=False):
        render_nothing(job)


def _tell_of_compiling() -> None:
    """On a line of its own, instead of the bar's, which is drawn again below."""
    print("\r\033[Kcompiling for this processor: once, about a minute", file=sys.stderr, flush=True)


def _exit_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _work(index: int, place: int) -> Sample:
    return _places.put(place, render_sample(_job, index, _places.images(place)))


def versions() -> dict[str, str]:
    """What decides the bytes besides the config."""
    import cv2
    import h5py
    import numba
    import numpy
    import scipy

    return {
        "focalsim": __version__,
        "h5py": h5py.__version__,
        "hdf5": h5py.version.hdf5_version,
        "numba": numba.__version__,
        "numpy": numpy.__version__,
        "opencv": cv2.__version__,
        "scipy": scipy.__version__,
    }
