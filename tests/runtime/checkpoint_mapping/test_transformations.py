"""Each transformation of tensors, and that undoing it gives the tensors of the file back."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import runtime
from compiler.checkpoint_mapping.recipes import evaluate
from compiler.checkpoint_mapping.rewriting import Header, Rewriting
from compiler.resolve.checkpoint_form import read_long_form
from compiler.rules.checkpoint_call import Surgery, read_surgery
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.reader import Entries, read_text
from tests.runtime.checkpoint_mapping.conftest import Shapes, counted, holding, loaded, write


@pytest.mark.parametrize(
    ("source", "target", "rule", "expected"),
    [
        ({"w": [2, 3]}, {"w": [2, 3]}, "", lambda w: {"w": w["w"]}),
        ({"m.w": [2]}, {"w": [2]}, "prefix: m.", lambda w: {"w": w["m.w"]}),
        ({"w": [2, 3]}, {"w": [3, 2]}, "transpose: [w]", lambda w: {"w": w["w"].T}),
        ({"w": [2, 3, 4]}, {"w": [4, 2, 3]}, "transpose: {w: [2, 0, 1]}", lambda w: {"w": w["w"].permute(2, 0, 1)}),
        ({"a.w": [2, 3], "a.b": [3]}, {"a.w": [3, 2], "a.b": [3]}, "transpose: [a]",
         lambda w: {"a.w": w["a.w"].T, "a.b": w["a.b"]}),
        ({"w": [6, 2]}, {"q": [2, 2], "k": [1, 2], "v": [3, 2]}, "split: {w: [q, k, v]}",
         lambda w: dict(zip("qkv", w["w"].split([2, 1, 3]), strict=True))),
        ({"w": [2, 6]}, {"q": [2, 2], "k": [2, 4]}, "split: {w: {parts: [q, k], dim: 1}}",
         lambda w: dict(zip("qk", w["w"].split([2, 4], 1), strict=True))),
        ({"w": [3, 2]}, {"q": [2], "k": [2], "v": [2]}, "split: {w: [q, k, v]}",
         lambda w: dict(zip("qkv", w["w"], strict=True))),
        ({"q": [2, 2], "k": [1, 2]}, {"w": [3, 2]}, "stack: {w: [q, k]}", lambda w: {"w": torch.cat([w["q"], w["k"]])}),
        ({"q": [2], "k": [2]}, {"w": [2, 2]}, "stack: {w: {parts: [q, k], dim: 1}}",
         lambda w: {"w": torch.stack([w["q"], w["k"]], 1)}),
        ({"c.w": [2, 6], "c.b": [6]}, {"q.w": [3, 2], "k.w": [3, 2], "q.b": [3], "k.b": [3]},
         "transpose: [c.w]\n      split: {c: [q, k]}",
         lambda w: {"q.w": w["c.w"].T[:3], "k.w": w["c.w"].T[3:], "q.b": w["c.b"][:3], "k.b": w["c.b"][3:]}),
        ({"qkv": [6], "e": [2]}, {"q": [2], "rest": [6]}, "split: {qkv: [q, k, v]}\n      stack: {rest: [k, v, e]}",
         lambda w: {"q": w["qkv"][:2], "rest": torch.cat([w["qkv"][2:], w["e"]])}),
        ({"ab": [4, 2]}, {"ab": [2, 2], "c": [2, 2]}, "split: {ab: [ab, c]}",
         lambda w: {"ab": w["ab"][:2], "c": w["ab"][2:]}),
        ({"s": []}, {"s": []}, "", lambda w: {"s": w["s"]}),
    ],
)  # fmt: skip
def test_a_transformation_and_back(
    source: Shapes,
    target: Shapes,
    rule: str,
    expected: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]],
    tmp_path: Path,
) -> None:
    tensors = counted(source)
    write(tmp_path / "file.safetensors", tensors)
    model = loaded(holding(target, f"  - /:\n      checkpoint: file.safetensors\n      {rule}\n"), tmp_path)
    wanted = expected(tensors)
    state = model.state_dict()
    assert state.keys() == wanted.keys()
    assert all(torch.equal(state[name], wanted[name]) for name in wanted)
    assert all(tensor.untyped_storage().nbytes() == tensor.nbytes for tensor in state.values())
    runtime.save_like(model, tmp_path / "back.safetensors", tmp_path / "file.safetensors")
    assert (tmp_path / "back.safetensors").read_bytes() == (tmp_path / "file.safetensors").read_bytes()


# Any surgery is undone.

SIZES = st.integers(1, 3)


@st.composite
def surgeries(draw: st.DrawFn) -> tuple[str, Shapes, Shapes]:
    """A rule, the tensors of a file, and those of the model that follow from it."""
    source: dict[str, list[int]] = {}
    target: dict[str, list[int]] = {}
    transposes: list[str] = []
    splits: list[str] = []
    stacks: list[str] = []
    for at in range(draw(st.integers(1, 4))):
        name, shape = f"t{at}", draw(st.lists(SIZES, min_size=1, max_size=3))
        dim = draw(st.integers(0, len(shape) - 1))
        turned = draw(st.permutations(range(len(shape)))) if draw(st.booleans()) else list(range(len(shape)))
        if turned != sorted(turned):
            transposes.append(f"{name}: {turned}")
        form = draw(st.sampled_from(["plain", "split", "unbind", "cat", "stack"]))
        parts = [f"{name}{letter}" for letter in "abc"[: draw(st.integers(2, 3))]]
        listed = f"{{parts: [{', '.join(parts)}], dim: {dim}}}"
        if form in ("plain", "split", "unbind"):
            whole = [1] * len(shape)
            sizes = [1 if form == "unbind" else draw(SIZES) for _ in parts]
            shape[dim] = sum(sizes) if form != "plain" else shape[dim]
            for place, old in enumerate(turned):
                whole[old] = shape[place]
            source[name] = whole
        if form == "plain":
            target[name] = shape
        elif form in ("split", "unbind"):
            splits.append(f"{name}: {listed}")
            for part, size in zip(parts, sizes, strict=True):
                target[part] = [*shape[:dim], *([] if form == "unbind" else [size]), *shape[dim + 1 :]]
        else:
            stacks.append(f"{name}: {listed}")
            lengths = [shape[dim] if form == "stack" else draw(SIZES) for _ in parts]
            for part, length in zip(parts, lengths, strict=True):
                source[part] = [*shape[:dim], length, *shape[dim + 1 :]]
            new = [*shape[:dim], len(parts), *shape[dim:]]
            target[name] = new if form == "stack" else [*shape[:dim], sum(lengths), *shape[dim + 1 :]]
            transposes = [each for each in transposes if not each.startswith(f"{name}:")]
    keys = {"transpose": transposes, "split": splits, "stack": stacks}
    rule = "".join(f"{key}: {{{', '.join(entries)}}}\n" for key, entries in keys.items() if entries)
    return f"checkpoint: file\n{rule}", source, target


@given(surgeries())
def test_any_surgery_is_undone(case: tuple[str, Shapes, Shapes]) -> None:
    rule, source, target = case
    surgery = surgery_of(rule)
    tensors = counted(source)
    headers = {name: Header(name, tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
    shapes = {name: tuple(shape) for name, shape in target.items()}
    rewriting = Rewriting(surgery, headers, shapes.get).run()
    assert rewriting.problems == []
    made = {name: evaluate(recipe, tensors.__getitem__) for name, recipe in rewriting.recipes.items()}
    assert {name: tuple(tensor.shape) for name, tensor in made.items()} == shapes
    for name, tensor in tensors.items():
        assert torch.equal(evaluate(rewriting.back(name), made.__getitem__), tensor)


def surgery_of(rule: str) -> Surgery:
    """What the long form of a rule says."""
    entry = read_text(rule, "rule.yaml", DEFAULT_LIMITS)
    assert isinstance(entry, Entries)
    form = read_long_form(entry)
    assert isinstance(form.tree, ast.Call)
    values = {keyword.arg: ast.literal_eval(keyword.value) for keyword in form.tree.keywords if keyword.arg}
    return read_surgery(form, form.tree, {"path": "file", **values})
