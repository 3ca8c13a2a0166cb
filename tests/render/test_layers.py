"""How much of an edge pixel is the nearer surface's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from focalsim.render import render_stack
from focalsim.render import unmix as module
from focalsim.render.layers import split_layers
from focalsim.render.unmix import COVERAGE_STD, edge_coverage

FINE = 32  # a pixel is so many of the fine picture's, which has no row or column at a pixel's centre


def straight_edges(count, rng):
    """(labels of 3 x 3 pixel centres (count, 9), share of the middle pixel (count,)) of random half planes."""
    angle, offset = rng.uniform(0, 2 * np.pi, count), rng.uniform(-2, 2, count)
    x, y = (axis.ravel() for axis in np.meshgrid([-1, 0, 1], [-1, 0, 1]))
    labels = x * np.cos(angle)[:, None] + y * np.sin(angle)[:, None] < offset[:, None]
    place = (np.arange(FINE) + 0.5) / FINE - 0.5
    x, y = (axis.ravel() for axis in np.meshgrid(place, place))
    share = (x * np.cos(angle)[:, None] + y * np.sin(angle)[:, None] < offset[:, None]).mean(axis=1)
    return labels, share


def test_coverage_of_straight_edges_is_off_by_as_much_as_is_said():
    labels, share = straight_edges(20000, np.random.default_rng(5))
    expected = edge_coverage()[labels @ (1 << np.arange(9))]
    seen = labels.any(axis=1) & ~labels.all(axis=1)
    error = (expected - share)[seen]
    assert np.sqrt(np.mean(error**2)) == pytest.approx(COVERAGE_STD, rel=0.05)
    assert abs(error.mean()) < 0.003
    np.testing.assert_allclose(edge_coverage() + edge_coverage()[::-1], 1.0, atol=2e-3)  # near and far change places


def test_thin_things_keep_their_share():
    bar = sum(1 << bit for bit in (1, 4, 7))
    assert edge_coverage()[bar] == pytest.approx(0.75)
    assert edge_coverage()[1 << 4] == pytest.approx(0.5625)  # a speck


@pytest.mark.parametrize("angle_deg", [0.0, 20.0, 45.0, 70.0])
def test_an_edge_before_a_flat_wall_gets_its_true_coverage(angle_deg):
    """Colours tell what depth does not: 0.8 before 0.2."""
    side = 24
    y, x = (np.mgrid[: side * FINE, : side * FINE] + 0.5) / FINE - side / 2
    near = x * np.cos(np.radians(angle_deg)) + y * np.sin(np.radians(angle_deg)) < 0.3
    share = near.reshape(side, FINE, side, FINE).mean(axis=(1, 3))
    rgb = np.repeat((0.2 + 0.6 * share)[..., None], 3, axis=2).astype(np.float32)
    q = np.where(near[FINE // 2 :: FINE, FINE // 2 :: FINE], 6.0, 1.0).astype(np.float32)
    layers = split_layers(rgb, q)
    mixed = (layers.back_coverage > 0) & (layers.front_coverage < 1)
    assert mixed[4:-4, 4:-4].sum() > 8
    # Next to pixels that are mixed themselves the two colours are known to a few hundredths.
    np.testing.assert_allclose(
        layers.front_coverage[4:-4, 4:-4],
        np.where(layers.front_coverage[4:-4, 4:-4] < 1, share[4:-4, 4:-4], 1.0),
        atol=0.06,
    )


def test_mixed_neighbours_tell_more_once_it_is_known_what_they_are_made_of(monkeypatch):
    """Surfaces striped across a slanted edge: the pure pixels of a stripe are farther than mixed ones."""
    side = 48
    rng = np.random.default_rng(2)
    y, x = (np.mgrid[: side * FINE, : side * FINE] + 0.5) / FINE
    near = x < 20 + 0.12 * y
    front, back = (np.repeat(rng.random((side, 3)), FINE, axis=0)[:, None] for _ in range(2))
    rgb = np.where(near[..., None], front, back).reshape(side, FINE, side, FINE, 3).mean(axis=(1, 3)).astype(np.float32)
    q = np.where(near[FINE // 2 :: FINE, FINE // 2 :: FINE], 6.0, 1.0).astype(np.float32)
    truth = np.broadcast_to(front[::FINE], rgb.shape)

    def error():
        layers = split_layers(rgb, q)
        mixed = (layers.back_coverage > 0) & (layers.front_coverage > 0.05) & (layers.front_coverage < 1)
        assert mixed.sum() > 60
        wrong = (layers.front_rgb - truth) * layers.front_coverage[..., None]
        return np.sqrt(np.mean(wrong[mixed] ** 2))

    twice = error()
    take_over, rounds = module._take_over, []

    def only_once(*arguments):
        rounds.append(arguments)
        if len(rounds) == 1:
            take_over(*arguments)

    monkeypatch.setattr(module, "_take_over", only_once)
    once = error()
    assert len(rounds) == 2
    assert twice < 0.95 * once


@pytest.mark.parametrize("width", [7, 17, 21, 32, 50])
def test_where_a_pixel_stands_in_its_row_does_not_show(width):
    """Sixteen columns are worked on at a time, and those at the borders apart."""
    rng = np.random.default_rng(5)
    q = np.pad(rng.choice([1.0, 4.0, 6.0], (6, width - 6)), 3, constant_values=2.0).astype(np.float32)
    rgb = rng.random((*q.shape, 3)).astype(np.float32)
    hidden = rng.random(rgb.shape).astype(np.float32), np.where(rng.random(q.shape) < 0.3, 0.5, np.nan)
    frame = rgb, q, hidden[0], hidden[1].astype(np.float32)
    whole = split_layers(*frame)
    assert np.mean(whole.front_coverage < 1) > 0.1
    for left, right in ((3, 8), (13, 1)):
        wider = split_layers(*(np.pad(a, [(0, 0), (left, right), (0, 0)][: a.ndim], "edge") for a in frame))
        for name in ("front_rgb", "front_coverage", "front_disparity_px"):
            np.testing.assert_array_equal(getattr(wider, name)[:, left:-right], getattr(whole, name), name)


def test_known_hidden_surfaces_that_no_ray_reaches_are_left_out(monkeypatch):
    """All that is left out is what would not be seen: of a sloping thing before a wall, the light stays the same."""
    rng = np.random.default_rng(3)
    height, width = 96, 128
    y, x = np.mgrid[:height, :width]
    thing = (abs(y - 45) < 30) & (abs(x - 60) < 45)
    depth = np.where(thing, 1 / (6 + 3 * x / width), 0.8).astype(np.float32)
    rgb, hidden = rng.random((2, height, width, 3)).astype(np.float32)
    lens = {"focal_length_m": 4.4e-3, "f_number": 1.7, "sensor_width_m": 5.6e-3, "focus_distances_m": [1.0, 0.3, 0.12]}
    wall = np.full_like(depth, 0.8)

    def kept():
        return split_layers(rgb, 2 / depth, hidden, 2 / wall).back_coverage > 0

    def stack():
        return render_stack(rgb, depth, hidden_rgb_linear=hidden, hidden_depth_m=wall, **lens)

    near, light = kept(), stack()
    assert not near[35:55, 45:75].any()
    assert near[thing & ~binary_erosion(thing, iterations=6)].all()
    monkeypatch.setattr("focalsim.render.layers._BESIDE_EDGE_PX", np.inf)
    assert kept()[thing].all()
    assert -10 * np.log10(np.mean((stack() - light) ** 2) + 1e-20) > 60.0
