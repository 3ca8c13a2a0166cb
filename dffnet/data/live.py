"""Stacks rendered as a run asks for them: no shard is written, no stack is seen twice."""

from __future__ import annotations

from typing import Any

from torch.utils.data import Dataset, get_worker_info

from dffnet.data.batch import Batch
from dffnet.data.shards import to_batch
from focalsim import RenderedStacks


class LiveStacks(Dataset[Batch]):
    """The stacks of ``rendered``, each a :class:`Batch` without its axis B; the same fields as ``ShardStacks``.

    A pass over the n stacks of one round is an epoch. The next one shows the same frames through another draw of the
    phone, or other made scenes: stack i of epoch e is the renderer's sample i + e n. It depends on nothing else, hence
    not on workers, processes or restarts.
    """

    # Threads of numba and OpenCV do not survive a fork.
    start_method = "spawn"

    def __init__(self, rendered: RenderedStacks, *, unit: str = "dioptres", align: str = "metadata") -> None:
        self.rendered, self.unit, self.align = rendered, unit, align
        self.source_ids = [rendered.source_id(index) for index in range(len(rendered))]
        self.shape = (rendered.config.slices, rendered.config.height, rendered.config.width)
        self._threads_set = False

    def __len__(self) -> int:
        return len(self.rendered)

    def __getitem__(self, index: int) -> Batch:
        """Stack ``index`` of the first epoch; what is held out is always seen so."""
        return self.seen(0, index)

    def seen(self, epoch: int, index: int) -> Batch:
        """Stack ``index`` as ``epoch`` sees it. Raises FocalsimError where it cannot be rendered."""
        if get_worker_info() is not None and not self._threads_set:
            self.rendered.use_one_thread()
            self._threads_set = True
        sample = self.rendered[index + epoch * len(self)]
        return to_batch(sample, unit=self.unit, align=self.align, reference=self.rendered.reference_slice)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_threads_set": False}
