"""What a module is run on: tensors, or types of tensors as a spec has them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from runtime.importing.positions import definition_of, refuse_at
from spec_schema.diagnostics import refuse
from spec_schema.suggest import did_you_mean

Given: TypeAlias = Tensor | str
"""An example, whose first dimension is the batch, or a type: `float32[batch, 3, 224, 224]`."""

_TYPE = re.compile(r"(\w+)\[([^\]]*)\]")
BATCH = 2


@dataclass(frozen=True)
class Input:
    """One input of a module; a dimension that is a name is open."""

    name: str
    dtype: torch.dtype
    dimensions: tuple[int | str, ...]
    example: Tensor | None = None

    def type_text(self, model: torch.dtype = torch.float32) -> str:
        """Return the type in the language; `model` is the dtype of the whole model."""
        return f"{dtype_text(self.dtype, model)}[{', '.join(map(str, self.dimensions))}]"

    def made(self, sizes: Mapping[str, int], seed: int = 0) -> Tensor:
        """Return a tensor of this type, the example itself where it has these sizes."""
        shape = [sizes[each] if isinstance(each, str) else each for each in self.dimensions]
        if self.example is not None and list(self.example.shape) == shape:
            return self.example
        generator = torch.Generator().manual_seed(seed)
        if self.example is not None:
            return _stretched(self.example, shape)
        if self.dtype.is_floating_point or self.dtype.is_complex:
            return torch.randn(shape, generator=generator, dtype=self.dtype)
        return torch.randint(0, 2, shape, generator=generator).to(self.dtype)


def dtype_text(dtype: torch.dtype, model: torch.dtype) -> str:
    """Return the name of a dtype in the language, `float` for that of the model."""
    return "float" if dtype == model else str(dtype).removeprefix("torch.")


def _stretched(example: Tensor, shape: Sequence[int]) -> Tensor:
    """Return an example of another size: what it holds, over again or cut off."""
    for dimension, size in enumerate(shape):
        places = torch.arange(size) % max(1, example.shape[dimension])
        example = example.index_select(dimension, places)
    return example


def inputs_of(
    module: nn.Module, given: Sequence[Given] | Mapping[str, Given], dims: Mapping[str, int]
) -> tuple[list[Input], dict[str, int]]:
    """Return the inputs of a module, and example sizes of their open dimensions."""
    named = dict(given) if isinstance(given, Mapping) else dict(zip(_names(module), given, strict=False))
    if len(named) < len(given):
        count = f"{len(named)} input{'s' if len(named) != 1 else ''}"
        said = f"`{type(module).__name__}` takes {count}, and {len(given)} are given"
        raise refuse_at(definition_of(module), "import-input", said)
    _check_names(module, named)
    made = [_input(name, each) for name, each in named.items()]
    sizes: dict[str, int] = {}
    for each in made:
        for place, name in enumerate(each.dimensions):
            if isinstance(name, str):
                known = each.example.shape[place] if each.example is not None else None
                sizes[name] = dims.get(name, known if known is not None else sizes.get(name, 0))
    if sizes.get("batch") == 0:
        sizes["batch"] = BATCH
    for name, size in sizes.items():
        if not size:
            raise refuse(
                "import-size",
                f"the open dimension `{name}` has no example size",
                None,
                help=f"--dim {name}=...",
            )
    return made, sizes


def _check_names(module: nn.Module, named: Mapping[str, Given]) -> None:
    """Refuse inputs that `forward` has not, and the lack of one that it needs."""
    parameters = inspect.signature(module.forward).parameters
    kinds = {each.kind for each in parameters.values()}
    unknown = [name for name in named if name not in parameters]
    if unknown and not kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}:
        near = did_you_mean(unknown[0], parameters)
        takes = ", ".join(f"`{name}`" for name in parameters) or "nothing"
        raise refuse_at(
            definition_of(module),
            "import-input",
            f"`{type(module).__name__}` takes no `{unknown[0]}`",
            help=f"did you mean `{near}`" if near else f"it takes {takes}",
        )
    for name, each in parameters.items():
        needed = each.default is each.empty and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
        if needed and name not in named:
            raise refuse_at(
                definition_of(module),
                "import-input",
                f"`{type(module).__name__}` needs `{name}`, which nobody gave",
                help=f"--input '{name}=float32[batch, ...]'",
            )


def _names(module: nn.Module) -> Iterator[str]:
    for name, parameter in inspect.signature(module.forward).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            yield from (f"{name}{number}" for number in range(100))
        elif parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            yield name


def _input(name: str, given: Given) -> Input:
    if isinstance(given, Tensor):
        rest = tuple(map(int, given.shape[1:]))
        return Input(name, given.dtype, ("batch", *rest) if given.ndim else (), given)
    found = _TYPE.fullmatch(given.strip())
    if found is None:
        raise refuse(
            "import-input",
            f"`{given}` is no type of a tensor",
            None,
            help="write `float32[batch, 3, 224, 224]`",
        )
    dtype = torch.get_default_dtype() if found[1] == "float" else getattr(torch, found[1], None)
    if not isinstance(dtype, torch.dtype):
        raise refuse("import-input", f"`{found[1]}` is no dtype", None, help="write `float32` or `int64`")
    parts = [part.strip() for part in found[2].split(",") if part.strip()]
    return Input(name, dtype, tuple(int(part) if part.isdigit() else part for part in parts))
