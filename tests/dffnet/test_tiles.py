"""Large images in tiles: covered everywhere, no seams, the same as whole where the tile saw all that matters."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from dffnet.checkpoint import save_checkpoint
from dffnet.config import TrainConfig
from dffnet.engine.predictor import Predictor
from dffnet.models import build_model, tiles


@pytest.mark.parametrize("length", [256, 288, 512, 544, 1024, 3008])
@pytest.mark.parametrize("side", [256, 512])
def test_tiles_cover_the_image_on_the_grid_and_overlap(length: int, side: int) -> None:
    places = tiles.starts(length, side)
    assert places[0] == 0
    assert max(places[-1] + side, length) == max(side, length)
    assert all(place % 32 == 0 for place in places)
    assert all(0 < b - a <= side - tiles.OVERLAP_PX + tiles.MULTIPLE // 2 for a, b in itertools.pairwise(places))


def test_what_looks_at_neighbours_alone_comes_out_as_whole() -> None:
    """A convolution over fewer pixels than the overlap, whose zero padding a tile's rim must not show."""
    torch.manual_seed(0)
    conv = torch.nn.Conv3d(3, 1, (3, 9, 9), padding=(1, 4, 4))
    volume = torch.randn(1, 3, 4, 608, 320)

    def logits(x: torch.Tensor) -> list[torch.Tensor]:
        assert max(x.shape[-2:]) <= 256
        return [conv(x).squeeze(1)]

    with torch.no_grad():
        joined, whole = tiles.join(logits, volume, 256), conv(volume).squeeze(1)
    torch.testing.assert_close(joined, whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["dff-wild", "dff-wild-e2e"])
def test_a_prediction_in_tiles_is_that_of_the_whole(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    options = {"channels": 1}
    model = build_model(name, options)
    stack, positions = torch.rand(4, 3, 480, 320), torch.tensor([1.0, 2.0, 3.0, 4.0])
    save_checkpoint(tmp_path / "model.pt", model, TrainConfig(model=name, model_options=options, align="none"))
    whole, tiled = (Predictor(tmp_path / "model.pt", tile_px=tile)(stack, positions) for tile in (None, 256))
    difference = abs(1 / whole.depth_m - 1 / tiled.depth_m)
    assert 0 < difference.max() < 0.3  # of 3 dioptres: a tile does not see all that the whole image shows
    assert difference.mean() < 0.01
    assert whole.depth_m.shape == tiled.depth_m.shape == (480, 320)
    # No seam: the step between neighbouring pixels is as it was, also across the rims of tiles.
    for axis, size in ((0, 480), (1, 320)):
        steps = abs(torch.from_numpy(1 / tiled.depth_m - 1 / whole.depth_m).diff(dim=axis)).mean(dim=1 - axis)
        assert len(steps) == size - 1
        assert steps.max() < 0.02
