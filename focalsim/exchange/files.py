"""Files of the exchange formats: outputs that appear whole or not at all, inputs that are not trusted."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
from numpy.typing import NDArray

from focalsim.errors import OutputError, SourceError
from focalsim.exchange.base import Provenance
from focalsim.shards.files import ForgivingFile, commit, partial_path
from focalsim.sources.image_files import read_colour

PROVENANCE_NAME = "focalsim.json"


@contextmanager
def new_hdf5(path: Path, provenance: Provenance) -> Iterator[Any]:
    """An HDF5 file to fill, renamed to ``path`` when the block ends well. Raises OutputError."""
    try:
        disk = ForgivingFile(partial_path(path))
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None
    try:
        with h5py.File(disk, "w", libver=("earliest", "v108")) as file:
            file.attrs.update(provenance.to_dict())
            yield file
        disk.check()
        try:
            commit(disk.fileno(), path)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        disk.close()
        partial_path(path).unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, renamed to ``path`` when the block ends well. Raises OutputError."""
    partial = partial_path(path)
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"{partial}: cannot be made a folder: {error.strerror or error}") from None
    try:
        yield partial
        os.rename(partial, path)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{error.filename or path}: cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_image(path: Path, rgb: NDArray[np.uint8]) -> None:
    """An 8-bit image (H, W, 3) in the order R, G, B, as PNG or uncompressed TIFF. Raises OSError."""
    options = [cv2.IMWRITE_TIFF_COMPRESSION, 1] if path.suffix == ".tif" else []
    _, encoded = cv2.imencode(path.suffix, rgb[..., ::-1], options)
    path.write_bytes(encoded.tobytes())


def write_exr(path: Path, channels: dict[str, NDArray[Any]]) -> None:
    """An EXR of these channels (H, W), HALF or FLOAT as their dtype is. Raises OutputError."""
    import OpenEXR

    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    try:
        OpenEXR.File(header, {name: np.ascontiguousarray(pixels) for name, pixels in channels.items()}).write(str(path))
    except RuntimeError as error:
        raise OutputError(f"{path}: cannot be written: {error}") from None


def read_stack(paths: Sequence[Path]) -> NDArray[np.uint8]:
    """Images of one size as (S, H, W, 3) in the order R, G, B. Raises SourceError."""
    images = [read_colour(path) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image.shape != images[0].shape:
            raise SourceError(f"{path}: has shape {image.shape}, but {paths[0].name} {images[0].shape}")
    return np.stack(images)


def as_codes(stored: NDArray[Any]) -> NDArray[np.uint8]:
    """Numbers 0..255 of any type as 8-bit codes."""
    codes: NDArray[np.uint8] = np.rint(stored).clip(0, 255).astype(np.uint8)
    return codes


def write_provenance(folder: Path, provenance: Provenance) -> None:
    """License, attribution and focus range into ``folder``. Raises OSError."""
    text = json.dumps(provenance.to_dict(), indent=1, sort_keys=True, ensure_ascii=False)
    (folder / PROVENANCE_NAME).write_text(text + "\n", "utf-8")


def read_provenance(folder: Path, assumed: Provenance) -> Provenance:
    """What :func:`write_provenance` wrote, or ``assumed`` where there is nothing. Raises SourceError."""
    path = folder / PROVENANCE_NAME
    if not path.is_file():
        return assumed
    try:
        stored = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: cannot be read: {error}") from None
    return assumed.updated(stored if isinstance(stored, dict) else {})


class Hdf5Arrays:
    """Numeric data sets of a stranger's HDF5 file: checked when opened, read one sample at a time.

    Raises SourceError for a file that is not HDF5, lacks ``name``, keeps it elsewhere, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """Names of the data sets in the root."""
        with self._open() as file:
            return list(file)

    def attributes(self) -> dict[str, Any]:
        """Root attributes that are single numbers or strings."""
        with self._open() as file:
            return {name: _plain(value) for name, value in file.attrs.items()}

    def shape(self, name: str, axes: int) -> tuple[int, ...]:
        """Shape of a data set that must have ``axes`` axes."""
        with self._open() as file:
            shape: tuple[int, ...] = self._data_set(file, name).shape
        if len(shape) != axes:
            raise SourceError(f"{self.path}: '{name}' must have {axes} axes, got shape {shape}")
        return shape

    def read(self, name: str, index: int | slice) -> NDArray[Any]:
        """One entry, or some, of a data set."""
        with self._open() as file:
            array: NDArray[Any] = np.asarray(self._data_set(file, name)[index])
        return array

    def _data_set(self, file: Any, name: str) -> Any:
        if not isinstance(file.get(name, getlink=True), h5py.HardLink) or not isinstance(file[name], h5py.Dataset):
            raise SourceError(f"{self.path}: has no data set '{name}'")
        data_set = file[name]
        if data_set.is_virtual or data_set.external or data_set.dtype.kind not in "uifS":
            raise SourceError(f"{self.path}: '{name}' must hold plain numbers in this file, got {data_set.dtype}")
        return data_set

    @contextmanager
    def _open(self) -> Iterator[Any]:
        try:
            with h5py.File(self.path, "r") as file:
                yield file
        except SourceError:
            raise
        except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
            raise SourceError(f"{self.path}: cannot be read as HDF5: {error}") from None


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
