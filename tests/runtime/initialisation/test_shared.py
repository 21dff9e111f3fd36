"""What a shared tensor starts as: drawn once, under the name of its owner, the first that the group names."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor

import compiler
import runtime
from runtime.initializers import INITIALIZERS
from runtime.random import Draws

SEED = 9
LAYERS = ("a: Linear(6)", "b: Linear(6)", "c: Linear(6)", "d: Linear(6)")


def values(share: str = "", init: str = "", layers: tuple[str, ...] = LAYERS) -> dict[str, Tensor]:
    names = sorted(each.partition(":")[0] for each in layers)
    body = "".join(f"    {each}\n" for each in layers)
    calls = "".join(f"    x = {name}(x)\n" for name in names)
    text = (
        f'spec: 1\ninputs: {{x: "float[2, 6]"}}\nmodel:\n  layers:\n{body}  forward: |\n{calls}    return x\n'
    )
    text += (f"share: {{{share}}}\n" if share else "") + (f"init: [{init}]\n" if init else "")
    return runtime.build(compiler.compile_text(text), seed=SEED, device="cpu").state_dict()


def drawn(name: str, law: str = "normal", **arguments: float) -> Tensor:
    """The values of a 6 by 6 matrix of that name."""
    return INITIALIZERS[law]((6, 6), torch.float32, Draws(SEED, name), **arguments)


NORMAL = "Linear.weight: normal"


@pytest.mark.parametrize("order", list(itertools.permutations("abc")))
def test_the_owner_is_the_first_that_is_named(order: tuple[str, ...]) -> None:
    found = values(f"s: [{', '.join(f'{name}.weight' for name in order)}]", NORMAL)
    for name in "abc":
        assert torch.equal(found[f"{name}.weight"], drawn(f"{order[0]}.weight"))
    assert torch.equal(found["d.weight"], drawn("d.weight"))


def test_the_owner_starts_as_it_would_alone() -> None:
    """Sharing changes those that give up their tensor, and no others."""
    alone, shared = values(init=NORMAL), values("s: [b.weight, c.weight]", NORMAL)
    changed = {name for name in alone if not torch.equal(alone[name], shared[name])}
    assert changed == {"c.weight"}
    assert torch.equal(shared["c.weight"], alone["b.weight"])


def test_a_further_sharer_changes_nothing() -> None:
    two, three = (
        values("s: [b.weight, c.weight]", NORMAL),
        values("s: [b.weight, c.weight, d.weight]", NORMAL),
    )
    assert {name for name in two if not torch.equal(two[name], three[name])} == {"d.weight"}


def test_the_order_of_groups_means_nothing() -> None:
    groups = ["s: [b.weight, a.weight]", "t: [d.weight, c.weight]", "u: [c.bias, a.bias]"]
    first, *others = (values(", ".join(order), NORMAL) for order in itertools.permutations(groups))
    for other in others:
        assert all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("selector", ["'*.weight'", "Linear.weight", "'{d,c,b,a}.weight'"])
def test_of_several_that_one_selector_names_the_first_by_name_is_the_owner(selector: str) -> None:
    for layers in (LAYERS, LAYERS[::-1], LAYERS[2:] + LAYERS[:2]):
        found = values(f"s: [{selector}]", NORMAL, layers)
        assert all(torch.equal(found[f"{name}.weight"], drawn("a.weight")) for name in "abcd")


def test_selectors_come_before_names() -> None:
    found = values("s: [d.weight, '{c,a}.weight']", NORMAL, LAYERS[::-1])
    assert all(torch.equal(found[f"{name}.weight"], drawn("d.weight")) for name in "acd")


def test_whole_layers() -> None:
    found = values("s: [c, '{b,a}']", "Linear: 'uniform(-1, 1)'")
    for name in "abc":
        assert torch.equal(found[f"{name}.weight"], drawn("c.weight", "uniform", a=-1, b=1))
        assert torch.equal(found[f"{name}.bias"], found["c.bias"])


def test_numbers_are_ordered_as_numbers() -> None:
    text = 'spec: 1\ninputs: {x: "float[2, 6]"}\nmodel: [{repeat: 12, of: Linear(6)}]\n'
    artifact = compiler.compile_text(text + f"share: {{s: ['{{2,3,11}}.weight']}}\ninit: [{NORMAL}]\n")
    assert artifact.plan.by_name["11.weight"].names == ("2.weight", "3.weight", "11.weight")


# Which rule decides.


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_a_rule_for_one_sharer_decides_and_the_owner_gives_the_name(order: tuple[str, str]) -> None:
    """In front of PyTorch's default for the owner: a rule that is written is meant."""
    found = values(f"s: [{order[0]}.weight, {order[1]}.weight]", "b.weight: normal")
    assert torch.equal(found["a.weight"], drawn(f"{order[0]}.weight"))


def test_equal_rules_in_any_order() -> None:
    one = values("s: [a.weight, b.weight]", "a.weight: normal, b.weight: normal")
    other = values("s: [a.weight, b.weight]", "b.weight: normal, a.weight: normal")
    assert torch.equal(one["a.weight"], drawn("a.weight"))
    assert torch.equal(other["a.weight"], drawn("a.weight"))


def test_different_rules_are_refused_in_any_order() -> None:
    rules = ["a.weight: normal", "b.weight: uniform"]
    for order, sharers in itertools.product(
        itertools.permutations(rules), ("a.weight, b.weight", "b.weight, a.weight")
    ):
        with pytest.raises(compiler.SpecError, match="two init rules") as caught:
            values(f"s: [{sharers}]", ", ".join(order))
        assert [problem.code for problem in caught.value.diagnostics] == ["share-conflict"]


TIED = """
spec: 1
inputs: {tokens: "int64[2, 5]"}
model:
  layers: {wte: "Embedding(16, 8)", head: "Linear(16, bias=False)"}
  forward: return head(wte(tokens))
share: {words: [ORDER]}
"""


def test_of_two_defaults_the_owners_decides() -> None:
    """An embedding is normal, a linear layer uniform: as in torch, where one takes the parameter of the other."""
    for owner, order in (("wte", "wte.weight, head.weight"), ("head", "head.weight, wte.weight")):
        artifact = compiler.compile_text(TIED.replace("ORDER", order))
        found = runtime.build(artifact, seed=SEED, device="cpu").state_dict()["wte.weight"]
        draws = Draws(SEED, f"{owner}.weight")
        law, arguments = ("normal", {}) if owner == "wte" else ("kaiming_uniform", {"a": 5**0.5})
        assert torch.equal(found, INITIALIZERS[law]((16, 8), torch.float32, draws, **arguments))


PLUGIN = """
import torch
from torch import Tensor, nn
from compiler.plugins import layer

@layer
class Seven(nn.Module):
    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((in_features, in_features), 7.0))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight
"""


def test_a_layer_without_rules_can_be_the_owner(tmp_path: Path) -> None:
    (tmp_path / "sevens.py").write_text(PLUGIN)
    text = 'spec: 1\ninputs: {x: "float[2, 6]"}\nmodel: [{a: Linear(6)}, {b: Seven}]\nshare: {s: [ORDER]}\n'
    found = {}
    for order in ("a.weight, b.weight", "b.weight, a.weight"):
        artifact = compiler.compile_text(text.replace("ORDER", order), plugins=[str(tmp_path / "sevens.py")])
        found[order[0]] = runtime.build(artifact, seed=SEED, device="cpu").state_dict()["a.weight"]
    assert torch.equal(found["b"], torch.full((6, 6), 7.0))
    assert torch.equal(found["a"], drawn("a.weight", "kaiming_uniform", a=5**0.5))


# Groups of blocks, selection.

BLOCKS = """
spec: 1
inputs: {x: "float[2, 6]"}
blocks:
  Pair:
    layers: {a: Linear(6), b: Linear(6)}
    forward: return b(a(x))
    share: {s: [b.weight, a.weight]}
model:
  layers: {one: Pair, two: Pair, net: {repeat: 2, of: Pair}}
  forward: return net(two(one(x)))
init: [Linear.weight: normal]
"""


def test_each_instance_of_a_block_has_an_owner() -> None:
    found = runtime.build(compiler.compile_text(BLOCKS), seed=SEED, device="cpu").state_dict()
    for path in ("one", "two", "net.0", "net.1"):
        assert torch.equal(found[f"{path}.a.weight"], drawn(f"{path}.b.weight"))


def test_blocks_that_are_one_and_share_inside() -> None:
    text = BLOCKS + "share: {outer: [two, one]}\n"
    found = runtime.build(compiler.compile_text(text), seed=SEED, device="cpu").state_dict()
    for name in ("one.a", "one.b", "two.a", "two.b"):
        assert torch.equal(found[f"{name}.weight"], drawn("two.b.weight"))


def test_a_tensor_is_selected_by_any_name_and_bears_the_owners() -> None:
    artifact = compiler.compile_text(BLOCKS)
    for name in ("one.a.weight", "one.b.weight"):
        found = runtime.initial_values(artifact, f"/{name}", seed=SEED)
        assert found.keys() == {"one.b.weight"}
        assert torch.equal(found["one.b.weight"], drawn("one.b.weight"))
