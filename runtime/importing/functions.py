"""How the language spells the functions that torch was called with."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import resolve_name

from compiler.catalogue.operation_table import FUNCTIONS, METHODS
from runtime.importing.records import Structure, Target

OPERATORS: dict[str, str] = {
    **{"add": "+", "sub": "-", "mul": "*", "div": "/", "true_divide": "/", "matmul": "@", "pow": "**"},
    **{"remainder": "%", "__floordiv__": "//", "__mod__": "%", "__truediv__": "/", "__pow__": "**"},
    **{"gt": ">", "lt": "<", "ge": ">=", "le": "<=", "eq": "==", "ne": "!="},
    **{"__and__": "&", "__or__": "|", "__xor__": "^", "__lshift__": "<<", "__rshift__": ">>"},
    **{"bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^"},
    **{"__add__": "+", "__sub__": "-", "__mul__": "*", "__matmul__": "@", "__eq__": "==", "__ne__": "!="},
    **{"__iadd__": "+", "__isub__": "-", "__imul__": "*", "__itruediv__": "/", "__idiv__": "/"},
    **{"__iand__": "&", "__ior__": "|", "__ixor__": "^"},
}
REFLECTED: dict[str, str] = {
    **{"__radd__": "+", "__rsub__": "-", "__rmul__": "*", "__rdiv__": "/", "__rtruediv__": "/"},
    **{"__rpow__": "**", "__rfloordiv__": "//", "__rmod__": "%", "__rmatmul__": "@"},
    **{"__rand__": "&", "__ror__": "|", "__rxor__": "^"},
}
UNARY: dict[str, str] = {"neg": "-", "__neg__": "-", "__invert__": "~"}
FACTS = frozenset(
    """
    requires_grad is_cuda is_cpu is_meta is_mps is_xpu is_xla is_quantized is_sparse is_sparse_csr is_nested is_leaf
    is_mkldnn is_ipu is_vulkan is_maia is_mtia device grad grad_fn layout names ndim itemsize _version output_nr
    dim ndimension is_floating_point is_complex is_contiguous is_signed is_conj is_neg element_size stride
    requires_grad_ storage_offset get_device is_inference data_ptr is_pinned is_shared type __hash__ __format__
    __repr__ _set_grad_enabled untyped_storage _assert is_tensor __dir__ is_same_size register_hook retain_grad
    """.split()
)
"""What is asked of a tensor and holds for all sizes: nothing to be written."""
LOOKS = frozenset(
    "__bool__ __int__ __float__ __index__ __complex__ __contains__ item tolist equal allclose is_nonzero".split()
)
"""What tells a Python program what is in a tensor."""
SHAPED = frozenset(
    "shape size numel dtype zeros_like ones_like full_like new_zeros new_ones new_full".split()
)
"""What reads no values of the tensors that it is given."""
DRAWING = ("rand", "normal", "bernoulli", "multinomial")
"""How operations begin that draw."""
MADE_EMPTY = {"empty": "zeros", "empty_like": "zeros_like", "new_empty": "new_zeros"}
"""What makes memory that nobody wrote -> what makes zeros of it, which any program may read."""
DRAWN = {"uniform": ("rand_like", (0, 1)), "normal": ("randn_like", (0, 1))}
"""What fills a tensor with random numbers -> what makes such a tensor, and the arguments which it does that for."""
SYNONYMS = {
    **{"max_pool1d_with_indices": "max_pool1d", "max_pool2d_with_indices": "max_pool2d"},
    **{"adaptive_max_pool2d_with_indices": "adaptive_max_pool2d", "conv_transpose2d": "conv_transpose2d"},
    **{"_scaled_dot_product_attention": "scaled_dot_product_attention", "unsafe_chunk": "chunk"},
    **{
        "clamp_min": "clamp_min",
        "_native_multi_head_attention": "",
        "view_as_complex_copy": "view_as_complex",
    },
}
DROPPED = frozenset(
    "inplace device pin_memory layout requires_grad memory_format non_blocking generator _stacklevel antialias".split()
) - {"antialias"}
"""Arguments that say where and how and change no value; a program is functional, and its placement is a rule."""


BUILT_IN_DEFAULTS: dict[str, dict[str, object]] = {
    "scaled_dot_product_attention": {
        "attn_mask": None,
        "dropout_p": 0.0,
        "is_causal": False,
        "scale": None,
        "enable_gqa": False,
    },
}
"""Defaults of functions whose signature Python cannot ask for, and whose callers like to write them."""


@dataclass(frozen=True)
class Spelled:
    """A call in the language's words. `in_place` says that the first argument takes on the result."""

    target: Target
    args: tuple[Structure, ...]
    kwargs: Mapping[str, Structure]
    in_place: bool = False


class UnspokenError(Exception):
    """The language has no word for a function."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def torch_name(function: Callable[..., Any]) -> str:
    """Return the dotted name of a function of torch's, `torch.Tensor.shape.__get__` for one."""
    return str(resolve_name(function) or getattr(function, "__name__", repr(function)))


def is_fact(name: str) -> bool:
    """Return whether a function tells what no program has to compute."""
    owner, _, last = name.rpartition(".")
    if last in ("__get__", "__set__"):
        last = owner.rpartition(".")[2]
    return last in FACTS or owner in ("", "torch.autograd", "torch.jit")


def is_look(name: str) -> bool:
    """Return whether a function tells what is in a tensor."""
    return name.rpartition(".")[2] in LOOKS


def spell(
    function: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Spelled:
    """Return a call in the language's words; UnspokenError if there are none."""
    owner, _, last = name.rpartition(".")
    if last == "__get__":
        return _attribute(owner.rpartition(".")[2], args)
    if owner == "torch.Tensor" or owner.startswith("torch._C"):
        return _method(last, args, kwargs)
    return _function(function, name, args, kwargs)


def _attribute(name: str, args: tuple[Any, ...]) -> Spelled:
    if name == "data":
        return Spelled(Target("method", "detach"), args[:1], {})
    if name in ("T", "mT", "shape", "dtype"):
        return Spelled(Target("attribute", name), args[:1], {})
    if name in ("real", "imag"):
        return Spelled(Target("function", name), args[:1], {})
    if name in ("H", "mH"):
        return Spelled(Target("method", "adjoint"), args[:1], {})
    raise UnspokenError(f"Tensor.{name}")


def _method(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Spelled:
    name = SYNONYMS.get(name, name)
    if name in REFLECTED:
        return Spelled(Target("operator", REFLECTED[name]), (args[1], args[0]), {})
    if name in OPERATORS and len(args) == 2 and not kwargs:
        return Spelled(Target("operator", OPERATORS[name]), args, {}, in_place=name.startswith("__i"))
    if name in UNARY and len(args) == 1 and not kwargs:
        return Spelled(Target("operator", UNARY[name]), args, {})
    if name == "size" and len(args) == 1 and not kwargs:
        return Spelled(Target("attribute", "shape"), args, {})
    if name == "__len__":
        return Spelled(Target("method", "size"), (args[0], 0), {})
    if name == "__getitem__":
        return Spelled(Target("item", "[]"), args, {})
    if name.endswith("_") and not name.endswith("__"):
        return _in_place(name.removesuffix("_"), args, kwargs)
    name = MADE_EMPTY.get(name, name)
    if name in ("cpu", "cuda", "to") and not _without_devices(args[1:], kwargs):
        return Spelled(Target("method", "view_as"), (args[0], args[0]), {})
    if name in METHODS:
        rest, named = args[1:], dict(_kept(kwargs))
        if name == "to":
            rest, named = _without_devices(rest, kwargs)
        return Spelled(Target("method", name), (args[0], *rest), named)
    if name in FUNCTIONS:
        return Spelled(Target("function", name), args, dict(_kept(kwargs)))
    raise UnspokenError(f"Tensor.{name}")


def _without_devices(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return the arguments of a conversion without those that name a device; None if nothing is left."""
    kept = tuple(each for each in args if isinstance(each, torch.dtype | torch.Tensor))
    named = {
        key: each for key, each in _kept(kwargs).items() if key in ("dtype", "other") and each is not None
    }
    return (kept, named) if kept or named else None


def _in_place(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Spelled:
    """Return the operation that returns what a method writes."""
    if name == "zero":
        return Spelled(Target("function", "zeros_like"), args, {}, in_place=True)
    if name == "fill":
        return Spelled(Target("function", "full_like"), args, {}, in_place=True)
    if name == "copy":
        return Spelled(Target("method", "expand_as"), (args[1], args[0]), {}, in_place=True)
    if name in DRAWN and args[1:] + tuple(kwargs.values()) in ((), DRAWN[name][1]):
        return Spelled(Target("function", DRAWN[name][0]), args[:1], {}, in_place=True)
    found = _method(name, args, kwargs) if name in METHODS else None
    if found is None or name in ("random", "exponential"):
        raise UnspokenError(f"Tensor.{name}_")
    return Spelled(found.target, found.args, found.kwargs, in_place=True)


def _function(
    function: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Spelled:
    path = name.replace("torch.nn.functional.", "torch.").replace("torch.functional.", "torch.")
    spelled = path.removeprefix("torch.")
    spelled = SYNONYMS.get(spelled, spelled)
    in_place = bool(kwargs.get("inplace", False))
    if spelled.endswith("_") and spelled.removesuffix("_") in FUNCTIONS:
        spelled, in_place = spelled.removesuffix("_"), True
    spelled = MADE_EMPTY.get(spelled, spelled)
    if spelled not in FUNCTIONS:
        raise UnspokenError(name)
    if kwargs.get("out") is not None:
        raise UnspokenError(f"{name}(out=...)")
    args, named = _without_defaults(function, args, dict(kwargs))
    in_place = in_place or named.pop("inplace", False)
    return Spelled(Target("function", spelled), args, _kept(named), in_place)


def _kept(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in kwargs.items() if key not in DROPPED and key != "out"}


@functools.cache
def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    if function is torch.nn.functional.scaled_dot_product_attention:
        return inspect.signature(_attention)
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: Any = None,
    enable_gqa: bool = False,
) -> None:
    """The attention of torch, whose own signature torch does not tell."""


def _without_defaults(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call of a Python function without what its signature says anyway."""
    known = BUILT_IN_DEFAULTS.get(getattr(function, "__name__", ""))
    if known is not None:
        return args, {
            key: each for key, each in kwargs.items() if key not in known or not _same(each, known[key])
        }
    signature = _signature(function)
    if signature is None or any(each.kind is each.VAR_POSITIONAL for each in signature.parameters.values()):
        return args, kwargs
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:
        return args, kwargs
    kept: list[Any] = []
    named: dict[str, Any] = {}
    for key, parameter in signature.parameters.items():
        if key not in bound.arguments and key != "training":
            continue
        value = bound.arguments.get(key, parameter.default)
        required = parameter.default is inspect.Parameter.empty
        if required and not named:
            kept.append(value)
        elif key == "training" or key in DROPPED or required or not _same(value, parameter.default):
            named[key] = value
    return tuple(kept), named


def _same(value: object, default: object) -> bool:
    return type(value) is type(default) and value == default
