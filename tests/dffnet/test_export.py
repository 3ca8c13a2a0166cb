"""The ONNX file gives what torch gives, at sizes other than that it was traced with."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from dffnet.checkpoint import load_checkpoint, save_checkpoint
from dffnet.cli import main
from dffnet.config import TrainConfig
from dffnet.engine import export as module
from dffnet.engine.export import INPUTS, OUTPUTS, InMetres, export_onnx
from dffnet.errors import CheckpointError, ExportError
from dffnet.models import build_model

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

SIZES = [(1, 1, 33, 47), (2, 5, 64, 64), (1, 10, 96, 50)]  # batch, slices, height, width
OPTIONS = {"dff-wild": {"channels": 2}, "dff-wild-e2e": {"channels": 2, "alignment_channels": 2}}


def make_checkpoint(path: Path, name: str, unit: str) -> Path:
    """A checkpoint whose batch norms have seen data."""
    torch.manual_seed(0)
    options = OPTIONS.get(name, {})
    model = build_model(name, options).train()
    with torch.no_grad():
        model(torch.rand(2, 3, 3, 64, 64), torch.tensor([1.0, 2.0, 3.0]).expand(2, 3))
    save_checkpoint(path, model, TrainConfig(model=name, model_options=options, unit=unit))
    return path


@pytest.mark.parametrize(
    ("name", "unit"),
    [("dff-wild", "dioptres"), ("dff-wild", "metres"), ("dff-wild-e2e", "dioptres"), ("dfv", "dioptres"),
     ("aif-depth-net", "dioptres")],
)  # fmt: skip
def test_torch_and_onnxruntime_agree_on_three_sizes(tmp_path: Path, name: str, unit: str) -> None:
    checkpoint = make_checkpoint(tmp_path / "model.pt", name, unit)
    session = onnxruntime.InferenceSession(export_onnx(checkpoint), providers=["CPUExecutionProvider"])
    assert tuple(i.name for i in session.get_inputs()) == INPUTS
    assert tuple(o.name for o in session.get_outputs()) == OUTPUTS
    model = InMetres(load_checkpoint(checkpoint).model, unit)
    for batch, slices, height, width in SIZES:
        stack = torch.rand(batch, slices, 3, height, width)
        distance = (1.0 / torch.linspace(1.0, 10.0, slices)).expand(batch, slices)
        with torch.no_grad():
            expected = model(stack, distance)
        found = session.run(None, {"stack": stack.numpy(), "focus_distance_m": distance.numpy()})
        for value, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(value, other.numpy(), atol=1e-4, rtol=0)
        assert 0.1 - 1e-4 <= found[0].min() <= found[0].max() <= 1.0 + 1e-4


def test_the_command_writes_a_file_that_runs(tmp_path: Path) -> None:
    checkpoint, out = make_checkpoint(tmp_path / "model.pt", "dff-wild", "dioptres"), tmp_path / "new/model.onnx"
    result = CliRunner().invoke(main, ["export", str(checkpoint), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}\n"
    assert re.fullmatch(rf"1 network written: [\d.]+ s, [\d.]+ MB in {re.escape(str(out))}\n", result.stderr)
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    distance = np.array([[1.0, 0.2]], np.float32)
    depth, *_ = session.run(None, {"stack": np.zeros((1, 2, 3, 40, 40), np.float32), "focus_distance_m": distance})
    assert depth.shape == (1, 40, 40)
    again = CliRunner().invoke(main, ["export", str(checkpoint), "--out", str(out)])
    assert again.exit_code == 1
    assert "use --overwrite" in again.stderr
    assert "is a folder" in CliRunner().invoke(main, ["export", str(checkpoint), "--out", str(tmp_path)]).stderr


def test_what_cannot_be_exported_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        export_onnx(tmp_path / "nothing.pt")
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ExportError, match=r"pip install 'focalsim\[onnx\]'"):
        export_onnx(tmp_path / "nothing.pt")
