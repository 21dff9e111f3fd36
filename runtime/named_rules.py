"""Which sizes of a result are which of the arguments: a rule for each function that names can be carried through.

A rule is given the result and the arguments, and returns the sizes of the result, or of each tensor of it. Where what
torch does is more than a rule says, it refuses. `tests/runtime/test_named_dimensions.py` holds rules against torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from compiler.catalogue.unheard import unheard
from compiler.infer.named_size import Size, UnknownSizeError, divided, same, value_of
from compiler.infer.values import tensors_in

Sizes = tuple[Any, ...]
"""Whole numbers and named sizes."""
Rule = Callable[..., Any]
MARK = "blockprint_sizes"


def sizes_of(tensor: Tensor) -> Sizes:
    """Return the sizes of a tensor, named where they are known to be."""
    marked = vars(tensor).get(MARK)
    if marked is not None:
        return tuple(marked)
    with unheard():
        return tuple(tensor.shape)


def mark(result: Any, sizes: Any) -> None:
    """Mark what a function returned with sizes, one tuple for each tensor in it.

    Raises:
        UnknownSizeError: they are not what the example sizes came to.
    """
    tensors = tensors_in(result)
    each = sizes if isinstance(sizes, list) else [sizes]
    if len(tensors) != len(each):
        raise UnknownSizeError("results")
    for tensor, own in zip(tensors, each, strict=True):
        with unheard():
            if tuple(tensor.shape) != tuple(map(value_of, own)):
                raise UnknownSizeError("sizes")
        vars(tensor)[MARK] = tuple(own)


def _place(dim: Any, length: int) -> int:
    if type(dim) is not int or not -length <= dim < length:
        raise UnknownSizeError("dim")
    return dim % length


def _static(*sizes: Any) -> None:
    """Refuse names."""
    if any(isinstance(size, Size) for size in sizes):
        raise UnknownSizeError("a name")


def _weights(*values: Any) -> None:
    """Refuse names in tensors that are no inputs."""
    for tensor in tensors_in(list(values)):
        _static(*sizes_of(tensor))


def _flat(sizes: Sequence[Any]) -> Sizes:
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], list | tuple) else tuple(sizes)


def _product(sizes: Sequence[Any]) -> Any:
    result: Any = 1
    for size in sizes:
        result = result * size
    return result


# --- element by element ---------------------------------------------------------------------------------


def _same(out: Any, input: Tensor, *others: Any, **keywords: Any) -> Sizes:
    """The first argument's sizes, to which weights make no difference."""
    _weights(others, list(keywords.values()))
    return sizes_of(input)


def _like(out: Any, input: Tensor, *others: Any, **keywords: Any) -> Sizes:
    return sizes_of(input)


def _broadcast(out: Any, *values: Any, **keywords: Any) -> Sizes:
    shapes = [sizes_of(each) for each in (*values, *keywords.values()) if isinstance(each, Tensor)]
    return broadcast(*shapes)


def broadcast(*shapes: Sizes) -> Sizes:
    """Return the sizes that all are broadcast to."""
    length = max(map(len, shapes))
    found = []
    for column in zip(*((1,) * (length - len(each)) + each for each in shapes), strict=True):
        size: Any = 1
        for each in column:
            if type(size) is int and size == 1:
                size = each
            elif not (type(each) is int and each == 1) and not same(size, each):
                raise UnknownSizeError("broadcast")
        found.append(size)
    return tuple(found)


# --- layers ---------------------------------------------------------------------------------------------


def _linear(out: Any, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Sizes:
    *before, last = sizes_of(input)
    _weights(weight, bias)
    _static(last)
    return (*before, sizes_of(weight)[0])


def _embedding(out: Any, input: Tensor, weight: Tensor, *others: Any, **keywords: Any) -> Sizes:
    _weights(weight)
    return (*sizes_of(input), sizes_of(weight)[1])


def _batched(out: Tensor, input: Tensor, *others: Any, **keywords: Any) -> Sizes:
    """Only the first dimension is named, and stays."""
    first, *rest = sizes_of(input)
    _static(*rest)
    _weights(others, list(keywords.values()))
    if len(sizes_of(out)) != len(rest) + 1 or not len(rest):
        raise UnknownSizeError("dimensions")
    return (first, *sizes_of(out)[1:])


def _convolution(out: Tensor, input: Tensor, weight: Tensor, *others: Any, **keywords: Any) -> Sizes:
    if len(sizes_of(input)) != len(sizes_of(weight)):
        raise UnknownSizeError("no batch")
    return _batched(out, input, weight, *others, **keywords)


def _matmul(out: Any, input: Tensor, other: Tensor) -> Sizes:
    first, second = sizes_of(input), sizes_of(other)
    if min(len(first), len(second)) < 2 or not same(first[-1], second[-2]):
        raise UnknownSizeError("matmul")
    return (*broadcast(first[:-2], second[:-2]), first[-2], second[-1])


def _attention(
    out: Any, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *_: Any, **__: Any
) -> Sizes:
    q, k, v = map(sizes_of, (query, key, value))
    _static(q[-1], k[-1], v[-1])
    if not len(q) == len(k) == len(v) or not all(map(same, (*k[:-1], *q[:-3]), (*v[:-1], *k[:-3]))):
        raise UnknownSizeError("attention")
    if attn_mask is not None:
        broadcast(sizes_of(attn_mask), (*q[:-1], k[-2]))
    return (*q[:-1], v[-1])


def _outer(out: Any, input: Tensor, vec2: Tensor) -> Sizes:
    return (*sizes_of(input), *sizes_of(vec2))


def _einsum(out: Any, equation: Any, *operands: Any) -> Sizes:
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


# --- dimensions -----------------------------------------------------------------------------------------


def _reduced(out: Any, input: Tensor, dim: Any = None, keepdim: bool = False, **_: Any) -> Any:
    if isinstance(dim, Tensor):
        return _broadcast(out, input, dim)
    sizes = sizes_of(input)
    if dim is None:
        return (1,) * len(sizes) if keepdim else ()
    dims = {_place(each, len(sizes)) for each in (dim if isinstance(dim, list | tuple) else [dim])}
    left = tuple(1 if at in dims else size for at, size in enumerate(sizes) if keepdim or at not in dims)
    return [left] * len(tensors_in(out))


def _each_alike(out: Any, input: Tensor, *_: Any, **__: Any) -> list[Sizes]:
    return [sizes_of(input)] * len(tensors_in(out))


def _along(out: Any, input: Tensor, dim: Any) -> list[Sizes]:
    """One dimension becomes what it becomes, which has no name; the others stay."""
    sizes = sizes_of(input)
    at = _place(dim, len(sizes))
    _static(sizes[at])
    return [(*sizes[:at], sizes_of(each)[at], *sizes[at + 1 :]) for each in tensors_in(out)]


def _split(out: Any, input: Tensor, split_size_or_sections: Any, dim: int = 0) -> list[Sizes]:
    return _along(out, input, dim)


def _chunk(out: Any, input: Tensor, chunks: int, dim: int = 0) -> list[Sizes]:
    return _along(out, input, dim)


def _topk(out: Any, input: Tensor, k: int, dim: int = -1, *_: Any, **__: Any) -> list[Sizes]:
    return _along(out, input, dim)


def _narrow(out: Any, input: Tensor, dim: int, *_: Any, **__: Any) -> list[Sizes]:
    return _along(out, input, dim)


def _without(out: Any, input: Tensor, dim: int = 0, index: int = 0) -> list[Sizes]:
    """Select, and unbind."""
    sizes = sizes_of(input)
    at = _place(dim, len(sizes))
    _static(sizes[at])
    return [(*sizes[:at], *sizes[at + 1 :])] * len(tensors_in(out))


def _unsqueezed(out: Any, input: Tensor, dim: int) -> Sizes:
    sizes = sizes_of(input)
    at = _place(dim, len(sizes) + 1)
    return (*sizes[:at], 1, *sizes[at:])


def _squeezed(out: Any, input: Tensor, *dim: int) -> Sizes:
    sizes = sizes_of(input)
    dims = {_place(each, len(sizes)) for each in _flat(dim)} if dim else set(range(len(sizes)))
    return tuple(
        size for at, size in enumerate(sizes) if at not in dims or not (type(size) is int and size == 1)
    )


def _permuted(out: Any, input: Tensor, *dims: Any) -> Sizes:
    sizes = sizes_of(input)
    return tuple(sizes[dim] for dim in _flat(dims))


def _transposed(out: Any, input: Tensor, dim0: int, dim1: int) -> Sizes:
    sizes = list(sizes_of(input))
    sizes[dim0], sizes[dim1] = sizes[dim1], sizes[dim0]
    return tuple(sizes)


def _turned(out: Any, input: Tensor) -> Sizes:
    return sizes_of(input)[::-1]


def _flattened(out: Any, input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Sizes:
    sizes = sizes_of(input)
    first, last = _place(start_dim, len(sizes)), _place(end_dim, len(sizes))
    return (*sizes[:first], _product(sizes[first : last + 1]), *sizes[last + 1 :])


def _unflattened(out: Any, input: Tensor, dim: int, sizes: Sequence[Any]) -> Sizes:
    all_sizes = sizes_of(input)
    at = _place(dim, len(all_sizes))
    return (*all_sizes[:at], *_filled(all_sizes[at], tuple(sizes)), *all_sizes[at + 1 :])


def _reshaped(out: Any, input: Tensor, *shape: Any) -> Sizes:
    return _filled(_product(sizes_of(input)), _flat(shape))


def _filled(total: Any, shape: Sizes) -> Sizes:
    """Return a shape of so many elements, with what `-1` stands for."""
    open_ = [type(size) is int and size == -1 for size in shape]
    known = _product([size for size, is_open in zip(shape, open_, strict=True) if not is_open])
    rest = divided(total, known) if isinstance(total, Size) else _quotient(total, known)
    if not any(open_) and not same(rest, 1):
        raise UnknownSizeError("reshape")
    return tuple(rest if is_open else size for size, is_open in zip(shape, open_, strict=True))


def _quotient(total: int, known: Any) -> int:
    _static(known)
    return total // known if known else 0


def _expanded(out: Any, input: Tensor, *shape: Any) -> Sizes:
    given, sizes = _flat(shape), sizes_of(input)
    own = (1,) * (len(given) - len(sizes)) + sizes
    kept = tuple(
        size if type(wanted) is int and wanted == -1 else wanted
        for wanted, size in zip(given, own, strict=True)
    )
    return broadcast(kept, own)


def _expanded_as(out: Any, input: Tensor, other: Tensor) -> Sizes:
    return _expanded(out, input, sizes_of(other))


def _repeated(out: Any, input: Tensor, *repeats: Any) -> Sizes:
    given, sizes = _flat(repeats), sizes_of(input)
    own = (1,) * (len(given) - len(sizes)) + sizes
    return tuple(times * size for times, size in zip(given, own, strict=True))


def _concatenated(out: Any, tensors: Sequence[Tensor], dim: int = 0) -> Sizes:
    shapes = [sizes_of(each) for each in tensors]
    at = _place(dim, len(shapes[0]))
    _static(*(shape[at] for shape in shapes))
    rest = [(*shape[:at], 1, *shape[at + 1 :]) for shape in shapes]
    if not all(same(one, other) for shape in rest for one, other in zip(shape, rest[0], strict=True)):
        raise UnknownSizeError("cat")
    return (*rest[0][:at], sizes_of(out)[at], *rest[0][at + 1 :])


def _stacked(out: Any, tensors: Sequence[Tensor], dim: int = 0) -> Sizes:
    shapes = [sizes_of(each) for each in tensors]
    if not all(same(one, other) for shape in shapes for one, other in zip(shape, shapes[0], strict=True)):
        raise UnknownSizeError("stack")
    at = _place(dim, len(shapes[0]) + 1)
    return (*shapes[0][:at], len(shapes), *shapes[0][at:])


# --- elements that are chosen ---------------------------------------------------------------------------


def _indexed(out: Any, input: Tensor, index: Any) -> Sizes:
    parts = index if isinstance(index, tuple) else (index,)
    sizes, found, at, tensors = sizes_of(input), [], 0, 0
    taken = sum(each is not None and each is not Ellipsis for each in parts)
    for each in parts:
        if each is None:
            found.append(1)
            continue
        width = len(sizes) - taken if each is Ellipsis else 1
        if each is Ellipsis:
            found += sizes[at : at + width]
        elif type(each) is slice:
            found.append(_sliced(sizes[at], each))
        elif isinstance(each, Tensor) and not tensors and each.dtype in (torch.int64, torch.int32):
            found += sizes_of(each)
            tensors = 1
        elif type(each) is not int:
            raise UnknownSizeError("an index")
        at += width
    return (*found, *sizes[at:])


def _sliced(size: Any, part: slice) -> Any:
    start, stop, step = part.start or 0, part.stop, part.step
    if not isinstance(size, Size) and not isinstance(stop, Size):
        _static(start, step)
        return len(range(*part.indices(size)))
    if isinstance(start, Size) or start or step not in (None, 1):
        raise UnknownSizeError("a slice")
    if stop is None or (isinstance(stop, Size) and isinstance(size, Size) and same(stop, size)):
        return size
    if isinstance(stop, Size) and type(size) is int and size > stop.value:
        return stop
    raise UnknownSizeError("a slice")


def _gathered(out: Any, input: Tensor, dim: int, index: Tensor, **_: Any) -> Sizes:
    _alike_but(input, index, dim)
    return sizes_of(index)


def _scattered(out: Any, input: Tensor, dim: int, index: Tensor, src: Any = None, **_: Any) -> Sizes:
    for other in tensors_in([index, src]):
        _alike_but(input, other, dim)
    return sizes_of(input)


def _alike_but(input: Tensor, other: Tensor, dim: int) -> None:
    """Refuse names that differ, and any along one dimension."""
    first, second = sizes_of(input), sizes_of(other)
    at = _place(dim, len(first))
    _static(first[at], second[at])
    if not all(
        same(one, two) for each, (one, two) in enumerate(zip(first, second, strict=True)) if each != at
    ):
        raise UnknownSizeError("index")


# --- new tensors ----------------------------------------------------------------------------------------


def _made(out: Any, *sizes: Any, **_: Any) -> Sizes:
    return _flat(sizes)


def _made_full(out: Any, size: Sequence[Any], *_: Any, **__: Any) -> Sizes:
    return tuple(size)


def _made_by(out: Any, input: Tensor, *sizes: Any, **_: Any) -> Sizes:
    return _flat(sizes)


def _counted(out: Any, *ends: Any, **_: Any) -> Sizes:
    if len(ends) != (1 if type(ends[0]) is not int or ends[0] else 2):
        raise UnknownSizeError("arange")
    return (ends[-1],)


def _functions(names: str) -> list[Callable[..., Any]]:
    """Return all that torch has by these names: functions, those of layers, and methods."""
    found = [getattr(place, name, None) for name in names.split() for place in (torch, F, Tensor)]
    return [each for each in found if callable(each)]


def _rules() -> Mapping[Callable[..., Any], Rule]:
    found: dict[Callable[..., Any], Rule] = {}
    for rule, names in NAMES.items():
        for each in _functions(names):
            found[each] = rule
    return found


NAMES: Mapping[Rule, str] = {
    _same: """
        abs ceil cos cumprod cumsum dropout dropout1d dropout2d dropout3d elu erf exp flip floor gelu group_norm
        hardsigmoid hardswish hardtanh layer_norm leaky_relu log log1p log_softmax logsigmoid mish neg normalize
        batch_norm reciprocal relu relu6 relu_ rms_norm roll round rsqrt selu sigmoid silu sin softmax softplus
        sqrt square tanh tril triu bernoulli bernoulli_ logical_not bitwise_not log2 log10 sign softsign
    """,
    _like: """
        contiguous clone detach to type type_as bool float double half bfloat16 int long zeros_like ones_like
        full_like rand_like randn_like
    """,
    _broadcast: """
        add sub mul div true_divide subtract multiply divide rsub pow maximum minimum where eq ne lt le gt ge
        clamp clamp_min clamp_max logical_and logical_or logical_xor bitwise_and bitwise_or floor_divide remainder
        masked_fill lerp addcmul atan2 __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __and__ __or__ __invert__
        __rsub__ __rpow__ __pow__ __rdiv__ __rtruediv__ __radd__ __rmul__ __xor__ add_ mul_ sub_ div_
    """,
    _linear: "linear",
    _embedding: "embedding",
    _batched: """
        max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d
        adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d pixel_shuffle
    """,
    _convolution: "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d",
    _matmul: "matmul bmm __matmul__",
    _attention: "scaled_dot_product_attention",
    _outer: "outer",
    _einsum: "einsum",
    _reduced: "sum mean amax amin argmax argmin all any logsumexp max min prod",
    _each_alike: "sort",
    _split: "split",
    _chunk: "chunk",
    _topk: "topk",
    _narrow: "narrow",
    _without: "select unbind",
    _unsqueezed: "unsqueeze",
    _squeezed: "squeeze",
    _permuted: "permute",
    _transposed: "transpose swapaxes swapdims",
    _turned: "t",
    _flattened: "flatten",
    _unflattened: "unflatten",
    _reshaped: "reshape view",
    _expanded: "expand broadcast_to",
    _expanded_as: "expand_as",
    _repeated: "repeat",
    _concatenated: "cat concat concatenate",
    _stacked: "stack",
    _indexed: "__getitem__",
    _gathered: "gather",
    _scattered: "scatter scatter_add",
    _made: "zeros ones empty rand randn",
    _made_full: "full",
    _made_by: "new_zeros new_ones new_empty",
    _counted: "arange",
}
RULES = _rules()
