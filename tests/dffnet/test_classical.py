"""Depth from focus without learning: its measures, its peak, its filter, and that it beats a constant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dffnet.checkpoint import load_model
from dffnet.data.shards import ShardStacks
from dffnet.engine.evaluate import evaluate
from dffnet.engine.predictor import Predictor
from dffnet.errors import CheckpointError
from dffnet.models import build_model, check_trainable
from dffnet.models.classical import focus_measure, modified_laplacian, parabola_peak, ring_difference
from dffnet.models.guided_filter import box_mean, guided_filter
from focalsim.errors import ConfigError

MakeShard = Callable[..., Path]


def test_the_peak_of_a_parabola_is_exact_at_any_spacing() -> None:
    positions = torch.tensor([[0.0, 1.0, 1.5, 4.0, 6.0]])
    for peak in (0.8, 1.3, 2.5, 4.6):
        values = 3.0 - 0.7 * (positions - peak).square()
        found = parabola_peak(values[:, :, None, None], positions)
        assert found.item() == pytest.approx(peak, abs=1e-4)
        assert parabola_peak(values.flip(1)[:, :, None, None], positions.flip(1)).item() == pytest.approx(
            peak, abs=1e-4
        )


@pytest.mark.parametrize(("values", "expected"), [([3, 2, 1], 0.0), ([1, 2, 3], 2.0), ([1, 5], 1.0), ([4], 0.0)])
def test_ends_and_short_stacks_take_the_best_slice(values: list[float], expected: float) -> None:
    positions = torch.arange(float(len(values)))[None]
    assert parabola_peak(torch.tensor(values)[None, :, None, None].float(), positions).item() == expected


def test_measures_by_hand() -> None:
    flat = torch.full((1, 1, 9, 9), 0.5)
    assert modified_laplacian(flat).abs().max() == 0
    assert ring_difference(flat).abs().max() < 1e-6
    point = flat.clone()
    point[..., 4, 4] = 1.5
    assert modified_laplacian(point)[0, 0, 4, 2:7].tolist() == [0.0, 1.0, 4.0, 1.0, 0.0]
    assert ring_difference(point)[0, 0, 4, 4].item() == pytest.approx(1 / 9)  # the disc has 9 pixels
    ring = ring_difference(point)[0, 0, 4, 7].item()  # 3 px away the point is on the ring, of 16 pixels
    assert ring == pytest.approx(1 / 16)
    assert torch.isfinite(focus_measure(flat)).all()


def test_sharper_means_a_larger_measure_everywhere() -> None:
    sharp = torch.rand(1, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    blurred = box_mean(sharp, 1)
    measure = focus_measure(torch.cat([sharp, blurred, box_mean(blurred, 2)], dim=1))
    assert (measure[:, 0] > measure[:, 1]).float().mean() > 0.99
    assert (measure[:, 1].mean() > measure[:, 2].mean()).item()


def test_box_mean_is_the_mean_of_the_window_cut_at_the_border() -> None:
    x = torch.rand(1, 2, 9, 11)
    smooth = box_mean(x, 2)
    torch.testing.assert_close(smooth[0, 1, 4, 5], x[0, 1, 2:7, 3:8].mean())
    torch.testing.assert_close(smooth[0, 0, 0, 10], x[0, 0, :3, 8:].mean())


def test_the_guided_filter_smooths_noise_and_keeps_edges_of_the_guide() -> None:
    generator = torch.Generator().manual_seed(1)
    guide = torch.zeros(1, 1, 32, 32)
    guide[..., 16:] = 1.0
    noisy = guide + 0.1 * torch.randn(1, 1, 32, 32, generator=generator)
    kept = guided_filter(guide, noisy, 4, 1e-3)
    assert (kept - guide).abs().max() < 0.1
    assert (kept - guide).std() < 0.3 * 0.1
    assert (guided_filter(torch.zeros_like(guide), guide, 4, 1e-3) - guide).abs().max() > 0.3  # no edge to follow
    torch.testing.assert_close(guided_filter(noisy, torch.full_like(guide, 7.0), 4, 1e-3), torch.full_like(guide, 7.0))
    wrong, trust = noisy.clone(), torch.ones_like(guide)
    wrong[..., 10, 10], trust[..., 10, 10] = 100.0, 1e-6
    torch.testing.assert_close(guided_filter(guide, wrong, 4, 1e-3, trust), kept, atol=2e-2, rtol=0)


def test_it_finds_depth_between_slices_and_is_sharp(make_shard: MakeShard) -> None:
    stacks = ShardStacks([make_shard(n=3, slices=10, height=64, width=96)])
    evaluation = evaluate(Predictor(Path("classical")), stacks)
    mae, guess = (side["dioptres"]["per_image"]["mae"] for side in (evaluation.model, evaluation.mean_depth))
    assert mae < 0.5  # slices are 1 dioptre apart
    assert mae < guess / 3
    stack = stacks[0]
    with torch.no_grad():
        output = build_model("classical")(stack.images[None], stack.focus_positions[None])
    errors = (stack.images - stack.all_in_focus).abs().mean(dim=(1, 2, 3))
    assert (output.all_in_focus()[0] - stack.all_in_focus).abs().mean() < 0.2 * errors.mean()


@pytest.mark.parametrize("slices", [1, 2, 3])
def test_stacks_without_texture_or_with_few_slices_are_defined(slices: int) -> None:
    positions = torch.linspace(2.0, 4.0, slices)[None]
    output = build_model("classical")(torch.full((1, slices, 3, 17, 20), 0.3), positions)
    assert output.depth.shape == (1, 17, 20)
    assert ((output.depth >= 2.0) & (output.depth <= 4.0)).all()
    assert ((output.confidence >= 0) & (output.confidence <= 1)).all()


def test_names_stand_for_models_that_need_no_training_alone() -> None:
    assert load_model(Path("classical")).config.model == "classical"
    with pytest.raises(CheckpointError, match="dff-wild: is a network: train it first"):
        load_model(Path("dff-wild"))
    with pytest.raises(CheckpointError, match="no such file"):
        load_model(Path("nothing"))
    with pytest.raises(ConfigError, match="'classical' has nothing to learn"):
        check_trainable("classical", align="metadata", loss="multi-scale-mse")
    with pytest.raises(ConfigError, match="must be positive"):
        build_model("classical", {"radius": 0})
