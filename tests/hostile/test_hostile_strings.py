"""A text stays a text: whatever stands where a spec holds one, the emitted tree changes in its constants alone."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import compiler
from compiler.catalogue.plugins import load_plugin
from spec_schema.canonical import to_json, to_yaml
from tests.hostile.mutators import HOSTILE
from tests.hostile.trials import check_shown

EXAMPLES = max(2_000, settings.default.max_examples)
PLUGIN = load_plugin(str(Path(__file__).with_name("tagged.py")))
PLAIN = "plain"
CODE = (
    *('"""', "'''", '"""\nimport os\nos.system("id")\n"""', "'); __import__('os').system('id'); ('", "\\"),
    *("\\N{BULLET}", "\\x41", "\\u0041", "\\", "\\'", '\\"', "\\\n", "{x}", "{{x}}", "{x!r:>{n}}", "%(x)s"),
    *("\0", "\r\n", "\u2028", "\u202e)(", "\ufeff", "\ud800", "\udfff\ud800", "\U0001f600", "ﬁ", "ª", "K"),
    *("# type: ignore", "#!/bin/sh", "-*- coding: utf-7 -*-", "+AGEAYgBj-", "noqa: S102", "fmt: off"),
    *("return", "class", "lambda: x", "x := 1", "*", "**", "_", "__class__", "__debug__", "self", "torch"),
    *("nn", "F", "Tensor", "super", "OrderedDict", "forward", "__init__", "None", "True", "y", "${x}"),
)
texts = st.sampled_from([*HOSTILE, *CODE]) | st.text(max_size=20) | st.from_regex(r"[a-z_A-Z]\w{0,9}")
texts |= st.lists(st.sampled_from([*HOSTILE, *CODE]).map(lambda piece: piece[:60]), max_size=3).map("".join)
Document = dict[str, Any]


def document(**more: Any) -> Document:
    return {"spec": 1, "inputs": {"x": "float[batch, 8]"}, "model": ["Linear(8)"], **more}


def block(signature: str, forward: str = "return a(x)", **more: Any) -> Document:
    layers = {"a": "Tagged(tag)", "b": "Linear(8)"}
    return document(blocks={signature: {"layers": layers, "forward": forward, **more}}, model=["B('plain')"])


def another(signature: str, forward: str) -> Document:
    """Return a spec whose block has another text than any that it is compared with."""
    return {**block(signature, forward), "model": ["B('another one')"]}


def trained(metric: str = "m", **data: str) -> Document:
    source = {"file": "none.npz", "x": "images", "label": "labels", "test": 0.2, **data}
    train = {"data": source, "loss": "cross_entropy(output, label)", "optimizer": "SGD(lr=0.1)", "batch": 2}
    task = "Accuracy(task='multiclass', num_classes=8)"
    return document(train={**train, "epochs": 1, "metrics": {metric: task}})


AS_TEXT: dict[str, Callable[[str], Document]] = {
    "doc": lambda text: document(doc=text),
    "doc of a block": lambda text: block("B(tag)", doc=text),
    "long form": lambda text: document(model=[{"layer": "Tagged", "tag": text}]),
    "items of a repeat in long form": lambda text: document(
        model=[{"repeat": 2, "of": {"layer": "Tagged", "tag": text}}]
    ),
    "file of data": lambda text: trained(file=text),
    "array of data": lambda text: trained(label=text),
    "metric": lambda text: trained(metric=text),
    "group that shares": lambda text: document(
        model=["Linear(8)", "Linear(8)"], share={text: ["0.weight", "1.weight"]}
    ),
    "preset": lambda text: document(vars={"n": 1}, presets={text: {"n": 2}}),
    "checkpoint": lambda text: document(init=[{"Linear": {"checkpoint": text}}]),
    "rename of a checkpoint": lambda text: document(
        init=[{"Linear": {"checkpoint": "f", "rename": {text: "weight"}}}]
    ),
    "selector": lambda text: document(freeze=[text]),
    "device": lambda text: document(placement=[{"Linear": text}]),
    "plugin": lambda text: document(requires=[text]),
}
"""Where a text stands as it is: nothing of it is read as an expression, or it is refused."""
AS_LITERAL: dict[str, Callable[[str], Document]] = {
    "variable": lambda literal: document(vars={"a": literal}, model=["Tagged(a)"]),
    "variable of a block": lambda literal: block(
        "B(tag)", "return a(x)", vars={"c": literal}, buffers={"d": {"value": "ones(1)"}}
    ),
    "list of a variable": lambda literal: document(vars={"a": f"[{literal}]"}, model=["Tagged(a[0])"]),
    "condition": lambda literal: document(
        model=[{"if": f"{literal} == {literal}", "then": "ReLU", "else": "Tanh"}]
    ),
    "argument": lambda literal: document(model=[f"Tagged({literal})"]),
    "keyword": lambda literal: document(model=[f"Tagged(tag={literal})"]),
    "argument of a block": lambda literal: {**block("B(tag)"), "model": [f"B({literal})"]},
    "default of a block": lambda literal: {**block(f"B(tag={literal})"), "model": ["B"]},
    "item of a repeat": lambda literal: document(
        model=[{"repeat": [literal, "'plain'"], "as": "t", "of": "Tagged(t)"}]
    ),
    "expression of the long form": lambda literal: document(
        model=[{"layer": "Tagged", "tag": f"${{{literal}}}"}]
    ),
    "key of a result": lambda literal: document(model={"forward": f"return {{{literal}: x}}"}),
    "value of a program": lambda literal: document(model={"forward": f"y = {{'a': {literal}}}\nreturn x"}),
    "comparison in a program": lambda literal: another(
        "B(tag)", f"y = a(x) if tag == {literal} else x\nreturn y"
    ),
    "operation": lambda literal: document(model=[f"rearrange({literal})"]),
    "layer that torch refuses": lambda literal: document(model=[f"Conv1d(8, 3, padding_mode={literal})"]),
    "argument of a checkpoint": lambda literal: document(init=[{"Linear": f"checkpoint({literal})"}]),
    "size": lambda literal: document(model=[f"Linear({literal})"]),
}
"""Where a literal stands in an expression."""
AS_NAME: dict[str, Callable[[str], Document]] = {
    "model": lambda name: document(name=name),
    "layer": lambda name: document(model={"layers": {name: "Linear(8)"}}),
    "item": lambda name: document(model=[{name: "Linear(8)"}, "ReLU"]),
    "branch": lambda name: document(model=[{"parallel": {name: "ReLU", "zz": "Tanh"}, "combine": "add"}]),
    "copies": lambda name: document(model=[{"h": {"repeat": 1, "of": "ReLU", "name": f"{name}{{index}}"}}]),
    "block": lambda name: document(blocks={name: ["Linear(8)"]}, model=[name]),
    "argument of a block": lambda name: document(
        blocks={f"B({name})": [f"Linear(8, bias={name})"]}, model=[f"B({name}=True)"]
    ),
    "variable": lambda name: document(vars={name: 8}, model=[f"Linear({name})"]),
    "parameter": lambda name: document(
        model={"parameters": {name: {"tensor": "float[8]", "init": "zeros"}}, "forward": f"return x + {name}"}
    ),
    "input": lambda name: document(inputs={name: "float[batch, 8]"}),
    "dimension": lambda name: document(inputs={"x": f"float[{name}, 8]"}),
    "local": lambda name: document(model={"forward": f"{name} = x + 1\nreturn {name}"}),
}
"""Where a name stands, which must be one."""
LITERALS: tuple[Callable[[str], str], ...] = (repr, ascii, json.dumps)
WRITERS = {"spec.yaml": to_yaml, "spec.json": to_json}


class Skeleton(ast.NodeTransformer):
    """Takes the constants out of a tree; with `names`, the names too: each is its number in order of appearance.

    An attribute may bear the name of a variable: `self.self` is a layer of that name.
    """

    def __init__(self, names: bool) -> None:
        self.names: dict[tuple[bool, str], int] | None = {} if names else None

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant(type(node.value).__name__)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if self.names is not None and not isinstance(node, ast.alias):
            for field in ("id", "attr", "arg", "name"):
                word = getattr(node, field, None)
                if isinstance(word, str):
                    number = self.names.setdefault((field == "attr", word), len(self.names))
                    setattr(node, field, f"n{number}")
        return super().generic_visit(node)


def skeleton(tree: ast.Module, names: bool = False) -> str:
    return ast.dump(Skeleton(names).visit(ast.parse(ast.unparse(tree))))


def compiled(text: str, name: str = "spec.yaml") -> ast.Module | None:
    """Return the tree of a spec, None if it is refused in its place."""
    try:
        return compiler.compile_text(text, name=name, plugins=[PLUGIN]).tree
    except compiler.SpecError as error:
        found = error.diagnostics
    assert found
    check_shown(found)
    return None


@cache
def usual(make: Callable[[str], Document], given: str, names: bool = False) -> str:
    tree = compiled(to_yaml(make(given)))
    return skeleton(tree, names) if tree is not None else ""


def written(value: Document, name: str) -> str:
    return WRITERS[name](value)


def check_same(make: Callable[[str], Document], given: str, usually: str, name: str) -> None:
    tree = compiled(written(make(given), name), name)
    if tree is not None:
        assert skeleton(tree) == usual(make, usually)


places = st.sampled_from(sorted(AS_TEXT))
literal_places = st.sampled_from(sorted(AS_LITERAL))
name_places = st.sampled_from(sorted(AS_NAME))
names = st.sampled_from(sorted(WRITERS))


@settings(max_examples=EXAMPLES * 2 // 5)
@given(texts, places, names)
def test_a_text_is_a_constant(text: str, place: str, name: str) -> None:
    if text.strip() and not text.startswith("${"):  # no doc at all, and an expression
        check_same(AS_TEXT[place], text, PLAIN, name)


@settings(max_examples=EXAMPLES * 2 // 5)
@given(texts, literal_places, st.sampled_from(LITERALS), names)
def test_a_literal_is_a_constant(text: str, place: str, literal: Callable[[str], str], name: str) -> None:
    check_same(AS_LITERAL[place], literal(text), repr(PLAIN), name)


@settings(max_examples=EXAMPLES // 10)
@given(texts, name_places, names)
def test_a_name_is_a_name(text: str, place: str, name: str) -> None:
    tree = compiled(written(AS_NAME[place](text), name), name)
    if tree is not None and place != "dimension":
        assert text.strip().isidentifier() or place == "copies", "it is no name"
        if "{" not in text and text:  # else it is a template, or the number alone
            assert skeleton(tree, names=True) == usual(AS_NAME[place], PLAIN, names=True)


COMMENTED = (
    "spec: 1 #{}\ninputs: {{x: 'float[batch, 8]'}} # {}\nmodel: # {}\n  forward: |\n    return x # {}\n# {}"
)


@settings(max_examples=EXAMPLES // 10)
@given(texts.map(lambda text: text.replace("\n", " ").replace("\r", " ")))
def test_a_comment_is_nothing(text: str) -> None:
    tree = compiled(COMMENTED.format(*[f" {text}"] * 5))
    if tree is not None:
        assert ast.dump(tree) == ast.dump(usual_comment())


@cache
def usual_comment() -> ast.Module:
    tree = compiled(COMMENTED.format(*[" plain"] * 5))
    assert tree is not None
    return tree


NOTHING_FITS = {"selector", "device", "plugin", "operation", "layer that torch refuses", "size"}
USUAL = {"block": "Plain"}


@pytest.mark.parametrize("place", sorted({*AS_TEXT, *AS_LITERAL} - NOTHING_FITS))
def test_a_plain_text_is_fine(place: str) -> None:
    """So that another is refused for what it is, and not for where it stands."""
    make, given = (AS_TEXT[place], PLAIN) if place in AS_TEXT else (AS_LITERAL[place], repr(PLAIN))
    assert usual(make, given)


@pytest.mark.parametrize("place", sorted(AS_NAME))
def test_a_plain_name_is_fine(place: str) -> None:
    assert usual(AS_NAME[place], USUAL.get(place, PLAIN))
