"""The network, its fast inference and its training step against the literal implementation of benchmarks/."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

from dffnet.models.dff_wild import DffWild
from dffnet.models.fold import fold_batch_norm
from dffnet.models.onednn import use_onednn

TOLERANCE = 1e-4  # of depth; focus positions are 1 apart


@pytest.fixture(scope="module")
def literal() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks/literal.py"
    spec = importlib.util.spec_from_file_location("literal", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 4, 3, 64, 96, generator=generator), torch.arange(1.0, 5.0).expand(2, 4)


def test_training_gives_the_same_depths_gradients_and_statistics(
    literal: ModuleType, inputs: tuple[torch.Tensor, torch.Tensor]
) -> None:
    torch.manual_seed(0)
    ours, theirs = DffWild().train(), DffWild().train()
    with torch.no_grad():
        for head in (ours.head_1[-1], *ours.heads):
            head.weight *= 0.1  # or float32's rounding, which fresh heads amplify, would be 1e-4 in either network
    theirs.load_state_dict(ours.state_dict())
    depths = ours(*inputs).depths
    expected = literal.Literal(theirs.state_dict(keep_vars=True), training=True)(*inputs)
    for depth, other in zip(depths, expected, strict=True):
        torch.testing.assert_close(depth, other, atol=TOLERANCE, rtol=0)
    for maps in (depths, expected):
        torch.stack([(d - 2.0).square().mean() for d in maps]).sum().backward()
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert p.grad is not None
        assert q.grad is not None
        # In float32 a value near the kink of a ReLU may fall on either side; a wrong gradient differs by its own size.
        assert float((p.grad - q.grad).norm() / q.grad.norm()) < 2e-2, name
    for (name, p), q in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        if "running" in name:
            torch.testing.assert_close(p, q, atol=1e-5, rtol=1e-4, msg=name)


def test_inference_gives_the_same_depth(literal: ModuleType, inputs: tuple[torch.Tensor, torch.Tensor]) -> None:
    torch.manual_seed(0)
    model = DffWild().train()
    with torch.no_grad():
        model(*inputs)  # batch norm has seen something
        model.eval()
        fast = fold_batch_norm(model)
        use_onednn(fast)
        for batch in (1, 2):
            stack, positions = (x[:batch] for x in inputs)
            expected = literal.Literal(model.state_dict(), training=False)(stack, positions)[-1]
            for ours in (model, fast):
                torch.testing.assert_close(ours(stack, positions).depth, expected, atol=TOLERANCE, rtol=0)
