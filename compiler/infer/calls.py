"""Operations, methods and operators called for real on meta tensors, with torch's refusals made diagnostics."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from compiler.catalogue.operation_table import FUNCTIONS, METHODS
from compiler.catalogue.operations import CallProblem, method_signature, operation, signature
from compiler.infer.symbols import shape_text
from compiler.infer.values import show, tensors_in
from spec_schema.diagnostics import Diagnostic, SpecError, refuse
from spec_schema.grammar import Source
from spec_schema.suggest import did_you_mean

if TYPE_CHECKING:
    from compiler.infer.interpreter import Interpreter

TORCH_ERRORS = (
    RuntimeError,
    TypeError,
    ValueError,
    IndexError,
    AttributeError,
    NotImplementedError,
    ZeroDivisionError,
    AssertionError,
    KeyError,
    OverflowError,
)


def call_operation(
    run: Interpreter, node: ast.Call, name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> Any:
    """Call an operation of the table, or of a plugin."""
    plugin = run.engine.plugins.operations.get(name)
    if plugin is None:
        check_signature(run.source, node, signature(name).check(len(arguments), keywords), f"`{name}`")
    function = plugin or operation(name)
    return attempt(run, node, name, function, arguments, keywords)


def call_method(
    run: Interpreter,
    node: ast.Call,
    name: str,
    owner: Any,
    arguments: Sequence[Any],
    keywords: Mapping[str, Any],
) -> Any:
    """Call a tensor method of the table."""
    if not isinstance(owner, Tensor):
        raise refuse(
            "unknown-method",
            f"`{name}` is a method of tensors, and this is {show(owner)}",
            run.source.span(node.func),
        )
    check_signature(run.source, node, method_signature(name).check(len(arguments), keywords), f"`{name}`")
    return attempt(run, node, name, getattr(torch.Tensor, name), [owner, *arguments], keywords)


def apply_operation(
    name: str,
    plugins: Mapping[str, Callable[..., Any]],
    arguments: Sequence[Any],
    keywords: Mapping[str, Any],
) -> Any:
    """Call an operation or method by its name, letting torch's errors through."""
    if name in plugins:
        return plugins[name](*arguments, **keywords)
    if name in FUNCTIONS:
        return operation(name)(*arguments, **keywords)
    assert name in METHODS
    return getattr(torch.Tensor, name)(*arguments, **keywords)


def check_signature(source: Source, node: ast.Call, problem: CallProblem | None, what: str) -> None:
    """Refuse a call that no overload of an operation or method takes."""
    if problem is None:
        return
    if problem.kind == "too-many-positional":
        assert problem.limit is not None
        raise refuse(
            "too-many-arguments",
            f"{what} takes at most {problem.limit} positional arguments",
            source.span(node),
        )
    word = next(k for k in node.keywords if k.arg == problem.keyword)
    span = source.span(word).part(0, len(problem.keyword or ""))
    if problem.kind == "forbidden-keyword":
        raise refuse(
            "forbidden-argument",
            f"`{problem.keyword}` cannot be given in a spec",
            span,
            help="a program makes new values and changes none",
        )
    near = did_you_mean(problem.keyword or "", problem.candidates)
    raise refuse(
        "unknown-argument",
        f"{what} has no argument `{problem.keyword}`",
        span,
        notes=() if near else (f"arguments: {', '.join(problem.candidates)}",),
        help=f"did you mean `{near}`?" if near else None,
    )


def attempt(
    run: Interpreter,
    node: ast.AST,
    name: str,
    function: Callable[..., Any],
    arguments: Sequence[Any],
    keywords: Mapping[str, Any],
) -> Any:
    """Call a function of torch; what it refuses is located, with the shapes that it got."""
    try:
        return function(*arguments, **keywords)
    except SpecError:
        raise
    except TORCH_ERRORS as error:
        raise SpecError([_refused(run, node, name, error, [*arguments, *keywords.values()])]) from None


def _refused(
    run: Interpreter, node: ast.AST, name: str, error: Exception, values: Sequence[Any]
) -> Diagnostic:
    tensors = tensors_in(list(values))
    shapes = ", ".join(shape_text(t) for t in tensors)
    notes = (f"the shapes are {shapes}",) if tensors else ()
    code = "shape-mismatch" if len(tensors) > 1 else "operation-failed"
    return Diagnostic(
        code,
        f"`{name}` refuses this: {reason(error)}",
        run.source.span(node),
        notes=(*notes, *run.engine.trail_notes()),
    )


def reason(error: Exception) -> str:
    """Return torch's message as one line, without its internals."""
    text = str(error).strip() or type(error).__name__
    text = re.split(r"\n|Exception raised from|\. Got unexpected|\. This error may", text)[0]
    text = re.sub(r"^(Error while processing|Expected)\b", lambda m: m[0].lower(), text)
    text = re.sub(r"\bself\.|\bTensor\.|<built-in[^>]*>", "", text).rstrip(". ")
    return text[:1].lower() + text[1:300]


def apply_operator(
    run: Interpreter, node: ast.AST, what: str, function: Callable[..., Any], operands: Sequence[Any]
) -> Any:
    """Apply an operator to tensors; sizes that do not broadcast are named with their dimension."""
    try:
        return function(*operands)
    except TORCH_ERRORS as error:
        raise SpecError([_operator_refused(run, node, what, error, operands)]) from None


def _operator_refused(
    run: Interpreter, node: ast.AST, what: str, error: Exception, operands: Sequence[Any]
) -> Diagnostic:
    label = "   ".join(
        f"{_text(part)}: {shape_text(value)}"
        for part, value in zip(_parts(node), operands, strict=False)
        if isinstance(value, Tensor)
    )
    span = run.source.span(node)
    differing = _differing(operands) if what not in ("@", "[]") else None
    if differing is None:
        message = f"`{what}` refuses this: {reason(error)}"
    else:
        dimension, sizes = differing
        message = f"`{what}` needs equal sizes, but dimension {dimension} differs: {sizes[0]} and {sizes[1]}"
    return Diagnostic(
        "shape-mismatch",
        message,
        span,
        label=label,
        labels=run.engine.cause_labels(),
        notes=run.engine.trail_notes(),
    )


def _parts(node: ast.AST) -> list[ast.AST]:
    match node:
        case ast.BinOp():
            return [node.left, node.right]
        case ast.Compare():
            return [node.left, *node.comparators]
        case ast.Subscript():
            return [node.value, node.slice]
        case ast.UnaryOp():
            return [node.operand]
    return []


def _text(node: ast.AST) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 40 else text[:37] + "..."


def _differing(operands: Sequence[Any]) -> tuple[int, tuple[Any, Any]] | None:
    """Return the dimension, counted from the front of the longer shape, in which two shapes do not broadcast."""
    shapes = [list(value.shape) for value in operands if isinstance(value, Tensor)]
    if len(shapes) != 2:
        return None
    rank = max(map(len, shapes))
    first, second = ([1] * (rank - len(shape)) + shape for shape in shapes)
    for dimension, pair in enumerate(zip(first, second, strict=True)):
        if pair[0] != pair[1] and 1 not in pair:
            return dimension, pair
    return None
