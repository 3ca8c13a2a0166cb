"""Real scenes as Won & Jeon (ECCV 2022) read them end to end: photos and their focus distances, no depth.

    PATH/0/00.png .. 09.png       ten photos, far to near, as the phone delivers them
    PATH/0/focus_distance.txt     metres, a number a line, far first
    PATH/0/focal_length.txt       metres

Import makes stacks whose depth is nowhere known, with the breathing of a thin lens as their magnification.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from focalsim.camera import sensor_distance_m
from focalsim.errors import SourceError
from focalsim.exchange.base import SPLITS, Format, Imported, Provenance, Stacks, to_sample
from focalsim.exchange.files import new_folder, read_provenance, read_stack, write_image, write_provenance
from focalsim.sample import Sample

_SUFFIXES = (".png", ".jpg")
_FOCUS, _FOCAL = "focus_distance.txt", "focal_length.txt"


class RealScene(Format):
    name = "real-scene"
    description = "folders of ten photos with focus_distance.txt and focal_length.txt (Won & Jeon, end to end)"
    slices = 10
    one_schedule = False
    aligned = False

    def write(self, out: Path, splits: Mapping[str, Stacks], provenance: Provenance) -> None:
        with new_folder(out) as root:
            # Readers take every entry of the root as a scene: there is nothing else in it.
            for k, sample in enumerate(chain.from_iterable(splits[split] for split in SPLITS)):
                folder = root / str(k)
                folder.mkdir()
                write_provenance(folder, provenance)
                for i, image in enumerate(sample.images):
                    write_image(folder / f"{i:02d}.png", image)
                distances = "".join(f"{distance:.9g}\n" for distance in sample.focus_distance_m)
                (folder / _FOCUS).write_text(distances, "utf-8")
                (folder / _FOCAL).write_text(f"{sample.focal_length_m:.9g}\n", "utf-8")

    def open(self, path: Path, assumed: Provenance) -> Imported:
        if not path.is_dir():
            raise SourceError(f"{path}: no such folder")
        own = [path] if (path / _FOCUS).is_file() else []
        scenes = own or sorted((f.parent for f in path.glob(f"*/{_FOCUS}")), key=lambda p: (len(p.name), p.name))
        if not scenes:
            raise SourceError(f"{path}: neither it nor the folders in it hold a {_FOCUS}")

        def load(index: int) -> Sample:
            folder = scenes[index]
            photos = sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES)
            focus_m, (focal_length_m,) = _numbers(folder / _FOCUS), _numbers(folder / _FOCAL)[:1]
            if len(photos) != len(focus_m):
                raise SourceError(f"{folder}: {len(photos)} photos, but {len(focus_m)} numbers in {_FOCUS}")
            if not (np.all(np.diff(focus_m) < 0) and focus_m[-1] > focal_length_m > 0):
                raise SourceError(f"{folder}: focus distances must go from far to near and exceed the focal length")
            v_m = sensor_distance_m(focal_length_m, focus_m)
            return to_sample(
                read_stack(photos),
                focus_m,
                magnification=(v_m / v_m[-1]).astype(np.float32),
                focal_length_m=float(np.float32(focal_length_m)),
                source_id=folder.name,
            )

        return Imported(len(scenes), load, read_provenance(scenes[0], assumed))


def _numbers(path: Path) -> NDArray[np.float64]:
    try:
        numbers = np.array([float(word) for word in path.read_text("utf-8").split()])
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: expected one number a line: {error}") from None
    if not (len(numbers) and np.isfinite(numbers).all()):
        raise SourceError(f"{path}: expected finite numbers, one a line")
    return numbers
