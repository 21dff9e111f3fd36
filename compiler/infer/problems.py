"""The diagnostics of calls: what is wrong with the arguments of a layer, a block or an operation."""

from __future__ import annotations

import ast

from compiler.catalogue.layers import LayerType, Problem, positional
from compiler.infer.arguments import Given
from compiler.infer.values import Recipe, holds_recipe, show
from compiler.program import Call, Definition
from spec_schema.diagnostics import Diagnostic, Label, SpecError, refuse
from spec_schema.grammar import Expression, Source, parse_expression
from spec_schema.source import Span
from spec_schema.suggest import did_you_mean
from spec_schema.unknown_names import unknown_argument


def layer_problem(layer: LayerType, problem: Problem, node: Call, given: Given) -> Diagnostic:
    """Return the diagnostic of a call that a layer's signature does not take."""
    place = _place(problem, node, given)
    match problem.kind:
        case "unknown-argument":
            return unknown_argument(f"`{layer.name}`", str(problem.keyword), problem.names, place)
        case "missing-argument":
            return Diagnostic(
                "missing-argument",
                f"`{layer.name}` needs {_list(problem.names)}",
                node.target_span,
                help=f"write `{layer.name}({', '.join(_places_with(layer, problem.names))})`",
            )
        case "too-many-arguments":
            return Diagnostic(
                "too-many-arguments",
                f"`{layer.name}` takes {_count(len(problem.names))}",
                place,
                notes=(_signature_note(layer),),
            )
        case "duplicate-argument":
            return Diagnostic("duplicate-argument", f"`{problem.argument}` is given twice", place)
        case "inferred-argument":
            return _inferred(layer, problem, given, place)
    return Diagnostic(
        "argument-type",
        f"`{problem.argument}` of `{layer.name}` is {problem.expected}, and this is {show(problem.value)}",
        place,
        notes=(_signature_note(layer),),
        help=_computed(problem, node, given),
    )


def _computed(problem: Problem, node: Call, given: Given) -> str | None:
    """Return how to write an expression under a key of a layer, if the text under it reads as one."""
    argument = given.places.get(problem.index if problem.index is not None else problem.keyword or "")
    written = argument.value if argument is not None else None
    if argument is None or not isinstance(written, Expression) or not isinstance(written.tree, ast.Constant):
        return None
    quoted = written.text != problem.value  # a text on purpose
    if quoted or not _is_expression(written):
        return None
    return f'a key of a layer holds a text as it stands: for a value write `{argument.name}: "${{{written.text}}}"`'


def _is_expression(written: Expression) -> bool:
    try:
        return isinstance(parse_expression(written.scalar).tree, ast.expr)
    except SpecError:
        return False


def _place(problem: Problem, node: Call, given: Given) -> Span:
    key = problem.index if problem.index is not None else problem.keyword
    argument = given.places.get(key) if key is not None else None
    if argument is None:
        return node.target_span
    if problem.kind == "unknown-argument" and argument.name_span is not None:
        span = argument.name_span
        return span.part(0, len(argument.name or "")) if span.text.startswith(argument.name or "") else span
    keyword = problem.kind == "duplicate-argument" and argument.name_span is not None
    return argument.name_span if keyword and argument.name_span else argument.span


def _inferred(layer: LayerType, problem: Problem, given: Given, place: Span) -> Diagnostic:
    names = _list(problem.names)
    read_as = f", so `{show(problem.value)}` was read as `{problem.argument}`" if problem.argument else ""
    verb = "is" if len(problem.names) == 1 else "are"
    own = [show(value) for value in given.positional[len(problem.names) :]]
    keywords = [f"{name}={show(value)}" for name, value in given.keywords.items()]
    short = f"{layer.name}({', '.join(own + keywords)})" if own or keywords else layer.name
    checked = ", ".join(
        f"{name}={show(value)}" for name, value in zip(problem.names, given.positional, strict=False)
    )
    inside = ", ".join([*own, checked, *keywords])
    return Diagnostic(
        "inferred-argument",
        f"{names} of `{layer.name}` {verb} inferred{read_as}",
        place,
        help=f"write `{short}`, or `{layer.name}({inside})` to have it checked",
    )


def _signature_note(layer: LayerType) -> str:
    return f"`{layer.name}` takes ({', '.join(each.name for each in positional(layer))})"


def _places_with(layer: LayerType, missing: tuple[str, ...]) -> list[str]:
    names = [each.name for each in positional(layer)]
    return names[: max((names.index(name) + 1 for name in missing if name in names), default=1)]


def _list(names: tuple[str, ...]) -> str:
    quoted = [f"`{name}`" for name in names]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else quoted[0]


def _count(number: int) -> str:
    return "no arguments" if number == 0 else f"{number} argument{'s' if number > 1 else ''}"


def block_argument_problems(definition: Definition, node: Call, given: Given) -> list[Diagnostic]:
    """Return what is wrong with the arguments of a block."""
    names = [parameter.name for parameter in definition.parameters]
    declared = (Label(definition.span, "the block"),)
    problems = []
    if len(given.positional) > len(names):
        place = given.places[len(names)].span
        problems.append(
            Diagnostic(
                "too-many-arguments",
                f"`{definition.name}` takes {_count(len(names))}",
                place,
                labels=declared,
            )
        )
    for keyword in given.keywords:
        place = given.places[keyword].name_span or given.places[keyword].span
        if keyword not in names:
            place = place.part(0, len(keyword))
            problems.append(unknown_argument(f"`{definition.name}`", keyword, names, place))
        elif names.index(keyword) < len(given.positional):
            problems.append(Diagnostic("duplicate-argument", f"`{keyword}` is given twice", place))
    missing = [
        p.name
        for index, p in enumerate(definition.parameters)
        if p.default is None and index >= len(given.positional) and p.name not in given.keywords
    ]
    if missing and not problems:
        problems.append(
            Diagnostic(
                "missing-argument",
                f"`{definition.name}` needs {_list(tuple(missing))}",
                node.target_span,
                labels=declared,
            )
        )
    return problems


def not_a_layer(node: Call, value: object, otherwise: str | None = None) -> SpecError:
    """Return the error of a value that stands in a layer position; `otherwise` is another way out."""
    layer = (
        None if isinstance(value, Recipe) else "give a layer or a block for it, such as `GELU` or `MLP(64)`"
    )
    help_text = "; ".join(filter(None, [layer, otherwise])) or None
    return refuse(
        "not-a-layer", f"`{node.target}` is {show(value)} here, not a layer", node.target_span, help=help_text
    )


def check_no_recipes(node: Call, given: Given) -> None:
    """Refuse a layer as the argument of an operation, which gets the value that flows, and values."""
    arguments: list[tuple[int | str, object]] = [*enumerate(given.positional), *given.keywords.items()]
    for key, value in arguments:
        if holds_recipe(value):
            argument = given.places.get(key)
            rest = "..." if len(arguments) > 1 else ""
            row = f'["{show(value)}", "{node.target}({rest})"]'
            raise refuse(
                "not-a-value",
                f"`{show(value)}` is a layer, and `{node.target}` takes values",
                argument.span if argument is not None else node.target_span,
                help=f"layers that run one behind the other stand in a list: `{row}`" if key == 0 else None,
            )


def check_input_names(source: Source, node: ast.Call, layer: str, definition: Definition) -> None:
    """Refuse a call of a block by a keyword that is none of its inputs, or one that has a value already."""
    names = [entry.name for entry in definition.inputs]
    for keyword in node.keywords:
        name = keyword.arg or ""
        place = source.span(keyword).part(0, len(name))
        if name in names[: len(node.args)]:
            raise refuse("duplicate-argument", f"`{name}` is given twice", place)
        if name not in names:
            near = did_you_mean(name, names)
            raise refuse(
                "unknown-argument",
                f"`{layer}` has no input `{name}`",
                place,
                labels=(Label(definition.span, "the block"),),
                notes=() if near else (f"inputs: {', '.join(names)}",),
                help=f"did you mean `{near}`?" if near else None,
            )
