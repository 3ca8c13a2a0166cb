"""Depth formats: each is written here by other means than the reader's, and read back in metres."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest

from focalsim.errors import FrameError
from focalsim.sources.image_files import read_colour, read_depth

DEPTH_M = np.array([[0.5, 1.25, 2.0], [4.0, np.nan, 0.75]], np.float32)
UNITS = np.nan_to_num(DEPTH_M * 1000).astype(np.uint16)


def write_pfm(path: Path, depth: np.ndarray, byte_order: str) -> None:
    height, width = depth.shape
    scale = {"<": "-1.0", ">": "1.0"}[byte_order]
    rows = b"".join(struct.pack(f"{byte_order}{width}f", *row) for row in depth[::-1])  # bottom row first
    path.write_bytes(f"Pf\n{width} {height}\n{scale}\n".encode() + rows)


def write_exr(path: Path, channels: dict[str, np.ndarray]) -> None:
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, channels).write(str(path))


@pytest.mark.parametrize("suffix", [".png", ".pgm", ".tif"])
def test_whole_numbers_are_millimetres(tmp_path: Path, write_image: Callable[..., Path], suffix: str) -> None:
    path = write_image(tmp_path / f"d{suffix}", UNITS)
    np.testing.assert_allclose(read_depth(path, None), DEPTH_M, rtol=1e-6)


def test_depth_scale_is_units_per_metre(tmp_path: Path, write_image: Callable[..., Path]) -> None:
    path = write_image(tmp_path / "d.png", UNITS)
    np.testing.assert_allclose(read_depth(path, 5000.0), DEPTH_M / 5, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_npy_and_npz_of_floats_are_metres(tmp_path: Path, dtype: type) -> None:
    np.save(tmp_path / "d.npy", DEPTH_M.astype(dtype))
    np.savez(tmp_path / "d.npz", anything=DEPTH_M.astype(dtype))
    np.savez_compressed(tmp_path / "two.npz", colour=np.zeros(3), depth=DEPTH_M.astype(dtype))
    for name in ("d.npy", "d.npz", "two.npz"):
        np.testing.assert_array_equal(read_depth(tmp_path / name, None), DEPTH_M)
    np.testing.assert_allclose(read_depth(tmp_path / "d.npy", 10.0), DEPTH_M / 10)


def test_npy_of_whole_numbers_is_in_units(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", UNITS)
    np.testing.assert_allclose(read_depth(tmp_path / "d.npy", None), DEPTH_M, rtol=1e-6)


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_pfm_is_read_bottom_up_in_its_byte_order(tmp_path: Path, byte_order: str) -> None:
    write_pfm(tmp_path / "d.pfm", DEPTH_M, byte_order)
    np.testing.assert_array_equal(read_depth(tmp_path / "d.pfm", None), DEPTH_M)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("names", ["Y", "RGB", "Z", "D"])
def test_exr_channels(tmp_path: Path, dtype: type, names: str) -> None:
    channels = {name: DEPTH_M.astype(dtype) * (1 + i) for i, name in enumerate(names)}
    write_exr(tmp_path / "d.exr", channels)
    np.testing.assert_array_equal(read_depth(tmp_path / "d.exr", None), DEPTH_M)


def test_what_is_no_depth_becomes_nan(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.array([[np.inf, -np.inf, np.nan, 0.0, -1.0, 1e300, 2.0]]))
    np.testing.assert_array_equal(read_depth(tmp_path / "d.npy", None), [[np.nan] * 6 + [2.0]])


@pytest.mark.parametrize("turned", [np.asfortranarray, np.flipud, lambda depth: depth.T])
def test_what_is_no_depth_becomes_nan_in_any_layout(tmp_path: Path, turned: Callable[..., np.ndarray]) -> None:
    depth = np.where(np.arange(48).reshape(6, 8) % 5, 1.5, -1.0).astype(np.float32)
    np.save(tmp_path / "d.npy", turned(depth))
    expected = np.where(turned(depth) > 0, turned(depth), np.nan)
    np.testing.assert_array_equal(read_depth(tmp_path / "d.npy", None), expected)


@pytest.mark.parametrize("value", [0, np.nan, -1, np.inf])
def test_no_pixel_with_depth_is_refused(tmp_path: Path, value: float) -> None:
    np.save(tmp_path / "d.npy", np.full((4, 4), value, np.float32))
    with pytest.raises(FrameError, match=r"d\.npy: no pixel has a depth") as caught:
        read_depth(tmp_path / "d.npy", None)
    assert caught.value.reason == "no valid depth"


@pytest.mark.parametrize("suffix", [".png", ".pgm", ".tif", ".npy", ".npz", ".pfm", ".exr"])
@pytest.mark.parametrize("content", [b"just a text\n", b""])
def test_text_by_another_name_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"d{suffix}"
    path.write_bytes(content)
    with pytest.raises(FrameError, match=f"d{suffix}"):
        read_depth(path, None)


@pytest.mark.parametrize("suffix", [".png", ".pgm", ".npy", ".npz", ".pfm", ".exr"])
def test_half_a_file_is_refused(tmp_path: Path, write_image: Callable[..., Path], suffix: str) -> None:
    path = tmp_path / f"d{suffix}"
    depth = np.random.default_rng(0).uniform(1, 2, (64, 64)).astype(np.float32)
    if suffix == ".npy":
        np.save(path, depth)
    elif suffix == ".npz":
        np.savez_compressed(path, depth=depth)
    elif suffix == ".pfm":
        write_pfm(path, depth, "<")
    elif suffix == ".exr":
        write_exr(path, {"Y": depth})
    else:
        write_image(path, (1000 * depth).astype(np.uint16))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FrameError, match=f"d{suffix}"):
        read_depth(path, None)


def test_damaged_npz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez_compressed(path, depth=np.random.default_rng(0).random((64, 64)))
    raw = bytearray(path.read_bytes())
    raw[2000:2100] = bytes(100)
    path.write_bytes(raw)
    with pytest.raises(FrameError, match=r"d\.npz: .*damaged"):
        read_depth(path, None)


def test_npz_that_claims_to_be_huge_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez_compressed(path, depth=DEPTH_M)
    raw = bytearray(path.read_bytes())
    size = raw.index(b"PK\x01\x02") + 24  # of the member, in the central directory
    raw[size : size + 4] = (2**32 - 2).to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises(FrameError, match=r"d\.npz: .*damaged"):
        read_depth(path, None)


class Bomb:
    """Unpickling it raises: proof that nothing was unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('unpickled')",)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_pickles_are_never_loaded(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"d{suffix}"
    array = np.array([Bomb()], dtype=object)
    np.save(path, array, allow_pickle=True) if suffix == ".npy" else np.savez(path, depth=array)
    with pytest.raises(FrameError, match="not a NumPy file of plain numbers"):
        read_depth(path, None)


@pytest.mark.parametrize(
    "pixels", [np.full((8, 8), 9, np.uint8), np.full((8, 8, 3), 9, np.uint8), np.full((8, 8, 3), 9, np.uint16)]
)
def test_pictures_are_no_depth_maps(tmp_path: Path, write_image: Callable[..., Path], pixels: np.ndarray) -> None:
    path = write_image(tmp_path / "d.png", pixels)
    with pytest.raises(FrameError, match=r"expected a depth map \(H, W\) of 16-bit or float numbers, got uint"):
        read_depth(path, None)


def test_npz_and_exr_must_say_which_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", a=DEPTH_M, b=DEPTH_M)
    write_exr(tmp_path / "d.exr", {"U": DEPTH_M, "V": DEPTH_M})
    with pytest.raises(FrameError, match="expected an array 'depth' or a single one"):
        read_depth(tmp_path / "d.npz", None)
    with pytest.raises(FrameError, match="expected a channel R, Y or Z"):
        read_depth(tmp_path / "d.exr", None)


def test_npz_of_nothing_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz")
    with pytest.raises(FrameError, match=r"expected an array 'depth' or a single one, got \[\]"):
        read_depth(tmp_path / "d.npz", None)


def test_colour_is_red_green_blue(tmp_path: Path, write_image: Callable[..., Path]) -> None:
    path = write_image(tmp_path / "c.png", np.full((4, 4, 3), (10, 20, 30), np.uint8))  # written B, G, R
    np.testing.assert_array_equal(read_colour(path)[0, 0], [30, 20, 10])


def test_grey_and_deep_images_become_8_bit_colour(tmp_path: Path, write_image: Callable[..., Path]) -> None:
    grey = write_image(tmp_path / "grey.png", np.full((4, 4), 77, np.uint8))
    deep = write_image(tmp_path / "deep.png", np.full((4, 4, 3), 77 * 257, np.uint16))
    for path in (grey, deep):
        image = read_colour(path)
        assert image.shape == (4, 4, 3)
        assert image.dtype == np.uint8
        assert (image == 77).all()


def exif_jpeg(pixels: np.ndarray, orientation: int) -> bytes:
    """A JPEG file with the EXIF tag Orientation."""
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    app1 = b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff
    raw = cv2.imencode(".jpg", pixels)[1].tobytes()
    return raw[:2] + app1 + raw[2:]


def test_colour_is_as_stored_unless_asked(tmp_path: Path) -> None:
    path = tmp_path / "c.jpg"
    path.write_bytes(exif_jpeg(np.full((20, 40, 3), 99, np.uint8), 6))
    assert read_colour(path).shape == (20, 40, 3)
    assert read_colour(path, oriented=True).shape == (40, 20, 3)


def test_damaged_colour_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.jpg").write_text("just a text")
    with pytest.raises(FrameError, match=r"c\.jpg: not an image file, or damaged"):
        read_colour(tmp_path / "c.jpg")


def png(path: Path, pixels: np.ndarray, kind: int, *, interlaced: bool = False, extra: bytes = b"") -> Path:
    """A PNG as its specification has it, every row of another filter where it is not interlaced."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = pixels.shape[:2]
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    stored = b""
    for left, top, right, down in passes if interlaced else [(0, 0, 1, 1)]:
        for row in pixels[top::down, left::right]:
            if row.size:
                line = np.frombuffer(row.astype(row.dtype.newbyteorder(">")).tobytes(), np.uint8)
                step = pixels.dtype.itemsize * (3 if pixels.ndim == 3 else 1)
                left_of = np.concatenate([np.zeros(step, np.uint8), line[:-step]])
                stored += b"\1" + (line - left_of).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.dtype.itemsize, kind, 0, 0, interlaced)
    chunks = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(stored)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    return path


@pytest.mark.parametrize("interlaced", [False, True])
def test_png_pixels_are_those_written(tmp_path: Path, interlaced: bool) -> None:
    rng = np.random.default_rng(0)
    colours, depths = rng.integers(0, 256, (13, 21, 3), np.uint8), rng.integers(1, 65536, (13, 21), np.uint16)
    gamma = struct.pack(">I4sI", 4, b"gAMA", 100000)
    gamma += struct.pack(">I", zlib.crc32(gamma[4:]))  # which must not change the codes
    assert np.array_equal(read_colour(png(tmp_path / "c.png", colours, 2, interlaced=interlaced, extra=gamma)), colours)
    stored = read_depth(png(tmp_path / "d.png", depths, 0, interlaced=interlaced), 1.0)
    assert np.array_equal(stored, depths.astype(np.float32))


def test_every_kind_of_png_is_read_as_opencv_reads_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for dtype in (np.uint8, np.uint16):
        for channels in (1, 3, 4):
            pixels = rng.integers(1, np.iinfo(dtype).max, (9, 14, channels)).astype(dtype)
            assert cv2.imwrite(str(tmp_path / "i.png"), pixels)
            expected = cv2.imread(str(tmp_path / "i.png"), cv2.IMREAD_COLOR)[..., ::-1]
            assert np.array_equal(read_colour(tmp_path / "i.png"), expected)


def test_png_that_claims_to_be_huge_takes_no_memory(tmp_path: Path) -> None:
    path = png(tmp_path / "d.png", UNITS, 0)
    whole = path.read_bytes()
    header = b"IHDR" + struct.pack(">II", 2_000_000, 2_000_000) + whole[24:29]
    path.write_bytes(whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:])
    with pytest.raises(FrameError, match=r"d\.png"):
        read_depth(path, None)
