"""Names that a user chose, among those that the emitted file uses itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import compiler
import runtime
from compiler.resolve.layer_names import MODULE_ATTRIBUTES, OF_CONTAINERS
from tests.zoo.parity import stand_alone

MODEL = """
spec: 1
name: {name}
inputs: {{x: "float[batch, 4]"}}
blocks:
  Block(width): ["Linear(width)", relu]
model: [Block(4), Block(8)]
"""


@pytest.mark.parametrize(
    "name", ["f", "tensor", "ordered_dict", "any", "block", "block_model", "relu", "none"]
)
def test_a_model_called_like_what_the_file_imports(name: str) -> None:
    artifact = compiler.compile_text(MODEL.format(name=name))
    model, alone = runtime.build(artifact), stand_alone(artifact)
    alone.load_state_dict(model.state_dict())
    assert type(model).__name__ == type(alone).__name__ == artifact.name
    x = torch.randn(2, 4)
    assert torch.equal(model(x), alone(x))


def test_a_block_called_like_the_model_leaves_it_its_name() -> None:
    artifact = compiler.compile_text("""
spec: 1
name: part
inputs: {x: "float[batch, 4]"}
blocks:
  Part: [ReLU]
  PartModel: [Linear(3)]
model: [Part, PartModel, Linear(2)]
""")
    assert artifact.name == "PartModel"
    assert list(runtime.build(artifact).state_dict()) == ["1.0.weight", "1.0.bias", "2.weight", "2.bias"]


HEAD = 'spec: 1\ninputs: {x: "float[batch, 4]"}\n'


def refused(text: str) -> str:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(HEAD + text)
    (found,) = caught.value.diagnostics
    assert found.span is not None
    return f"{found.code}: {found.message}"


def of_torch(name: str, holder: type[nn.Module] = nn.Module) -> bool:
    """Return whether a class has a public attribute from torch: transformers adds some of its own to `nn.Module`."""
    source = getattr(getattr(holder, name, None), "__module__", "torch")
    return not name.startswith("_") and source.startswith("torch")


def test_attributes_of_modules_and_containers_are_those_of_torch() -> None:
    of_module = {name for name in dir(nn.Module()) if of_torch(name)}
    assert of_module <= MODULE_ATTRIBUTES
    for holder, names in OF_CONTAINERS.items():
        cls = getattr(nn, holder)
        assert {name for name in dir(cls()) if of_torch(name, cls)} - MODULE_ATTRIBUTES == names


@pytest.mark.parametrize(
    ("text", "holder"),
    [
        ("model: [{append: Linear(4)}]", "append` is an attribute of every `nn.Sequential"),
        (
            "model: {parallel: {keys: Linear(4)}, combine: add}",
            "keys` is an attribute of every `nn.ModuleDict",
        ),
        ("""model: [{repeat: "['pop', 'q']", as: w, of: Linear(4), name: "{w}"}]""", "pop` is an attribute"),
    ],
)
def test_a_name_that_the_container_of_a_layer_has(text: str, holder: str) -> None:
    assert f"reserved-name: `{holder}" in refused(text)


def test_a_rate_called_like_its_operation_follows_the_mode() -> None:
    text = "blocks:\n  B(dropout):\n    forward: |\n      return dropout(x, dropout)\nmodel: [B(0.5)]\n"
    model = runtime.build(compiler.compile_text(HEAD + text))
    x = torch.ones(2, 4)
    assert torch.equal(model.eval()(x), x)
    assert not torch.equal(model.train()(x), x)


def test_a_local_value_called_like_an_operation_that_follows_the_mode() -> None:
    program = "model:\n  forward: |\n    dropout = 0.5\n    return dropout(x, dropout)\n"
    assert refused(program).startswith("hidden-layer: the local name `dropout` hides the operation")


def test_a_call_of_a_layer_and_of_an_operation_in_one_place() -> None:
    lines = [
        "y = x",
        "for i in range(2):",
        "  y = relu(y)",
        "  for relu in h:",
        "    y = relu(y)",
        "return y",
    ]
    program = "".join(f"    {line}\n" for line in lines)
    text = f"model:\n  layers: {{h: {{repeat: 2, of: Linear(4)}}}}\n  forward: |\n{program}"
    assert refused(text) == (
        "not-callable: `relu` is a layer here, and an operation on tensors where this runs otherwise"
    )


def test_a_function_of_numbers_and_an_operation_in_one_place() -> None:
    text = "model:\n  forward: |\n    y = x\n    for v in [4, x]:\n      y = y + sqrt(v)\n    return y\n"
    assert refused(text).startswith(
        "not-callable: `sqrt` is an operation on tensors here, and a function of numbers"
    )


PLUGIN = """
import torch
from compiler.plugins import layer, operation


@layer("Of{name}")
class Times(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return {value} * x


@operation("times_{name}")
def times_{name}(x: torch.Tensor) -> torch.Tensor:
    return 7 * x
"""
PROGRAM = """
blocks:
  Times(n):
    vars: {times_first: n}
    forward: |
      y = times_first(x) * times_first
      times_second = times_second(y)
      return times_second
model: [Offirst, Ofsecond, Times(5)]
"""


def test_two_plugins_with_classes_of_one_name(tmp_path: Path) -> None:
    for name, value in (("first", 2), ("second", 3)):
        (tmp_path / f"{name}.py").write_text(PLUGIN.format(name=name, value=value))
    plugins = [str(tmp_path / "first.py"), str(tmp_path / "second.py")]
    artifact = compiler.compile_text(f"{HEAD}requires: [first, second]{PROGRAM}", plugins=plugins)
    model = runtime.build(artifact)
    assert torch.equal(model(torch.ones(2, 4)), torch.full((2, 4), 2 * 3 * 7 * 5 * 7.0))
    assert "from first import Times" in artifact.source
    assert "from second import Times as Times3" in artifact.source


def test_two_names_stay_two() -> None:
    program = (
        "      max = x + len\n      max_ = max * max(len_, x.ndim)\n      return a(x) * 0 + max + max_\n"
    )
    blocks = f"blocks:\n  B(len, len_):\n    layers: {{a: Linear(len + len_)}}\n    forward: |\n{program}"
    artifact = compiler.compile_text(HEAD + blocks + "model: ['B(1, 3)']\n")
    for model in (runtime.build(artifact), stand_alone(artifact)):
        assert torch.equal(model(torch.ones(2, 4)), torch.full((2, 4), 2 + 2 * 3.0))


@pytest.mark.parametrize("name", ["f", "tensor", "ordered_dict", "nn", "torch", "rearrange", "any"])
def test_a_model_may_bear_a_name_of_the_file(name: str) -> None:
    text = f"""
spec: 1
name: {name}
inputs: {{x: "float32[batch, 4]"}}
model:
  - body: [first: Linear(4), ReLU]
  - head: rearrange('b c -> c b')
"""
    model = runtime.build(compiler.compile_text(text), device="cpu")
    assert model(torch.ones(2, 4)).shape == (4, 2)
