"""Calls of a closed table: `AdamW(lr=1e-3)`, `StepLR(step_size=10)`, `Accuracy(task='multiclass', num_classes=10)`.

The names are those of the library, and so are the arguments: both are read from its own signatures.
"""

from __future__ import annotations

import ast
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Union, cast

from compiler.catalogue.binding import bind
from compiler.catalogue.layer_types import REQUIRED, Argument, LayerType
from compiler.catalogue.plugins import Registry
from compiler.infer.arguments import Given, evaluate_value
from compiler.infer.problems import layer_problem
from compiler.program import Argument as WrittenArgument
from compiler.program import Call, Scope
from spec_schema.diagnostics import SpecError, refuse
from spec_schema.grammar import Expression, parse_expression
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.reader import Scalar
from spec_schema.source import Span
from spec_schema.suggest import did_you_mean


@dataclass(frozen=True, eq=False)
class Table:
    """What a call may name. `supplied` are arguments that the trainer gives, `inferred` those that it can."""

    kind: str
    unknown: str
    """The code of the diagnostic for a name that is not in the table."""
    home: str
    targets: Mapping[str, Callable[..., Any]]
    supplied: frozenset[str] = frozenset()
    inferred: frozenset[tuple[str, str]] = frozenset()
    nested: str | None = None
    """The argument that is a list of calls of the same table."""


@dataclass(frozen=True, eq=False)
class Making:
    """A checked call: what makes the object, and the arguments that the spec gives."""

    name: str
    target: Callable[..., Any] = field(repr=False)
    arguments: Mapping[str, Any]
    span: Span

    @property
    def paths(self) -> tuple[str, ...]:
        """The arguments that name a file or folder: those that are annotated as a `Path`."""
        annotations = _annotations(self.target)
        return tuple(name for name in self.arguments if _is_path(annotations.get(name)))


INFERRED_LENGTHS = frozenset({("CosineAnnealingLR", "T_max"), ("OneCycleLR", "total_steps")})
"""Arguments of schedules that are the length of the training."""
_TAKE_FUNCTIONS = frozenset({"LambdaLR", "MultiplicativeLR"})
_SCHEDULE_SUPPLIED = frozenset({"optimizer", "last_epoch", "scale_fn"})


@cache
def optimizers() -> Table:
    """The optimizers of `torch.optim`."""
    import torch

    base = torch.optim.Optimizer
    return Table(
        "optimizer", "unknown-optimizer", "torch.optim", _subclasses(torch.optim, base), frozenset({"params"})
    )


@cache
def schedules() -> Table:
    """The schedules of `torch.optim.lr_scheduler`, without those that take a function."""
    from torch.optim import lr_scheduler

    found = _subclasses(lr_scheduler, lr_scheduler.LRScheduler)
    usable = {name: cls for name, cls in found.items() if name not in _TAKE_FUNCTIONS}
    home = "torch.optim.lr_scheduler"
    return Table(
        "schedule",
        "unknown-schedule",
        home,
        usable,
        _SCHEDULE_SUPPLIED,
        INFERRED_LENGTHS,
        nested="schedulers",
    )


@cache
def metrics() -> Table:
    """The metrics of torchmetrics, without those that wrap other metrics."""
    import torchmetrics

    listed = (torchmetrics, torchmetrics.classification, torchmetrics.regression)
    names = {name for home in listed for name in home.__all__}
    # Some names stand in the package itself only as deprecated copies of those in its parts.
    parts = [member for name, member in vars(torchmetrics).items() if name in _METRIC_PARTS]
    found: dict[str, Callable[..., Any]] = {}
    for home in (torchmetrics, *parts):
        found |= {name: cls for name, cls in _subclasses(home, torchmetrics.Metric).items() if name in names}
    usable = {name: cls for name, cls in found.items() if not cls.__module__.startswith(_WRAPPERS)}
    return Table("metric", "unknown-metric", "torchmetrics", usable)


_METRIC_PARTS = frozenset(
    "audio classification clustering detection image nominal regression retrieval text".split()
)
_WRAPPERS = ("torchmetrics.wrappers", "torchmetrics.collections")


def datasets(plugins: Registry) -> Table:
    """The data sets that plugins register."""
    return Table("dataset", "unknown-dataset", "plugin", plugins.datasets)


def _subclasses(module: Any, base: type) -> dict[str, Callable[..., Any]]:
    """Return the public classes of a module that derive from a base, without the base."""
    public = {name: member for name, member in vars(module).items() if not name.startswith("_")}
    return {
        name: member
        for name, member in public.items()
        if isinstance(member, type) and issubclass(member, base) and member is not base
    }


def read_making(scalar: Scalar, table: Table, scope: Scope) -> Making:
    """Read a text as a call of a table.

    Raises:
        SpecError: it is no call, its name is not in the table, or an argument does not fit.
    """
    return _making(parse_expression(scalar), table, scope)


def _making(expression: Expression, table: Table, scope: Scope) -> Making:
    call = _call(expression, table, scope)
    signature = _signature(call.target, table)
    given = _given(call, table)
    bound = bind(signature, given.positional, given.keywords)
    if bound.problem is not None:
        raise SpecError([layer_problem(signature, bound.problem, call, given)])
    return Making(call.target, table.targets[call.target], bound.values, call.span)


def _call(expression: Expression, table: Table, scope: Scope) -> Call:
    tree = expression.tree
    head = tree.func if isinstance(tree, ast.Call) else tree
    if not isinstance(head, ast.Name):
        meant = head.attr if isinstance(head, ast.Attribute) and head.attr in table.targets else None
        example = meant or next(iter(table.targets), None)
        raise refuse(
            "not-a-call",
            f"the name of the {table.kind} is expected here, with its arguments",
            expression.place,
            help=f"write `{example}(...)`" if example else None,
        )
    if head.id not in table.targets:
        raise _unknown(head.id, table, expression.span(head))
    positional = tree.args if isinstance(tree, ast.Call) else []
    keywords = tree.keywords if isinstance(tree, ast.Call) else []
    written = [WrittenArgument(None, expression.part(a), expression.span(a)) for a in positional]
    written += [
        WrittenArgument(k.arg, expression.part(k.value), expression.span(k.value), expression.span(k))
        for k in keywords
    ]
    return Call("layer", head.id, tuple(written), expression.place, expression.span(head), scope)


def _unknown(name: str, table: Table, place: Span) -> SpecError:
    near = did_you_mean(name, table.targets)
    if table.home == "plugin":
        known = ", ".join(table.targets) or "none"
        note, way_out = f"registered: {known}", "give the plugin that registers it with `--plugin`"
    elif name in _TAKE_FUNCTIONS:
        note, way_out = "it takes a function, and a spec holds none", "choose another schedule"
    else:
        note, way_out = f"any {table.kind} of `{table.home}` can be named", None
    return refuse(
        table.unknown,
        f"there is no {table.kind} `{name}`",
        place,
        notes=(note,),
        help=f"did you mean `{near}`?" if near else way_out,
    )


def _given(call: Call, table: Table) -> Given:
    positional: list[object] = []
    keywords: dict[str, object] = {}
    places: dict[int | str, WrittenArgument] = {}
    for argument in call.arguments:
        value = _value(argument.value, table, call.scope)
        if argument.name is None:
            places[len(positional)] = argument
            positional.append(value)
        else:
            places[argument.name] = argument
            keywords[argument.name] = value
    return Given(tuple(positional), keywords, places)


def check_option(
    making: Making, table: Table, name: Scalar, expression: Expression, value: object, scope: Scope
) -> None:
    """Check the value of one argument of a call that is written elsewhere.

    Raises:
        SpecError: there is no such argument, or the value does not fit it.
    """
    signature = _signature(making.name, table)
    bound = bind(signature, (), {**making.arguments, name.text: value})
    if bound.problem is None:
        return
    call = Call("layer", making.name, (), expression.place, name.span, scope)
    places: dict[int | str, WrittenArgument] = {
        name.text: WrittenArgument(name.text, expression, expression.place, name.span)
    }
    raise SpecError([layer_problem(signature, bound.problem, call, Given((), {name.text: value}, places))])


def _value(value: Any, table: Table, scope: Scope) -> Any:
    """Return an argument's value; where the table allows, a list of calls is a list of `Making`."""
    assert isinstance(value, Expression)
    tree = value.tree
    if table.nested and isinstance(tree, ast.List) and any(_names_target(part, table) for part in tree.elts):
        return [_making(value.part(part), table, scope) for part in tree.elts]
    return evaluate_value(value, scope.variables, scope, DEFAULT_LIMITS)


def _names_target(tree: ast.AST, table: Table) -> bool:
    head = tree.func if isinstance(tree, ast.Call) else tree
    return isinstance(head, ast.Name) and head.id in table.targets


def default_of(making: Making, table: Table, name: str) -> object:
    """Return the default of an argument, None where there is no such argument, or it has none."""
    argument = _signature(making.name, table).argument(name)
    return None if argument is None or argument.default is REQUIRED else argument.default


def _signature(name: str, table: Table) -> LayerType:
    """Return the arguments of a target, in the form in which those of layers are checked."""
    target = table.targets[name]
    annotations = _annotations(target)
    arguments = [
        _argument(name, parameter, annotations, table)
        for parameter in inspect.signature(target).parameters.values()
        if parameter.name not in table.supplied
        and parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    ]
    return LayerType(name, cast(Any, target), tuple(arguments), table.home)


def _argument(
    owner: str, parameter: inspect.Parameter, annotations: Mapping[str, Any], table: Table
) -> Argument:
    default: object = REQUIRED if parameter.default is inspect.Parameter.empty else parameter.default
    if (owner, parameter.name) in table.inferred:
        default = None
    annotation = annotations.get(parameter.name, parameter.annotation)
    if parameter.name == table.nested:
        annotation = list[Any]
    if _is_path(annotation):
        annotation = Union[annotation, str]  # noqa: UP007 - of a value
    keyword_only = parameter.kind is inspect.Parameter.KEYWORD_ONLY
    return Argument(parameter.name, annotation, default, None, keyword_only)


def _annotations(target: Any) -> dict[str, Any]:
    """Return the annotations with their names resolved, or none where a name exists for type checkers alone."""
    function = target
    if isinstance(target, type):
        function = vars(target).get("__new__") or target.__init__  # type: ignore[misc]
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        return {}


def _is_path(annotation: Any) -> bool:
    return annotation is Path or any(_is_path(part) for part in typing.get_args(annotation))
