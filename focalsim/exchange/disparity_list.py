"""FlyingThings3D_FS and Middlebury_FS (AiFDepthNet, Wang et al., ICCV 2021): text files that list images.

    PATH/train.txt, val.txt         a line a scene: 15 slices far to near, AiF.png, disp.exr, with spaces between
    PATH/train/000000/10.0.png ..   slices, named by the disparity in focus
    PATH/train/000000/disp.exr      one channel, float32, pixels; 0 where not known

The lists hold absolute paths, because readers open them from wherever they run. Import takes from each path no
more than what lies below the folder of the list: what was moved can be read, and no list can lead elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np

from focalsim.errors import OutputError, SourceError
from focalsim.exchange.base import SPLITS, Format, Imported, Provenance, Stacks, to_sample
from focalsim.exchange.disparity import to_depth_m, to_disparity
from focalsim.exchange.files import new_folder, read_provenance, read_stack, write_exr, write_image, write_provenance
from focalsim.sample import Sample
from focalsim.sources.image_files import read_colour, read_depth

SLICES = 15


class FlyingThingsList(Format):
    name = "flyingthings-list"
    description = "FlyingThings3D_FS: PNG slices, disparity 10 to 100 px, listed in train.txt and val.txt (AiFDepthNet)"
    slices = SLICES
    low_px: ClassVar[float] = 10.0
    high_px: ClassVar[float] = 100.0

    def write(self, out: Path, splits: Mapping[str, Stacks], provenance: Provenance) -> None:
        final = Path(os.path.abspath(out))
        if len(str(final).split()) != 1:
            raise OutputError(f"{final}: the lists of this format cannot hold paths with spaces")
        with new_folder(out) as folder:
            write_provenance(folder, provenance)
            for split in SPLITS:
                lines = []
                for k, sample in enumerate(splits[split]):
                    scene = Path(split) / f"{k:06d}"
                    (folder / scene).mkdir(parents=True)
                    names = self._write_scene(folder / scene, sample, provenance)
                    lines.append(" ".join(str(final / scene / name) for name in names) + "\n")
                (folder / f"{split}.txt").write_text("".join(lines), "utf-8")

    def _write_scene(self, folder: Path, sample: Sample, span: Provenance) -> list[str]:
        names = [f"{position:.4g}.png" for position in np.linspace(self.low_px, self.high_px, SLICES)]
        names = [name if "." in name[:-4] else f"{name[:-4]}.0.png" for name in names]
        for name, image in zip(names, sample.images, strict=True):
            write_image(folder / name, image)
        write_image(folder / "AiF.png", sample.all_in_focus)
        disparity = to_disparity(np.where(sample.valid, sample.depth_m, 1), span, self.low_px, self.high_px)
        write_exr(folder / "disp.exr", {"Y": np.where(sample.valid, disparity, 0).astype(np.float32)})
        return [*names, "AiF.png", "disp.exr"]

    def open(self, path: Path, assumed: Provenance) -> Imported:
        lists = [path] if path.is_file() else [path / f"{split}.txt" for split in SPLITS]
        lists = [file for file in lists if file.is_file()]
        if not lists:
            raise SourceError(f"{path}: holds no train.txt or val.txt")
        scenes = [scene for file in lists for scene in _read_list(file)]
        folder = lists[0].parent
        span = read_provenance(folder, assumed)
        focus_m = to_depth_m(np.linspace(self.low_px, self.high_px, SLICES), span, self.low_px, self.high_px)

        def load(index: int) -> Sample:
            *slices, sharp, disparity = scenes[index]
            return to_sample(
                read_stack(slices),
                focus_m,
                # A disparity map is read as a depth map is: what is not positive is not known.
                depth_m=to_depth_m(read_depth(disparity, 1.0), span, self.low_px, self.high_px),
                all_in_focus=read_colour(sharp),
                source_id=disparity.parent.relative_to(folder).as_posix(),
            )

        return Imported(len(scenes), load, span)


class MiddleburyList(FlyingThingsList):
    name = "middlebury-list"
    description = "Middlebury_FS: as flyingthings-list, with disparity 10 to 60 px (AiFDepthNet)"
    high_px = 60.0


def _read_list(file: Path) -> list[list[Path]]:
    scenes = []
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise SourceError(f"{file}: cannot be read: {error}") from None
    for number, line in enumerate(lines, 1):
        words = line.split()
        if words and len(words) != SLICES + 2:
            raise SourceError(f"{file}, line {number}: expected {SLICES + 2} paths, got {len(words)}")
        if words:
            scenes.append([_below(file.parent, word) for word in words])
    return scenes


def _below(folder: Path, listed: str) -> Path:
    """The file below ``folder`` that the longest end of the path ``listed`` names."""
    parts = [part for part in PurePosixPath(listed).parts if part not in ("/", "..")]
    for start in range(len(parts)):
        if (found := folder.joinpath(*parts[start:])).is_file():
            return found
    raise SourceError(f"{folder}: holds no file {'/'.join(parts[-2:])}, which its list names")
