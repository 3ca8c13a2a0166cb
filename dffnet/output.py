"""Writing results: encoded first, each file whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from focalsim.errors import OutputError


def npy_bytes(array: NDArray[Any]) -> bytes:
    """``array`` as the content of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def png_bytes(image: NDArray[Any]) -> bytes:
    """A uint8 or uint16 image, (H, W) or (H, W, 3) BGR, as the content of a .png file."""
    _, encoded = cv2.imencode(".png", image)
    return encoded.tobytes()


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write ``files`` (name -> content) into ``folder``, made if need be. Raises OutputError on failure."""
    path = folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            path = folder / name
            partial = folder / f"{name}.partial"
            try:
                partial.write_bytes(content)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None
