"""Alignment by metadata, re-derived: a picture drawn in each slice's own geometry comes back to the reference's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dffnet.data.alignment import align_stack, thin_lens_magnification
from focalsim.camera import sensor_distance_m

H, W = 60, 81


def scene(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A smooth picture, as a function of coordinates in the reference slice."""
    return 0.5 + 0.2 * np.sin(x / 5.0 + 0.3) + 0.2 * np.cos(y / 7.0 - 0.1 * x / 5.0)


def test_a_smooth_scene_comes_back() -> None:
    magnification = np.array([0.94, 0.97, 1.0, 1.03])
    shift = np.array([[1.3, -0.7], [-2.1, 0.4], [0.0, 0.0], [0.5, 2.5]])
    y, x = np.mgrid[0:H, 0:W].astype(float)
    cx, cy = (W - 1) / 2, (H - 1) / 2
    # Slice n shows at x_n what the reference shows at x_ref, with x_n = c + M (x_ref - c) + t.
    slices = [
        scene((x - cx - t[0]) / m + cx, (y - cy - t[1]) / m + cy) for m, t in zip(magnification, shift, strict=True)
    ]
    images = torch.from_numpy(np.stack(slices)).float()[:, None].expand(-1, 3, -1, -1)
    aligned = align_stack(images, torch.from_numpy(magnification).float(), torch.from_numpy(shift).float())
    inner = aligned[:, :, 6:-6, 6:-6].numpy() - scene(x, y)[6:-6, 6:-6]
    assert np.abs(inner).max() < 5e-4  # cubic interpolation of periods of 30 px and more
    unaligned = images[0, 0].numpy() - scene(x, y)
    assert np.abs(unaligned).max() > 0.05


def test_no_breathing_is_the_identity() -> None:
    images = torch.rand(2, 3, 17, 23)
    torch.testing.assert_close(align_stack(images, torch.ones(2), torch.zeros(2, 2)), images)


def test_whole_pixels_shift_and_borders_repeat() -> None:
    images = torch.rand(1, 3, 8, 9)
    aligned = align_stack(images, torch.ones(1), torch.tensor([[2.0, 0.0]]))
    torch.testing.assert_close(aligned[..., :7], images[..., 2:])
    torch.testing.assert_close(aligned[..., 8], images[..., 8])


def test_sums_and_matrices_are_the_same_warp() -> None:
    """Where a gradient is asked for, matrices take the sums; far outside too, and where images stand by pixels."""
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.random((6, 20, 37, 3), np.float32)).permute(0, 3, 1, 2)
    magnification = torch.tensor([0.7, 0.95, 1.0, 1.0, 1.3, 40.0])
    shift = torch.from_numpy(rng.normal(0, 3, (6, 2)).astype(np.float32))
    shift[2], shift[3] = torch.tensor([500.0, -1e6]), torch.tensor([-1.5, 0.5])
    want = align_stack(images, magnification.clone().requires_grad_(), shift).detach()
    torch.testing.assert_close(align_stack(images, magnification, shift), want, rtol=0, atol=2e-6)
    # A network may find nonsense; its picture is no number either way.
    assert align_stack(images[:1], torch.tensor([torch.nan]), shift[:1]).isnan().all()


def test_thin_lens_magnification_is_that_of_the_camera_model() -> None:
    s, f = torch.tensor([float("inf"), 1.0, 0.3, 0.1]), 0.0068
    v = np.array([f, *sensor_distance_m(f, s[1:].numpy())])
    np.testing.assert_allclose(thin_lens_magnification(s, f), v / v[-1], rtol=1e-6)
    assert (thin_lens_magnification(s, f).diff() > 0).all()  # closer focus, larger image


@pytest.mark.parametrize("focal_length", [0.1, 0.5, 0.0, -1.0])
def test_impossible_focal_lengths_are_refused(focal_length: float) -> None:
    with pytest.raises(ValueError, match="focal length must be positive and smaller"):
        thin_lens_magnification(torch.tensor([1.0, 0.1]), focal_length)
