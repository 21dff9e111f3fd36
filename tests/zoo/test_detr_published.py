"""A published DETR is loaded into the spec of the zoo by a rule, and written back, in both forms that there are.

Its backbone has the names of transformers, as in the revision `no_timm`, or those of timm, which are torchvision's.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import compiler
import runtime
from compiler import Artifact
from tests.zoo.detr_entries import small
from tests.zoo.parity import ROOT, draw
from tests.zoo.references import MissingReference, torchvision

ZOO = ROOT / "specs/zoo"
RULE = """
  - /:
      checkpoint: published
      rename:
        backbone.conv_encoder: backbone
        out_proj: o_proj
        fc{1,2}: mlp.fc{1,2}
"""
TIMM = """
        backbone.model.{conv1,bn1}: backbone.model.embedder.embedder.{convolution,normalization}
        layer{1,2}: encoder.stages.{0,1}.layers
        downsample.{0,1}: shortcut.{convolution,normalization}
        conv{1,2,3}: layer.{0,1,2}.convolution
        bn{1,2,3}: layer.{0,1,2}.normalization
"""
RULES = {"no_timm": RULE, "timm": RULE.rstrip("\n") + TIMM}


def compiled(form: str) -> Artifact:
    imports = {f"blocks/{path.name}": path.read_text() for path in ZOO.glob("blocks/*.yaml")}
    text = (ZOO / "detr.yaml").read_text() + RULES[form]
    return compiler.compile_text(text, preset="tiny", imports=imports)


def name_of_timm(name: str) -> str:
    short = {"convolution": "conv", "normalization": "bn"}
    name = re.sub(r"embedder\.embedder\.(\w+)", lambda m: f"{short[m[1]]}1", name)
    name = re.sub(r"encoder\.stages\.(\d)\.layers", lambda m: f"layer{int(m[1]) + 1}", name)
    name = re.sub(r"layer\.(\d)\.(\w+)", lambda m: f"{short[m[2]]}{int(m[1]) + 1}", name)
    return name.replace("shortcut.convolution", "downsample.0").replace(
        "shortcut.normalization", "downsample.1"
    )


@pytest.fixture(scope="module")
def reference() -> nn.Module:
    return draw(small()).eval()


@pytest.fixture(params=RULES)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def published(form: str, reference: nn.Module, tmp_path: Path) -> dict[str, Tensor]:
    """Write the file as transformers does, which gives its tensors the published names."""
    file = tmp_path / "published/model.safetensors"
    reference.save_pretrained(file.parent)  # type: ignore[operator]
    found = load_file(file)
    if form == "timm":
        found = {name_of_timm(name): tensor for name, tensor in found.items()}
        save_file(found, file, {"format": "pt"})
    return found


def test_it_is_loaded_and_written_back(
    form: str, published: dict[str, Tensor], reference: nn.Module, tmp_path: Path
) -> None:
    model = runtime.build(compiled(form), folder=tmp_path, device="cpu")
    ours, theirs = model.state_dict(), reference.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)

    runtime.save_like(model, tmp_path / "back", tmp_path / "published")
    back = load_file(tmp_path / "back/model.safetensors")
    assert back.keys() == published.keys()
    assert all(torch.equal(back[name], published[name]) for name in published)


@pytest.mark.parametrize("form", ["timm"], indirect=True)
def test_the_names_of_timm_are_those_of_torchvision(published: dict[str, Tensor]) -> None:
    try:
        with torch.device("meta"):
            names = set(torchvision().models.resnet50().state_dict())
    except MissingReference as missing:
        pytest.skip(str(missing))
    prefix = "model.backbone.conv_encoder.model."
    seen = {name.removeprefix(prefix) for name in published if name.startswith(prefix)}
    assert seen
    assert seen <= names
