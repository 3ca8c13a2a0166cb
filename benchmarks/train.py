"""How fast are a training step and a prediction? Against the literal network of literal.py, in one run, in turn.

    python benchmarks/train.py --runs 7 --out benchmarks/results

Same weights, same stacks, depths equal to 1e-4 (checked before anything is timed). Peak memory is that of a process
that does nothing else. Both keep freed memory, as the command line does; that alone makes the literal network faster
than it is under the defaults.
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import re
from pathlib import Path

import numpy as np
import torch
from common import environment, markdown_table, summary, time_pair
from literal import Literal

from dffnet.config import TrainConfig
from dffnet.data.batch import Batch
from dffnet.engine.allocator import keep_freed_memory
from dffnet.engine.module import DepthTraining
from dffnet.losses import masked_mse
from dffnet.models.dff_wild import DffWild
from dffnet.models.fold import fold_batch_norm
from dffnet.models.onednn import use_onednn

TOLERANCE = 1e-4  # of depth, where focus positions are 1 apart
CASES = {  # name -> (kind, batch, slices, height, width)
    "predict 1x10x224x352": ("predict", 1, 10, 224, 352),
    "predict 4x5x224x224": ("predict", 4, 5, 224, 224),
    "train 4x5x224x224": ("train", 4, 5, 224, 224),
}


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


def predictions(batch, device):
    """(ours, literal): calls that return the depth."""
    torch.manual_seed(0)
    model = DffWild().train().to(device)
    with torch.no_grad():
        model(batch.images, batch.focus_positions)  # so that batch norm has statistics
    model.eval()
    fast = fold_batch_norm(model)
    if device.type == "cpu":
        use_onednn(fast)
    literal = Literal(model.state_dict(), training=False)

    def ours():
        with torch.inference_mode():
            return fast(batch.images, batch.focus_positions).depth

    def theirs():
        with torch.inference_mode():
            return literal(batch.images, batch.focus_positions)[-1]

    return ours, theirs


def training_steps(batch, device):
    """(ours, literal): calls that take one step and return the depth before it."""
    torch.manual_seed(0)
    training = DepthTraining(TrainConfig()).train().to(device)
    twin = copy.deepcopy(training.model)
    literal = Literal(twin.state_dict(keep_vars=True), training=True)

    def step(module, optimiser, depths, loss):
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), training.config.gradient_clip)
        optimiser.step()
        return depths[-1].detach()

    own_optimiser = torch.optim.Adam(training.parameters(), lr=1e-3, betas=(0.9, 0.99))
    twin_optimiser = torch.optim.Adam(twin.parameters(), lr=1e-3, betas=(0.9, 0.99))

    def ours():
        output = training.model(batch.images, batch.focus_positions)
        return step(training, own_optimiser, output.depths, training.loss(output, batch))

    def theirs():
        depths = literal(batch.images, batch.focus_positions)
        weighted = zip((0.3, 0.5, 0.7, 1.0), depths, strict=True)
        loss = sum(w * masked_mse(depth, batch.target, batch.valid) for w, depth in weighted)
        return step(twin, twin_optimiser, depths, loss)

    return ours, theirs


def calls(case, device):
    kind, *shape = CASES[case]
    batch = make_batch(*shape, device)
    pair = (predictions if kind == "predict" else training_steps)(batch, device)
    if device.type == "cpu":
        return pair

    def waiting(call):
        def run():
            result = call()
            torch.cuda.synchronize()
            return result

        return run

    return tuple(waiting(call) for call in pair)


def peak_mib(case, which, device_name, threads):
    """Peak memory of one call, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_mib, (case, which, device_name, threads))


def _peak_mib(case, which, device_name, threads):
    keep_freed_memory()
    torch.set_num_threads(threads)
    device = torch.device(device_name)
    pair = calls(case, device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    pair[which]()
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    # Not ru_maxrss, which a process takes over from the one that started it.
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 2**10


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    device = torch.device(arguments.device)
    rows = []
    for case in CASES:
        ours, literal = calls(case, device)
        difference = float((ours() - literal()).abs().max())
        if difference > TOLERANCE:
            raise SystemExit(f"{case}: the depths differ by {difference:.2g}, more than {TOLERANCE}")
        own, other = time_pair(ours, literal, arguments.runs)
        ratio = float(np.median(np.array(other) / np.array(own)))
        memory = [peak_mib(case, which, arguments.device, arguments.threads) for which in (0, 1)]
        rows.append([case, *summary(own), memory[0], *summary(other), memory[1], ratio])
    text = (
        f"Milliseconds on {arguments.device} ({arguments.threads} threads), fp32: median, minimum, maximum of "
        f"{arguments.runs} runs in turn; peak memory in MiB\n\n"
        + markdown_table(
            ["case", "dffnet", "min", "max", "MiB", "literal", "min", "max", "MiB", "literal / dffnet"], rows, 2
        )
    )
    print(text)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "train.md").write_text(text)
    (arguments.out / "train.json").write_text(json.dumps({"environment": environment(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
