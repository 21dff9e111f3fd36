"""Files of wav2vec 2.0 as they are published, in which the weight norm has the names of older versions of torch."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

import compiler
import runtime
from compiler import Artifact
from tests.zoo.parity import ROOT, differences, draw
from tests.zoo.parity_tests import SINGLE, assert_within
from tests.zoo.transformers_entries import ENTRIES

ENTRY = next(entry for entry in ENTRIES if entry.spec == "wav2vec2")
ZOO = ROOT / "specs/zoo"
RULE = """
  - /:
      checkpoint: published.safetensors
      rename: {"conv.weight_{g,v}": "conv.parametrizations.weight.original{0,1}"}
parametrize:"""


def artifact_in(folder: Path) -> Artifact:
    """Return the spec of the zoo with a rule that reads the file."""
    text = (ZOO / "wav2vec2.yaml").read_text()
    shutil.copytree(ZOO / "blocks", folder / "blocks")
    (folder / "wav2vec2.yaml").write_text(text.replace("\nparametrize:", RULE))
    return compiler.compile(folder / "wav2vec2.yaml", preset="tiny")


def published(name: str) -> str:
    return re.sub(r"parametrizations\.weight\.original([01])", lambda m: f"weight_{'gv'[int(m[1])]}", name)


def test_a_published_file_is_read(tmp_path: Path) -> None:
    reference = draw(ENTRY.small()).eval()
    tensors = {published(name): tensor for name, tensor in reference.state_dict().items()}
    assert {"wav2vec2.masked_spec_embed", "wav2vec2.encoder.pos_conv_embed.conv.weight_g"} < tensors.keys()
    save_file(tensors, tmp_path / "published.safetensors")
    model = runtime.build(artifact_in(tmp_path), device="cpu").eval()
    assert_within(differences(model, reference, ENTRY, torch.float32), SINGLE)
