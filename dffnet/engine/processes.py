"""The processes of a run: one, one a GPU of this machine, or those that torchrun started."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Processes:
    """How many processes, on how many machines; ``world`` is their number in all."""

    devices: int | str
    machines: int
    world: int

    @classmethod
    def of(cls, devices: str) -> Processes:
        """What ``devices`` ("auto" or a number) means here; under torchrun, what torchrun was told."""
        if "TORCHELASTIC_RUN_ID" in os.environ:
            return cls(*(int(os.environ[f"{name}WORLD_SIZE"]) for name in ("LOCAL_", "GROUP_", "")))
        found = torch.cuda.device_count() if torch.cuda.is_available() else 1
        return cls(devices, 1, found if devices == "auto" else int(devices))

    def options(self) -> dict[str, Any]:
        """Of lightning's trainer."""
        options = {"accelerator": "auto", "devices": self.devices, "num_nodes": self.machines}
        return options | ({"strategy": "ddp"} if self.world > 1 else {})


def is_main_process() -> bool:
    """Whether this is the first of the processes of a run."""
    return all(int(os.environ.get(name, "0")) == 0 for name in ("RANK", "LOCAL_RANK", "NODE_RANK"))
