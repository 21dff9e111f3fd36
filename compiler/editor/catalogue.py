"""What the catalogue knows by a name, for a person: how it is written, and what it does."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from compiler.catalogue import operations
from compiler.catalogue.annotations import accepted, describe
from compiler.catalogue.docstrings import first_sentence
from compiler.catalogue.initializer_table import INITIALIZER_ARGUMENTS
from compiler.catalogue.initializer_table import REQUIRED as NEEDED
from compiler.catalogue.layer_types import REQUIRED, Argument, LayerType, positional
from compiler.catalogue.layers import layer_documentation, layer_names, layer_type
from compiler.catalogue.operation_table import FUNCTIONS, METHODS
from compiler.catalogue.parametrization_table import PARAMETRIZATIONS
from compiler.catalogue.plugins import Registry

FOLLOWS = "follows from the input"


def layer_named(name: str, plugins: Registry) -> LayerType | None:
    """Return the layer of a name, if there is one."""
    return plugins.layers.get(name) or (layer_type(name) if name in layer_names() else None)


def all_layers(plugins: Registry) -> list[str]:
    """Return the names of all layers."""
    return sorted({*layer_names(), *plugins.layers})


@cache
def torch_operations() -> tuple[str, ...]:
    """Return the names of the operations that the installed torch has."""
    return tuple(sorted(name for name in FUNCTIONS if operations.available(name)))


def signature(layer: LayerType) -> str:
    """Return how a layer is written, with what has to be given and what may be."""
    return f"{layer.name}({', '.join(_argument(each) for each in layer.arguments if each.deferred is None)})"


def _argument(argument: Argument) -> str:
    return argument.name if argument.default is REQUIRED else f"{argument.name}={default_text(argument)}"


def default_text(argument: Argument) -> str:
    """Return the default of an argument."""
    return getattr(argument.default, "__name__", None) or repr(argument.default)


def required(layer: LayerType) -> list[str]:
    """Return the arguments that have to be given."""
    return [each.name for each in positional(layer) if each.default is REQUIRED]


def argument_text(argument: Argument) -> str:
    """Return what an argument takes, and what it is if it is left out."""
    takes = describe(accepted(argument)).replace("Any", "any value")
    if argument.deferred is not None:
        return f"{takes}; {FOLLOWS}"
    return takes if argument.default is REQUIRED else f"{takes}; {default_text(argument)} if left out"


def page(name: str, plugins: Registry) -> str | None:
    """Return what is known of a layer, an operation, an initialiser or a parametrisation, as Markdown."""
    layer = layer_named(name, plugins)
    if layer is not None:
        return "\n\n".join(_layer_page(layer))
    if name in plugins.operations:
        return _titled(f"{name}(...)", plugins.operations[name].__doc__ or "")
    if name in FUNCTIONS and operations.available(name):
        return operation_page(name)
    return initializer_page(name) or parametrization_page(name, plugins)


def _layer_page(layer: LayerType) -> Iterator[str]:
    yield f"```python\n{signature(layer)}\n```"
    yield layer_documentation(layer)
    deferred = [each.name for each in layer.arguments if each.deferred is not None]
    if deferred:
        yield f"`{'`, `'.join(deferred)}`: {FOLLOWS}"


def operation_page(name: str) -> str:
    """Return what an operation of torch is."""
    arguments = ", ".join(operations.signature(name).keywords())
    return _titled(f"{name}({arguments})", operations.documentation(name), FUNCTIONS[name])


def method_page(name: str) -> str | None:
    """Return what a method of tensors is."""
    if name not in METHODS or not operations.method_available(name):
        return None
    arguments = ", ".join(operations.method_signature(name).keywords())
    about = operations.documentation(name) if name in FUNCTIONS and operations.available(name) else ""
    return _titled(f"x.{name}({arguments})", about, f"torch.Tensor.{name}")


def initializer_page(name: str) -> str | None:
    """Return how an initialiser is written."""
    arguments = INITIALIZER_ARGUMENTS.get(name)
    if arguments is None:
        return None
    given = ", ".join(each if value is NEEDED else f"{each}={value!r}" for each, value in arguments.items())
    return _titled(f"{name}({given})" if given else name, "", f"torch.nn.init.{name}_")


def parametrization_page(name: str, plugins: Registry) -> str | None:
    """Return what a parametrisation is."""
    found = plugins.parametrizations.get(name) or PARAMETRIZATIONS.get(name)
    return _titled(name, first_sentence(found.cls.__doc__ or "", name)) if found is not None else None


def _titled(title: str, *text: str) -> str:
    return "\n\n".join([f"```python\n{title}\n```", *filter(None, text)])
