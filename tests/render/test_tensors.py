"""The renderer as tensor operations: the same light as the compiled code, on the CPU and, where there is one, a GPU."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from focalsim import render_stack  # noqa: E402
from focalsim.camera import Aperture, LateralColor  # noqa: E402
from focalsim.color import CODE_EDGES, linear_to_srgb  # noqa: E402
from focalsim.errors import RenderError  # noqa: E402
from focalsim.holes import nearest_valid  # noqa: E402
from focalsim.render.tensors import has_triton  # noqa: E402
from focalsim.render.tensors.encode import srgb_codes  # noqa: E402
from focalsim.render.tensors.holes import nearest_valid as filled_holes  # noqa: E402

LENS = {"focal_length_m": 4.4e-3, "f_number": 1.7, "sensor_width_m": 5.6e-3, "focus_distances_m": [1.0, 0.4, 0.2]}

DEVICES = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])


def frame(seed=1):
    rng = np.random.default_rng(seed)
    rgb = np.kron(rng.random((12, 16, 3)), np.ones((4, 4, 1))).astype(np.float32)
    depth = np.linspace(0.8, 0.5, 64, dtype=np.float32)[None].repeat(48, 0).copy()
    depth[12:30, 20:34] = 0.15
    return rgb, depth


def psnr(a, b):
    return -10 * np.log10(np.mean((np.asarray(a, float) - b) ** 2))


@DEVICES
@pytest.mark.parametrize(
    "warp",
    [
        {},
        {"magnification": "thin-lens", "principal_point_px": [(0.3, -0.2), (1.5, 0.0), (-2.0, 0.7)]},
        {"magnification": "thin-lens", "output_size": (32, 24)},
        {"lateral_color": LateralColor(red=1e-3, blue=-2e-3)},
    ],
)
def test_tensors_give_the_light_of_the_compiled_code(device, warp):
    rgb, depth = frame()
    want = render_stack(rgb, depth, **LENS, **warp)
    got = render_stack(rgb, depth, **LENS, **warp, device=device)
    assert isinstance(got, np.ndarray)
    assert got.shape == want.shape
    assert psnr(got, want) > 100.0
    assert np.abs(want - np.roll(want, 1, axis=0)).max() > 0.03  # the slices do differ


def test_tensors_in_tensors_out():
    rgb, depth = frame()
    hidden = {"hidden_rgb_linear": rgb[:, ::-1].copy(), "hidden_depth_m": depth + 0.3}
    want = render_stack(rgb, depth, **LENS, **hidden)
    tensors = {name: torch.from_numpy(a) for name, a in hidden.items()}
    got = render_stack(torch.from_numpy(rgb), torch.from_numpy(depth), **LENS, **tensors)
    assert isinstance(got, torch.Tensor)
    assert psnr(got.numpy(), want) > 100.0


@DEVICES
@pytest.mark.parametrize("f_number", [1.7, 0.3])
def test_a_polygon_gives_the_light_of_the_compiled_code(device, f_number):
    """Of five blades, which half a turn does not map to itself; the smaller number makes discs of 4 px."""
    rgb, depth = frame()
    options = {**LENS, "f_number": f_number, "aperture": Aperture(blades=5, rotation_deg=10.0, curvature=0.2)}
    want = render_stack(rgb, depth, **options)
    stacks = render_stack(np.stack([rgb, rgb]), np.stack([depth, depth]), **options, device=device)
    assert psnr(stacks[0], want) > 100.0
    assert psnr(stacks[1], want) > 100.0
    if f_number < 1:
        assert psnr(want, render_stack(rgb, depth, **{**options, "aperture": None})) < 45.0


@DEVICES
def test_codes_are_those_of_the_compiled_code(device):
    edges = CODE_EDGES.astype(np.float32)
    light = np.concatenate([edges, np.nextafter(edges, 0), np.nextafter(edges, 2), [-1.0, 0.0, 1.0, 7.0]])
    light = np.concatenate([light, np.random.default_rng(0).random(1000)]).astype(np.float32)
    codes = srgb_codes(torch.from_numpy(light).to(device)).cpu().numpy()
    np.testing.assert_array_equal(codes, linear_to_srgb(light))


def test_stacks_are_encoded_where_they_are():
    rgb, depth = (torch.from_numpy(a) for a in frame())
    stack = render_stack(rgb, depth, **LENS, encode=linear_to_srgb)
    assert stack.dtype == torch.uint8
    light = render_stack(rgb, depth, **LENS)
    np.testing.assert_array_equal(stack.numpy(), linear_to_srgb(light.numpy()))
    with pytest.raises(RenderError, match="codes have no gradient"):
        render_stack(rgb.clone().requires_grad_(), depth, **LENS, encode=linear_to_srgb)
    with pytest.raises(RenderError, match=r"focalsim.color.linear_to_srgb, or None"):
        render_stack(rgb, depth, **LENS, encode=lambda light: light)


@DEVICES
def test_a_batch_is_its_scenes_one_by_one(device):
    scenes = [frame(seed) for seed in (1, 2, 3)]
    rgb, depth = (np.stack(arrays) for arrays in zip(*scenes, strict=True))
    camera = {
        "focal_length_m": np.array([4.4e-3, 4.0e-3, 4.4e-3]),
        "f_number": 1.7,
        "sensor_width_m": np.array([5.6e-3, 5.6e-3, 5.0e-3]),
        "focus_distances_m": np.array([[1.0, 0.4], [0.8, 0.2], [0.3, 0.2]]),
        "magnification": np.array([[1.0, 1.02], [1.0, 1.0], [0.99, 1.05]]),
        "principal_point_px": np.random.default_rng(0).normal(size=(3, 2, 2)),
    }
    stacks = render_stack(rgb, depth, **camera, device=device)
    assert stacks.shape == (3, 2, 48, 64, 3)
    for n in range(3):
        own = {name: value if np.ndim(value) == 0 else value[n] for name, value in camera.items()}
        lens = {name: float(own[name]) for name in ("focal_length_m", "f_number", "sensor_width_m")}
        np.testing.assert_array_equal(render_stack(rgb[n], depth[n], **{**own, **lens}, device=device), stacks[n])
        assert psnr(stacks[n], render_stack(rgb[n], depth[n], **{**own, **lens})) > 100.0
    assert np.abs(stacks[0] - stacks[1]).max() > 0.1


@DEVICES
def test_what_has_no_axis_of_scenes_is_all_scenes(device):
    rgb, depth = frame()
    batch = np.stack([rgb, rgb[::-1]]), np.stack([depth, depth[::-1]])
    stacks = render_stack(*batch, **LENS, magnification=[1.0, 1.01, 1.02], device=device)
    want = render_stack(rgb, depth, **LENS, magnification=[1.0, 1.01, 1.02])
    assert psnr(stacks[0], want) > 100.0
    assert psnr(stacks[1], want[:, ::-1]) > 100.0  # no shift: upside down is upside down


@DEVICES
def test_holes_and_known_hidden_surfaces_of_a_batch(device):
    rgb, depth = frame()
    valid = depth > 0
    valid[20:25, 25:30] = False
    hidden = {"hidden_rgb_linear": rgb[:, ::-1].copy(), "hidden_depth_m": depth + 0.3}
    want = render_stack(rgb, depth, **LENS, valid=valid, **hidden)
    twice = {name: np.stack([a, a]) for name, a in {"valid": valid, **hidden}.items()}
    stacks = render_stack(np.stack([rgb, rgb]), np.stack([depth, depth]), **LENS, **twice, device=device)
    assert psnr(stacks[0], want) > 100.0
    assert psnr(stacks[1], want) > 100.0


@DEVICES
def test_holes_take_the_value_that_the_compiled_code_gives_them(device):
    """Where pixels are equally near too: values tell every pixel apart."""
    rng = np.random.default_rng(0)
    for share in (0.01, 0.1, 0.6, 1.0):
        depth = np.arange(3 * 23 * 31, dtype=np.float32).reshape(3, 23, 31)
        valid = rng.random(depth.shape) < share
        valid[:, 11, 7] = True
        got = filled_holes(torch.from_numpy(depth).to(device), torch.from_numpy(valid).to(device)).cpu().numpy()
        for n in range(3):
            np.testing.assert_array_equal(got[n], nearest_valid(depth[n], valid[n]))


def test_the_gradient_of_a_filled_pixel_goes_to_the_one_that_filled_it():
    depth = torch.tensor([[[1.0, torch.nan, torch.nan, 2.0]]] * 2, requires_grad=True)
    filled = filled_holes(depth, torch.isfinite(depth.detach()))
    assert filled.tolist() == [[[1.0, 1.0, 2.0, 2.0]]] * 2
    (filled * torch.tensor([1.0, 10.0, 100.0, 1000.0])).sum().backward()
    assert depth.grad.tolist() == [[[11.0, 0.0, 0.0, 1100.0]]] * 2


def test_arrays_that_pytorch_does_not_share_are_copied():
    rgb, depth = frame()
    mirrored, constant = rgb[:, ::-1], np.broadcast_to(np.float32(0.4), depth.shape)
    want = render_stack(mirrored, constant, **LENS)
    assert psnr(render_stack(mirrored, constant, **LENS, device="cpu"), want) > 100.0


def test_kernels_are_for_devices_and_versions_that_compile_them(monkeypatch):
    triton = pytest.importorskip("triton")
    cuda = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    assert has_triton(cuda)
    assert not has_triton(torch.device("cpu"))
    monkeypatch.setattr(triton, "__version__", "3.3.1")
    assert not has_triton(cuda)
    monkeypatch.setattr(triton, "__version__", "3.10.0")
    assert has_triton(cuda)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    assert not has_triton(cuda)


@pytest.mark.gpu
def test_real_sizes_on_cuda_tensors_in_tensors_out():
    rng = np.random.default_rng(0)
    rgb = rng.random((4, 224, 352, 3)).astype(np.float32) ** 3
    depth = np.linspace(0.9, 0.2, 352, dtype=np.float32) + 0.1 * rng.random((4, 224, 352)).astype(np.float32)
    depth[:, 60:160, 100:250] = 0.13
    lens = {**LENS, "focus_distances_m": 1 / np.linspace(1.0, 10.0, 10), "magnification": "thin-lens"}
    stacks = render_stack(torch.from_numpy(rgb).cuda(), torch.from_numpy(depth).cuda(), **lens)
    assert stacks.is_cuda
    assert stacks.shape == (4, 10, 224, 352, 3)
    for n in range(4):
        assert psnr(stacks[n].cpu().numpy(), render_stack(rgb[n], depth[n], **lens)) > 50.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rgb_linear": np.ones((2, 8, 8, 4), np.float32)}, r"\(H, W, 3\) or \(B, H, W, 3\) float linear light, got"),
        (
            {"depth_m": np.ones((8, 8), np.float32)},
            r"depth_m must be \(2, 8, 8\) float metres as rgb_linear, got \(8, 8\)",
        ),
        ({"focus_distances_m": np.ones((3, 4))}, r"focus_distances_m must be \(S,\) or \(2, S\) metres"),
        ({"focus_distances_m": [[1.0, 0.001], [1.0, 0.5]]}, "greater than the focal length"),
        ({"f_number": [1.7, -1.0]}, r"f_number must be a positive number or \(2,\) of them"),
        ({"magnification": np.ones((2, 2))}, r"magnification must be \(3,\) or \(2, 3\) positive numbers"),
        ({"principal_point_px": np.ones((2, 3))}, r"principal_point_px must be \(3, 2\) or \(2, 3, 2\) finite pixels"),
        ({"rgb_linear": np.full((2, 8, 8, 3), [[[[1.0]]], [[[-1.0]]]])}, r"finite and not negative \(scene 1\)"),
        ({"depth_m": np.full((2, 8, 8), [[[0.0]], [[1.0]]])}, r"positive and finite wherever valid.*\(scene 0\)"),
        ({"valid": np.full((2, 8, 8), [[[True]], [[False]]])}, r"no pixel of depth_m is valid \(scene 1\)"),
        ({"valid": np.ones((2, 8, 8))}, r"valid must be \(2, 8, 8\) bool"),
        ({"hidden_depth_m": np.ones((2, 8, 8), np.float32)}, "give both or none"),
        ({"rgb_linear": np.ones((2, 8, 8, 3), np.uint8)}, "rgb_linear must be an array or tensor of floating-point"),
        ({"device": "nowhere"}, "device must be one of PyTorch"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(change, message):
    arguments = {
        "rgb_linear": np.ones((2, 8, 8, 3), np.float32), "depth_m": np.ones((2, 8, 8), np.float32), "device": "cpu"
    }  # fmt: skip
    with pytest.raises(RenderError, match=message) as caught:
        render_stack(**{**LENS, **arguments, **change})
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has CUDA")
def test_a_missing_device_is_told():
    with pytest.raises(RenderError, match="device cuda: PyTorch finds no CUDA device here"):
        render_stack(*frame(), **LENS, device="cuda")
