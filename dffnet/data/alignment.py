"""Bring the slices of a stack into the geometry of its reference slice, and measure how well that went."""

from __future__ import annotations

import torch
from torch import Tensor


def align_stack(images: Tensor, magnification: Tensor, shift_px: Tensor) -> Tensor:
    """Undo breathing and shift: every slice as seen in the geometry of the reference slice.

    A point x of the reference slice lies in slice n at  c + M_n (x - c) + t_n,  c = ((W-1)/2, (H-1)/2).

    images         (N, 3, H, W) in [0, 1]
    magnification  (N,) M, relative to the reference slice
    shift_px       (N, 2) t, +x right, +y down

    Returns (N, 3, H, W) in [0, 1], differentiable in all three. Cubic (Keys 1981, a = -0.5), because linear
    interpolation blurs and blur is the cue; what lies outside a slice takes its nearest border pixel.
    """
    height, width = images.shape[-2:]
    # Scale and shift leave the axes apart.
    rows, columns = _taps(height, magnification, shift_px[:, 1]), _taps(width, magnification, shift_px[:, 0])
    wants_gradient = any(t.requires_grad for t in (images, magnification, shift_px))
    if images.device.type == "cpu" and images.dtype == torch.float32 and not wants_gradient:
        return _sums(images, rows, columns)
    # One matrix per slice and axis does the whole warp.
    down, along = _matrices(height, *rows), _matrices(width, *columns)
    with torch.autocast(images.device.type, enabled=False):  # half precision would be 8 bits and less of an image
        warped = down[:, None] @ images @ along[:, None].transpose(-1, -2)
    return warped.clamp(0.0, 1.0)


def misalignment_px(magnification: Tensor, shift_px: Tensor, size: tuple[int, int]) -> Tensor:
    """Root mean square over an H x W image of the displacement  M x + t,  x from the centre: pixels.

    magnification (...,) error of M, shift_px (..., 2) error of t -> (...,), with a gradient at 0 too.
    """
    height, width = size
    mean_square_px2 = (height**2 + width**2 - 2) / 12  # of x over the pixels
    return (magnification.square() * mean_square_px2 + shift_px.square().sum(dim=-1) + 1e-12).sqrt()


def displacements_px(magnification: Tensor, shift_px: Tensor, size: tuple[int, int]) -> Tensor:
    """Length of  M x + t  at every pixel x of an H x W image: (N,), (N, 2) -> (N, H, W)."""
    height, width = size
    dx = magnification[:, None] * (torch.arange(width) - (width - 1) / 2) + shift_px[:, :1]
    dy = magnification[:, None] * (torch.arange(height) - (height - 1) / 2) + shift_px[:, 1:]
    return torch.hypot(dx[:, None, :], dy[:, :, None])


def thin_lens_magnification(focus_distance_m: Tensor, focal_length_m: float) -> Tensor:
    """Image scale (N,) of each slice relative to the nearest one, v_n / v_near with 1/v = 1/f - 1/s.

    ``focus_distance_m`` (N,), infinity allowed; raises ValueError unless all exceed the focal length.

    >>> thin_lens_magnification(torch.tensor([float("inf"), 0.2, 0.1]), 0.004)
    tensor([0.9600, 0.9796, 1.0000])
    """
    if not bool((focus_distance_m > focal_length_m).all()) or not focal_length_m > 0:
        raise ValueError(
            "the focal length must be positive and smaller than every focus distance, got "
            f"{focal_length_m:g} and {float(focus_distance_m.min()):g}"
        )
    inverse_v = 1.0 / focal_length_m - 1.0 / focus_distance_m.double()
    return (inverse_v.min() / inverse_v).float()


def _taps(size: int, magnification: Tensor, shift_px: Tensor) -> tuple[Tensor, Tensor]:
    """Of samples of one axis of each slice at c + M (x - c) + t for x = 0 .. size - 1: the first of four pixels that
    each is made of (N, size), whole numbers that may lie outside, and their weights (N, size, 4).
    """
    centre = (size - 1) / 2
    pixels = torch.arange(size, device=magnification.device)
    at = centre + magnification[:, None] * (pixels - centre) + shift_px[:, None]
    at = at.clamp(-2.0, size + 1.0)  # what lies farther out is made of the same border pixel
    first = at.detach().nan_to_num().floor() - 1  # of NaN the weights are NaN too
    return first.long(), _keys((at - first)[..., None] - torch.arange(4, device=at.device))


def _matrices(size: int, first: Tensor, weights: Tensor) -> Tensor:
    """Matrices (N, size, size) that take these weighted sums along an axis."""
    nearest = (first[..., None] + torch.arange(4, device=first.device)).clamp(0, size - 1)
    matrix = torch.zeros(*first.shape, size, device=first.device, dtype=weights.dtype)
    return matrix.scatter_add(2, nearest, weights)


def _sums(images: Tensor, rows: tuple[Tensor, Tensor], columns: tuple[Tensor, Tensor]) -> Tensor:
    """The same sums without the matrices, nearly all of whose entries are 0: a tenth of the time on a CPU."""
    from focalsim.separable import Taps, combine, lane_taps  # compiled code

    aligned = torch.empty(images.shape)
    for n, image in enumerate(images):
        down, along = (Taps(first[n].numpy(), weights[n].float().numpy()) for first, weights in (rows, columns))
        pixels = image.permute(1, 2, 0).numpy()
        aligned[n] = torch.from_numpy(combine(pixels, down, lane_taps(along, pixels.shape[2]))).permute(2, 0, 1)
    return aligned.clamp_(0.0, 1.0)


def _keys(x: Tensor) -> Tensor:
    """The cubic convolution kernel with a = -0.5, for |x| <= 2."""
    d = x.abs()
    return torch.where(d <= 1, (1.5 * d - 2.5) * d * d + 1.0, ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0)
