"""The catalogue of layers, read from torch's own signatures.

Nothing about a layer is written down here: its arguments, their order, their types and their documentation
are torch's. What is written down is which public names of ``torch.nn`` are *not* layers of a spec.

The names can be had without importing torch, so that checking a spec for misspelt layers is quick.
"""

import ast
import functools
import importlib.util
import inspect
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.catalogue.binding import Bound, Problem, ProblemKind, bind, reads_as_torch
from compiler.catalogue.deferral import CannotInfer, infer, parse_rule, rule_for
from compiler.catalogue.docstrings import first_paragraph
from compiler.catalogue.hints import Hints
from compiler.catalogue.layer_types import REQUIRED, Argument, LayerType, positional, torch_order

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "REQUIRED",
    "Argument",
    "Bound",
    "CannotInfer",
    "LayerType",
    "Problem",
    "ProblemKind",
    "bind",
    "describe_layer",
    "documentation",
    "infer",
    "layer_documentation",
    "layer_names",
    "layer_type",
    "parse_rule",
    "positional",
    "reads_as_torch",
    "signature_of",
    "torch_order",
]

NOT_LAYERS: frozenset[str] = frozenset(
    {
        # Containers: sequences, repeats and blocks are the language's own.
        "Container",
        "Module",
        "ModuleDict",
        "ModuleList",
        "ParameterDict",
        "ParameterList",
        "Sequential",
        # How a model is spread over devices is for placement to say.
        "DataParallel",
        # Bases of layers, and options of one.
        "LinearCrossEntropyOptions",
        "RNNBase",
        "RNNCellBase",
        # Values.
        "Buffer",
        "Parameter",
        "UninitializedBuffer",
        "UninitializedParameter",
    }
)
"""Public names of ``torch.nn`` that are not layers. ``Lazy*`` are none either: inference does their work."""

LOSSES_WITH_PARAMETERS: frozenset[str] = frozenset({"AdaptiveLogSoftmaxWithLoss", "LinearCrossEntropyLoss"})
"""The losses that are layers, because they hold what is trained. Any other loss is an operation."""

# The compiler decides these: placement rules say where a parameter is and of what type.
_DECIDED_ELSEWHERE = frozenset({"device", "dtype"})


@functools.cache
def layer_names() -> frozenset[str]:
    """Return the names of torch's layers, read from the installed source of torch without running it."""
    return frozenset(name for name in _exported_names() if is_layer_name(name))


def is_layer_name(name: str) -> bool:
    """Return whether a public name of ``torch.nn`` is a layer that a spec may use."""
    if name in NOT_LAYERS or name.startswith("Lazy"):
        return False
    is_loss = name.endswith(("Loss", "Loss2d"))
    return name in LOSSES_WITH_PARAMETERS or not is_loss


def _exported_names() -> list[str]:
    found = importlib.util.find_spec("torch")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("torch is not installed", name="torch")
    source = Path(found.submodule_search_locations[0], "nn", "modules", "__init__.py").read_text("utf-8")
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(statement.value)
            return names
    raise LookupError("the installed torch does not list its layers in torch/nn/modules/__init__.py")


@functools.cache
def layer_type(name: str) -> LayerType:
    """Return the torch layer of that name; KeyError where there is none."""
    if name not in layer_names():
        raise KeyError(name)
    from torch import nn

    return describe_layer(getattr(nn, name), name, "torch.nn")


def describe_layer(
    cls: "type[nn.Module]",
    name: str,
    source: str,
    infer: Mapping[str, str] | None = None,
    hints: Hints | None = None,
) -> LayerType:
    """Return the arguments of a layer class. ``infer`` adds to the rules, or replaces them, for this class alone."""
    rules = dict(infer or {})
    for rule in rules.values():
        parse_rule(rule)
    annotations = _annotations(_initialiser(cls))
    arguments, skipped = [], False
    for parameter in signature_of(cls).parameters.values():
        if parameter.name in _DECIDED_ELSEWHERE or parameter.name.startswith("_"):
            skipped = True
        elif parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            arguments.append(_argument(parameter, annotations, rules, skipped))
    unknown = sorted(set(rules) - {each.name for each in arguments})
    if unknown:
        raise ValueError(f"{name} has no argument {unknown[0]}")
    takes_dtype = "dtype" in signature_of(cls).parameters
    return LayerType(name, cls, tuple(arguments), source, takes_dtype, hints or Hints())


def signature_of(cls: type) -> inspect.Signature:
    """Return what a layer class takes, without ``self``. With Module's own ``__init__`` that is nothing."""
    if _owner_of_init(cls).__module__ == "torch.nn.modules.module":
        return inspect.Signature()
    found = inspect.signature(_initialiser(cls))
    return found.replace(parameters=list(found.parameters.values())[1:])


def _argument(
    parameter: inspect.Parameter,
    annotations: Mapping[str, Any],
    rules: Mapping[str, str],
    after_skipped: bool,
) -> Argument:
    has_default = parameter.default is not inspect.Parameter.empty
    return Argument(
        name=parameter.name,
        annotation=annotations.get(parameter.name, parameter.annotation),
        default=parameter.default if has_default else REQUIRED,
        deferred=rules.get(parameter.name) or rule_for(parameter.name, has_default),
        keyword_only=after_skipped or parameter.kind is inspect.Parameter.KEYWORD_ONLY,
    )


def _owner_of_init(cls: type) -> type:
    return next(each for each in cls.__mro__ if "__init__" in vars(each))


def _initialiser(cls: type) -> Callable[..., Any]:
    """Return the ``__init__`` that says what a layer takes: an overload, where the method only passes things on."""
    initialiser: Callable[..., Any] = vars(_owner_of_init(cls))["__init__"]
    overloads = typing.get_overloads(initialiser)
    return max(overloads, key=_count_named) if overloads else initialiser


def _count_named(function: Callable[..., Any]) -> int:
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return sum(each.kind not in variable for each in inspect.signature(function).parameters.values())


def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations with their names resolved, or none where a name exists for type checkers alone."""
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        return {}


def documentation(name: str) -> str:
    """Return the first paragraph of torch's own documentation of a layer."""
    return layer_documentation(layer_type(name))


def layer_documentation(layer: LayerType) -> str:
    """Return the first paragraph of the documentation of a layer, without markup."""
    return first_paragraph(inspect.cleandoc(layer.cls.__doc__ or ""), layer.cls.__name__)
