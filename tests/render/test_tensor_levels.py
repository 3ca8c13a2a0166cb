"""Large blur of tensors, at coarser levels: the light of the compiled code, and its gradients."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from focalsim import render_stack  # noqa: E402
from focalsim.camera import blur_gain_px_m, sensor_distance_m  # noqa: E402
from focalsim.render.kernels import lens_basis  # noqa: E402
from focalsim.render.tensors.kernels import disc_kernels  # noqa: E402
from focalsim.render.tensors.plain.scatter import _disc, _Spread  # noqa: E402

DEVICES = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
FOCUS_M = [1.0, 0.4, 0.2]


def lens(disc_px, width):
    """A lens whose disc of a point at 0.15 m, focused at 1 m, is so large in a picture so wide."""
    per_aperture = blur_gain_px_m(4.4e-3, 1.0, sensor_distance_m(4.4e-3, 1.0), width, 5.6e-3) * (1 / 0.15 - 1)
    return {"focal_length_m": 4.4e-3, "f_number": per_aperture / disc_px, "sensor_width_m": 5.6e-3}


def frame(height, width, noise=0.0, seed=1):
    rng = np.random.default_rng(seed)
    rgb = np.kron(rng.random((-(-height // 4), -(-width // 4), 3)), np.ones((4, 4, 1)))[:height, :width]
    depth = np.linspace(0.8, 0.5, width)[None].repeat(height, 0)
    depth[height // 4 : height * 5 // 8, width // 3 : width // 2] = 0.15
    depth[2:5, width // 2 :: 3] = 0.25  # thin things: three surfaces meet within four pixels
    depth[3:6, width // 2 :: 4] = 0.4
    depth *= np.exp(noise * rng.normal(size=depth.shape))
    return rgb.astype(np.float32), depth.astype(np.float32)


def psnr(a, b):
    return -10 * np.log10(np.mean((np.asarray(a, float) - b) ** 2) + 1e-30)


@DEVICES
@pytest.mark.parametrize(
    ("height", "width", "disc_px", "noise"),
    [(48, 64, 22, 0.0), (47, 61, 60, 0.0), (45, 62, 60, 0.1), (133, 200, 60, 0.02), (33, 40, 170, 0.3)],
)
def test_large_blur_gives_the_light_of_the_compiled_code(device, height, width, disc_px, noise):
    rgb, depth = frame(height, width, noise)
    camera = {**lens(disc_px, width), "focus_distances_m": FOCUS_M, "magnification": "thin-lens"}
    want = render_stack(rgb, depth, **camera)
    got = render_stack(rgb, depth, **camera, device=device)
    assert psnr(got, want) > 100.0
    assert np.abs(want[0] - want[2]).max() > 0.2  # the slices do differ


@DEVICES
def test_scenes_of_a_batch_have_levels_of_their_own(device):
    frames = [frame(48, 64, seed=n) for n in range(3)]
    rgb, depth = (np.stack(arrays) for arrays in zip(*frames, strict=True))
    cameras = [{**lens(disc_px, 64), "focus_distances_m": FOCUS_M} for disc_px in (15, 60, 20)]
    batch = {name: np.array([camera[name] for camera in cameras]) for name in cameras[0]}
    stacks = render_stack(rgb, depth, **batch, device=device)
    for n, camera in enumerate(cameras):
        assert psnr(stacks[n], render_stack(rgb[n], depth[n], **camera)) > 100.0
        assert psnr(stacks[n], render_stack(rgb[n], depth[n], **camera, device=device)) > 130.0


def test_known_hidden_surfaces_at_coarser_levels():
    rgb, depth = frame(48, 64)
    hidden = {"hidden_rgb_linear": rgb[:, ::-1].copy(), "hidden_depth_m": depth + 0.3}
    camera = {**lens(40, 64), "focus_distances_m": FOCUS_M}
    want = render_stack(rgb, depth, **camera, **hidden)
    assert psnr(render_stack(rgb, depth, **camera, **hidden, device="cpu"), want) > 100.0
    assert np.abs(want - render_stack(rgb, depth, **camera)).max() > 0.05


@DEVICES
def test_the_image_s_gradient_foretells_the_change(device):
    """Without depth edges slices are linear in the image, at every level."""
    rgb = torch.from_numpy(frame(40, 56)[0]).to(device)
    depth = 1 / torch.linspace(4.0, 5.0, 56, device=device).expand(40, 56)
    camera = {**lens(50, 56), "focus_distances_m": [1.0, 0.4, 0.22]}
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(3, 5, 7, 3, generator=generator).to(device)
    weights = weights.repeat_interleave(8, 1).repeat_interleave(8, 2)
    change = torch.rand(rgb.shape, generator=generator).to(device)
    leaf = rgb.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((weights * render_stack(leaf, depth, **camera)).sum(), leaf)
    difference = (weights * (render_stack(rgb + change, depth, **camera) - render_stack(rgb, depth, **camera))).sum()
    assert float((gradient * change).sum()) == pytest.approx(float(difference), rel=1e-2)


@DEVICES
def test_the_depth_of_a_far_defocused_object_is_found_by_descent(device):
    rgb = torch.from_numpy(frame(40, 56)[0]).to(device)
    inside = torch.zeros(40, 56, dtype=torch.bool, device=device)
    inside[8:30, 12:40] = True
    camera = {**lens(60, 56), "focus_distances_m": [1.0, 0.2]}
    target = render_stack(rgb, torch.where(inside, 0.2, 0.9), **camera)
    dioptres = torch.tensor(4.0, requires_grad=True)
    descent = torch.optim.Adam([dioptres], lr=0.25)
    for _ in range(10):
        descent.zero_grad()
        stack = render_stack(rgb, torch.where(inside, 1 / dioptres.to(device), 0.9), **camera)
        (stack - target).square().mean().backward()
        descent.step()
    assert 1 / dioptres.item() == pytest.approx(0.2, rel=0.1)


@DEVICES
def test_the_depth_s_gradient_at_a_coarser_level_foretells_the_change(device):
    """At the second level kernels go by steps of 1/8 px of the picture, and a step of four pixels is one of theirs."""
    rgb = torch.from_numpy(frame(40, 56)[0]).to(device)
    camera = lens(30, 56)
    gain = float(blur_gain_px_m(4.4e-3, camera["f_number"], sensor_distance_m(4.4e-3, 1.0), 56, 5.6e-3))
    q = (gain + 20 + torch.arange(56).expand(40, 56) // 2 / 8).to(device)

    def total(q):
        return render_stack(rgb, gain / q, **camera, focus_distances_m=[1.0]).square().sum()

    leaf = q.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(total(leaf), leaf)
    some = (torch.rand(20, 28, generator=torch.Generator().manual_seed(0)) < 0.3).to(device)
    some = some.repeat_interleave(2, 0).repeat_interleave(2, 1)
    difference = float(total(q + some / 8) - total(q - some / 8))
    assert float((gradient * some).sum()) == pytest.approx(4 * difference, rel=0.05)
    assert abs(difference) > 0.01


def test_gradients_of_discs_larger_than_any_kernel_are_their_differences():
    kernels = disc_kernels(torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    light, weights = torch.rand(4, 25, 25, generator=generator), torch.randn(1, 4, 3, 3, generator=generator)
    basic, share = torch.ones(6, 25, 25), 0.5 + 0.5 * torch.rand(1, 25, 25, generator=generator)
    steep = 0.2 * torch.randn(6, 25, 25, generator=generator) + 0.5 * torch.eye(6, 1)[:, :, None]
    sight = torch.cat([basic, steep, share])
    place = torch.full((1, 25, 25), 2 * len(kernels.radii))  # nothing is spread but
    place[0, 11, 5:9] += 1

    def total(light, blur_px):
        return (weights * _Spread.apply(light, blur_px, sight, place, kernels, 0, 11)).sum()

    leaves = [a.requires_grad_() for a in (light, 19.3 + torch.rand(1, 25, 25, generator=generator))]
    gradients = torch.autograd.grad(total(*leaves), leaves)
    with torch.no_grad():
        for n, step in ((0, 0.1), (1, 0.01)):
            change = step * torch.rand(leaves[n].shape, generator=generator)
            ahead, behind = (total(*(a + sign * change * (n == k) for k, a in enumerate(leaves))) for sign in (1, -1))
            assert float((gradients[n] * change).sum()) == pytest.approx(float(ahead - behind) / 2, rel=0.02)
            assert gradients[n].count_nonzero() == (16, 4)[n]


def test_a_disc_larger_than_any_kernel_is_the_next_of_the_largest():
    """What the compiled code spreads so stays where its neighbours' smaller blur keeps it: the weights go on."""
    kernels = disc_kernels(torch.device("cpu"))
    steep, share = torch.tensor([0.5, 0.3, -0.2, 0.1, 0.2, -0.1]), 0.6
    sight = torch.cat([torch.ones(6), steep, torch.tensor([share])])[:, None, None]
    for dy, dx in ((0, 0), (3, -5), (-7, 2)):
        seen = float(torch.from_numpy(lens_basis(np.array([dx, dy]) / 9)).float() @ steep) / share
        disc = _disc(torch.tensor([dy]), torch.tensor([dx]), torch.tensor([[18.0]]), sight)
        kernel = kernels.tap(dy, dx)[0, -1] * seen
        assert float(disc) == pytest.approx(float(kernel), rel=0.05)
