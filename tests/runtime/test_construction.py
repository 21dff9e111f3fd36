"""What is made alike is made by its constructor twice and copied then: a copy is what the constructor would make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook

import compiler
import runtime
from compiler.artifact import Artifact
from compiler.rules.without_values import constructed_on_meta
from runtime.classes import module_of
from runtime.construction import construct

ROOT = Path(__file__).parents[2]
BLOCKS = """
spec: 1
inputs: {x: "float[2, 8]"}
blocks:
  Inner:
    layers: {one: Linear(8), two: Linear(8)}
    parameters: {scale: {tensor: "float[8]", init: ones}}
    buffers: {step: {value: "0.5", persistent: false}}
    forward: return two(one(x)) * scale + step
    share: {both: [one, two]}
  Block:
    layers: {norm: LayerNorm, inner: Inner, drop: Dropout(0.1)}
    forward: return x + drop(inner(norm(x)))
model:
  layers: {blocks: {repeat: 6, of: Block}, head: Linear(3)}
  forward: return head(blocks(x))
share:
  first: [blocks.0.norm.weight, blocks.1.norm.weight, blocks.4.norm.weight]
"""


def zoo(name: str) -> Artifact:
    return compiler.compile(ROOT / "specs" / "zoo" / f"{name}.yaml", preset="tiny")


MODELS: dict[str, Callable[[], Artifact]] = {
    "blocks": lambda: compiler.compile_text(BLOCKS),
    **{name: lambda name=name: zoo(name) for name in ("gpt2", "resnet", "llama", "albert", "t5", "swin")},
}


def tensors(module: nn.Module) -> dict[str, Tensor]:
    return {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }


def tied(objects: dict[str, Any]) -> set[frozenset[str]]:
    """Return the names of each object that has several."""
    names: dict[int, set[str]] = {}
    for name, each in objects.items():
        names.setdefault(id(each), set()).add(name)
    return {frozenset(group) for group in names.values() if len(group) > 1}


def containers(module: nn.Module) -> list[Any]:
    return [each for each in vars(module).values() if isinstance(each, dict | list | set)]


def assert_alike(copied: nn.Module, made: nn.Module) -> None:
    parts, others = (dict(each.named_modules(remove_duplicate=False)) for each in (copied, made))
    assert list(parts) == list(others)
    for name, part in parts.items():
        other = others[name]
        assert type(part) is type(other), name
        assert vars(part).keys() == vars(other).keys(), name
        for key, value in vars(part).items():
            if key not in ("_parameters", "_buffers", "_modules"):
                assert type(value) is type(vars(other)[key]), (name, key)
                assert value == vars(other)[key], (name, key)
        assert list(part._parameters) == list(other._parameters)
        assert list(part._buffers) == list(other._buffers)
        assert list(part._modules) == list(other._modules)
    assert tied(parts) == tied(others)
    assert tied(tensors(copied)) == tied(tensors(made))
    for (name, one), two in zip(tensors(copied).items(), tensors(made).values(), strict=True):
        forms = [(type(t), t.shape, t.stride(), t.dtype, t.device, t.requires_grad) for t in (one, two)]
        assert forms[0] == forms[1], name
        assert vars(one) == vars(two), name


@pytest.mark.parametrize("name", MODELS)
def test_a_copy_is_what_the_constructor_makes(name: str) -> None:
    artifact = MODELS[name]()
    module = module_of(artifact)
    with constructed_on_meta():
        assert_alike(construct(module, artifact.name), getattr(module, artifact.name)())


def test_copies_have_nothing_in_common() -> None:
    model = construct_blocks()
    held = [list(map(id, chain.from_iterable(map(containers, block.modules())))) for block in model.blocks]
    for one, two in combinations(held, 2):
        assert not set(one) & set(two)
    model.blocks[2].register_forward_hook(lambda *_: None)
    assert not model.blocks[3]._forward_hooks


def construct_blocks() -> Any:
    artifact = MODELS["blocks"]()
    with constructed_on_meta():
        return construct(module_of(artifact), artifact.name)


def counted(monkeypatch: pytest.MonkeyPatch, cls: type[nn.Module]) -> Counter[type[nn.Module]]:
    """Return a counter of the modules that a constructor makes."""
    made: Counter[type[nn.Module]] = Counter()
    original = cls.__init__

    def constructor(self: nn.Module, *arguments: Any, **keywords: Any) -> None:
        made[cls] += 1
        original(self, *arguments, **keywords)

    monkeypatch.setattr(cls, "__init__", constructor)
    return made


def test_a_thousand_blocks_are_made_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = compiler.compile_text(BLOCKS.replace("repeat: 6", "repeat: 1000"))
    made = counted(monkeypatch, nn.Linear)
    model: Any = runtime.build(artifact, device="meta")
    assert len(model.blocks) == 1000
    assert made[nn.Linear] == 3  # two of them in a block, and the head


def test_one_who_listens_is_told_of_each_part() -> None:
    told: list[str] = []
    handle = register_module_module_registration_hook(lambda module, name, part: told.append(name))
    try:
        construct_blocks()
    finally:
        handle.remove()
    assert told.count("inner") == 6


PLUGIN = """
import torch
from torch import Tensor, nn
from compiler.plugins import layer

made = []

@layer
class Noted(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        made.append(self)
        self.number = len(made)

    def forward(self, x: Tensor) -> Tensor:
        return x
"""


def test_layers_of_plugins_are_made_by_their_constructors(tmp_path: Path) -> None:
    (tmp_path / "noted.py").write_text(PLUGIN)
    text = BLOCKS.replace("drop: Dropout(0.1)", "drop: Noted(8)").replace(
        "spec: 1", "spec: 1\nrequires: [noted]"
    )
    model: Any = runtime.build(
        compiler.compile_text(text, plugins=[str(tmp_path / "noted.py")]), device="meta"
    )
    assert len({block.drop.number for block in model.blocks}) == 6
