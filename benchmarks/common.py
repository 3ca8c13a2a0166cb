"""Shared by the benchmarks: what machine and versions, how to time two things fairly, how to print a table."""

from __future__ import annotations

import os
import platform
import statistics
import time
from importlib.metadata import version

import cv2


def environment():
    names = ("focalsim", "numpy", "scipy", "numba", "h5py", "torch")
    here = {"python": platform.python_version(), "cpus": os.cpu_count(), "opencv": cv2.__version__}
    return {**here, **{name: version(name) for name in names}}


def time_pair(first, second, runs):
    """Seconds of both, run in turn A B A B; each is run once before, uncounted."""
    first(), second()
    a, b = [], []
    for _ in range(runs):
        for call, times in ((first, a), (second, b)):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
    return a, b


def summary(times):
    """(median, minimum, maximum) in milliseconds."""
    return statistics.median(times) * 1e3, min(times) * 1e3, max(times) * 1e3


def markdown_table(header, rows, digits):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in rows:
        cells = [f"{c:.{digits}f}" if isinstance(c, float) else str(c) for c in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
