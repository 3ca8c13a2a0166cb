"""The alignment network: its closed form, any N, H and W, gradients, and that it learns true shifts and scales."""

from __future__ import annotations

import pytest
import torch

from dffnet.data.alignment import align_stack, displacements_px, misalignment_px
from dffnet.data.batch import Batch
from dffnet.losses import LOSSES
from dffnet.models import build_model, check_trainable
from dffnet.models.alignment import AlignmentNet, fit_similarity, pixel_places
from dffnet.models.ecc import register
from focalsim.errors import ConfigError


def moved_stack(slices: int, size: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One smooth picture seen by ``slices`` slices of different scale and shift; the last is the reference."""
    generator = torch.Generator().manual_seed(seed)
    picture = torch.nn.functional.interpolate(
        torch.rand(1, 3, size // 2, size // 2, generator=generator), size=(size, size), mode="bicubic"
    ).clamp(0, 1)
    magnification = 1 + 0.06 * (torch.rand(slices, generator=generator) - 0.5)
    shift = 3 * (torch.rand(slices, 2, generator=generator) - 0.5)
    magnification[-1], shift[-1] = 1.0, 0.0
    # What align_stack undoes is a warp by M, t; a warp by its inverse makes the slices.
    stack = align_stack(picture.expand(slices, -1, -1, -1), 1 / magnification, -shift / magnification[:, None])
    return stack, magnification, shift


def test_a_similarity_is_found_exactly_from_its_displacements() -> None:
    places = pixel_places((9, 12), (36, 48), torch.device("cpu"))
    assert places[0, 0].tolist() == pytest.approx([-22.0, -16.0])  # a pixel of this level is 4 x 4 of the image
    scale, shift = torch.tensor([0.02, -0.01]), torch.tensor([[1.0, -2.0], [0.5, 0.0]])
    votes = scale[:, None, None, None] * places + shift[:, None, None]
    votes[:, 0, :3] = 77.0  # outside: no vote
    inside = torch.ones(2, 9, 12, dtype=torch.bool)
    inside[:, 0, :3] = False
    found_scale, found_shift = fit_similarity(places, votes, torch.rand(2, 9, 12), inside)
    torch.testing.assert_close(found_scale, scale, atol=2e-4, rtol=0)
    torch.testing.assert_close(found_shift, shift, atol=2e-2, rtol=0)
    nothing = fit_similarity(places, votes, torch.zeros(2, 9, 12), torch.zeros_like(inside))
    assert all(torch.isfinite(x).all() for x in nothing)


def test_misalignment_is_the_root_mean_square_displacement() -> None:
    scale, shift = torch.tensor([0.03, 0.0]), torch.tensor([[1.0, -2.0], [3.0, 4.0]])
    lengths = displacements_px(scale, shift, (20, 31))
    torch.testing.assert_close(misalignment_px(scale, shift, (20, 31)), lengths.square().mean(dim=(1, 2)).sqrt())
    assert lengths[1].unique().item() == pytest.approx(5.0)
    assert lengths[0, 0, 0].item() == pytest.approx(((1 - 0.03 * 15) ** 2 + (-2 - 0.03 * 9.5) ** 2) ** 0.5)


def test_the_warp_has_the_gradient_of_its_geometry() -> None:
    image, m, t = moved_stack(2, 24, 0)
    image, m, t = image.double()[:1], m.double()[:1].requires_grad_(), t.double()[:1].requires_grad_()
    assert torch.autograd.gradcheck(lambda m, t: align_stack(image, m, t).clamp(0.05, 0.95).sum(), (m, t), eps=1e-7)


@pytest.mark.parametrize(("slices", "height", "width"), [(1, 20, 33), (2, 33, 20), (5, 16, 16), (3, 2, 3)])
def test_any_number_of_slices_and_any_size(slices: int, height: int, width: int) -> None:
    torch.manual_seed(0)
    stack = torch.rand(2, slices, 3, height, width)
    found = AlignmentNet(4)(stack)
    assert found.magnification.shape == (2, slices)
    assert found.shift_px.shape == (2, slices, 2)
    assert (found.magnification[:, -1] == 1).all()
    assert (found.shift_px[:, -1] == 0).all()
    assert (found.magnification - 1).abs().max() < 0.02  # fresh: near the identity
    assert found.shift_px.abs().max() < 0.2


def test_stacks_of_a_batch_do_not_mix() -> None:
    torch.manual_seed(0)
    net, stack = AlignmentNet(4), torch.rand(3, 4, 3, 24, 24)
    together, alone = net(stack), net(stack[1:2])
    torch.testing.assert_close(together.shift_px[1:2], alone.shift_px, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(together.magnification[1:2], alone.magnification, atol=1e-6, rtol=0)


def batch_of(stacks: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]) -> Batch:
    images, magnification, shift = (torch.stack(field) for field in zip(*stacks, strict=True))
    b, n, _, h, w = images.shape
    return Batch(
        images=images,
        focus_positions=torch.linspace(1.0, 5.0, n).expand(b, n),
        target=torch.full((b, h, w), 3.0),
        valid=torch.ones(b, h, w, dtype=torch.bool),
        all_in_focus=images[:, -1],
        magnification=magnification,
        shift_px=shift,
    )


def test_it_learns_to_align() -> None:
    torch.manual_seed(0)
    batch = batch_of([moved_stack(3, 40, seed) for seed in range(4)])
    net = AlignmentNet()
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    losses = []
    for _ in range(60):
        found = net(batch.images)
        error = found.magnification - batch.magnification, found.shift_px - batch.shift_px
        loss = misalignment_px(*error, (40, 40))[:, :-1].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] > 0.8
    assert losses[-1] < 0.5 * losses[0], losses


def test_registration_without_learning_finds_scale_and_shift() -> None:
    for seed in range(3):
        images, magnification, shift = moved_stack(4, 64, seed)
        found, moved = register(images)
        error = misalignment_px(found - magnification, moved - shift, (64, 64))
        before = misalignment_px(1 - magnification, -shift, (64, 64))
        assert error[-1] < 1e-5  # the reference
        assert error[:-1].max() < 0.25
        assert before[:-1].max() > 1.0


def test_slices_that_cannot_be_registered_are_left_where_they_are() -> None:
    flat = torch.full((3, 3, 40, 40), 0.5)
    noise = torch.rand(3, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    for images in (flat, noise, noise[:1]):
        magnification, shift = register(images)
        assert torch.isfinite(shift).all()
        assert (magnification - 1).abs().max() < 0.5
    assert (register(flat)[0] == 1).all()


def test_the_alignment_loss_is_zero_for_the_truth_and_needs_an_aligner() -> None:
    torch.manual_seed(0)
    batch = batch_of([moved_stack(3, 64, seed) for seed in range(2)])
    output = build_model("dff-wild-e2e", {"channels": 2}).train()(batch.images, batch.focus_positions)
    assert output.alignment is not None
    found = batch._replace(magnification=output.alignment.magnification, shift_px=output.alignment.shift_px)
    assert LOSSES["alignment"](output, found).item() < 1e-5
    off = found._replace(shift_px=found.shift_px + torch.tensor([3.0, 4.0]))
    assert LOSSES["alignment"](output, off).item() == pytest.approx(5.0)
    plain = build_model("dff-wild", {"channels": 2})(batch.images, batch.focus_positions)
    with pytest.raises(ConfigError, match="needs a model that aligns"):
        LOSSES["multi-scale-mse+alignment"](plain, batch)


def test_depth_alone_teaches_the_alignment_too() -> None:
    torch.manual_seed(0)
    batch = batch_of([moved_stack(3, 64, seed) for seed in range(2)])
    model = build_model("dff-wild-e2e", {"channels": 2}).train()
    LOSSES["multi-scale-mse"](model(batch.images, batch.focus_positions), batch).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_what_cannot_be_trained_is_refused_before_it_starts() -> None:
    with pytest.raises(ConfigError, match="train it with --align none or --align thin-lens"):
        check_trainable("dff-wild-e2e", align="metadata", loss="alignment")
    with pytest.raises(ConfigError, match="needs a model that aligns, such as 'dff-wild-e2e', not 'dff-wild'"):
        check_trainable("dff-wild", align="none", loss="multi-scale-mse+alignment")
    check_trainable("dff-wild-e2e", align="thin-lens", loss="multi-scale-mse+alignment")
    check_trainable("dff-wild", align="metadata", loss="multi-scale-mse+all-in-focus")
