"""Is rendering while training fast enough? Stacks a second of one loader process against those of the training step.

    python benchmarks/live.py [SOURCE] --runs 7 --out benchmarks/results

SOURCE is RGB-D data; without it only made scenes are rendered. The network is the default one, on a GPU where there is
one, else on one thread; rendering has one thread. On one thread it is the processor's time that counts, so that what
else the machine does hardly matters; all are timed in turn.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import torch
from common import environment, markdown_table, summary

from dffnet.config import TrainConfig
from dffnet.data.augment import AugmentedStacks, Draw
from dffnet.data.live import LiveStacks
from dffnet.engine.module import DepthTraining
from focalsim import RenderedStacks
from focalsim.allocator import keep_freed_memory

BATCH = 4


def render_call(source, effects, device=None, *, again=False):
    """A call that renders the next stack and augments it, as a loader process does; ``again`` of a frame kept ready."""
    rendered = RenderedStacks(source, effects=effects, device=device)
    if not again:
        rendered._job = replace(rendered._job, kept=None)
    stacks = AugmentedStacks(LiveStacks(rendered), crop_px=TrainConfig().crop_px, noise=0.01, seed=0)
    epoch = 0

    def call():
        nonlocal epoch
        epoch += 1
        return stacks[Draw(epoch, 0, rendered.config.slices)]

    return call


def step_call(stack, device):
    """A call that makes one training step."""
    torch.manual_seed(0)
    training = DepthTraining(TrainConfig()).train().to(device)
    optimiser = torch.optim.Adam(training.parameters())
    batch = type(stack)(*(field[None].expand(BATCH, *field.shape).contiguous().to(device) for field in stack))

    def call():
        loss = training.loss(training.model(batch.images, batch.focus_positions), batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    return call


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="?", type=Path)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    RenderedStacks.use_one_thread()
    torch.set_num_threads(1)
    keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ways = {"render, made scenes": render_call(None, None)}
    if arguments.source is not None:
        ways["render, frames of files"] = render_call(arguments.source, None)
        ways["render, frames that come again"] = render_call(arguments.source, None, again=True)
        ways["render, frames of files, typical effects"] = render_call(arguments.source, "typical")
        if device.type == "cuda":
            ways["render, frames of files, on the GPU"] = render_call(arguments.source, None, "cuda")
    step = (
        f"training step, batch {BATCH}, {torch.cuda.get_device_name() if device.type == 'cuda' else 'one CPU thread'}"
    )
    ways[step] = step_call(ways["render, made scenes"](), device)
    times = {name: [] for name in ways}
    clocks = dict.fromkeys(ways, time.process_time)
    if device.type == "cuda":  # calls that wait for its answer
        clocks |= dict.fromkeys((step, "render, frames of files, on the GPU"), time.perf_counter)
    for run in range(arguments.runs + 1):
        for name, call in ways.items():
            start = clocks[name]()
            call()
            if run:  # the first compiles
                times[name].append((clocks[name]() - start) / (BATCH if name == step else 1))
    rows = []
    for name, seconds in times.items():
        median, low, high = summary(seconds)
        need = "" if name == step else median / summary(times[step])[0]
        rows.append([name, median, low, high, 1e3 / median, need])
    header = ["10 slices of 352 x 224, one process", "ms a stack", "min", "max", "stacks/s", "processes to keep up"]
    text = markdown_table(header, rows, 2)
    print(text)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "live.md").write_text(text, encoding="utf-8")
    result = {"environment": environment(), "seconds": times}
    (arguments.out / "live.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
