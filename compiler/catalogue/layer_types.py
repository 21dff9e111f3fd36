"""What the compiler knows of a type of layer: its class, its arguments and where it comes from."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from compiler.catalogue.hints import Hints

if TYPE_CHECKING:
    from torch import nn


class _Required:
    """The type of REQUIRED, so that it prints as a word."""

    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Final = _Required()
"""The default of an argument that has none. (None is a default like any other.)"""


@dataclass(frozen=True)
class Argument:
    """One argument of a layer.

    ``deferred`` says where the value comes from when it is not written, such as ``x.shape[-1]``; it is None
    for an argument that does not follow from the input. ``keyword_only`` is torch's own, or follows from an
    argument before it that a spec cannot give.
    """

    name: str
    annotation: object
    default: object = REQUIRED
    deferred: str | None = None
    keyword_only: bool = False


@dataclass(frozen=True)
class LayerType:
    """A type of layer that a spec can name.

    ``source`` is "torch.nn" or the file of a plugin; ``hints`` help tests to draw its arguments and inputs.
    """

    name: str
    cls: "type[nn.Module]"
    arguments: tuple[Argument, ...]
    source: str
    takes_dtype: bool = False
    """Whether its constructor takes a ``dtype``, as those of torch's layers with parameters do."""
    hints: Hints = field(default_factory=Hints, compare=False)

    def argument(self, name: str) -> Argument | None:
        """Return the argument of that name, if the layer has one."""
        return next((each for each in self.arguments if each.name == name), None)


def positional(layer: LayerType) -> tuple[Argument, ...]:
    """Return what the positional arguments of a spec's call stand for: torch's order, without what is inferred."""
    return tuple(each for each in layer.arguments if each.deferred is None and not each.keyword_only)


def torch_order(layer: LayerType) -> tuple[Argument, ...]:
    """Return what the positional arguments of the same call stand for in Python."""
    return tuple(each for each in layer.arguments if not each.keyword_only)
