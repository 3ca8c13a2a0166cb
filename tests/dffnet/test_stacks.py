"""Shards as a data set: units, masks, many files, workers, the split, and refusals that name the file."""

from __future__ import annotations

import pickle
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from dffnet.data import augment as augment_module
from dffnet.data import shards as module
from dffnet.data.alignment import align_stack, thin_lens_magnification
from dffnet.data.augment import AugmentedStacks, Draw, add_noise, augment, recolour, take_slices
from dffnet.data.batch import Batch
from dffnet.data.shards import ShardStacks, shard_files, split_by_scene
from dffnet.engine.data import Loader
from focalsim.errors import ShardError

MakeShard = Callable[..., Path]


def test_a_sample_in_both_units(make_shard: MakeShard) -> None:
    path = make_shard(n=2)
    dioptres, metres = ShardStacks([path]), ShardStacks([path], unit="metres")
    a, b = dioptres[1], metres[1]
    assert a.images.shape == (5, 3, 64, 64)
    assert 0 <= a.images.min() <= a.images.max() <= 1
    torch.testing.assert_close(a.focus_positions, torch.linspace(1, 10, 5))
    torch.testing.assert_close(a.target, 1 / b.target)
    truth, valid = dioptres.truth(1)
    torch.testing.assert_close(b.target, torch.from_numpy(truth))
    assert valid.all()
    assert a.valid.dtype == torch.bool


def test_bad_depth_is_invalid_whatever_the_mask_says(make_shard: MakeShard) -> None:
    def spoil(sample: dict[str, Any]) -> None:
        sample["depth_m"][0, :5] = [np.nan, np.inf, 0.0, -1.0, 0.5]
        sample["valid"][1, 0] = False

    stack = ShardStacks([make_shard(n=1, change=spoil)])[0]
    assert stack.valid[0, :6].tolist() == [False] * 4 + [True] * 2
    assert not stack.valid[1, 0]
    assert stack.target[0, :4].tolist() == [0.0] * 4
    assert torch.isfinite(stack.target).all()


def test_slices_are_aligned_by_default(make_shard: MakeShard) -> None:
    def breathe(sample: dict[str, Any]) -> None:
        sample["magnification"][:] = np.linspace(0.95, 1.0, 5)
        sample["principal_point_px"][0] = (3.0, 0.0)

    path = make_shard(n=1, change=breathe)
    aligned, raw = ShardStacks([path])[0].images, ShardStacks([path], align="none")[0].images
    assert (aligned[0] - raw[0]).abs().max() > 0.05
    torch.testing.assert_close(aligned[-1], raw[-1], atol=1e-4, rtol=0)  # the reference slice


def test_many_shards_with_few_open_files(make_shard: MakeShard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_OPEN_FILES", 2)
    folder = make_shard("bundle/shard-0.h5", n=1).parent
    for k in (1, 2, 3):
        make_shard(f"bundle/shard-{k}.h5", n=k)
    stacks = ShardStacks(shard_files([folder, folder / "shard-1.h5"]))
    assert len(stacks) == 1 + 1 + 2 + 3
    assert [stacks.name(i) for i in (0, 3, 6)] == ["shard-0.h5[0]", "shard-2.h5[1]", "shard-3.h5[2]"]
    shapes = {stacks[i].images.shape for i in range(len(stacks))}
    assert shapes == {(5, 3, 64, 64)}
    assert torch.equal(pickle.loads(pickle.dumps(stacks))[4].images, stacks[4].images)


def test_loader_workers_read_the_same(make_shard: MakeShard) -> None:
    stacks = ShardStacks([make_shard(n=3)])
    stacks[0]  # a handle that is open when the workers fork must not be shared
    for loaded, direct in zip(DataLoader(stacks, batch_size=3, num_workers=1), [range(3)], strict=True):
        assert isinstance(loaded, Batch)
        for i in direct:
            assert torch.equal(loaded.images[i], stacks[i].images)


def test_shards_that_differ_are_refused_by_name(make_shard: MakeShard) -> None:
    first, slices = make_shard("a.h5", n=1), make_shard("b.h5", n=1, slices=3)
    size = make_shard("c.h5", n=1, width=80)
    with pytest.raises(ShardError, match=r"b\.h5: holds 3 slices of 64x64, but .*a\.h5 holds 5 slices of 64x64"):
        ShardStacks([first, slices])
    with pytest.raises(ShardError, match=r"c\.h5: holds 5 slices of 80x64"):
        ShardStacks([first, size])


def test_bad_paths_and_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="no such file or folder"):
        shard_files([tmp_path / "nowhere"])
    with pytest.raises(ShardError, match="no shard"):
        shard_files([tmp_path])
    text = tmp_path / "text.h5"
    text.write_text("hello")
    with pytest.raises(ShardError, match=r"text\.h5"):
        ShardStacks(shard_files([text]))


@pytest.mark.parametrize(
    ("field", "value"),
    [("focus_distance_m", -1.0), ("focus_distance_m", 99.0), ("focus_distance_m", np.nan),
     ("magnification", np.nan), ("magnification", 0.0), ("principal_point_px", np.inf)],
)  # fmt: skip
def test_impossible_cameras_are_refused_by_name(make_shard: MakeShard, field: str, value: float) -> None:
    def spoil(sample: dict[str, Any]) -> None:
        sample[field][2] = value

    with pytest.raises(ShardError, match=r"shard-000000\.h5: sample 0: "):
        ShardStacks([make_shard(n=1, change=spoil)])[0]


def test_no_scene_is_on_both_sides_of_the_split() -> None:
    sources = [f"scene {i % 10}" for i in range(60)]
    train, validation = split_by_scene(sources, 0.3, seed=1)
    assert sorted(train + validation) == list(range(60))
    assert {sources[i] for i in train}.isdisjoint({sources[i] for i in validation})
    assert len({sources[i] for i in validation}) == 3
    assert split_by_scene(sources, 0.3, seed=1) == (train, validation)
    assert split_by_scene(sources, 0.3, seed=2) != (train, validation)
    assert split_by_scene(sources, 0.0, seed=1) == (list(range(60)), [])
    assert split_by_scene(["one"] * 4, 0.5, seed=0) == ([0, 1, 2, 3], [])
    assert len(split_by_scene(["a", "b"], 0.01, seed=0)[1]) == 1


def test_augmentation_moves_images_and_depth_together() -> None:
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(50.0), indexing="ij")
    code = (x + 50 * y) / 2000  # names each pixel
    picture = code.expand(3, -1, -1)
    stack = Batch(
        picture.expand(2, -1, -1, -1), torch.tensor([1.0, 2.0]), code, code > 0.5, picture,
        torch.ones(2), torch.zeros(2, 2),
    )  # fmt: skip
    seen = set()
    for k in range(20):
        moved = augment(stack, 32, np.random.default_rng(k))
        assert moved.images.shape == (2, 3, 32, 32)
        assert torch.equal(moved.valid, moved.target > 0.5)
        assert moved.shift_px.dtype == torch.float32
        assert torch.equal(moved.images[0], moved.all_in_focus)
        # Colour is one increasing curve per stack: images order pixels as the target does.
        order = moved.target.flatten().argsort()
        assert (moved.images[0, 0].flatten()[order].diff() >= -1e-6).all()
        seen.add((moved.target[0, 0] < moved.target[0, 1]).item())
    assert seen == {True, False}


def test_augmentation_keeps_the_geometry_true() -> None:
    """Where a point of the reference slice stands in a slice, read from pictures that hold their own coordinates."""
    height = width = 40
    m, t = 0.9, torch.tensor([1.5, -0.75])
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    c = (width - 1) / 2
    # Slice n shows at x_n the reference point c + (x_n - c - t) / M: its channels name that point, in [0, 1].
    point = torch.stack([c + (x - c - t[0]) / m, c + (y - c - t[1]) / m, torch.zeros(height, width)])
    own = torch.stack([x, y, torch.zeros(height, width)])
    scale = 1 / 64
    images = (torch.stack([point, own]) + 10.0) * scale
    stack = Batch(
        images, torch.tensor([1.0, 2.0]), own[0], own[0] >= 0, images[1], torch.tensor([m, 1.0]),
        torch.stack([t, torch.zeros(2)]),
    )  # fmt: skip
    plain = (1.0, 1.0)
    seen = set()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("CONTRAST", plain), ("BRIGHTNESS", (0.0, 0.0)), ("GAMMA", plain)):
            patch.setattr(augment_module, name, value)
        for k in range(24):
            moved = augment(stack, 32, np.random.default_rng(k))
            own_moved, point_moved = moved.all_in_focus / scale - 10, moved.images[0] / scale - 10
            seen.add(tuple(np.sign(moved.shift_px[0].numpy())))
            # The crop's pixel (8, 20) in the reference; find the place in slice 0 that shows the same point.
            at = torch.tensor([8.0, 20.0])
            centre = (32 - 1) / 2
            there = centre + moved.magnification[0] * (at - centre) + moved.shift_px[0]
            wanted = own_moved[:2, int(at[1]), int(at[0])]
            torch.testing.assert_close(_bilinear(point_moved, there)[:2], wanted, atol=1e-3, rtol=0)
    assert len(seen) >= 3  # flips and turns did happen


def _bilinear(picture: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    size = picture.shape[-1]
    grid = (2 * at / (size - 1) - 1).reshape(1, 1, 1, 2)
    return torch.nn.functional.grid_sample(picture[None], grid, align_corners=True).flatten()


def test_thin_lens_alignment_leaves_the_rest_in_the_batch(make_shard: MakeShard) -> None:
    def breathe(sample: dict[str, Any]) -> None:
        ideal = thin_lens_magnification(torch.from_numpy(sample["focus_distance_m"]), float(sample["focal_length_m"]))
        sample["magnification"][:] = ideal.numpy() * np.linspace(1.01, 1.0, 5)
        sample["principal_point_px"][0] = (3.0, -1.0)
        sample["images"] = np.stack([cv2.GaussianBlur(image, (0, 0), 2.0) for image in sample["images"]])

    path = make_shard(n=1, change=breathe)
    raw, thin, true = (ShardStacks([path], align=a)[0] for a in ("none", "thin-lens", "metadata"))
    torch.testing.assert_close(thin.magnification, torch.linspace(1.01, 1.0, 5))
    assert (true.magnification - 1).abs().max() == true.shift_px.abs().max() == 0
    assert raw.shift_px[0].tolist() == [3.0, -1.0]
    # The rest, applied to what the thin lens left, gives what the whole gives at once.
    twice = align_stack(thin.images, thin.magnification, thin.shift_px)
    inner = (..., slice(8, -8), slice(8, -8))
    assert (twice - true.images)[inner].abs().mean() < 0.1 * (thin.images - true.images)[inner].abs().mean()


def test_augmentation_depends_on_epoch_and_sample_alone(make_shard: MakeShard) -> None:
    path = make_shard(n=2)
    stacks = AugmentedStacks(ShardStacks([path]), crop_px=64, noise=0.05, seed=3)
    draws = [Draw(epoch, sample, 5) for epoch in (0, 1) for sample in (0, 1)]
    first = [stacks[draw].images for draw in draws]
    assert not any(torch.equal(a, b) for k, a in enumerate(first) for b in first[:k])
    again = AugmentedStacks(ShardStacks([path]), crop_px=64, noise=0.05, seed=3)
    assert all(
        torch.equal(again[draw].images, images) for draw, images in reversed(list(zip(draws, first, strict=True)))
    )


def test_fewer_slices_keep_their_positions_and_geometry() -> None:
    """Each slice is a picture of its own focus position, which magnification and shift repeat."""
    n = 15
    code = torch.arange(1.0, n + 1)
    stack = Batch(
        (code / 16)[:, None, None, None].expand(n, 3, 4, 4), code, torch.ones(4, 4), torch.ones(4, 4) > 0,
        torch.zeros(3, 4, 4), code + 100, torch.stack([code, -code], dim=1),
    )  # fmt: skip
    seen: set[float] = set()
    for seed in range(40):
        count = 3 + seed % 13
        kept = take_slices(stack, count, np.random.default_rng(seed))
        positions = kept.focus_positions
        assert len(positions) == count
        assert (positions.diff() > 0).all()
        assert positions[-1] == n  # the slice whose geometry the truth has
        torch.testing.assert_close(kept.images[:, 0, 0, 0] * 16, positions)
        torch.testing.assert_close(kept.magnification - 100, positions)
        torch.testing.assert_close(kept.shift_px, torch.stack([positions, -positions], dim=1))
        seen |= set(positions.tolist())
    assert seen == set(code.tolist())


def test_noise_is_that_of_sensors_not_of_the_truth(make_shard: MakeShard) -> None:
    stack = ShardStacks([make_shard(n=1)])[0]
    grey = stack._replace(images=torch.full((5, 3, 64, 64), 0.5))
    deviations = [float((add_noise(grey, 0.1, np.random.default_rng(k)).images - 0.5).std()) for k in range(20)]
    assert 0 <= min(deviations) < 0.03 < 0.07 < max(deviations) < 0.1
    noisy = add_noise(grey, 0.1, np.random.default_rng(0))
    assert noisy.all_in_focus is grey.all_in_focus
    assert noisy.target is grey.target
    between = (noisy.images[0] - 0.5).flatten() @ (noisy.images[1] - 0.5).flatten()
    assert abs(float(between)) < 0.05 * float((noisy.images[0] - 0.5).square().sum())  # each slice has its own
    assert add_noise(grey, 0.0, np.random.default_rng(0)).images is grey.images


def test_colour_recipe() -> None:
    x = torch.tensor([0.0, 0.5, 1.0])
    torch.testing.assert_close(recolour(x, 0.5, 0.1, 2.0), torch.tensor([0.35, 0.6, 0.85]) ** 2)
    assert recolour(x, 1.6, 0.1, 1.0).tolist() == [0.0, pytest.approx(0.6), 1.0]


def test_shards_of_an_earlier_bundle_are_left_out(tmp_path):
    """A bundle copied over a larger one: the manifest says which shards are its own, and misses none silently."""
    from click.testing import CliRunner

    from focalsim.cli import main

    def render(samples, folder):
        options = ["--samples", str(samples), "--shard-size", "1", "--size", "32x32", "--slices", "2", "--workers", "1"]
        assert CliRunner().invoke(main, ["render", *options, "--out", str(tmp_path / folder)]).exit_code == 0

    render(3, "larger")
    render(2, "smaller")
    for path in (tmp_path / "smaller").iterdir():
        (tmp_path / "larger" / path.name).write_bytes(path.read_bytes())
    assert [path.name for path in shard_files([tmp_path / "larger"])] == ["shard-00000.h5", "shard-00001.h5"]
    (tmp_path / "larger" / "shard-00001.h5").unlink()
    with pytest.raises(ShardError, match=r"shard-00001\.h5: no such file"):
        ShardStacks(shard_files([tmp_path / "larger"]))


class Ears(torch.utils.data.Dataset[int]):
    """Whether the process that asks for an item is deaf to Ctrl-C."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        return int(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_loaders_start_processes_that_leave_ctrl_c_to_the_run(start_method: str) -> None:
    loader: Any = Loader(Ears(), num_workers=1, multiprocessing_context=start_method)
    assert [int(item) for item in loader] == [1]
    assert Ears()[0] == 0
