"""Stacks rendered when they are asked for: what a training loop reads instead of shards."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from focalsim.camera import phone_dicts
from focalsim.config import RenderConfig
from focalsim.errors import ConfigError
from focalsim.job import REFERENCE_SLICE, plan_job, render_sample, use_one_thread
from focalsim.sample import Sample
from focalsim.sources import open_source


class RenderedStacks:
    """Stacks of a source by their index, each rendered anew when it is asked for; nothing is written.

    ``stacks[i]`` is the sample with the index ``i`` of the bundle that ``focalsim render`` makes with the same
    options, byte for byte. Indices go on beyond ``len(stacks)`` without end: frame i of n comes again at i + n, as
    another phone sees it, out of memory if it fits in (256 MiB); made scenes never come again. Pickles, so that every
    worker of a loader has its own.

    source          path of RGB-D frames; None = scenes that the program makes
    phones          names or paths of profiles, "all" for those that come along; each stack draws one
    effects         name or path of what the phones add after the lens; None = the profiles' own
    samples         the number of stacks in one round; None = every usable frame once, or RenderConfig's default
    device          where PyTorch renders, "cuda" for one: the same light, but for rounding not the same bytes. None =
                    compiled code on the CPU
    source_options  of focalsim.sources.open_source: source_format, depth_scale, textures
    options         the other fields of focalsim.config.RenderConfig: seed, width, height, slices, near_m, ...

    Raises what planning a bundle raises: ConfigError, ProfileError, SourceError; RenderError for a device that is not
    there.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | None = None,
        phones: Iterable[str] = ("pixel4",),
        *,
        effects: str | None = None,
        samples: int | None = None,
        device: str | None = None,
        source_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        try:
            config = RenderConfig(phones=phone_dicts(phones, effects), **options)
        except TypeError as error:
            raise ConfigError(f"unknown option of rendering: {error}") from None
        opened = open_source(None if source is None else os.fspath(source), **(source_options or {}))
        if device is not None:
            from focalsim.render.tensors.frames import check_device

            device = str(check_device(device, None))
        self._job = replace(plan_job(config, opened, samples, again=True), device=device)
        self.config = self._job.config
        self.summary = self._job.summary  # frames that cannot be used, and why; may be empty
        self.reference_slice = REFERENCE_SLICE % self.config.slices

    def __len__(self) -> int:
        """Stacks in one round."""
        return self.config.samples

    def __getitem__(self, index: int) -> Sample:
        """Render one stack. Raises FocalsimError that names the sample and its frame, IndexError for index < 0."""
        if index < 0:
            raise IndexError(f"stack {index}: indices count from 0")
        return render_sample(self._job, index)

    def __iter__(self) -> Iterator[Sample]:
        """One round."""
        return (self[i] for i in range(len(self)))

    # For the workers of a loader, one for each core.
    use_one_thread = staticmethod(use_one_thread)

    def source_id(self, index: int) -> str:
        """Name of the frame that a stack shows, without rendering it."""
        return self._job.source.frame_id(self._job.usable[index % len(self._job.usable)])
