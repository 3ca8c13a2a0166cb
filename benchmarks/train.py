"""How fast are a training step and a prediction? Against the literal network of literal.py, in one run, in turn.

    python benchmarks/train.py --runs 7 --out benchmarks/results

Same weights, same stacks, depths equal to 1e-4 (checked before anything is timed). Each contestant is a process of its
own, so that its peak memory is its own, and waits while another one works. "literal" is the literal network as a plain
program runs it; "literal, kept memory" has what the command line does for ours: freed memory is kept. A second table
has what might make ours faster or smaller: bfloat16, torch.compile, activation checkpointing.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import re
import time
from pathlib import Path

import numpy as np
import torch
from common import environment, markdown_table, summary
from literal import Literal
from torch.utils.checkpoint import checkpoint

from dffnet.config import TrainConfig
from dffnet.data.batch import Batch
from dffnet.engine.module import DepthTraining
from dffnet.losses import masked_mse
from dffnet.models.dff_wild import DffWild
from dffnet.models.fold import fold_batch_norm
from dffnet.models.onednn import use_onednn
from focalsim.allocator import keep_freed_memory

TOLERANCE = 1e-4  # of depth, where focus positions are 1 apart
CASES = {  # name -> (kind, batch, slices, height, width)
    "predict 1x10x224x352": ("predict", 1, 10, 224, 352),
    "predict 4x5x224x224": ("predict", 4, 5, 224, 224),
    "train 4x5x224x224": ("train", 4, 5, 224, 224),
}
LITERAL = ("literal", "literal, kept memory")
WHO = ("dffnet", *LITERAL)
TRIED = ("dffnet", "bf16", "compile", "checkpointing")  # what might make ours faster, or smaller


def make_batch(batch, slices, height, width, device):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(batch, slices, 3, height, width, generator=generator)
    fields = Batch(
        images=images,
        focus_positions=torch.arange(1.0, slices + 1.0).expand(batch, slices),
        target=1.0 + (slices - 1) * torch.rand(batch, height, width, generator=generator),
        valid=torch.ones(batch, height, width, dtype=torch.bool),
        all_in_focus=images[:, -1],
        magnification=torch.ones(batch, slices),
        shift_px=torch.zeros(batch, slices, 2),
    )
    return Batch(*(field.to(device) for field in fields))


def prediction(batch, device, who):
    """A call that returns the depth."""
    torch.manual_seed(0)
    model = DffWild().train().to(device)
    with torch.no_grad():
        model(batch.images, batch.focus_positions)  # so that batch norm has statistics
    model.eval()
    literal = who in LITERAL
    if literal:
        network = Literal(model.state_dict(), training=False)
    else:
        network = fold_batch_norm(model)
        if who == "compile":
            network = torch.compile(network)
        elif device.type == "cpu":
            use_onednn(network)  # whose functions torch.compile does not know

    def call():
        with torch.inference_mode(), autocast(device, who):
            output = network(batch.images, batch.focus_positions)
            return (output[-1] if literal else output.depth).float()

    return call


def training_step(batch, device, who):
    """A call that takes one step and returns the depth before it."""
    torch.manual_seed(0)
    training = DepthTraining(TrainConfig(ema=0.0)).train().to(device)
    with torch.no_grad():
        for head in (training.model.head_1[-1], *training.model.heads):
            head.weight *= 0.1  # or float32's rounding, which fresh heads amplify, would be 1e-4 in either network
    optimiser = torch.optim.Adam(training.parameters(), lr=1e-3, betas=(0.9, 0.99))
    plain = Literal(training.model.state_dict(keep_vars=True), training=True)
    model = torch.compile(training.model) if who == "compile" else training.model
    if who == "checkpointing":
        recompute(training.model)

    def call():
        with autocast(device, who):
            if who in LITERAL:
                depths = plain(batch.images, batch.focus_positions)
                weighted = zip((0.3, 0.5, 0.7, 1.0), depths, strict=True)
                loss = sum(w * masked_mse(depth, batch.target, batch.valid) for w, depth in weighted)
            else:
                output = model(batch.images, batch.focus_positions)
                depths, loss = output.depths, training.loss(output, batch)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(training.parameters(), training.config.gradient_clip)
        optimiser.step()
        return depths[-1].detach().float()

    return call


def autocast(device, who):
    """bfloat16 where that is what is tried."""
    return torch.autocast(device.type, torch.bfloat16, enabled=who == "bf16")


def recompute(model):
    """Let the parts of a network keep their inputs alone, and compute what is within again for the gradient."""
    for child in model.children():
        for part in child if isinstance(child, torch.nn.ModuleList) else [child]:
            part.forward = functools.partial(checkpoint, part.forward, use_reentrant=False)


def contest(pipe, case, who, device_name, threads):
    """One contestant in its process: its first depth, then the seconds of a call whenever asked, then its memory."""
    if who != "literal":
        keep_freed_memory()
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    device = torch.device(device_name)
    kind, *shape = CASES[case]
    make = prediction if kind == "predict" else training_step
    call = make(make_batch(*shape, device), device, who)
    pipe.send(call().cpu().numpy())
    while pipe.recv() == "go":
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize()
        pipe.send(time.perf_counter() - start)
    if device.type == "cuda":
        pipe.send(torch.cuda.max_memory_allocated() / 2**20)
        return
    # Not ru_maxrss, which a process takes over from the one that started it.
    status = Path("/proc/self/status").read_text()
    pipe.send(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 2**10)


def compete(case, whos, device_name, threads, runs):
    """(times, MiB, largest difference of a depth from the first's) of each contestant."""
    context = multiprocessing.get_context("spawn")
    pipes, depths, processes = {}, {}, []
    for who in whos:
        pipes[who], other = context.Pipe()
        processes.append(context.Process(target=contest, args=(other, case, who, device_name, threads), daemon=True))
        processes[-1].start()
        other.close()  # so that the end of one that dies is seen
        depths[who] = pipes[who].recv()
    times = {who: [] for who in whos}
    for turn in range(runs + 1):
        for who in whos:
            pipes[who].send("go")
            seconds = pipes[who].recv()
            if turn:  # the first is a warm-up
                times[who].append(seconds)
    memory = {}
    for who, process in zip(whos, processes, strict=True):
        pipes[who].send("stop")
        memory[who] = pipes[who].recv()
        process.join()
    return times, memory, {who: float(np.abs(depths[who] - depths[whos[0]]).max()) for who in whos}


def against_literal(arguments):
    """Table of all cases. Raises SystemExit where depths differ."""
    rows = []
    for case in CASES:
        times, memory, differences = compete(case, WHO, arguments.device, arguments.threads, arguments.runs)
        if max(differences.values()) > TOLERANCE:
            raise SystemExit(f"{case}: the depths differ by {max(differences.values()):.2g}, more than {TOLERANCE}")
        own = np.array(times["dffnet"])
        ratios = [float(np.median(np.array(times[who]) / own)) for who in WHO[1:]]
        cells = [cell for who in WHO for cell in (*summary(times[who]), memory[who])]
        rows.append([case, *cells, *ratios])
    columns = [name for who in WHO for name in (who, "min", "max", "MiB")]
    return ["case", *columns, *(f"{who} / dffnet" for who in WHO[1:])], rows


def against_tried(arguments):
    """Table of what was tried beyond it."""
    rows = []
    for case, (kind, *_) in CASES.items():
        # In prediction there is nothing to compute again, and oneDNN is called in the precision of the weights.
        whos = [who for who in TRIED if kind == "train" or who in ("dffnet", "compile")]
        times, memory, differences = compete(case, whos, arguments.device, arguments.threads, arguments.runs)
        own = np.array(times["dffnet"])
        for who in whos:
            ratio = float(np.median(np.array(times[who]) / own))
            rows.append([case, who, *summary(times[who]), memory[who], ratio, f"{differences[who]:.1e}"])
    return ["case", "with", "ms", "min", "max", "MiB", "time of dffnet's", "largest difference"], rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    literal, tried = against_literal(arguments), against_tried(arguments)
    text = (
        f"Milliseconds on {arguments.device} ({arguments.threads} threads), fp32: median, minimum, maximum of "
        f"{arguments.runs} runs in turn; peak memory in MiB\n\n"
        + markdown_table(*literal, 2)
        + "\nThe same, with what might be a gain; the largest difference of a depth, focus positions 1 apart\n\n"
        + markdown_table(*tried, 2)
    )
    print(text)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "train.md").write_text(text)
    results = {"environment": environment(), "rows": literal[1], "tried": tried[1]}
    (arguments.out / "train.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
