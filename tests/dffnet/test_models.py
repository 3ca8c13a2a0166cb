"""The depth network: its size, any N, H and W, one normalisation, and that every parameter learns."""

from __future__ import annotations

import pytest
import torch

from dffnet.models import MODELS, build_model
from dffnet.models.dff_wild import DffWild
from dffnet.models.interface import confidence, focus_weights, pad_to_multiple, regress_depth
from focalsim.errors import ConfigError

# The released network has 4 038 832 parameters, of which 22 240 are never used.
PARAMETERS = 4_038_832 - 22_240


@pytest.fixture(scope="module")
def model() -> DffWild:
    torch.manual_seed(0)
    return DffWild()


def stack_of(n: int, height: int, width: int, batch: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(n)
    positions = torch.linspace(1.0, 10.0, n).expand(batch, n)
    return torch.rand(batch, n, 3, height, width, generator=generator), positions


def test_it_has_the_published_number_of_parameters(model: DffWild) -> None:
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS
    coarse = sum(p.numel() for p in model.aggregation.parameters())
    assert coarse / PARAMETERS == pytest.approx(0.72, abs=0.01)


@pytest.mark.parametrize(("n", "height", "width"), [(1, 64, 33), (2, 33, 47), (5, 64, 32), (7, 17, 96)])
def test_any_number_of_slices_and_any_size(model: DffWild, n: int, height: int, width: int) -> None:
    stack, positions = stack_of(n, height, width)
    output = model.train()(stack, positions)
    assert [d.shape for d in output.depths] == [(1, height, width)] * 4
    assert output.confidence.shape == (1, height, width)
    for depth in output.depths:  # a convex combination of the focus positions
        assert (depth >= positions.min() - 1e-4).all()
        assert (depth <= positions.max() + 1e-4).all()


def test_eval_gives_the_last_depth_alone(model: DffWild) -> None:
    stack, positions = stack_of(3, 32, 32)
    with torch.no_grad():
        output = model.eval()(stack, positions)
    assert len(output.depths) == 1
    assert output.depth is output.depths[0]
    assert 0 <= output.confidence.min() <= output.confidence.max() <= 1


def test_padding_is_replication_and_is_cropped_again(model: DffWild) -> None:
    stack, positions = stack_of(3, 37, 50)
    padded = pad_to_multiple(stack.transpose(1, 2), 32).transpose(1, 2)
    assert padded.shape[-2:] == (64, 64)
    assert torch.equal(padded[..., 37:, :50], stack[..., 36:37, :].expand(-1, -1, -1, 27, -1))
    assert torch.equal(padded[..., :37, 50:], stack[..., :, 49:].expand(-1, -1, -1, -1, 14))
    with torch.no_grad():
        small, large = model.eval()(stack, positions), model.eval()(padded, positions)
    torch.testing.assert_close(small.depth, large.depth[:, :37, :50])


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    fresh = DffWild().train()
    stack, positions = stack_of(3, 64, 64)
    output = fresh(stack, positions)
    torch.stack([(d - 3.0).square().mean() for d in output.depths]).sum().backward()
    without = [n for n, p in fresh.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_fresh_logits_are_small_but_not_nothing() -> None:
    torch.manual_seed(0)
    stack, _ = stack_of(5, 64, 64)
    fresh = DffWild().train()
    for logits in fresh.logits(stack.transpose(1, 2) * 2 - 1):
        assert 0.5 < logits.std() < 4.0
        assert (logits < -4.0).float().mean() < 0.1  # softplus' dead side


def test_unit_of_the_focus_positions_is_the_unit_of_the_depth(model: DffWild) -> None:
    stack, positions = stack_of(4, 32, 32)
    with torch.no_grad():
        one, scaled = model.eval()(stack, positions), model.eval()(stack, 1000 * positions)
    torch.testing.assert_close(scaled.depth, 1000 * one.depth)
    torch.testing.assert_close(scaled.confidence, one.confidence, atol=1e-5, rtol=0)


def test_weights_are_softplus_shares_even_where_softplus_underflows() -> None:
    logits = torch.tensor([-200.0, -200.0, -200.0, 0.0]).reshape(1, 4, 1, 1)
    weights = focus_weights(logits[:, :3])
    torch.testing.assert_close(weights, torch.full((1, 3, 1, 1), 1 / 3))
    assert focus_weights(logits.half()).dtype == torch.float32
    k = torch.tensor([0.3, -1.0, 2.0, 0.5])
    expected = torch.log1p(k.exp()) / torch.log1p(k.exp()).sum()
    torch.testing.assert_close(focus_weights(k.reshape(1, 4, 1, 1)).flatten(), expected, atol=1e-5, rtol=0)


def test_confidence_falls_with_the_spread_of_the_weights() -> None:
    positions = torch.tensor([[0.0, 1.0, 2.0]])
    cases = {(0, 1, 0): 1.0, (0.5, 0.5, 0): 0.5, (0.5, 0, 0.5): 0.0}
    for weights, expected in cases.items():
        w = torch.tensor(weights, dtype=torch.float32).reshape(1, 3, 1, 1)
        assert confidence(w, positions).item() == pytest.approx(expected, abs=1e-6)
    assert regress_depth(torch.tensor([0.5, 0.0, 0.5]).reshape(1, 3, 1, 1), positions).item() == 1.0


def test_bad_shapes_and_names_are_refused(model: DffWild) -> None:
    stack, positions = stack_of(3, 32, 32)
    with pytest.raises(ValueError, match=r"\(B, N, 3, H, W\), got \(1, 3, 3, 32\)"):
        model(stack[..., 0], positions)
    with pytest.raises(ValueError, match=r"focus_positions must have shape \(1, 3\), got \(1, 2\)"):
        model(stack, positions[:, :2])
    with pytest.raises(ConfigError, match="unknown model 'nonsense'"):
        build_model("nonsense")
    with pytest.raises(ConfigError, match="cannot be built"):
        build_model("dff-wild", {"depth": 3})
    with pytest.raises(ConfigError, match="at least 1"):
        build_model("dff-wild", {"channels": 0})


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_keeps_the_interface(name: str) -> None:
    stack, positions = stack_of(3, 33, 40, batch=2)
    with torch.no_grad():
        output = build_model(name).eval()(stack, positions)
    assert output.depth.shape == output.confidence.shape == (2, 33, 40)
    assert output.depth.dtype == torch.float32


@pytest.mark.parametrize("name", sorted(MODELS))
def test_mixed_precision_keeps_images_depth_and_loss_in_float32(name: str) -> None:
    torch.manual_seed(0)
    stack, positions = stack_of(3, 64, 64, batch=2)
    model = build_model(name).eval()
    with torch.no_grad():
        exact = model(stack, positions)
        with torch.autocast("cpu", torch.bfloat16):
            output = model(stack, positions)
            image = output.all_in_focus()
    assert output.depth.dtype == output.confidence.dtype == output.stack.dtype == image.dtype == torch.float32
    # The image is an average of slices that were not rounded to 8 bits of mantissa.
    weights = output.logits[-1].float().softmax(dim=1)[:, :, None]
    torch.testing.assert_close(image, (weights * output.stack).sum(dim=1), atol=1e-6, rtol=0)
    assert (output.depth - exact.depth).abs().mean() < 0.5
    assert (output.stack - exact.stack).abs().mean() < 5e-3
