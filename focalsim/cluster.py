"""Render shards as tasks of a Dask cluster: one that runs already, or one started here for the run.

A shard is one task. It depends on nothing but its index, so it does not matter which worker renders it, how often it
is begun, or in which order shards are finished. Workers write to the bundle's folder themselves; only the shards'
hashes come back, and this process alone writes the manifest.
"""

from __future__ import annotations

import logging
import pickle
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias

from focalsim.allocator import keep_freed_memory
from focalsim.errors import ConfigError, FocalsimError
from focalsim.interrupts import deaf_children
from focalsim.pipeline import ShardTask, versions
from focalsim.shards.manifest import ShardEntry

LOCAL = "local"
Rendered: TypeAlias = tuple[ShardEntry, list[float]]

_CONNECT_S = 10.0  # to be answered by a scheduler at all
_PATIENCE_S = 60.0  # how long a scheduler that was there may be away
_rendering = threading.Lock()  # of a worker process


class _SchedulerLost(Exception):
    pass


def render_shards(
    task: ShardTask, shards: Sequence[ShardEntry], scheduler: str, workers: int, *, tell: Callable[[str], object]
) -> Generator[Rendered]:
    """Render ``shards`` on the workers of ``scheduler``; yields each (entry, depth scales) as it is finished.

    scheduler  its address, "tcp://host:port", or "local": a scheduler and ``workers`` processes of this machine
    tell       called with what a person should know: the dashboard's address, a scheduler that went away

    Workers may die and others join at any time. If the scheduler goes away and comes back within a minute, the shards
    that are missing are handed out again.

    Raises ConfigError where Dask is not installed, the address is none, nobody answers there, or a worker has other
    versions; OutputError where a worker cannot see the output; FocalsimError where a sample fails, workers die of the
    same shard again and again, or the scheduler stays away.
    """
    missing = {shard.file: shard for shard in shards}
    known, lost_at = False, time.monotonic()
    while missing:
        try:
            with _cluster(scheduler, workers) as client:
                known, lost_at = True, 0.0
                tell(f"dashboard: {client.dashboard_link}")
                if not client.scheduler_info()["workers"]:
                    tell(f"{scheduler} has no workers yet; waiting for them")
                for done in _finished(client, task, list(missing.values())):
                    del missing[done[0].file]
                    yield done
        except _SchedulerLost as error:
            if not known:
                raise ConfigError(f"--scheduler {scheduler}: {error}") from None
            if not lost_at:
                lost_at = time.monotonic()
                tell(f"{scheduler}: the scheduler went away; waiting {_PATIENCE_S:g} s for it to come back")
            elif time.monotonic() - lost_at > _PATIENCE_S:
                raise FocalsimError(
                    f"{scheduler}: the scheduler went away ({error}); finish with the same command and --resume"
                ) from None
            time.sleep(0.5)


def _finished(client: Any, task: ShardTask, shards: Sequence[ShardEntry]) -> Iterator[Rendered]:
    """Submit all and yield what is done. Raises _SchedulerLost."""
    from distributed import as_completed
    from distributed.client import FutureCancelledError
    from distributed.scheduler import KilledWorker

    payload = client.submit(_identity, pickle.dumps(task), key=f"bundle-{task.token}")
    futures = client.map(
        _render_shard, shards, key=[(f"shard-{task.token}", k) for k in range(len(shards))], payload=payload,
        made_with=versions(), retries=0,
    )  # fmt: skip
    for future in as_completed(futures, loop=client.loop):
        try:
            yield future.result()
        except FutureCancelledError as error:
            raise _SchedulerLost(error.reason or "connection lost") from None
        except KilledWorker as error:
            raise FocalsimError(
                f"{shards[futures.index(future)].file}: {error.allowed_failures + 1} workers died while they rendered "
                "it, perhaps for want of memory"
            ) from None
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"a worker cannot run this version of focalsim: {error}") from None
        future.release()


def _identity(payload: bytes) -> bytes:
    """Makes of the payload a result that is made anew if the worker that holds it dies."""
    return payload


def _render_shard(shard: ShardEntry, *, payload: bytes, made_with: dict[str, str]) -> Rendered:
    """Runs on a worker: one shard at a time in its process, on as many threads as Dask has given it."""
    from distributed import get_worker

    worker = get_worker()
    here = versions()
    others = [f"{name} {here[name]}, not {version}" for name, version in made_with.items() if here[name] != version]
    if others:
        raise ConfigError(f"worker {worker.address} has {'; '.join(others)}: its shards could have other bytes")
    task: ShardTask = pickle.loads(payload)
    with _rendering:
        use_threads(worker.state.nthreads)
        return task.render(shard)


def use_threads(count: int) -> None:
    """Let numba and OpenCV use ``count`` threads, as far as numba was given so many."""
    import cv2
    import numba

    keep_freed_memory()
    cv2.setNumThreads(count)
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]


@contextmanager
def _cluster(scheduler: str, workers: int) -> Iterator[Any]:
    """A client of the scheduler. Raises ConfigError where it cannot be, _SchedulerLost where nobody answers."""
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise ConfigError('--scheduler needs Dask: pip install "focalsim[dask]"') from None
    # Its loggers, and those of its event loop, tell of lost connections in tracebacks; what matters is raised.
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    if scheduler == LOCAL:
        with ExitStack() as opened:
            with deaf_children():
                cluster = LocalCluster(
                    n_workers=workers, threads_per_worker=1, memory_limit=None, dashboard_address="127.0.0.1:0",
                    silence_logs=logging.CRITICAL,
                )  # fmt: skip
                opened.enter_context(cluster)
            yield opened.enter_context(Client(cluster))
        return
    try:
        client = Client(scheduler, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise _SchedulerLost(f"no scheduler answers there: {error}") from None
    except ValueError as error:
        raise ConfigError(f"--scheduler {scheduler}: {error}; expected tcp://host:port, or local") from None
    try:
        yield client
    finally:
        client.close(timeout=_CONNECT_S)
