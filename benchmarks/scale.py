"""What does a large bundle cost? `focalsim render` end to end against its renderer alone, scaling, and what ends it.

    python benchmarks/scale.py ../shared/data/rgbd --runs 5 --out benchmarks/results

Renderer alone: processes of one thread each that call render_stack on frames prepared before. End to end: render_bundle
with as many workers, with all that is between a source's files and a complete bundle, from the first sample of its
second shard to the first of its fourth: two shards are rendered, written and closed. By the clock and in processor time
(of all processes together, which other programs on the machine disturb less); the start is given apart. The renderer
alone is measured right before and right after, since such machines change their speed. All sources in turn, medians.

The frames of "alone" are the pipeline's own, each rendered again and again: as the pipeline asks for it, into 8-bit
codes, and without the encoding, into light. End to end, every frame is read when its turn comes, as in a bundle of as
many samples as frames; and, told apart, kept ready as the program keeps frames that come again. On a virtual machine
memory that was free for some seconds can have gone back to the host, and taking it anew for the written bytes can cost
more than writing them: compare the stage "write" between runs before comparing runs.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from common import environment, markdown_table

from focalsim.camera import load_profile
from focalsim.config import RenderConfig
from focalsim.job import plan_job, render_sample
from focalsim.shards import Manifest, plan_shards
from focalsim.sources import open_source

ONE = 1_000_000  # stacks
DEPTH_SCALES = {"icl_nuim_synth": 5000.0, "open3d_tum": 5000.0}  # of the folders whose depth is not in millimetres


def job_of(folder, samples=64):
    source = open_source(folder, depth_scale=DEPTH_SCALES.get(folder.name) if folder else None)
    config = RenderConfig(phones=(load_profile("pixel4").to_dict(),), samples=samples)
    return plan_job(config, source, samples)


def stages(job, samples):
    """Milliseconds of processor time a sample of each stage, one process and one thread; the first sample warms up."""
    import pickle

    import focalsim.job
    import focalsim.render
    import focalsim.sources.prepare
    from focalsim.handover import Places
    from focalsim.job import use_one_thread
    from focalsim.pipeline import versions
    from focalsim.shards import ShardWriter
    from focalsim.shards.bundle import shard_attributes
    from focalsim.shards.files import sha256_of

    use_one_thread()
    spent: dict[str, float] = {}
    within = [0.0]  # time of the stages that ran within each that is running

    def timed(owner, name, label):
        function = getattr(owner, name)

        def measured(*args, **kwargs):
            started = time.process_time()
            within.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                took = time.process_time() - started
                spent[label] = spent.get(label, 0) + took - within.pop()
                within[-1] += took

        setattr(owner, name, measured)

    timed(type(job.source), "load", "decode, or make the scene")
    timed(focalsim.sources.prepare, "fill_holes", "fill holes")
    timed(focalsim.sources.prepare, "prepare_scene", "crop, resize, place in depth")
    timed(focalsim.render, "render_stack", "render the slices")
    timed(focalsim.render, "warp_frame", "all-in-focus image and depth")
    render_sample(job, 0)
    spent.clear()
    started = time.process_time()
    done = [render_sample(job, index) for index in range(1, samples + 1)]
    whole = time.process_time() - started
    spent["the rest of a sample"] = whole - sum(spent.values())
    manifest = Manifest(job.config, "", "", versions(), plan_shards(samples, samples))
    places = Places(multiprocessing.get_context("spawn"), samples, job.config)

    def hand_over(place, sample):
        return places.take(place, pickle.loads(pickle.dumps(places.put(place, sample))))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shard.h5"
        for label, step in (
            ("hand over to the writer", lambda: [hand_over(place, sample) for place, sample in enumerate(done)]),
            ("write with checksums, sync", lambda: write(path, done, shard_attributes(manifest, -1), ShardWriter)),
            ("sha256", lambda: sha256_of(path)),
        ):
            started = time.process_time()
            step()
            spent[label] = time.process_time() - started
    return {label: seconds / samples * 1e3 for label, seconds in spent.items()}


def write(path, samples, attributes, writer_class):
    with writer_class(path, len(samples), attributes) as writer:
        for sample in samples:
            writer.write(sample)


def renderer_alone(job, workers, seconds, *, encoded):
    """Stacks per second of ``workers`` processes that do nothing but render, and processor seconds a stack."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(workers), context.Queue()
    fixed = seconds, encoded, barrier, results
    processes = [context.Process(target=render_only, args=(job, k, *fixed)) for k in range(workers)]
    for process in processes:
        process.start()
    rates = [results.get() for _ in processes]
    for process in processes:
        process.join()
    return {"rate": sum(rate for rate, _ in rates), "cpu": statistics.mean(cpu for _, cpu in rates)}


def render_only(job, place, seconds, encoded, barrier, results):
    from focalsim.job import use_one_thread

    use_one_thread()
    calls = []

    def keep(*args, encode=None, **kwargs):
        calls.append((args, {**kwargs, "encode": encode} if encoded else kwargs))
        return render_stack(*args, encode=encode, **kwargs)

    import focalsim.render

    render_stack, focalsim.render.render_stack = focalsim.render.render_stack, keep
    for index in range(4):
        render_sample(job, 4 * place + index)
    barrier.wait()
    started, used, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - started < seconds:
        for args, kwargs in calls:
            render_stack(*args, **kwargs)
        count += len(calls)
    results.put((count / (time.perf_counter() - started), (time.process_time() - used) / count))


def end_to_end(job, workers, samples, scheduler=""):
    """Stacks per second from the first sample to the end, seconds before, bytes of a stack; and of whole shards stacks
    per second and processor seconds a stack, where there are enough shards.
    """
    from focalsim import progress
    from focalsim.pipeline import render_bundle

    job = replace(job, config=replace(job.config, samples=samples))
    size = job.config.shard_size
    moments, used = [], []  # of every update, and processor seconds at those that begin a shard

    class Bar(progress.tqdm):
        def update(self, n=1):
            if len(moments) % size == 0:
                used.append(processor_seconds())
            moments.append((time.perf_counter(), n))
            return super().update(n)

    original, progress.tqdm = progress.tqdm, Bar
    try:
        with tempfile.TemporaryDirectory() as out:
            started = time.perf_counter()
            report = render_bundle(job, out, workers=workers, scheduler=scheduler)
            ended = time.perf_counter()
    finally:
        progress.tqdm = original
    first, count = moments[0]
    result = {
        "rate": (samples - count) / (ended - first),
        "start": first - started,
        "bytes": sum(shard.bytes for shard in report.manifest.shards) / samples,
    }
    if samples > 3 * size and not scheduler:
        seconds = moments[3 * size][0] - moments[size][0]
        result |= {"steady": 2 * size / seconds, "cpu": (used[3] - used[1]) / (2 * size)}
    return result


def processor_seconds():
    """Of this process and of those that it started and that still run."""
    own = os.times()
    ticks = 0
    for child in multiprocessing.active_children():
        fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])  # utime and stime
    return own.user + own.system + ticks / os.sysconf("SC_CLK_TCK")


def scheduler_rate(tasks=2000):
    """Tasks per second of a Dask scheduler whose workers have nothing to do."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        client.gather(client.map(abs, range(100)))
        started = time.perf_counter()
        client.gather(client.map(abs, range(1000, 1000 + tasks)))
        return tasks / (time.perf_counter() - started)


def measure(jobs, workers, runs):
    """{source: [what one run of each way has measured]}, all in turn."""
    raw = {name: [] for name in jobs}
    for job in jobs.values():
        end_to_end(job, workers, 2 * workers)  # fills caches
    for _ in range(runs):
        for name, job in jobs.items():
            size = job.config.shard_size
            before = alone(job, workers)
            whole = end_to_end(replace(job, kept=None), workers, 3 * size + 2 * workers)
            again = end_to_end(job, workers, 3 * size + 2 * workers) if job.kept else None
            after = alone(job, workers)
            taken = {way: {key: (before[way][key] + after[way][key]) / 2 for key in before[way]} for way in before}
            taken |= {"whole": whole, "again": again, "one": end_to_end(replace(job, kept=None), 1, size // 2)}
            raw[name].append(taken)
            print(name, json.dumps(taken), file=sys.stderr)
    return raw


def alone(job, workers):
    ways = {"light": False, "alone": True}
    return {way: renderer_alone(job, workers, seconds=2.0, encoded=encoded) for way, encoded in ways.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rgbd", type=Path, help="folder that holds folders of RGB-D frames")
    parser.add_argument("--folders", nargs="+", default=["open3d_redwood", "cleargrasp_d435", "icl_nuim_synth"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    jobs = {"made scenes": job_of(None)} | {name: job_of(arguments.rgbd / name) for name in arguments.folders}

    parts = {name: stages_apart(replace(job, kept=None)) for name, job in jobs.items()}
    raw = measure(jobs, arguments.workers, arguments.runs)
    rows, kept_rows, starting, sizing = [], [], [], []
    for name, runs in raw.items():

        def median(take, runs=runs):
            return statistics.median(take(run) for run in runs)

        def reached(end, alone):
            """Shares of the renderer alone: by the clock, and of the processor time."""
            clock = median(lambda r: r[end]["steady"] / r[alone]["rate"])
            return [f"{100 * share:.0f} %" for share in (clock, median(lambda r: r[alone]["cpu"] / r[end]["cpu"]))]

        cpu = median(lambda r: r["whole"]["cpu"])
        rows.append([name, median(lambda r: r["whole"]["steady"]), 1e3 * cpu])
        for way in ("alone", "light"):
            clock, share = reached("whole", way)
            rate, cpu_s = (median(lambda r, way=way, key=key: r[way][key]) for key in ("rate", "cpu"))
            rows[-1] += [rate, clock, 1e3 * cpu_s, share]
        if jobs[name].kept:
            kept_rows.append(
                [
                    name,
                    median(lambda r: r["again"]["steady"]),
                    1e3 * median(lambda r: r["again"]["cpu"]),
                    *reached("again", "alone"),
                    median(lambda r: r["again"]["steady"] / r["whole"]["steady"]),
                ]
            )
        starting.append(
            [name, median(lambda r: r["whole"]["rate"] / r["one"]["rate"]), median(lambda r: r["whole"]["start"])]
        )
        stack_mb = median(lambda r: r["whole"]["bytes"]) / 1e6
        sizing.append([name, f"{3600 / cpu:.0f}", stack_mb, f"{ONE * cpu / 3600:.0f}", stack_mb * ONE / 1e6])
    labels = list(dict.fromkeys(label for part in parts.values() for label in part))
    stage_rows = [[label, *(part.get(label, 0.0) for part in parts.values())] for label in labels]
    stage_rows.append(["sum", *(sum(part.values()) for part in parts.values())])
    rendering = [100 * part["render the slices"] / sum(part.values()) for part in parts.values()]
    stage_rows.append(["of it rendering", *(f"{share:.0f} %" for share in rendering)])

    # Enough shards for each worker to have several: they are what a scheduler hands out.
    job = jobs["made scenes"]
    job = replace(job, config=replace(job.config, shard_size=4))
    tasks = scheduler_rate()
    clustered = statistics.median(
        end_to_end(job, arguments.workers, 96, "local")["rate"] / end_to_end(job, arguments.workers, 96)["rate"]
        for _ in range(arguments.runs)
    )
    one_writer = ["hand over to the writer", "write with checksums, sync", "sha256"]
    writer_ms = statistics.median(sum(part[label] for label in one_writer) for part in parts.values())
    limits = [
        ["stacks a second that one writing process takes from its workers", 1e3 / writer_ms],
        ["stacks a second with `--scheduler local` against without, 2 workers", clustered],
        ["tasks (shards) a second that a Dask scheduler hands out", tasks],
    ]
    w = arguments.workers
    text = "\n".join(
        [
            f"Stacks of 10 x 352 x 224, {w} workers of one thread; medians of {arguments.runs} runs in turn\n",
            markdown_table(
                [
                    "source",
                    "end to end, stacks/s",
                    "CPU ms",
                    "renderer alone, stacks/s",
                    "reached",
                    "CPU ms",
                    "its share",
                    "without encoding, stacks/s",
                    "reached",
                    "CPU ms",
                    "its share",
                ],
                rows,
                2,
            ),
            "Frames that come again (more samples than frames), kept ready in memory\n",
            markdown_table(
                ["source", "end to end, stacks/s", "CPU ms", "reached", "its share", "against reading each"],
                kept_rows,
                2,
            ),
            markdown_table(["source", f"{w} workers against 1", "s to start"], starting, 2),
            "Where the time goes, milliseconds of processor time a stack, one process and one thread\n",
            markdown_table(["stage", *parts], stage_rows, 1),
            "Sizing\n",
            markdown_table(
                ["source", "stacks a core-hour", "MB a stack", "core-hours a million", "TB a million"], sizing, 2
            ),
            "What ends it\n",
            markdown_table(["limit", "measured"], limits, 2),
        ]
    )
    print(text)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "scale.md").write_text(text)
    result = {"environment": environment(), "runs": raw, "stages_ms": parts, "limits": dict(limits)}
    (arguments.out / "scale.json").write_text(json.dumps(result, indent=1) + "\n")


def stages_apart(job, samples=12):
    """:func:`stages` in a process of its own, which it changes."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(stages, (job, samples))


if __name__ == "__main__":
    main()
