"""The NYU reader on a small file of the same layout."""

from __future__ import annotations

import multiprocessing
import pickle
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from focalsim.color import linear_to_srgb, srgb_to_linear
from focalsim.errors import FrameError, SourceError
from focalsim.scene import Scene
from focalsim.sources import FrameRequest, open_source
from focalsim.sources.base import FileSource
from focalsim.sources.survey import survey

N, W, H = 3, 60, 48
REQUEST = FrameRequest(width=24, height=16, near_m=0.1, far_m=1.0, focal_over_width=0.8)


def arrays() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (N, 3, W, H), np.uint8), rng.uniform(0.7, 9.9, (N, W, H)).astype(np.float32)


@pytest.fixture
def mat(tmp_path: Path) -> Path:
    images, depths = arrays()
    return write(tmp_path / "nyu.mat", images=images, depths=depths)


def write(path: Path, **data: np.ndarray) -> Path:
    with h5py.File(path, "w", userblock_size=512) as file:  # MATLAB puts its own header before HDF5's
        for name, values in data.items():
            file[name] = values
    return path


def opened(path: Path) -> FileSource:
    source = open_source(path)
    assert isinstance(source, FileSource)
    return source


def load(source: FileSource, index: int) -> Scene:
    return source.load(index, REQUEST, np.random.default_rng(0))


def test_a_frame_is_turned_upright_and_its_border_is_cut(mat: Path) -> None:
    images, depths = arrays()
    source = opened(mat)
    assert source.format == "nyu"
    assert len(source) == N
    scene = load(source, 2)
    assert scene.source_id == "nyu.mat/0002"
    assert scene.rgb_linear.shape == (H - 32, W - 32, 3)
    # Row y, column x of the picture is element [x, y] of the file.
    np.testing.assert_array_equal(scene.rgb_linear[1, 5], srgb_to_linear(images[2, :, 16 + 5, 16 + 1]))
    assert scene.depth_m[1, 5] == depths[2, 16 + 5, 16 + 1]
    assert scene.valid.all()
    assert scene.intrinsics is not None
    assert scene.intrinsics.cx_px == pytest.approx(325.582 - 16)
    assert scene.intrinsics.cy_px == pytest.approx(253.736 - 16)
    assert scene.intrinsics.fx_px == 518.858


def test_no_depth(tmp_path: Path) -> None:
    images, depths = arrays()
    depths[1] = 0
    depths[2, 30, 20] = np.nan
    source = opened(write(tmp_path / "holes.mat", images=images, depths=depths))
    with pytest.raises(FrameError, match=r"holes\.mat/0001: no pixel has a depth"):
        load(source, 1)
    assert np.argwhere(~load(source, 2).valid).tolist() == [[20 - 16, 30 - 16]]


def test_only_the_asked_frame_is_read(mat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []
    original = h5py.Dataset.__getitem__

    def spy(self: h5py.Dataset, args: object, **options: object) -> object:
        read.append(args)
        return original(self, args, **options)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", spy)
    load(opened(mat), 1)
    assert read == [1, 1]


def _depth_sum(source: FileSource, index: int, queue: multiprocessing.Queue[float]) -> None:
    queue.put(float(load(source, index).depth_m.sum()))


def test_other_processes_can_read_it(mat: Path) -> None:
    source = opened(mat)
    here = float(load(source, 1).depth_m.sum())
    assert float(load(pickle.loads(pickle.dumps(source)), 1).depth_m.sum()) == here
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_depth_sum, args=(source, 1, queue))
    process.start()
    assert queue.get(timeout=60) == here
    process.join()


def test_digest_is_of_the_frame(mat: Path, tmp_path: Path) -> None:
    images, depths = arrays()
    depths[1, 0, 0] += 1
    changed = opened(write(tmp_path / "changed.mat", images=images, depths=depths))
    same = [opened(mat).content_digest(i) == changed.content_digest(i) for i in range(N)]
    assert same == [True, False, True]


@pytest.mark.parametrize("content", [b"just a text", b"", b"MATLAB 5.0 MAT-file" + bytes(500)])
def test_another_file_called_mat(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(SourceError, match=r"a\.mat: expected a MATLAB v7\.3 \(HDF5\) file"):
        opened(tmp_path / "a.mat")


def test_another_hdf5_file(tmp_path: Path) -> None:
    images, depths = arrays()
    with pytest.raises(SourceError, match="'images' and 'depths'"):
        opened(write(tmp_path / "a.mat", depths=depths))
    with pytest.raises(SourceError, match=r"expected images \(N, 3, W, H\)"):
        opened(write(tmp_path / "b.mat", images=images[:2], depths=depths))
    with pytest.raises(SourceError, match=r"expected images \(N, 3, W, H\)"):
        opened(write(tmp_path / "c.mat", images=images.astype(float), depths=depths))
    with pytest.raises(SourceError, match="no frame is larger than its border"):
        opened(write(tmp_path / "d.mat", images=images[..., :32], depths=depths[..., :32]))


def test_a_truncated_file(mat: Path) -> None:
    raw = mat.read_bytes()
    mat.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(SourceError, match=r"nyu\.mat"):
        opened(mat)


def test_real_frames_stored_as_the_labelled_set_stores_them(rgbd: Path, tmp_path: Path) -> None:
    """Three frames of the set, read from single files and from a .mat file of the set's layout."""
    folder = open_source(rgbd / "metric3d_nyu")
    frames = [folder.load(n, REQUEST, np.random.default_rng(0)) for n in range(len(folder))]
    images = np.stack([linear_to_srgb(frame.rgb_linear).transpose(2, 1, 0) for frame in frames])
    depths = np.stack([np.where(frame.valid, frame.depth_m, 0).T for frame in frames])
    source = opened(write(tmp_path / "nyu_depth_v2_labeled.mat", images=images, depths=depths))
    inside = np.s_[16:-16, 16:-16]
    for n, frame in enumerate(frames):
        scene = load(source, n)
        np.testing.assert_array_equal(scene.valid, frame.valid[inside])
        np.testing.assert_array_equal(scene.depth_m[scene.valid], frame.depth_m[inside][scene.valid])
        np.testing.assert_array_equal(scene.rgb_linear, frame.rgb_linear[inside])


def test_depth_in_millimetres_is_told_with_the_option_that_helps(tmp_path: Path) -> None:
    images, depths = arrays()
    path = write(tmp_path / "nyu.mat", images=images, depths=1000 * depths)
    wrong = survey(opened(path), [REQUEST], max_holes=0.5).summary()
    assert re.fullmatch(
        r"the median depth is \d{4} m; if that is wrong, give --depth-scale 1000 "
        r"\(the numbers are millimetres: then it is \d\.\d\d m\)",
        wrong,
    )
    right = open_source(path, depth_scale=1000)
    assert isinstance(right, FileSource)
    assert survey(right, [REQUEST], max_holes=0.5).summary() == ""
    inside = np.s_[16:-16, 16:-16]
    np.testing.assert_allclose(load(right, 0).depth_m, depths[0].T[inside], rtol=1e-6)
    assert right.content_digest(0) != opened(path).content_digest(0)
