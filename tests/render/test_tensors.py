"""The renderer as tensor operations: the same light as the compiled code, on the CPU and, where there is one, a GPU."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from focalsim import render_stack  # noqa: E402
from focalsim.camera import LateralColor  # noqa: E402
from focalsim.errors import RenderError  # noqa: E402

LENS = {"focal_length_m": 4.4e-3, "f_number": 1.7, "sensor_width_m": 5.6e-3, "focus_distances_m": [1.0, 0.4, 0.2]}


def frame():
    rng = np.random.default_rng(1)
    rgb = np.kron(rng.random((12, 16, 3)), np.ones((4, 4, 1))).astype(np.float32)
    depth = np.linspace(0.8, 0.5, 64, dtype=np.float32)[None].repeat(48, 0).copy()
    depth[12:30, 20:34] = 0.15
    return rgb, depth


def psnr(a, b):
    return -10 * np.log10(np.mean((np.asarray(a, float) - b) ** 2))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
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
    assert np.abs(want - np.roll(want, 1, axis=0)).max() > 0.05  # the slices do differ


def test_tensors_in_tensors_out():
    rgb, depth = frame()
    hidden = {"hidden_rgb_linear": rgb[:, ::-1].copy(), "hidden_depth_m": depth + 0.3}
    want = render_stack(rgb, depth, **LENS, **hidden)
    tensors = {name: torch.from_numpy(a) for name, a in hidden.items()}
    got = render_stack(torch.from_numpy(rgb), torch.from_numpy(depth), **LENS, **tensors)
    assert isinstance(got, torch.Tensor)
    assert psnr(got.numpy(), want) > 100.0


def test_a_blur_too_large_for_tensors_is_refused_with_its_size():
    rgb, depth = frame()
    with pytest.raises(RenderError, match=r"18 pixels at most, here it is \d+"):
        render_stack(rgb, depth, **{**LENS, "f_number": 0.05}, device="cpu")
