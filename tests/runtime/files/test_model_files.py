"""Saved models: found whole or refused, loaded exactly or not at all, of this format or an earlier one."""

from __future__ import annotations

import copy
import json
import tomllib
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import compiler
import runtime
from compiler import SpecError
from runtime import FileError, Mismatch, load, load_into, save
from runtime.files.sealed import read_file, write_sealed
from runtime.manifest import plan_digest
from runtime.store import VERSION, read_artifact, read_saved
from tests.runtime.files.test_atomic_writes import largest_file

ROOT = Path(__file__).parents[3]
SPEC = """
spec: 1
name: small
vars: {depth: 3, width: 4}
inputs: {x: "float32[batch, 4]"}
blocks:
  Layer:
    layers: {up: Linear(width), norm: BatchNorm1d}
    buffers:
      fixed: {value: "arange(width) / 3"}
      again: {value: "arange(width) / 7", persistent: false}
    forward: return norm(up(x)) * fixed + again
model:
  layers:
    body: {repeat: depth, of: Layer}
    head: Linear(4)
  forward: return head(body(x))
share: {tied: [head.weight, body.0.up.weight]}
freeze: ["body.*.norm"]
"""


def compiled(**values: int) -> compiler.Artifact:
    return compiler.compile_text(SPEC, set=values)


def built(seed: int = 0, **values: int) -> nn.Module:
    return runtime.build(compiled(**values), seed=seed, device="cpu")


def state(model: nn.Module) -> dict[str, Tensor]:
    """All tensors of a model by all of their names."""
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    return {name: tensor.detach().clone() for name, tensor in named}


def assert_same(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype, name
        assert torch.equal(found[name], tensor), name


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


# Whole or refused.


def test_every_flipped_bit_and_every_cut_is_noticed_by_a_load(path: Path) -> None:
    save(built(depth=1), path)
    data, missed = path.read_bytes(), []
    with path.open("r+b", buffering=0) as file:
        for bit in range(8 * len(data)):
            file.seek(bit // 8)
            file.write(bytes([data[bit // 8] ^ 1 << bit % 8]))
            try:
                read_saved(path, values=False)  # all of `load` that comes before compiling
                missed.append(bit)
            except FileError:
                file.seek(bit // 8)
                file.write(data[bit // 8 : bit // 8 + 1])
        assert missed == []
        read_saved(path)
        for length in reversed(range(len(data))):
            file.truncate(length)
            with pytest.raises(FileError):
                read_saved(path, values=False)


def test_a_damaged_file_is_loaded_by_nothing(path: Path) -> None:
    model = built()
    save(model, path)
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(data)
    before, readers = state(model), (load, read_artifact, lambda path: load_into(model, path))
    for reader in readers:
        with pytest.raises(FileError, match=r"is damaged: .*\. Take another copy of it, or save it again"):
            reader(path)
    assert_same(state(model), before)


def test_the_digest_that_is_expected_is_demanded(path: Path, tmp_path: Path) -> None:
    model = built()
    digest, other = save(model, path), save(built(seed=1), tmp_path / "other")
    assert digest != other
    assert_same(state(load(path, digest=digest)), state(model))
    read_artifact(path, digest=digest)
    load_into(model, path, digest=digest)
    for reader in (load, read_artifact, lambda path, digest: load_into(model, path, digest=digest)):
        with pytest.raises(FileError, match=f"has the digest {digest}, and {other} is expected"):
            reader(path, digest=other)
        with pytest.raises(ValueError, match="a digest has 64 digits"):
            reader(path, digest="abc")


def test_the_same_spec_and_seed_give_the_same_bytes(path: Path, tmp_path: Path) -> None:
    assert save(built(), path) == save(built(), tmp_path / "again") == save(load(path), tmp_path / "third")
    assert path.read_bytes() == (tmp_path / "again").read_bytes() == (tmp_path / "third").read_bytes()


def test_stock_readers_get_each_tensor_once(path: Path) -> None:
    model = built()
    save(model, path)
    found, wanted = load_file(path), state(model)
    assert found.keys() == {row.name for row in compiled().plan.rows if row.persistent}
    assert len(found) == len(wanted) - len(["head.weight, tied"]) - len(["again"] * 3)
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in found.items())


def test_the_header_says_what_it_is(path: Path) -> None:
    save(built(), path)
    about = read_file(path).about
    assert about["plan"] == plan_digest(compiled().plan)
    assert about["versions"] == {"blockprint": VERSION, "torch": torch.__version__.split("+")[0]}
    assert {"spec": about["spec"], "imports": about["imports"]} == compiled().canonical
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


def test_saving_over_the_file_that_one_loaded_from_is_safe(path: Path) -> None:
    save(built(), path)
    model = load(path)
    before = state(model)
    with torch.no_grad():
        model.get_parameter("head.bias").add_(1)
    for _ in range(3):
        save(model, path)
        model = load(path)
    assert_same(state(model), {**before, "head.bias": before["head.bias"] + 1})


def test_a_full_disk_leaves_the_old_model(path: Path) -> None:
    model = built()
    save(model, path)
    with largest_file(1024), pytest.raises(OSError, match="nothing was written"):
        save(built(seed=1), path)
    assert_same(state(load(path)), state(model))
    assert list(path.parent.iterdir()) == [path]


# What comes back.


def test_all_names_values_and_ties_come_back(path: Path) -> None:
    model = built()
    save(model, path)
    again = load(path, device="cpu")
    assert_same(state(again), state(model))
    assert again.get_parameter("head.weight") is again.get_parameter("body.0.up.weight")
    assert not again.get_parameter("body.1.norm.weight").requires_grad


CASTS: dict[str, Callable[[nn.Module], object]] = {
    "half": lambda model: model.half(),
    "double": lambda model: model.double(),
    "one layer": lambda model: model.get_submodule("body.2").to(torch.bfloat16),
    "complex": lambda model: model.get_submodule("head").to(torch.complex128),
}


@pytest.mark.filterwarnings("ignore:Complex modules")
@pytest.mark.parametrize("cast", CASTS.values(), ids=CASTS.keys())
def test_a_model_that_was_cast_comes_back_as_it_was(cast: Callable[[nn.Module], object], path: Path) -> None:
    model = built()
    cast(model)
    digest = save(model, path)
    again = load(path)
    assert_same(state(again), state(model))
    assert again.get_parameter("head.weight") is again.get_parameter("body.0.up.weight")
    assert save(again, path) == digest
    with pytest.raises(Mismatch, match=r"in the file, float32\[4\] in the model"):
        load_into(built(), path)


def added(model: nn.Module) -> None:
    model.extra = nn.Linear(2, 2)


def removed(model: nn.Module) -> None:
    del model.get_submodule("body.2").norm


def resized(model: nn.Module) -> None:
    model.get_submodule("head").bias = nn.Parameter(torch.zeros(7))


def untied(model: nn.Module) -> None:
    model.get_submodule("head").weight = nn.Parameter(torch.zeros(4, 4))


def tied(model: nn.Module) -> None:
    model.get_submodule("body.2.up").weight = model.get_parameter("body.1.up.weight")


def a_buffer(model: nn.Module) -> None:
    layer = model.get_submodule("head")
    del layer.bias
    layer.register_buffer("bias", torch.zeros(4))


CHANGES = {
    added: ["only in the model: extra (2 tensors)"],
    removed: ["only by its spec: body.2.norm (5 tensors)"],
    resized: ["head.bias: float32[4] by its spec, float32[7] in the model"],
    untied: [
        "body.0.up.weight: one with `head.weight` by its spec, a tensor of its own in the model",
        "head.weight: one with `body.0.up.weight` by its spec, a tensor of its own in the model",
        "differ in 16 of 16 values",
    ],
    tied: ["body.2.up.weight: a tensor of its own by its spec, one with `body.1.up.weight` in the model"],
    a_buffer: ["head.bias: float32[4] by its spec, float32[4], a buffer in the model"],
}


@pytest.mark.parametrize(
    ("change", "lines"), CHANGES.items(), ids=lambda value: getattr(value, "__name__", "")
)
def test_a_model_that_is_no_longer_that_of_its_spec_is_not_saved(
    change: Callable[[nn.Module], None], lines: list[str], path: Path
) -> None:
    model = built()
    change(model)
    with pytest.raises(ValueError, match="the model is no longer the one of its spec") as caught:
        save(model, path)
    assert all(line in str(caught.value) for line in lines), str(caught.value)
    assert not path.exists()


def test_a_model_without_values_is_not_saved(path: Path) -> None:
    with pytest.raises(ValueError, match="has no values"):
        save(runtime.build(compiled(), device="meta"), path)
    with pytest.raises(TypeError, match="was not built from a spec"):
        save(nn.Linear(2, 2), path)


# Into a model that is there.


def test_values_go_into_a_model_that_is_there(path: Path) -> None:
    source, model = built(), built(seed=1)
    save(source, path)
    tensors, before = dict(model.state_dict(keep_vars=True)), state(source)
    optimizer = torch.optim.SGD(model.parameters(), lr=1)
    load_into(model, path)
    assert_same(state(model), before)
    assert all(tensor is tensors[name] for name, tensor in model.state_dict(keep_vars=True).items())
    model(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    assert not torch.equal(model.get_parameter("head.bias"), before["head.bias"])


def test_another_spec_may_compute_something_else_with_the_same_tensors(path: Path) -> None:
    save(built(), path)
    text = SPEC.replace("norm(up(x)) *", "relu(norm(up(x))) *")
    model = runtime.build(compiler.compile_text(text), seed=1)
    load_into(model, path)
    assert torch.equal(model.get_parameter("head.bias"), state(load(path))["head.bias"])


def test_another_architecture_is_compared_and_the_model_left_alone(path: Path) -> None:
    save(built(), path)
    model = built(depth=6)
    before = state(model)
    with pytest.raises(Mismatch) as caught:
        load_into(model, path)
    assert str(caught.value).splitlines() == [
        f"{path} does not fit the model, which is left as it was:",
        "  spec: vars.depth: 3 → 6",
        "  only in the model: body.{3…5} (24 tensors)",
    ]
    assert_same(state(model), before)
    other = runtime.build(compiler.compile_text(SPEC.replace("BatchNorm1d", "GroupNorm(2)")))
    with pytest.raises(Mismatch) as caught:
        load_into(other, path)
    assert caught.value.differences == (
        'spec: blocks.Layer.layers.norm: "BatchNorm1d" → "GroupNorm(2)"',
        "only in the file: body.{0…2}.norm.running_mean (3 tensors)",
        "only in the file: body.{0…2}.norm.running_var (3 tensors)",
        "only in the file: body.{0…2}.norm.num_batches_tracked (3 tensors)",
    )


def test_every_difference_is_listed(path: Path) -> None:
    save(built(), path)
    model = built(seed=1)
    untied(model)
    added(model)
    resized(model)
    before = state(model)
    with pytest.raises(Mismatch) as caught:
        load_into(model, path)
    assert len(caught.value.differences) == 4
    assert_same(state(model), before)


def test_a_model_without_values_takes_none(path: Path) -> None:
    save(built(), path)
    with pytest.raises(ValueError, match="has no values to be replaced"):
        load_into(runtime.build(compiled(), device="meta"), path)
    with pytest.raises(TypeError, match="was not built from a spec"):
        load_into(nn.Linear(2, 2), path)


# Files whose parts do not belong together: each has a right digest.


def about(**changes: Any) -> dict[str, Any]:
    artifact = compiled(depth=1)
    return {
        **artifact.canonical,
        "plan": plan_digest(artifact.plan),
        "versions": {"blockprint": "0"},
        **changes,
    }


def tensors(**changes: Tensor | None) -> dict[str, Tensor]:
    artifact = compiled(depth=1)
    found = state(runtime.build(artifact))
    kept = {row.name: found[row.name] for row in artifact.plan.rows if row.persistent}
    return {name: value for name, value in {**kept, **changes}.items() if value is not None}


def test_the_tensors_must_be_those_of_the_spec(path: Path) -> None:
    wrong = {"head.bias": None, "more": torch.zeros(1), "body.0.up.bias": torch.zeros(4, 4)}
    write_sealed(path, "model", about(), tensors(**wrong))
    for reader in (load, read_artifact, lambda path: load_into(built(), path)):
        with pytest.raises(Mismatch, match="are not those of its spec") as caught:
            reader(path)
        assert caught.value.differences == (
            "only in the file: more",
            "only by the spec: head.bias",
            "body.0.up.bias: float32[4, 4] in the file, float32[4] by the spec",
        )


def test_the_spec_must_give_the_plan_that_it_gave(path: Path) -> None:
    write_sealed(path, "model", about(plan="0" * 64), tensors())
    with pytest.raises(FileError, match="gives another plan") as caught:
        load(path)
    assert "it was saved with blockprint 0" in str(caught.value)


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


HOSTILE: dict[str, dict[str, Any]] = {
    "no mapping": {"spec": 3},
    "a text": {"spec": "spec: 1"},
    "nothing": {"spec": None},
    "no model": {"spec": {"spec": 1}},
    "imports that are a list": {"imports": []},
    "imports that are texts": {
        "spec": {**compiled().canonical["spec"], "import": {"a.yaml": ["A"]}},
        "imports": {"a.yaml": "spec: 1"},
    },
    "an import from outside": {"spec": {**compiled().canonical["spec"], "import": {"../../etc/passwd": ["A"]}}},
    "nested deep": {"spec": {"spec": 1, "model": deep(100)}},
    "nested deeper": {"spec": {"spec": 1, "model": deep(700)}},
    "nested imports": {"imports": {"a": deep(300)}},
    "a surrogate": {"spec": {**compiled().canonical["spec"], "name": "\ud800"}},
    "a surrogate in a program": {"spec": {"spec": 1, "inputs": {"x": "float32[1]"}, "model": ["\ud800"]}},
    "a large number": {"spec": {**compiled().canonical["spec"], "vars": {"depth": 10**300, "width": 4}}},
    "many layers": {"spec": {**compiled().canonical["spec"], "vars": {"depth": 10**9, "width": 4}}},
    "code": {"spec": {**compiled().canonical["spec"], "model": ["__import__('os').system('true')"]}},
    "a plugin": {"spec": {**compiled().canonical["spec"], "requires": ["antigravity"]}},
    "a plan that is a list": {"plan": []},
    "a cast that is none": {"cast": {"head.bias": "float33"}},
    "a cast that is a list": {"cast": {"head.bias": []}},
    "casts that are a list": {"cast": ["head.bias"]},
    "a cast of another tensor": {"cast": {"head.bias": "float16"}},
    "versions that are a text": {"versions": "1"},
}  # fmt: skip


@pytest.mark.parametrize("changes", HOSTILE.values(), ids=HOSTILE.keys())
def test_whatever_a_file_says_no_other_error_comes_of_it(changes: dict[str, Any], path: Path) -> None:
    write_sealed(path, "model", about(**changes), tensors())
    for reader in (load, read_artifact, lambda path: load_into(built(), path)):
        with pytest.raises((FileError, SpecError)):
            reader(path)


@pytest.mark.parametrize("missing", ["spec", "imports", "plan"])
def test_a_part_that_is_missing_is_noticed(missing: str, path: Path) -> None:
    told = about()
    del told[missing]
    write_sealed(path, "model", told, tensors())
    with pytest.raises(FileError, match=r"has no spec in it: it was not saved by `runtime.save`"):
        load(path)


def test_files_of_another_kind_are_no_models(path: Path) -> None:
    runtime.save_tensors(torch.zeros(3), path)
    with pytest.raises(FileError, match=r"was not saved by `runtime.save`"):
        load(path)
    save_file({"x": torch.zeros(3)}, path)
    with pytest.raises(FileError, match=r"was not saved by `runtime.save`"):
        load(path)


# Other versions of the format.


@pytest.fixture
def first_format(path: Path) -> Path:
    """A model as the first format had it: no digest, and the spec alone under another key."""
    save_file(tensors(), path, {"blockprint/1": compiled(depth=1).canonical_text})
    return path


def test_the_first_format_is_converted_with_a_note(first_format: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="is of the format blockprint/1, which had no digest") as caught:
        model = load(first_format)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="save it again"):
        load_into(model, first_format)
    assert read_artifact(first_format).canonical == compiled(depth=1).canonical
    with pytest.raises(FileError, match="has no digest, and"):
        load(first_format, digest="0" * 64)
    save(model, first_format)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(state(load(first_format)), state(model))
    save(runtime.build(compiled(depth=1)), tmp_path / "new")
    assert (tmp_path / "new").read_bytes() == first_format.read_bytes()


@pytest.mark.parametrize(
    "text", ["", "3", "[]", "{}", '{"spec": {}}', '{"spec": {}, "imports": 3}', "[" * 100_000]
)
def test_a_first_format_that_makes_no_sense_is_refused(text: str, path: Path) -> None:
    save_file(tensors(), path, {"blockprint/1": text})
    with pytest.raises((FileError, SpecError)):
        read_artifact(path)


def test_a_newer_format_is_refused_by_name(path: Path) -> None:
    metadata = {"blockprint": json.dumps({"format": 3, "kind": "model"})}
    save_file(tensors(), path, metadata)
    with pytest.raises(FileError, match=r"is of the format 3, .* read it with a newer version"):
        load(path)


# Copies.


def test_a_copy_is_saved_as_the_model_is(path: Path) -> None:
    model = built()
    assert save(copy.deepcopy(model), path) == save(model, path)
