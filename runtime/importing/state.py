"""What a module holds: ties, frozen parts, and buffers that are computed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from runtime.importing.index_tables import distances
from runtime.importing.leaves import base_layer, inside_kept, is_leaf
from runtime.importing.parametrizations import stored_for
from runtime.importing.skeleton import held_tensors

MOST_NUMBERS = 64


def ties(module: nn.Module) -> dict[str, list[str]]:
    """Return what is one under several names: whole modules, and tensors outside of these."""
    modules: dict[int, list[str]] = {}
    for name, each in module.named_modules(remove_duplicate=False):
        modules.setdefault(id(each), []).append(name)
    shared = [names for names in modules.values() if len(names) > 1]
    shared = [
        names for names in shared if next(module.get_submodule(names[0]).parameters(), None) is not None
    ]
    shared = [
        each for each in shared if not any(_is_inside(each, other) for other in shared if other is not each)
    ]
    inside = tuple(f"{name}." for names in shared for name in names[1:])
    outside = [
        [name for name in names if not name.startswith(inside or ("/",))] for names in tied_names(module)
    ]
    kept = inside_kept(module)
    groups = [*shared, *(names for names in outside if len(names) > 1)]
    groups = [
        names for names in groups if not any(all(name.startswith(each) for name in names) for each in kept)
    ]
    groups = [[f"/{name}" for name in names] for names in groups]
    return {_tie_name(names, number): names for number, names in enumerate(groups)}


def tied_names(module: nn.Module) -> list[list[str]]:
    """Return the names of each parameter that has several."""
    tensors: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        tensors.setdefault(id(parameter), []).append(name)
    return [names for names in tensors.values() if len(names) > 1]


def _is_inside(names: list[str], others: list[str]) -> bool:
    return all(any(name.startswith(f"{other}.") for other in others) for name in names)


def _tie_name(names: list[str], number: int) -> str:
    return f"shared{number or ''}"


def frozen(module: nn.Module) -> list[str]:
    """Return selectors of the parameters that are not trained."""
    names = [
        stored_for(f"{path}.{name}".lstrip("."))
        for path, layer in module.named_modules()
        for name, each in layer._parameters.items()
        if each is not None and not each.requires_grad
    ]
    return [f"/{name}" for name in dict.fromkeys(names)]


def stays_in_evaluation(trained: nn.Module) -> list[str]:
    """Return selectors of the statistics that a model which trains does not go on with."""
    return [
        f"/{name}.running_mean"
        for name, layer in trained.named_modules()
        if is_leaf(layer) and getattr(layer, "running_mean", None) is not None
        if trained.training and not layer.training
    ]


def model_dtype(module: nn.Module) -> torch.dtype:
    """Return what most parameters of a module are, of its buffers if it has none."""
    for held in (module.parameters(), module.buffers()):
        found = Counter(each.dtype for each in held if each.is_floating_point())
        if found:
            often = max(found.values())
            return torch.float32 if found[torch.float32] == often else found.most_common(1)[0][0]
    return torch.float32


def dtypes(module: nn.Module) -> dict[str, torch.dtype]:
    """Return selectors of what is not in float32, the whole model, and of layers that are in another dtype than it."""
    whole = model_dtype(module)
    found = {"/": whole} if whole is not torch.float32 else {}
    for name, layer in module.named_modules(remove_duplicate=False):
        own = layer._parameters.values() if base_layer(layer) is not None else layer.parameters()
        held = {each.dtype for each in own if each is not None and each.is_floating_point()}
        outer = [each for path, each in found.items() if f"/{name}.".startswith(f"{path.rstrip('/')}.")]
        around = outer[-1] if outer else found.get("/", torch.float32)
        if (is_leaf(layer) or base_layer(layer) is not None) and len(held) == 1 and around not in held:
            found[f"/{name}"] = held.pop()
    return found


def weights(module: nn.Module, unused: tuple[str, ...] = (), saved: Sequence[str] = ()) -> dict[str, Tensor]:
    """Return the tensors of a state dict, each of those that are one under its first name that is used.

    `saved` are buffers that the module does not save, and the spec does.
    """
    seen: set[int] = set()
    found: dict[str, Tensor] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if id(tensor) in seen or name.startswith(unused or ("/",)):
            continue
        seen.add(id(tensor))
        found[name] = tensor.detach().clone().contiguous()
    held = held_tensors(module) if saved else {}
    return {**found, **{name: held[name].detach().clone().contiguous() for name in saved}}


def formula(values: Tensor) -> str | None:
    """Return an expression of the language for the values of a buffer that is computed, None if none is known."""
    dtype = str(values.dtype).removeprefix("torch.")
    shape = list(values.shape)
    flat = values.flatten()
    if values.numel() and bool((flat == flat[0]).all()):
        return f"full({shape}, {flat[0].item()!r}, dtype={dtype})"
    for text, made in _candidates(values).items():
        if made.shape == values.shape and made.dtype == values.dtype and torch.equal(made, values):
            return text
    if values.numel() <= MOST_NUMBERS:
        return f"tensor({values.tolist()!r}, dtype={dtype})"
    return None


def _frequencies(values: Tensor) -> Mapping[str, Tensor]:
    """Return the frequencies of rotary positions that begin like these."""
    if values.ndim != 1 or len(values) < 2 or values.dtype != torch.float32 or not 0 < values[1] < 1:
        return {}
    size = 2 * len(values)
    base = float(f"{float(values[1]) ** (-size / 2):.4g}")
    made = 1.0 / base ** (torch.arange(0, size, 2).float() / size)
    return {f"1.0 / {base} ** (arange(0, {size}, 2).float() / {size})": made}


def _in_window(values: Tensor) -> Mapping[str, Tensor]:
    """Return how far each two places of a square window lie apart, numbered as tables of relative positions are."""
    side = math.isqrt(values.numel())
    window = math.isqrt(side)
    if values.dtype != torch.int64 or window < 2 or window**4 != values.numel():
        return {}
    at, most = torch.arange(side), 2 * window - 1
    rows = at[:, None] // window - at // window + window - 1
    made = rows * most + at[:, None] % window - at % window + window - 1
    text = f"arange({side})[:, None] // {window} - arange({side}) // {window} + {window - 1}"
    columns = f"arange({side})[:, None] % {window} - arange({side}) % {window} + {window - 1}"
    text = f"({text}) * {most} + {columns}"
    return {text: made, f"({text}).flatten()": made.flatten()}


def _candidates(values: Tensor) -> Mapping[str, Tensor]:
    """Return what buffers often are, as texts and tensors."""
    found: dict[str, Tensor] = {}
    dtype = str(values.dtype).removeprefix("torch.")
    if values.ndim == 0:
        return found
    found.update(distances(values))
    size = values.shape[-1]
    counted = torch.arange(size)
    lead = [1] * (values.ndim - 1)
    found[f"arange({size})"] = counted
    found.update(_frequencies(values))
    found.update(_in_window(values))
    found[f"arange({size}).expand({[1, -1]})"] = counted.expand(1, -1)
    found[f"arange({size}).reshape({[*lead, size]})"] = counted.reshape(*lead, size)
    if values.ndim >= 2 and values.shape[-1] == values.shape[-2]:
        around = [*([1] * (values.ndim - 2)), size, size]
        for name, function in (("tril", torch.tril), ("triu", torch.triu)):
            for diagonal in (0, 1, -1):
                text = f"{name}(ones({[size, size]}, dtype={dtype}), {diagonal})"
                base = torch.ones(size, size, dtype=values.dtype)
                made = function(base, diagonal)
                found[text] = made
                found[f"{text}.reshape({around})"] = made.reshape(around)
                if values.is_floating_point():
                    zeros = torch.full((size, size), float("-inf"), dtype=values.dtype)
                    found[f"{name}(full({[size, size]}, -inf, dtype={dtype}), {diagonal})"] = function(
                        zeros, diagonal
                    )
    return found
