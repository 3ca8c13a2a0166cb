"""Smoothed depth edges become the steps that they were; everything else in a depth map stays what it is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from focalsim import render_stack
from focalsim.render.edges import with_steps

GAIN_PX_M = 3.0  # 30 pixels of blur at 0.1 m


def depth_of(disparity_px):
    return (GAIN_PX_M / disparity_px).astype(np.float32)


def disc_before_wall(size=64, near_px=14.0, far_px=4.0):
    y, x = (np.mgrid[:size, :size] + 0.5) * (64 / size)
    return np.where(np.hypot(y - 30.8, x - 33.6) < 17, near_px, far_px).astype(np.float32)


STEPS = disc_before_wall()


def resized(disparity, size, interpolation):
    return cv2.resize(disparity, (size, size), interpolation=interpolation)


@pytest.mark.parametrize(
    "smoothed",
    [
        pytest.param(cv2.GaussianBlur(STEPS, (0, 0), 1.0), id="blurred by 1 px"),
        pytest.param(cv2.GaussianBlur(STEPS, (0, 0), 2.0), id="blurred by 2 px"),
        pytest.param(resized(disc_before_wall(256), 64, cv2.INTER_AREA), id="averaged over pixels"),
        pytest.param(resized(resized(STEPS, 16, cv2.INTER_AREA), 64, cv2.INTER_LINEAR), id="enlarged four times"),
    ],
)
def test_a_smoothed_edge_becomes_a_step(smoothed):
    def between(disparity):
        return np.count_nonzero((disparity > 5) & (disparity < 13))

    stepped = GAIN_PX_M / with_steps(depth_of(smoothed), GAIN_PX_M)
    assert between(smoothed) > 80
    assert between(stepped) < 0.02 * between(smoothed)
    assert np.abs(stepped - STEPS).mean() < 0.4 * np.abs(smoothed - STEPS).mean()


def ball(y, x):
    """Of 20 px radius, by a lens a tenth as wide as it is away."""
    height = np.sqrt(np.maximum(400 - (y - 30) ** 2 - (x - 33) ** 2, 0))
    return np.where(height > 0, 8 + 0.1 * height, 4)


Y, X = np.mgrid[:64, :64]


@pytest.mark.parametrize(
    "disparity",
    [
        pytest.param(STEPS, id="steps"),
        pytest.param(4 + 0.15 * X + 0.05 * Y, id="a slope"),
        pytest.param(ball(Y, X), id="a ball"),
        pytest.param(np.where(X == 50, 9, np.where(X < 50, STEPS, 14)), id="a line between two surfaces"),
        pytest.param(STEPS * (1 + 0.01 * np.random.default_rng(0).standard_normal(STEPS.shape)), id="noise"),
    ],
)
def test_what_was_sampled_at_points_stays(disparity):
    depth = depth_of(disparity)
    assert with_steps(depth, GAIN_PX_M) is depth


def test_a_long_slope_of_a_smoothed_map_stays():
    """A floor that rises by as much as the steps do, beside them."""
    q = np.concatenate([STEPS, np.repeat(np.linspace(4, 14, 64, dtype=np.float32)[:, None], 64, axis=1)], axis=1)
    smoothed = cv2.GaussianBlur(q, (0, 0), 1.0)
    depth = depth_of(smoothed)
    stepped = with_steps(depth, GAIN_PX_M)
    floor = np.s_[4:-4, 70:]
    assert not np.array_equal(stepped, depth)
    np.testing.assert_array_equal(stepped[floor], depth[floor])


def test_a_smoothed_map_gives_the_picture_of_its_steps(monkeypatch):
    lens = {"focal_length_m": 12e-3, "f_number": 1.7, "sensor_width_m": 2e-3, "focus_distances_m": [1.0, 0.3]}
    rgb = np.random.default_rng(0).random((64, 64, 3), np.float32)
    smoothed = cv2.GaussianBlur(STEPS, (0, 0), 1.0)
    want, got = (render_stack(rgb, depth_of(disparity), **lens) for disparity in (STEPS, smoothed))
    monkeypatch.setattr("focalsim.render.stack.with_steps", lambda depth_m, _: depth_m)
    as_it_is = render_stack(rgb, depth_of(smoothed), **lens)
    assert np.abs(got - want).mean() < 0.3 * np.abs(as_it_is - want).mean()


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_tensors_take_the_same_disparity(device):
    """Smoothed and other maps in one batch, with ties, ramps at the border and all directions."""
    torch = pytest.importorskip("torch")
    from focalsim.render.tensors import edges

    rng = np.random.default_rng(0)
    blocks = np.kron(rng.integers(4, 15, (8, 8)), np.ones((8, 8))).astype(np.float32)
    maps = [STEPS, blocks, *(cv2.GaussianBlur(q, (0, 0), s) for q in (STEPS, blocks) for s in (0.7, 1.0, 2.0))]
    depth = np.stack([depth_of(q) for q in maps])
    want = np.stack([with_steps(d, GAIN_PX_M) for d in depth])
    got = edges.with_steps(torch.from_numpy(GAIN_PX_M / depth).to(device))
    np.testing.assert_array_equal(got.cpu().numpy(), GAIN_PX_M / want)
    assert [np.array_equal(a, b) for a, b in zip(want, depth, strict=True)] == [True] * 2 + [False] * 6


def test_the_gradient_of_a_changed_pixel_goes_to_the_one_whose_disparity_it_takes():
    torch = pytest.importorskip("torch")
    from focalsim.render.tensors import edges

    disparity = torch.tensor([4.0, 4, 4, 8, 14, 14, 14]).repeat(1, 7, 1).requires_grad_()
    stepped = edges.with_steps(disparity)
    assert stepped[0, 3, 3] == 4
    stepped[0, 3].sum().backward()
    assert disparity.grad[0, 3].tolist() == [1, 1, 2, 0, 1, 1, 1]
