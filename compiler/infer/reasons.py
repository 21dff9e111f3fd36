"""What torch says when it refuses a call, in the words of the language: short, and without torch's internals."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from compiler.infer.symbols import size_text
from compiler.infer.values import show, tensors_in

_DTYPES = {
    "Long": "int64",
    "Int": "int32",
    "Float": "float32",
    "Double": "float64",
    "ComplexFloat": "complex64",
    "Bool": "bool",
}
_THINGS = {
    "Tensor": "a tensor",
    "NoneType": "`None`",
    "Number": "a number",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "tuple": "a list",
    "str": "a text",
    "list": "a list",
}
_LONGEST = 300
DATA_SIZED = "the size of its result would depend on data"


def reason(error: Exception) -> str:
    """Return torch's message as one line."""
    text = re.sub(r"[ \t]+", " ", str(error)).strip() or type(error).__name__
    for pattern, rewrite in _REWRITES:
        found = re.search(pattern, text, re.DOTALL)
        if found:
            return rewrite(found)
    text = re.split(r"\n|Exception raised from|\. Got unexpected|\. This error may", text)[0]
    text = re.sub(r"^[\w.]+\(\w*\): ?", "", text)
    text = re.sub(r"\bself\.|\bTensor\.|<built-in[^>]*>|torch\.(?=Size|float|int|bool)", "", text)
    text = re.sub(r"\bSize\((\[.*?\])\)", r"\1", text).rstrip(". ")
    return text[:1].lower() + text[1:_LONGEST]


def _dtypes(text: str) -> str:
    return " or ".join(_DTYPES.get(each, each) for each in text.split(", "))


def _thing(text: str) -> str:
    return _THINGS.get(text, f"a {text}")


def _argument(text: str) -> str:
    """Return one of the arguments that a function got, such as `FakeTensor` or `dim=int`."""
    name, _, kind = text.rpartition("=")
    found = _thing(kind.rpartition(".")[2].removeprefix("Fake"))
    return f"{name}: {found}" if name else found


def _bare(text: str) -> str:
    return re.sub(r"^torch\.(?:Size\((.*)\))?", r"\1", text)


_REWRITES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"padded input size per channel: \((.*?)\)\. Kernel size: \((.*?)\)",
     lambda m: f"the kernel, {m[2]}, is larger than its padded input, {m[1]}"),
    (r"shape '(\[.*?\])' is invalid for input of size (\S+)",
     lambda m: f"{m[2]} elements do not fit into {m[1]}"),
    (r"scalar types: (.*?); but got torch\.(\w+)",
     lambda m: f"it takes {_dtypes(m[1])}, and gets {m[2]}"),
    (r"Dimension out of range \(expected to be in range of \[(-?\d+), (-?\d+)\], but got (-?\d+)\)",
     lambda m: f"there is no dimension {m[3]}: they go from {m[1]} to {m[2]}"),
    (r"may not change the (\w+) of the tensor.*?unparametrized \w+: (.*?)\nparametrized \w+: (.*)",
     lambda m: f"it changes the {m[1]} from {_bare(m[2])} to {_bare(m[3])}"),
    (r"while processing \S+ pattern.*\n ?(.*)",
     lambda m: m[1][:1].lower() + m[1][1:].rstrip(". ")),
    (r"argument '(\w+)' (?:\(position \d+\) )?must be (\w+), not (\w+)",
     lambda m: f"`{m[1]}` is {_thing(m[2])}, and this is {_thing(m[3])}"),
    (r"missing \d+ required positional arguments?: (.*)",
     lambda m: "it needs " + ", ".join(f"`{name}`" for name in re.findall(r"\w+", m[1]) if name != "and")),
    (r"Sizes of tensors must match except in dimension (\S+?)\. Expected (\S+) in dimension (\S+) but got (\S+)",
     lambda m: f"only dimension {m[1]} may differ, and dimension {m[3]} is {m[2]} and {m[4]}"),
    (r"Number of dimensions of tensors must match\. Expected (\d+)-D tensors, but got (\d+)-D",
     lambda m: f"one has {m[1]} dimensions and another has {m[2]}"),
    (r"input_size\. Expected (\S+), got (\S+)",
     lambda m: f"the last dimension of its input is {m[2]}, and it was made for {m[1]}"),
    (r"expected (?:input with )?(\d)D.* or (\d)D.*?(?:got|input of size:) ?\(?(\d)D",
     lambda m: f"its input has {m[3]} dimensions, and {m[1]} or {m[2]} are expected"),
    (r"nonzero\(\)|data-independent implementation|DynamicOutputShape|data_dependent|data-dependent"
     r"|(?:masked_select|_unique2?|unique_\w+|bincount): attempted",
     lambda m: DATA_SIZED),
    (r"(\w+): attempted to run this operator with Meta tensors|^aten[.:]\S+$",
     lambda m: "torch cannot tell the shape of its result without values"),
    (r"invalid combination of arguments - got \(([^()]*)\)",
     lambda m: f"it takes other arguments than ({', '.join(map(_argument, m[1].split(', ')))})"),
)  # fmt: skip
"""By the first pattern that is found in torch's own words."""


_VALUES = re.compile(r"meta (?:tensor|device type)|data-independent", re.IGNORECASE)


def needs_values(error: Exception) -> bool:
    """Return whether torch refuses to look at a tensor of the meta device, which has no values."""
    return _VALUES.search(str(error)) is not None


_INDICES = "`nonzero_static(x > 0, size=8)` gives so many indices"
_CHOSEN = "`where(mask, x, 0.0)` keeps the shape"
_FIXED_SIZE = {
    "where": "`where(condition, a, b)` chooses between values and keeps the shape; " + _INDICES,
    **dict.fromkeys(("nonzero", "argwhere"), _INDICES),
    **dict.fromkeys(("[]", "masked_select"), _CHOSEN),
    **dict.fromkeys(
        ("unique", "unique_consecutive"), "`sort(x)[0]` has the values in order, and the shape of `x`"
    ),
    "bincount": "`one_hot(x, num_classes=8).sum(dim=0)` counts so many",
}
"""An operation whose result has a size that is known beforehand, for each whose result has not."""


def fixed_size(what: str, error: Exception) -> str | None:
    """Return the way out for an operation whose result, in one of its forms at least, has a size that data decide."""
    is_other_form = what == "where" and "combination of arguments" in str(error)
    return _FIXED_SIZE.get(what) if is_other_form or reason(error) == DATA_SIZED else None


def differing(values: Sequence[Any]) -> tuple[int, Any, Any] | None:
    """Return the dimension, counted from the front of the longer shape, in which two shapes do not broadcast."""
    shapes = [list(value.shape) for value in values if isinstance(value, Tensor)]
    if len(shapes) != 2:
        return None
    rank = max(map(len, shapes))
    first, second = ([1] * (rank - len(shape)) + shape for shape in shapes)
    for dimension, (one, two) in enumerate(zip(first, second, strict=True)):
        if one != two and 1 not in (one, two):
            return dimension, one, two
    return None


_BROADCAST = re.compile(r"broadcast|must match the size of tensor b|non-singleton dimension")


def refusal(what: str, error: Exception, values: Sequence[Any]) -> str:
    """Return the headline for an operation or operator that torch refuses."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    text = str(error)
    pair = differing(tensors)
    if pair and _BROADCAST.search(text) and "einsum" not in text:
        dimension, one, two = pair
        sizes = f"{size_text(one)} and {size_text(two)}"
        return f"{what} needs equal sizes, but dimension {dimension} differs: {sizes}"
    if "reduction dim" in text and len(tensors) >= 2 and min(t.ndim for t in tensors[:2]) > 1:
        inner = f"{size_text(tensors[0].shape[-1])} and {size_text(tensors[1].shape[-2])}"
        return f"{what} needs equal inner sizes, and they are {inner}"
    return f"{what} refuses this: {reason(error)}"


def forms(names: Sequence[str], values: Sequence[Any]) -> str:
    """Return the shapes of the tensors among values, each behind what stands for it in the program."""
    pairs = zip(names, values, strict=False)
    return "   ".join(f"{name}: {show(value)}" for name, value in pairs if tensors_in(value))
