"""Which layer of one model is which of the other."""

from __future__ import annotations

from compiler import compile_text
from compiler.diff.comparison import Comparison, compare
from compiler.diff.structure import ChangeKind

HEAD = "spec: 1\nname: net\ninputs: {x: 'float[2, 8]'}\n"


def compared(before: str, after: str, *maps: str) -> Comparison:
    return compare(compile_text(HEAD + before), compile_text(HEAD + after), "a.safetensors", maps)


def told(found: Comparison, kind: ChangeKind) -> list[tuple[str | None, str | None]]:
    """Return the paths of the layers that changed in one way, before and after."""
    return [
        (None if each.before is None else each.before.path, None if each.after is None else each.after.path)
        for each in found.changes
        if each.kind == kind
    ]


def test_a_layer_in_the_middle_of_a_row_moves_those_behind_it() -> None:
    found = compared("model: [Linear(4), ReLU, Linear(3)]", "model: [Linear(4), LayerNorm, ReLU, Linear(3)]")
    assert told(found, "added") == [(None, "1")]
    assert told(found, "renamed") == [("1", "2"), ("2", "3")]
    assert told(found, "changed") == told(found, "removed") == []
    assert found.weights.loaded == ("0.weight", "0.bias", "3.weight", "3.bias")


def test_a_model_that_is_put_into_another_one_is_renamed_as_a_whole() -> None:
    inner = "layers: {up: Linear(16), down: Linear(8)}\n    forward: |\n      return down(up(x))\n"
    before = (
        f"blocks:\n  Mlp:\n    {inner}model:\n  layers: {{body: Mlp}}\n  forward: |\n    return body(x)\n"
    )
    after = before.replace("body: Mlp}", "deep: {repeat: 1, of: Mlp}}").replace("body(x)", "deep(x)")
    found = compared(before, after)
    assert [pair for pair in told(found, "renamed") if pair[0] == "body"] == [("body", "deep.0")]
    assert found.weights.proven
    assert dict(found.weights.rule[0]["/"]["rename"]) == {"body": "deep.0"}


def test_copies_that_are_too_many_are_no_source_of_other_layers() -> None:
    """A head of the shape of what is in a copy is new, although copies are gone."""
    before = "model:\n  - h: {repeat: 4, of: [Linear(8)]}\n"
    after = "model:\n  - h: {repeat: 2, of: [Linear(8)]}\n  - head: Linear(8)\n"
    found = compared(before, after)
    assert told(found, "removed") == [("h.2", None), ("h.3", None)]
    assert told(found, "added") == [(None, "head")]


def test_a_map_says_which_copies_are_meant() -> None:
    before = "model:\n  - h: {repeat: 4, of: [Linear(8)]}\n"
    after = "model:\n  - h: {repeat: 2, of: [Linear(8)]}\n"
    found = compared(before, after, "h.{i} = h.{3 - i}")
    assert told(found, "removed") == [("h.0", None), ("h.1", None)]
    rule = found.weights.rule[0]["/"]
    assert (dict(rule["rename"]), rule["skip"]) == ({"/h.{3,2}": "/h.{0,1}"}, ["/h.[0-1]"]) or (
        dict(rule["rename"]) == {"/h.{2,3}": "/h.{1,0}"}
    )
    assert found.weights.proven


def test_a_layer_of_another_type_in_its_place_is_changed() -> None:
    found = compared("model: [Linear(4), ReLU]", "model: [Linear(4), GELU]")
    assert told(found, "changed") == [("1", "1")]
    assert told(found, "added") == told(found, "removed") == []


def test_the_number_of_names_of_a_tensor_is_told() -> None:
    model = "model:\n  layers: {a: Linear(8), b: Linear(8)}\n  forward: |\n    return b(a(x))\n"
    found = compared(model, model + "share:\n  one: [a.weight, b.weight]\n")
    assert [(each.section, each.selector, each.touched) for each in found.rules] == [
        ("share", "one", ("a.weight",))
    ]
    assert not found.weights.as_it_is
    assert found.weights.skipped == ("b.weight",)
    assert found.weights.proven


def test_new_layers_keep_their_first_values_in_the_rule() -> None:
    """Rules of a block, which see its names, hold outside of it too."""
    block = "blocks:\n  B(width):\n    layers: {up: Linear(width), down: Linear(8)}\n    forward: |\n"
    block += "      return down(up(x))\n    init:\n      - up.weight: normal(std=width ** -0.5)\n"
    before = f"{block}model:\n  - h: {{repeat: 1, of: B(16)}}\n  - last: Linear(3)\n"
    after = before.replace("repeat: 1", "repeat: 2")
    found = compared(before, after)
    assert found.weights.proven
    texts = [text for item in found.weights.rule[1:] for text in item.values()]
    assert "normal(std=16 ** (-0.5))" in texts
    assert len(found.weights.left) == 4


def test_what_no_rule_can_say_is_said_so() -> None:
    """One tensor of a file cannot become two of a model."""
    model = "model:\n  layers: {a: Linear(8), b: Linear(8)}\n  forward: |\n    return b(a(x))\n"
    found = compared(model + "share:\n  one: [a.weight, b.weight]\n", model)
    assert found.weights.left == ("b.weight",)
    assert found.weights.loaded == ("a.weight", "a.bias", "b.bias")
    assert found.weights.proven
