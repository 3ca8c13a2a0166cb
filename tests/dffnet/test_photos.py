"""Folders of photos: the three ways to give focus distances, order, size, and clear refusals."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from dffnet.data.photos import read_photos
from dffnet.errors import PhotoError


def write(folder: Path, name: str, level: int, size: tuple[int, int] = (40, 30)) -> None:
    folder.mkdir(exist_ok=True)
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[..., 2] = level  # red, for OpenCV writes BGR
    assert cv2.imwrite(str(folder / name), image)


def test_text_file_in_the_order_of_names(tmp_path: Path) -> None:
    for k in (10, 9, 8):
        write(tmp_path, f"{k}.png", k)
    (tmp_path / "focus_distance.txt").write_text("0.1\ninf\n0.5\n\n")
    (tmp_path / "focal_length.txt").write_text("0.0044")
    stack = read_photos(tmp_path)
    assert stack.focus_distance_m.tolist() == [np.inf, 0.5, np.float32(0.1)]
    assert stack.images[:, 0, 0, 0].tolist() == [9, 10, 8]  # sorted 8, 9, 10; then far to near
    assert stack.images[..., 1:].max() == 0
    assert stack.focal_length_m == 0.0044
    assert stack.full_size == (40, 30)


def test_names(tmp_path: Path) -> None:
    for name in ("IMG_2_0.25.png", "IMG_1_1.5.png"):
        write(tmp_path, name, 1)
    stack = read_photos(tmp_path)
    assert stack.focus_distance_m.tolist() == [1.5, 0.25]
    assert stack.focal_length_m is None


def test_given_distances_go_first(tmp_path: Path) -> None:
    for name in ("a_0.25.png", "b_0.5.png"):
        write(tmp_path, name, ord(name[0]))
    stack = read_photos(tmp_path, focus_distances_m=[3.0, 4.0])
    assert stack.focus_distance_m.tolist() == [4.0, 3.0]
    assert stack.images[:, 0, 0, 0].tolist() == [ord("b"), ord("a")]


def test_large_photos_are_reduced_in_proportion(tmp_path: Path) -> None:
    write(tmp_path, "a_0.5.png", 200, size=(400, 300))
    stack = read_photos(tmp_path, max_size_px=100)
    assert stack.images.shape == (1, 75, 100, 3)
    assert stack.full_size == (400, 300)


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="no such folder"):
        read_photos(tmp_path / "nowhere")
    with pytest.raises(PhotoError, match="no photos"):
        read_photos(tmp_path)
    write(tmp_path, "pcb_001.png", 1)
    with pytest.raises(PhotoError, match=r"focus distances are unknown.*pcb_001\.png"):
        read_photos(tmp_path)
    with pytest.raises(PhotoError, match="1 photos, but 2 focus distances"):
        read_photos(tmp_path, focus_distances_m=[1.0, 2.0])
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(PhotoError, match="must be positive"):
            read_photos(tmp_path, focus_distances_m=[bad])
    write(tmp_path, "pcb_002.png", 1, size=(41, 30))
    with pytest.raises(PhotoError, match=r"pcb_002\.png: is 41x30, but pcb_001\.png is 40x30"):
        read_photos(tmp_path, focus_distances_m=[1.0, 2.0])
    (tmp_path / "pcb_002.png").write_bytes(b"")
    with pytest.raises(PhotoError, match=r"pcb_002\.png: cannot be read"):
        read_photos(tmp_path, focus_distances_m=[1.0, 2.0])
    (tmp_path / "focus_distance.txt").write_text("one\ntwo")
    with pytest.raises(PhotoError, match=r"focus_distance\.txt: expected one number a line"):
        read_photos(tmp_path)
    (tmp_path / "focus_distance.txt").write_text("1.0")
    with pytest.raises(PhotoError, match=r"focus_distance\.txt: expected 2 numbers, got 1"):
        read_photos(tmp_path)
