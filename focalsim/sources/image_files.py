"""Colour images and depth maps of one file each, as arrays.

Depth files by suffix: ``.png .pgm .tif .tiff`` (one channel of 16 bits or float), ``.npy``, ``.npz``
(the array ``depth``, or the only one; never pickles), ``.pfm`` and ``.exr`` (channel R, Y or Z, or the only
one; half or float). Whole numbers are units, ``UNITS_PER_METRE`` to the metre unless the caller knows better;
floats are metres. NaN, infinity, zero and negative numbers mean that the depth is not known.
"""

from __future__ import annotations

import io
import math
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import deflate
import numpy as np
from numba import njit
from numpy.typing import NDArray

from focalsim.errors import FrameError

UNITS_PER_METRE = 1000.0  # what most RGB-D cameras and data sets store: millimetres
_EXR_CHANNELS = ("R", "Y", "Z")
_LARGEST_RATIO = 1032  # of what deflate can shrink
_ZIP_SIGNATURES = b"PK\3\4", b"PK\5\6"  # the second of an archive of nothing
_NPY_HEADER_BYTES = 1 << 17  # more than any of version 1 has
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_PNG_HEADER = struct.Struct(">16sIIBB")  # the signature, width, height, bits of a channel, kind of colour
_PNG_COLOUR, _PNG_DEPTH = (8, 2), (16, 0)  # RGB, grey


def read_colour(path: Path, *, oriented: bool = False) -> NDArray[np.uint8]:
    """Colour image (H, W, 3) uint8, sRGB codes in the order R, G, B.

    The pixels come as stored, as those of depth maps do; ``oriented`` turns them as EXIF says.
    Raises FrameError for a file that is no image.
    """
    flags = cv2.IMREAD_COLOR_RGB if oriented else cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    return np.asarray(_decode(path, flags, None if oriented else _PNG_COLOUR), np.uint8)


def read_rgb(path: Path, *, oriented: bool = False) -> NDArray[Any]:
    """Colour image (H, W, 3) as it is stored: the codes of 8-bit files, the linear light of ``LINEAR_SUFFIXES``.

    Linear files may exceed 1; what is negative or not finite in them becomes 0. Raises FrameError.
    """
    if path.suffix.lower() not in LINEAR_SUFFIXES:
        return read_colour(path, oriented=oriented)
    stored = _read_exr_colour(path) if path.suffix.lower() == ".exr" else _decode(path, cv2.IMREAD_UNCHANGED)[..., ::-1]
    return physical_light(stored)


def physical_light(stored: NDArray[Any]) -> NDArray[np.float32]:
    """Light (H, W, 3) of a renderer or an HDR file, with 0 where it is negative or not finite."""
    linear = np.nan_to_num(stored.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    return np.ascontiguousarray(np.maximum(linear, np.float32(0.0)))


def read_depth(path: Path, depth_scale: float | None) -> NDArray[np.float32]:
    """Depth (H, W) float32 in metres, NaN where it is not known.

    ``depth_scale`` is the number of stored units per metre; None = the rule of the module.
    Raises FrameError for a file that is no depth map or in which no pixel has a depth.
    """
    stored = read_stored(path)
    if stored.ndim != 2 or stored.dtype.kind not in "uif" or stored.dtype.itemsize < 2:
        raise FrameError(
            f"{path}: expected a depth map (H, W) of 16-bit or float numbers, got {stored.dtype} {stored.shape}"
        )
    if depth_scale is None:
        depth_scale = 1.0 if stored.dtype.kind == "f" else UNITS_PER_METRE
    # Quotients of 16-bit numbers, and numbers that are in metres, come out the same in single precision.
    exact = stored.dtype.kind == "u" and stored.dtype.itemsize == 2 and float(np.float32(depth_scale)) == depth_scale
    precision = np.float32 if exact or depth_scale == 1.0 else np.float64
    with np.errstate(over="ignore"):
        depth_m: NDArray[np.float32] = np.divide(stored, depth_scale, dtype=precision).astype(np.float32, copy=False)
    if not _forget_unknown(depth_m.ravel(order="K")):  # in place: what was just divided is contiguous
        raise FrameError(f"{path}: no pixel has a depth: all are 0, negative or not finite", "no valid depth")
    return depth_m


@njit(cache=True, nogil=True)
def _forget_unknown(depth_m: NDArray[np.float32]) -> int:
    """Put NaN where ``depth_m`` (n,) is no depth; returns how many are left. Without branches, whatever the pattern."""
    known = 0
    for i in range(depth_m.size):
        is_depth = (depth_m[i] > 0) & (depth_m[i] < np.inf)
        known += is_depth
        depth_m[i] = depth_m[i] if is_depth else np.float32(np.nan)
    return known


def read_stored(path: Path) -> NDArray[Any]:
    """The numbers of a file with a suffix of ``DEPTH_SUFFIXES``, as they stand in it. Raises FrameError."""
    try:
        return _DEPTH_READERS[path.suffix.lower()](path)
    except OSError as error:
        if isinstance(error, FrameError):
            raise
        raise FrameError(f"{path}: cannot be read: {error}") from None


def _decode(path: Path, flags: int, png: tuple[int, int] | None = None) -> NDArray[Any]:
    """What OpenCV reads with ``flags``; a PNG of the kind ``png`` is the same pixels in half the time."""
    try:
        raw = path.read_bytes()
        image = _decode_png(raw, png) if png else None
        if image is None and raw:
            image = cv2.imdecode(np.frombuffer(raw, np.uint8), flags)
    except (OSError, cv2.error) as error:
        raise FrameError(f"{path}: cannot be read: {error}") from None
    if image is None:
        raise FrameError(f"{path}: not an image file, or damaged")
    return np.asarray(image)


def _decode_png(raw: bytes, kind: tuple[int, int]) -> NDArray[Any] | None:
    """Pixels of a whole PNG of this kind; None for anything else, of which OpenCV may still make something."""
    from kornia_rs import io as rust

    if len(raw) < _PNG_HEADER.size:
        return None
    signature, width, height, *depth_and_kind = _PNG_HEADER.unpack_from(raw)
    stored_bytes = width * height * (3 if kind == _PNG_COLOUR else 2)
    # The room for what the header claims is taken at once.
    if signature != _PNG_SIGNATURE or tuple(depth_and_kind) != kind or stored_bytes > _LARGEST_RATIO * len(raw):
        return None
    try:
        if kind == _PNG_COLOUR:
            return np.asarray(rust.decode_image_png_u8(raw, (height, width), "rgb"))
        return np.asarray(rust.decode_image_png_u16(raw, (height, width), "mono"))[..., 0]
    except Exception:  # the library has no class of its own for damaged files
        return None


def _read_image(path: Path) -> NDArray[Any]:
    return _decode(path, cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION, _PNG_DEPTH)


def _read_numpy(path: Path) -> NDArray[Any]:
    try:
        # In memory, because np.load leaves the file open when it finds a damaged archive.
        data = path.read_bytes()
        if not data.startswith(_ZIP_SIGNATURES):
            return _parse_npy(data)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [member.removesuffix(".npy") for member in archive.namelist()]
            name = "depth" if "depth" in names else names[0] if len(names) == 1 else None
            if name is None:
                raise FrameError(f"{path}: expected an array 'depth' or a single one, got {names}")
            return _parse_npy(_member(archive, data, f"{name}.npy"))
    except (ValueError, EOFError, KeyError, struct.error, zipfile.BadZipFile, deflate.DeflateError) as error:
        raise FrameError(f"{path}: not a NumPy file of plain numbers, or damaged: {error}") from None


def _parse_npy(content: bytes) -> NDArray[Any]:
    """The array of a .npy file, where its bytes lie; np.load copies them piece by piece."""
    stream = io.BytesIO(content[:_NPY_HEADER_BYTES])
    if np.lib.format.read_magic(stream) != (1, 0):  # a header of over 64 KiB, or of other than Latin letters
        return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    numbers = np.frombuffer(content, dtype, math.prod(shape), stream.tell())
    return numbers.reshape(shape, order="F" if by_columns else "C")


def _member(archive: zipfile.ZipFile, data: bytes, name: str) -> Any:
    """The bytes of a file in the archive ``data``; libdeflate takes a third of the time of zlib."""
    member = archive.getinfo(name)
    if member.compress_type != zipfile.ZIP_DEFLATED:
        return archive.read(member)
    if member.file_size > _LARGEST_RATIO * (member.compress_size + 1):
        raise zipfile.BadZipFile(f"{name!r} cannot be so large")  # the room for it is taken at once
    name_length, extra_length = struct.unpack_from("<HH", data, member.header_offset + 26)  # of the local header
    start = member.header_offset + 30 + name_length + extra_length
    content = deflate.deflate_decompress(data[start : start + member.compress_size], member.file_size)
    if len(content) != member.file_size or deflate.crc32(content) != member.CRC:
        raise zipfile.BadZipFile(f"Bad CRC-32 for file {name!r}")
    return content


def _read_pfm(path: Path) -> NDArray[Any]:
    """Portable float map of one channel: rows from bottom to top, the sign of the scale is the byte order."""
    raw = path.read_bytes()
    header = re.match(rb"Pf\s+(\d+)\s+(\d+)\s+([-+]?[\d.]+)\s", raw)
    if header is None:
        raise FrameError(f"{path}: not a PFM file of one channel")
    width, height, scale = int(header[1]), int(header[2]), float(header[3])
    pixels = np.frombuffer(raw[header.end() :], np.uint8)
    if pixels.size != 4 * width * height:
        raise FrameError(f"{path}: expected {4 * width * height} bytes of pixels, got {pixels.size}")
    return np.flipud(pixels.view("<f4" if scale < 0 else ">f4").reshape(height, width))


def read_exr(path: Path) -> NDArray[Any]:
    """The depth channel (H, W) of an EXR as it is stored. Raises FrameError."""
    channels = _exr_channels(path)
    if len(channels) == 1:
        return np.asarray(next(iter(channels.values())))
    for name in _EXR_CHANNELS:
        if name in channels:
            return np.asarray(channels[name])
    raise FrameError(f"{path}: expected a channel R, Y or Z, or a single one, got {', '.join(channels)}")


def _exr_channels(path: Path) -> dict[str, NDArray[Any]]:
    import OpenEXR  # most folders hold no EXR

    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            return {name: channel.pixels for name, channel in file.channels().items()}
    except (RuntimeError, ValueError) as error:
        raise FrameError(f"{path}: not an EXR file, or damaged: {error}") from None


def _read_exr_colour(path: Path) -> NDArray[Any]:
    channels = _exr_channels(path)
    if not set("RGB") <= set(channels):
        raise FrameError(f"{path}: expected the channels R, G and B, got {', '.join(channels)}")
    return np.stack([channels[name] for name in "RGB"], axis=-1)


LINEAR_SUFFIXES = (".exr", ".hdr")  # of colour images in linear light, which may exceed 1
COLOUR_SUFFIXES = (".png", ".jpg", ".jpeg", ".ppm", ".bmp", ".tif", ".tiff", ".webp")
# Where one frame has its depth in several files, the first of these is read: float before half before units.
_DEPTH_READERS: dict[str, Callable[[Path], NDArray[Any]]] = {
    ".npz": _read_numpy,
    ".npy": _read_numpy,
    ".pfm": _read_pfm,
    ".exr": read_exr,
    ".tiff": _read_image,
    ".tif": _read_image,
    ".png": _read_image,
    ".pgm": _read_image,
}
DEPTH_SUFFIXES = tuple(_DEPTH_READERS)
