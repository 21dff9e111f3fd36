"""GPT-2 and BERT of `transformers`: loaded by a rule of a spec, with the same outputs, and written back for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime
from compiler.artifact import Artifact

os.environ.setdefault("HF_HUB_OFFLINE", "1")
transformers = pytest.importorskip("transformers")

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
SIZES = {"gpt2": "30KB", "bert": "10KB"}
"""A shard of a checkpoint in several."""
Folders = dict[tuple[str, str], Path]


def reference(name: str) -> Any:
    """A small model with values drawn anew, biases and norms too: what all are alike tells no mistake."""
    torch.manual_seed(0)
    if name == "gpt2":
        config = transformers.GPT2Config(vocab_size=60, n_positions=16, n_embd=16, n_layer=2, n_head=2)
        model = transformers.GPT2LMHeadModel(config)
    else:
        config = transformers.BertConfig(
            vocab_size=60,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=16,
        )
        model = transformers.BertForMaskedLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model.eval()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Checkpoints as `save_pretrained` writes them, in one file and in several."""
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    made = {}
    for name in SIZES:
        for form, options in (("single", {}), ("sharded", {"max_shard_size": SIZES[name]})):
            folder = tmp_path_factory.mktemp(f"{name}_{form}")
            reference(name).save_pretrained(folder / "checkpoint", **options)
            made[name, form] = folder
    return made


@pytest.fixture(params=[(name, form) for name in SIZES for form in ("single", "sharded")], ids="_".join)
def case(request: pytest.FixtureRequest, folders: Folders) -> tuple[str, Path]:
    return request.param[0], folders[request.param]


def artifact_of(name: str) -> Artifact:
    return compiler.compile(HERE / f"{name}_pretrained.yaml", import_paths=[ROOT / "specs" / "zoo"])


def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(60, (2, 12), generator=generator)
    return tokens, torch.randint(2, (2, 12), generator=generator)


def outputs(name: str, model: nn.Module) -> Tensor:
    tokens, kinds = inputs()
    given = (tokens,) if name == "gpt2" else (tokens, kinds)
    with torch.no_grad():
        return model.eval()(*given)


def expected(name: str, model: Any) -> Tensor:
    tokens, kinds = inputs()
    with torch.no_grad():
        given = {} if name == "gpt2" else {"token_type_ids": kinds}
        return model(tokens, **given).logits


LOADERS: dict[str, Callable[[Path], Any]] = {
    "gpt2": lambda path: transformers.GPT2LMHeadModel.from_pretrained(path),
    "bert": lambda path: transformers.BertForMaskedLM.from_pretrained(path),
}


def test_the_files_are_in_the_form_that_is_meant(folders: Folders) -> None:
    for (_, form), folder in folders.items():
        files = list((folder / "checkpoint").glob("*.safetensors"))
        assert len(files) == 1 if form == "single" else len(files) > 1


def test_outputs_are_the_same(case: tuple[str, Path]) -> None:
    name, folder = case
    model = runtime.build(artifact_of(name), folder=folder, device="cpu")
    torch.testing.assert_close(outputs(name, model), expected(name, reference(name)), rtol=1e-5, atol=1e-5)


def test_it_is_written_back_byte_for_byte(case: tuple[str, Path], tmp_path: Path) -> None:
    name, folder = case
    model = runtime.build(artifact_of(name), folder=folder, device="cpu")
    written = runtime.save_like(model, tmp_path / "back", folder / "checkpoint")
    assert written.kept == 0
    originals = sorted((folder / "checkpoint").iterdir())
    assert [each.name for each in sorted((tmp_path / "back").iterdir())] == [each.name for each in originals]
    assert [Path(each).name for each in written.files] == [each.name for each in originals]
    for original in originals:
        assert (tmp_path / "back" / original.name).read_bytes() == original.read_bytes()


def test_a_changed_model_is_loaded_by_transformers(case: tuple[str, Path], tmp_path: Path) -> None:
    """Saved by Blockprint in between, so that nothing but the spec in the file tells the names."""
    name, folder = case
    model = runtime.build(artifact_of(name), folder=folder, device="cpu")
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    runtime.save(model, tmp_path / "trained.safetensors")
    again = runtime.load(tmp_path / "trained.safetensors", device="cpu")
    runtime.save_like(again, tmp_path / "back", folder / "checkpoint")

    theirs = LOADERS[name](tmp_path / "back").eval()
    assert theirs.dtype == torch.float32
    torch.testing.assert_close(outputs(name, model), expected(name, theirs), rtol=1e-5, atol=1e-5)
    loaded = runtime.build(artifact_of(name), folder=with_checkpoint(tmp_path, "back"), device="cpu")
    ours, back = model.state_dict(), loaded.state_dict()
    assert list(ours) == list(back)
    assert all(torch.equal(ours[key], back[key]) for key in ours)


def with_checkpoint(folder: Path, name: str) -> Path:
    (folder / "checkpoint").symlink_to(folder / name, target_is_directory=True)
    return folder


def test_the_plan_names_every_tensor_and_reads_no_value(
    case: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, folder = case
    monkeypatch.setattr("runtime.checkpoint_mapping.files.safe_open", None)
    (rule,) = runtime.load_plan(artifact_of(name), folder).rules
    keys = set(reference(name).state_dict())
    tied = {"lm_head.weight", "cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
    assert set(rule.headers) == keys - tied == set(rule.back)
    assert set(rule.loads) == {row.name for row in artifact_of(name).plan.rows}


def test_the_index_is_kept(folders: Folders) -> None:
    index = json.loads((folders["gpt2", "sharded"] / "checkpoint/model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 1


def test_no_part_of_the_project_imports_transformers() -> None:
    sources = [
        path for package in ("spec_schema", "compiler", "runtime") for path in (ROOT / package).rglob("*.py")
    ]
    assert not [path for path in sources if "import transformers" in path.read_text()]
