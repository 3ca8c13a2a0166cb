"""Render a bundle: samples from any number of processes, shards in order, the same bytes every time."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing import connection, get_context, parent_process
from pathlib import Path

from focalsim import __version__
from focalsim.errors import FocalsimError
from focalsim.job import REFERENCE_SLICE, Job, render_sample
from focalsim.sample import Sample
from focalsim.shards import Manifest, plan_shards
from focalsim.shards.bundle import open_bundle, shard_attributes, write_shards


@dataclass(slots=True)
class Report:
    """What a run did: the finished manifest, samples rendered by this run, and the scales of their depth."""

    manifest: Manifest
    rendered: int = 0
    depth_scales: list[float] = field(default_factory=list)


def render_bundle(
    job: Job,
    out: str | os.PathLike[str],
    *,
    workers: int = 1,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Report:
    """Render ``job`` into the folder ``out``; the files do not depend on ``workers`` nor on interruptions.

    Several workers are separate processes started afresh, so a script that calls this must be importable
    (keep the call under ``if __name__ == "__main__"``). Whatever stops the run leaves only complete shards.

    Raises OutputError where ``out`` cannot be written or may not be replaced, FocalsimError where a sample
    fails.
    """
    from tqdm import tqdm

    folder = Path(out)
    planned = Manifest(
        config=job.config,
        license=job.source.license,
        attribution=job.source.attribution,
        made_with=_versions(),
        shards=plan_shards(job.config.samples, job.config.shard_size),
        skipped_frames=job.skipped,
    )
    attributes = shard_attributes(planned, REFERENCE_SLICE % job.config.slices)
    with open_bundle(folder, planned, resume=resume, overwrite=overwrite) as manifest:
        report = Report(manifest)
        todo = [shard for shard in manifest.shards if not shard.complete]
        indices = [s.first_sample + i for s in todo for i in range(s.samples)]
        kept = job.config.samples - len(indices)
        with (
            closing(_rendered(job, indices, workers)) as samples,
            # disable=None: shown on a terminal only.
            tqdm(total=job.config.samples, initial=kept, unit="sample", disable=None if progress else True) as bar,
        ):

            def wrote(sample: Sample) -> None:
                report.depth_scales.append(sample.depth_scale)
                report.rendered += 1
                bar.update()

            report.manifest = write_shards(folder, manifest, attributes, samples, wrote)
    return report


def _rendered(job: Job, indices: Sequence[int], workers: int) -> Generator[Sample]:
    """The samples in the order of ``indices``; only a few more than there are workers exist at any time."""
    workers = min(workers, len(indices))
    if workers <= 1:
        yield from (render_sample(job, index) for index in indices)
        return
    # Processes are spawned, not forked: threads of numba, OpenCV and HDF5 do not survive a fork.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (job,))
    ahead: deque[Future[Sample]] = deque()
    try:
        for index in indices:
            ahead.append(pool.submit(_work, index))
            if len(ahead) > 2 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    except BrokenProcessPool:
        raise FocalsimError("a worker process died, perhaps for want of memory; try fewer --workers") from None
    finally:
        pool.shutdown(cancel_futures=True)


_job: Job  # of a worker process


def _start_worker(job: Job) -> None:
    """Set up a worker: one thread, deaf to Ctrl-C (the parent decides), gone when the parent is."""
    global _job
    _job = job
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()

    import cv2
    import numba

    cv2.setNumThreads(1)
    numba.set_num_threads(1)


def _exit_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _work(index: int) -> Sample:
    return render_sample(_job, index)


def _versions() -> dict[str, str]:
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
