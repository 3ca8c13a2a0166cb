"""Gradients of tensors through render_stack: against differences, and as a user takes them, to find depth and light."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from focalsim import render_stack  # noqa: E402
from focalsim.camera import Aperture, blur_gain_px_m, sensor_distance_m  # noqa: E402

LENS = {"focal_length_m": 4.4e-3, "f_number": 1.7, "sensor_width_m": 5.6e-3, "focus_distances_m": [1.0, 0.4, 0.2]}
DEVICES = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])


def frame(edge=False):
    rng = np.random.default_rng(1)
    rgb = np.kron(rng.random((10, 14, 3)), np.ones((3, 3, 1))).astype(np.float32)
    depth = np.linspace(0.5, 0.3, 42, dtype=np.float32)[None].repeat(30, 0).copy()
    if edge:
        depth[8:22, 12:26] = 0.15
    return torch.from_numpy(rgb), torch.from_numpy(depth)


def weighted_sum(rgb, depth, weights, **options):
    return (weights * render_stack(rgb, depth, **LENS, **options)).sum()


def weights(seed=2):
    """Smooth over the picture, so that noise of single pixels does not decide."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.kron(rng.normal(size=(3, 5, 7, 3)), np.ones((1, 6, 6, 1))).astype(np.float32))


@DEVICES
@pytest.mark.parametrize(("edge", "tolerance"), [(False, 1e-3), (True, 0.05)])
def test_the_image_s_gradient_foretells_the_change(device, edge, tolerance):
    """Without depth edges slices are linear in the image; with them the un-mixing is not, but nearly so."""
    rgb, depth = (a.to(device) for a in frame(edge))
    w = weights().to(device)
    change = 0.02 * torch.rand(rgb.shape, generator=torch.Generator().manual_seed(0)).to(device)
    leaf = rgb.clone().requires_grad_()
    before = weighted_sum(leaf, depth, w, magnification="thin-lens")
    (gradient,) = torch.autograd.grad(before, leaf)
    after = weighted_sum(rgb + change, depth, w, magnification="thin-lens")
    assert float((gradient * change).sum()) == pytest.approx(float(after - before.detach()), rel=tolerance)


@DEVICES
@pytest.mark.parametrize("aperture", [None, Aperture(blades=5)])
def test_the_depth_s_gradient_foretells_the_change(device, aperture):
    """Kernels go by steps of 1/16 px. Between blurs that are whole steps apart differences are what a slope must be."""
    rgb = frame()[0].to(device)
    lens = {name: LENS[name] for name in ("focal_length_m", "f_number", "sensor_width_m")}
    gain = float(blur_gain_px_m(4.4e-3, 1.7, sensor_distance_m(4.4e-3, 1.0), 42, 5.6e-3))
    focus = gain / (gain + np.array([0, 24]) / 16)  # the first at 1 m
    steps = torch.arange(42).expand(30, 42) // 2 + 7
    q = (gain + steps / 16).to(device)

    def total(q):
        stack = render_stack(rgb, gain / q, **lens, focus_distances_m=focus, aperture=aperture)
        return stack.square().sum()  # sharp slices have more

    leaf = q.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(total(leaf), leaf)
    for seed in range(2):
        some = (torch.rand(q.shape, generator=torch.Generator().manual_seed(seed)) < 0.3).to(device)
        difference = total(q + some / 16) - total(q - some / 16)
        assert float((gradient * some).sum()) == pytest.approx(float(difference) * 8, rel=0.03)
        assert abs(float(difference)) > 0.01


def test_the_depth_of_an_object_is_found_by_descent():
    rgb, background = frame()
    inside = torch.zeros(30, 42, dtype=torch.bool)
    inside[8:22, 12:26] = True
    target = render_stack(rgb, torch.where(inside, 0.2, background), **LENS)
    dioptres = torch.tensor(4.0, requires_grad=True)
    descent = torch.optim.Adam([dioptres], lr=0.25)
    for _ in range(10):
        descent.zero_grad()
        stack = render_stack(rgb, torch.where(inside, 1 / dioptres, background), **LENS)
        (stack - target).square().mean().backward()
        descent.step()
    assert 1 / dioptres.item() == pytest.approx(0.2, rel=0.1)


def test_gradients_change_no_value_and_are_not_made_unasked():
    rgb, depth = frame(edge=True)
    plain = render_stack(rgb, depth, **LENS)
    leaf = rgb.clone().requires_grad_()
    followed = render_stack(leaf, depth.clone().requires_grad_(), **LENS)
    assert not plain.requires_grad
    assert followed.requires_grad
    torch.testing.assert_close(followed.detach(), plain, rtol=0, atol=1e-6)
    with torch.no_grad():
        assert not render_stack(leaf, depth, **LENS).requires_grad
