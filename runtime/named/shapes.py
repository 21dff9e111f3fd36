"""Rules for what makes other dimensions of those that there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from compiler.infer.named_size import Size, UnknownSizeError, divided, same
from compiler.infer.values import tensors_in
from runtime.named.layers import broadcasted
from runtime.named.sizes import Sizes, broadcast, flat, place, product, sizes_of, static


def reduced(out: Any, input: Tensor, dim: Any = None, keepdim: bool = False, **_: Any) -> Any:
    if isinstance(dim, Tensor):
        return broadcasted(out, input, dim)
    sizes = sizes_of(input)
    if dim is None:
        return (1,) * len(sizes) if keepdim else ()
    dims = {place(each, len(sizes)) for each in (dim if isinstance(dim, list | tuple) else [dim])}
    left = tuple(1 if at in dims else size for at, size in enumerate(sizes) if keepdim or at not in dims)
    return [left] * len(tensors_in(out))


def each_alike(out: Any, input: Tensor, *_: Any, **__: Any) -> list[Sizes]:
    return [sizes_of(input)] * len(tensors_in(out))


def _along(out: Any, input: Tensor, dim: Any) -> list[Sizes]:
    """One dimension becomes what it becomes, which has no name; the others stay."""
    sizes = sizes_of(input)
    at = place(dim, len(sizes))
    static(sizes[at])
    return [(*sizes[:at], sizes_of(each)[at], *sizes[at + 1 :]) for each in tensors_in(out)]


def split(out: Any, input: Tensor, split_size_or_sections: Any, dim: int = 0) -> list[Sizes]:
    return _along(out, input, dim)


def chunk(out: Any, input: Tensor, chunks: int, dim: int = 0) -> list[Sizes]:
    return _along(out, input, dim)


def topk(out: Any, input: Tensor, k: int, dim: int = -1, *_: Any, **__: Any) -> list[Sizes]:
    return _along(out, input, dim)


def narrow(out: Any, input: Tensor, dim: int, *_: Any, **__: Any) -> list[Sizes]:
    return _along(out, input, dim)


def without(out: Any, input: Tensor, dim: int = 0, index: int = 0) -> list[Sizes]:
    """Select, and unbind."""
    sizes = sizes_of(input)
    at = place(dim, len(sizes))
    static(sizes[at])
    return [(*sizes[:at], *sizes[at + 1 :])] * len(tensors_in(out))


def unsqueezed(out: Any, input: Tensor, dim: int) -> Sizes:
    sizes = sizes_of(input)
    at = place(dim, len(sizes) + 1)
    return (*sizes[:at], 1, *sizes[at:])


def squeezed(out: Any, input: Tensor, *dim: int) -> Sizes:
    sizes = sizes_of(input)
    dims = {place(each, len(sizes)) for each in flat(dim)} if dim else set(range(len(sizes)))
    return tuple(
        size for at, size in enumerate(sizes) if at not in dims or not (type(size) is int and size == 1)
    )


def permuted(out: Any, input: Tensor, *dims: Any) -> Sizes:
    sizes = sizes_of(input)
    return tuple(sizes[dim] for dim in flat(dims))


def transposed(out: Any, input: Tensor, dim0: int, dim1: int) -> Sizes:
    sizes = list(sizes_of(input))
    sizes[dim0], sizes[dim1] = sizes[dim1], sizes[dim0]
    return tuple(sizes)


def turned(out: Any, input: Tensor) -> Sizes:
    return sizes_of(input)[::-1]


def flattened(out: Any, input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Sizes:
    sizes = sizes_of(input)
    first, last = place(start_dim, len(sizes)), place(end_dim, len(sizes))
    return (*sizes[:first], product(sizes[first : last + 1]), *sizes[last + 1 :])


def unflattened(out: Any, input: Tensor, dim: int, sizes: Sequence[Any]) -> Sizes:
    all_sizes = sizes_of(input)
    at = place(dim, len(all_sizes))
    return (*all_sizes[:at], *_filled(all_sizes[at], tuple(sizes)), *all_sizes[at + 1 :])


def reshaped(out: Any, input: Tensor, *shape: Any) -> Sizes:
    return _filled(product(sizes_of(input)), flat(shape))


def _filled(total: Any, shape: Sizes) -> Sizes:
    """Return a shape of so many elements, with what `-1` stands for."""
    open_ = [type(size) is int and size == -1 for size in shape]
    known = product([size for size, is_open in zip(shape, open_, strict=True) if not is_open])
    rest = divided(total, known) if isinstance(total, Size) else _quotient(total, known)
    if not any(open_) and not same(rest, 1):
        raise UnknownSizeError("reshape")
    return tuple(rest if is_open else size for size, is_open in zip(shape, open_, strict=True))


def _quotient(total: int, known: Any) -> int:
    static(known)
    return total // known if known else 0


def expanded(out: Any, input: Tensor, *shape: Any) -> Sizes:
    given, sizes = flat(shape), sizes_of(input)
    own = (1,) * (len(given) - len(sizes)) + sizes
    kept = tuple(
        size if type(wanted) is int and wanted == -1 else wanted
        for wanted, size in zip(given, own, strict=True)
    )
    return broadcast(kept, own)


def expanded_as(out: Any, input: Tensor, other: Tensor) -> Sizes:
    return expanded(out, input, sizes_of(other))


def repeated(out: Any, input: Tensor, *repeats: Any) -> Sizes:
    given, sizes = flat(repeats), sizes_of(input)
    own = (1,) * (len(given) - len(sizes)) + sizes
    return tuple(times * size for times, size in zip(given, own, strict=True))


def concatenated(out: Any, tensors: Sequence[Tensor], dim: int = 0) -> Sizes:
    shapes = [sizes_of(each) for each in tensors]
    at = place(dim, len(shapes[0]))
    static(*(shape[at] for shape in shapes))
    rest = [(*shape[:at], 1, *shape[at + 1 :]) for shape in shapes]
    if not all(same(one, other) for shape in rest for one, other in zip(shape, rest[0], strict=True)):
        raise UnknownSizeError("cat")
    return (*rest[0][:at], sizes_of(out)[at], *rest[0][at + 1 :])


def stacked(out: Any, tensors: Sequence[Tensor], dim: int = 0) -> Sizes:
    shapes = [sizes_of(each) for each in tensors]
    if not all(same(one, other) for shape in shapes for one, other in zip(shape, shapes[0], strict=True)):
        raise UnknownSizeError("stack")
    at = place(dim, len(shapes[0]) + 1)
    return (*shapes[0][:at], len(shapes), *shapes[0][at:])
