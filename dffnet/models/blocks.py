"""Building blocks of 3-D networks on volumes (B, C, N, H, W); N, the focus axis, is never strided."""

from __future__ import annotations

from torch import Tensor, nn

from dffnet.models.batch_norm import BatchNorm3d

Triple = tuple[int, int, int]


def conv_bn(
    in_channels: int,
    out_channels: int,
    kernel: Triple = (3, 3, 3),
    *,
    stride: int = 1,
    dilation: Triple = (1, 1, 1),
) -> nn.Sequential:
    """3-D convolution without bias and batch norm; ``stride`` acts on H and W alone, N keeps its length."""
    return nn.Sequential(_conv(in_channels, out_channels, kernel, stride, dilation), BatchNorm3d(out_channels))


def cbr(
    in_channels: int,
    out_channels: int,
    kernel: Triple = (3, 3, 3),
    *,
    stride: int = 1,
    dilation: Triple = (1, 1, 1),
) -> nn.Sequential:
    """Convolution, batch norm, ReLU ("cbr")."""
    return nn.Sequential(
        *conv_bn(in_channels, out_channels, kernel, stride=stride, dilation=dilation), nn.ReLU(inplace=True)
    )


def strided_conv(in_channels: int, out_channels: int) -> nn.Conv3d:
    """Bare 3x3x3 convolution that halves H and W."""
    return _conv(in_channels, out_channels, (3, 3, 3), 2, (1, 1, 1))


def up_bn(in_channels: int, out_channels: int) -> nn.Sequential:
    """Transposed convolution that doubles H and W, and batch norm."""
    return nn.Sequential(
        nn.ConvTranspose3d(
            in_channels, out_channels, 3, stride=(1, 2, 2), padding=1, output_padding=(0, 1, 1), bias=False
        ),
        BatchNorm3d(out_channels),
    )


def _conv(in_channels: int, out_channels: int, kernel: Triple, stride: int, dilation: Triple) -> nn.Conv3d:
    padding = tuple(d * (k - 1) // 2 for k, d in zip(kernel, dilation, strict=True))
    return nn.Conv3d(
        in_channels,
        out_channels,
        kernel,
        stride=(1, stride, stride),
        padding=padding,  # type: ignore[arg-type]
        dilation=dilation,
        bias=False,
    )


class SharpRegionDetection(nn.Module):
    """SRD: a residual block within each slice, then one along the focus axis, where sharpness peaks.

    (B, C, N, H, W) -> the same shape.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        within = (1, 3, 3)
        self.within_slice = nn.Sequential(*cbr(channels, channels, within), *conv_bn(channels, channels, within))
        self.along_focus = nn.Sequential(
            nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0), bias=False),
            nn.ReLU(inplace=True),
            nn.Conv3d(channels, channels, 1, bias=False),
            nn.ReLU(inplace=True),
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Volume (B, C, N, H, W) -> the same shape."""
        y = self.relu(x + self.within_slice(x))
        out: Tensor = y + self.along_focus(y)
        return out


class EfficientDownsampling(nn.Module):
    """EFD: a strided convolution beside max pooling, which keeps the sharpest response; halves H and W."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.strided = conv_bn(in_channels, out_channels, stride=2)
        self.pooled = nn.Sequential(nn.MaxPool3d((1, 2, 2)), *conv_bn(in_channels, out_channels))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Volume (B, C, N, H, W) -> (B, out_channels, N, H/2, W/2)."""
        out: Tensor = self.relu(self.strided(x) + self.pooled(x))
        return out


class ResidualBlock(nn.Module):
    """Two cbr, then two more convolutions as a residual. (B, C, N, H, W) -> (B, out_channels, N, H, W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.entry = nn.Sequential(cbr(in_channels, out_channels), cbr(out_channels, out_channels))
        self.residual = nn.Sequential(cbr(out_channels, out_channels), conv_bn(out_channels, out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Volume (B, C, N, H, W) -> (B, out_channels, N, H, W)."""
        x = self.entry(x)
        out: Tensor = x + self.residual(x)
        return out
