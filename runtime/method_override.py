"""A function that stands in for a method of one module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

from torch import nn


class MethodOverride:
    """Calls a function with the module first, and does not keep the module alive.

    The module holds it as an attribute: if it held the module in turn, the memory of a model that nobody uses any
    more would be free only after a collection of cycles. A copy of the module has one for itself.
    """

    def __init__(self, function: Callable[..., Any], module: nn.Module) -> None:
        self.function, self.reference = function, ref(module)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self.function(self._module(), *arguments, **keywords)

    def __deepcopy__(self, memo: dict[int, Any]) -> MethodOverride:
        module = self._module()
        return MethodOverride(self.function, memo.get(id(module), module))

    def __reduce__(self) -> tuple[type[MethodOverride], tuple[Callable[..., Any], nn.Module]]:
        return MethodOverride, (self.function, self._module())

    def _module(self) -> nn.Module:
        module = self.reference()
        if module is None:
            raise ReferenceError(
                "the module is gone that this method belongs to: copies of it go by `copy.deepcopy`"
            )
        return module
