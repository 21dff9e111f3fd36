"""Rules for layers, and for what goes element by element."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from compiler.infer.named_size import UnknownSizeError, same
from runtime.named.sizes import Sizes, broadcast, distinct, sizes_of, static, weights


def as_input(out: Any, input: Tensor, *others: Any, **keywords: Any) -> Sizes:
    """The first argument's sizes, to which weights make no difference."""
    weights(others, list(keywords.values()))
    return sizes_of(input)


def like(out: Any, input: Tensor, *others: Any, **keywords: Any) -> Sizes:
    return sizes_of(input)


def broadcasted(out: Any, *values: Any, **keywords: Any) -> Sizes:
    shapes = [sizes_of(each) for each in (*values, *keywords.values()) if isinstance(each, Tensor)]
    return broadcast(*shapes)


def linear(out: Any, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Sizes:
    *before, last = sizes_of(input)
    weights(weight, bias)
    static(last)
    distinct(*before)
    return (*before, sizes_of(weight)[0])


def embedding(out: Any, input: Tensor, weight: Tensor, *others: Any, **keywords: Any) -> Sizes:
    weights(weight)
    return (*sizes_of(input), sizes_of(weight)[1])


def batched(out: Tensor, input: Tensor, *others: Any, **keywords: Any) -> Sizes:
    """Only the first dimension is named, and stays."""
    first, *rest = sizes_of(input)
    static(*rest)
    weights(others, list(keywords.values()))
    if len(sizes_of(out)) != len(rest) + 1 or not len(rest):
        raise UnknownSizeError("dimensions")
    return (first, *sizes_of(out)[1:])


def convolution(out: Tensor, input: Tensor, weight: Tensor, *others: Any, **keywords: Any) -> Sizes:
    if len(sizes_of(input)) != len(sizes_of(weight)):
        raise UnknownSizeError("no batch")
    return batched(out, input, weight, *others, **keywords)


def matmul(out: Any, input: Tensor, other: Tensor) -> Sizes:
    first, second = sizes_of(input), sizes_of(other)
    if min(len(first), len(second)) < 2 or not same(first[-1], second[-2]):
        raise UnknownSizeError("matmul")
    distinct(*first[:-1])
    distinct(*second[:-2], second[-1])
    return (*broadcast(first[:-2], second[:-2]), first[-2], second[-1])


def attention(
    out: Any, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *_: Any, **__: Any
) -> Sizes:
    q, k, v = map(sizes_of, (query, key, value))
    static(q[-1], k[-1], v[-1])
    distinct(*q[:-1])
    if not len(q) == len(k) == len(v) or not all(map(same, (*k[:-1], *q[:-3]), (*v[:-1], *k[:-3]))):
        raise UnknownSizeError("attention")
    if attn_mask is not None:
        broadcast(sizes_of(attn_mask), (*q[:-1], k[-2]))
    return (*q[:-1], v[-1])


def outer(out: Any, input: Tensor, vec2: Tensor) -> Sizes:
    return (*sizes_of(input), *sizes_of(vec2))


def einsum(out: Any, equation: Any, *operands: Any) -> Sizes:
    given, arrow, result = str(equation).replace(" ", "").partition("->")
    tensors = list(operands[0]) if len(operands) == 1 and not isinstance(operands[0], Tensor) else operands
    if not arrow or "." in given:
        raise UnknownSizeError("einsum")
    sizes: dict[str, Any] = {}
    for letters, tensor in zip(given.split(","), tensors, strict=True):
        for letter, size in zip(letters, sizes_of(tensor), strict=True):
            if not same(sizes.setdefault(letter, size), size):
                raise UnknownSizeError("einsum")
    return tuple(sizes[letter] for letter in result)
