"""Whole layers that are one, across blocks and repeats, against modules written by hand; and tied embeddings."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime
from tests.runtime.ties.tied_models import (
    ALBERT,
    SIAMESE,
    TIED,
    WORDS,
    artifact,
    build,
    inputs,
    planned,
    sharing,
)

every = pytest.mark.parametrize("name", list(TIED))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(4), nn.Linear(4, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(torch.relu(self.up(self.norm(x))))


class Albert(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 4)
        layer = Block()
        self.h = nn.ModuleList([layer] * 12)
        self.head = nn.Linear(4, 11, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        for layer in self.h:
            x = layer(x)
        return self.head(x)


class Siamese(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left_tower = nn.Sequential()
        for name, layer in (
            ("first", nn.Linear(6, 8)),
            ("norm", nn.BatchNorm1d(8)),
            ("second", nn.Linear(8, 4)),
        ):
            self.left_tower.add_module(name, layer)
        self.right_tower = self.left_tower
        self.score = nn.Linear(4, 1)

    def tower(self, x: Tensor) -> Tensor:
        first, norm, second = self.left_tower
        return second(torch.relu(norm(first(x))))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.score(torch.abs(self.tower(left) - self.tower(right)))


@pytest.mark.parametrize(
    ("text", "by_hand"), [(ALBERT, Albert), (SIAMESE, Siamese)], ids=["albert", "siamese"]
)
def test_it_trains_as_the_module_written_by_hand(text: str, by_hand: type[nn.Module]) -> None:
    made = artifact(text)
    model, twin = runtime.build(made, seed=1, device="cpu"), by_hand()
    assert list(twin.state_dict()) == list(model.state_dict())
    twin.load_state_dict(model.state_dict())
    optimizers = [torch.optim.SGD(each.parameters(), lr=1e-4) for each in (model, twin)]
    for step in range(3):
        losses = [each(*inputs(made, step)).square().mean() for each in (model, twin)]
        assert torch.equal(*losses)
        assert losses[0].isfinite()
        for loss, optimizer in zip(losses, optimizers, strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for name, tensor in twin.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name
    model.load_state_dict(twin.state_dict())


def test_one_layer_twelve_times_has_the_parameters_of_one() -> None:
    model = build("albert")
    layers = list(model.get_submodule("h").children())
    assert len(layers) == 1  # torch counts a module once
    assert all(model.get_submodule(f"h.{at}") is layers[0] for at in range(12))
    assert sum(p.numel() for p in model.parameters()) == 11 * 4 + (4 + 4) + (4 * 8 + 8) + (8 * 4 + 4)


def test_a_tied_layer_of_a_pair_sees_both_inputs() -> None:
    """There is one set of running statistics, and each use moves it."""
    model = build("siamese")
    model(*inputs(artifact(SIAMESE)))
    norm = model.get_submodule("right_tower.norm")
    assert norm is model.get_submodule("left_tower.norm")
    assert int(norm.num_batches_tracked) == 2  # type: ignore[arg-type]


@every
def test_the_tools_of_torch_take_a_tied_model(name: str) -> None:
    made = artifact(TIED[name])
    model = build(name).eval()
    given = inputs(made)
    expected = model(*given)
    assert torch.equal(torch.compile(model, fullgraph=True, backend="eager")(*given), expected)
    assert torch.equal(torch.fx.symbolic_trace(model)(*given), expected)
    for strict in (False, True):
        exported = torch.export.export(model, tuple(given), strict=strict)
        assert torch.equal(exported.module()(*given), expected)
    assert sharing(model) == planned(made)


@every
def test_a_stand_alone_file_ties_itself(name: str, tmp_path: Path) -> None:
    """As torch's users do: outside of the runtime nothing more holds the names together."""
    made = artifact(TIED[name])
    path = tmp_path / "model.py"
    path.write_text(made.source)
    spec = importlib.util.spec_from_file_location(f"stand_alone_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    twin = getattr(module, made.name)()
    assert sharing(twin) == planned(made)
    twin.load_state_dict(build(name).state_dict())
    assert torch.equal(twin.eval()(*inputs(made)), build(name).eval()(*inputs(made)))


def test_a_rule_inside_a_block_and_one_over_its_copies() -> None:
    text = """
spec: 1
inputs: {x: "float32[batch, 4]"}
blocks:
  Pair:
    layers: {a: Linear(4), b: Linear(4)}
    forward: return x + b(relu(a(x)))
    share: {weight: [a.weight, b.weight]}
model:
  layers: {h: {repeat: 3, of: Pair}}
  forward: return h(x)
share: {layer: ["h.*"]}
"""
    made = compiler.compile_text(text)
    model = runtime.build(made, device="cpu")
    assert frozenset(f"h.{at}.{one}.weight" for at in range(3) for one in "ab") in planned(made)
    assert sharing(model) == planned(made)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(state, assign=True)
    model.double()
    assert sharing(model) == planned(made)
    with pytest.raises(compiler.SpecError) as error:
        compiler.compile_text(text.replace('["h.*"]', "[h.0.a, h.1.a]"))
    assert [each.code for each in error.value.diagnostics] == ["share-overlap"]


TRANSPOSED = """
spec: 1
inputs: {x: "float32[batch, 6]"}
model:
  layers: {down: "Linear(3, bias=False)"}
  forward: return linear(relu(down(x)), down.weight.mT)
"""


def test_a_transposed_tie_is_written_in_the_program() -> None:
    """An autoencoder whose decoder is its encoder, transposed: one parameter, used twice."""
    model = runtime.build(compiler.compile_text(TRANSPOSED), device="cpu")
    assert [name for name, _ in model.named_parameters()] == ["down.weight"]
    x = torch.randn(5, 6, dtype=torch.float64)
    weight = model.double().get_parameter("down.weight")
    other = weight.detach().clone().requires_grad_()
    assert torch.allclose(model(x), torch.relu(x @ weight.mT) @ weight)
    model(x).sum().backward()
    (torch.relu(x @ other.mT) @ other).sum().backward()
    torch.testing.assert_close(weight.grad, other.grad)


def test_an_embedding_is_used_as_the_head_in_the_program() -> None:
    text = WORDS.replace("    head: Linear(words, bias=False)\n", "").replace(
        "return head(h(embedding(tokens)))", "return linear(h(embedding(tokens)), embedding.weight)"
    )
    text = text[: text.index("share:")]
    made = compiler.compile_text(text)
    model, tied = runtime.build(made, device="cpu"), build("words")
    tied.load_state_dict({**model.state_dict(), "head.weight": model.get_parameter("embedding.weight")})
    assert torch.equal(model(*inputs(made)), tied(*inputs(made)))


PLUGIN = """
from compiler.plugins import layer
from torch import Tensor, nn

@layer
class Own(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(size, size), nn.Linear(size, size)
        self.b.weight = self.a.weight
        self.again = self.a

    def forward(self, x: Tensor) -> Tensor:
        return self.again(self.b(self.a(x)))
"""


def test_what_a_layer_of_a_plugin_shares_inside(tmp_path: Path) -> None:
    plugin = tmp_path / "own.py"
    plugin.write_text(PLUGIN)
    text = (
        "spec: 1\nrequires: [own]\ninputs: {x: 'float[batch, 4]'}\nmodel:\n  - one: Own(4)\n  - two: Own(4)\n"
    )
    text += "share: {bias: [one.b.bias, two.b.bias]}\n"
    made = compiler.compile_text(text, plugins=[str(plugin)])
    model = runtime.build(made, device="cpu")
    assert frozenset({"two.a.weight", "two.b.weight", "two.again.weight"}) in planned(made)
    model.load_state_dict({name: t.clone() for name, t in model.state_dict().items()}, assign=True)
    runtime.save(model, tmp_path / "model.safetensors")
    loaded = runtime.load(tmp_path / "model.safetensors", device="cpu", plugins=[str(plugin)])
    for each in (model, loaded):
        assert sharing(each) == planned(made)
        assert len(list(each.parameters())) == 5
