"""Operations, methods and operators called for real on meta tensors, with torch's refusals made diagnostics."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from compiler.catalogue.operation_table import FUNCTIONS, METHODS
from compiler.catalogue.operations import CallProblem, excess, method_signature, operation, signature
from compiler.infer.context import Context
from compiler.infer.module_references import ModuleReference
from compiler.infer.one_dtype import OF_FLOATS, PRODUCTS, check_dtypes
from compiler.infer.reasons import fixed_size, forms, refusal
from compiler.infer.values import show, tensors_in
from spec_schema.clock import check_time
from spec_schema.diagnostics import Diagnostic, SpecError, refuse
from spec_schema.grammar import Source
from spec_schema.limits import Limits
from spec_schema.source import Span
from spec_schema.suggest import did_you_mean
from spec_schema.unknown_names import unknown_argument

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


class Run(Protocol):
    """A program that is run: what calls need to know of it."""

    @property
    def engine(self) -> Context: ...

    @property
    def source(self) -> Source: ...

    @property
    def limits(self) -> Limits: ...

    def perform(
        self,
        node: ast.AST,
        what: str,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
    ) -> Any: ...


def call_operation(
    run: Run, node: ast.Call, name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> Any:
    """Call an operation of the table, or of a plugin."""
    plugin = run.engine.plugins.operations.get(name)
    if plugin is None:
        check_signature(run.source, node, signature(name).check(len(arguments), keywords), f"`{name}`")
    function = plugin or operation(name)
    return attempt(run, node, name, function, arguments, keywords)


def call_method(
    run: Run,
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
    if name not in METHODS:
        near = did_you_mean(name, METHODS)
        raise refuse(
            "unknown-method",
            f"tensors have no method `{name}` in the language",
            run.source.span(node.func),
            help=f"did you mean `{near}`?" if near else None,
        )
    check_signature(run.source, node, method_signature(name).check(len(arguments), keywords), f"`{name}`")
    return attempt(run, node, name, getattr(torch.Tensor, name), [owner, *arguments], keywords)


def operation_named(name: str, plugins: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    """Return the function of an operation or method."""
    if name in plugins:
        return plugins[name]
    assert name in FUNCTIONS or name in METHODS
    function: Callable[..., Any] = operation(name) if name in FUNCTIONS else getattr(torch.Tensor, name)
    return function


def stacks(name: str, arguments: Sequence[Any]) -> bool:
    """Return whether an operation of einops makes one tensor of a list first."""
    return FUNCTIONS.get(name, "").startswith("einops.") and isinstance(next(iter(arguments), None), list)


def check_arguments(
    place: Span | Callable[[], Span], name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> None:
    """Refuse a call of an operation or method of the table that names a device, or that would cost too much."""
    found = excess(name, arguments, keywords)
    if not found and not _names_device(name, arguments, keywords):
        return
    where = place if isinstance(place, Span) else place()
    if not found:
        raise refuse(
            "forbidden-argument",
            f"`{name}` names a device, which a spec does not",
            where,
            notes=("a model is put on devices by `placement`, or when it is built",),
            help="leave it out, or give the device of a tensor: `device=x.device`, `y.to(x)`",
        )
    what = f"`{found.argument}` of `{name}` is" if found.argument else f"`{name}` gets"
    value = "no number" if found.value is None else f"{found.value:,}"
    note = f"the limit is {found.limit:,}: each takes steps of its own"
    tensors = "" if found.argument else " tensors"
    raise refuse("costly-argument", f"{what} {value}{tensors}", where, notes=(note,))


def _names_device(name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> bool:
    """Return whether a call names a device, where its values would be and take memory wherever the model is put."""
    given = [] if FUNCTIONS.get(name, "").startswith("einops.") else [keywords.get("device")]
    given.extend(arguments[1:] if name == "to" else ())
    return any(isinstance(each, str) or type(each) is int for each in given)


def check_signature(source: Source, node: ast.Call, problem: CallProblem | None, what: str) -> None:
    """Refuse a call that no overload of an operation or method takes."""
    if problem is None:
        return
    if problem.kind == "too-many-positional":
        assert problem.limit is not None
        plural = "" if problem.limit == 1 else "s"
        raise refuse(
            "too-many-arguments",
            f"{what} takes at most {problem.limit} argument{plural} without a name",
            source.span(node.args[problem.limit]) if problem.limit < len(node.args) else source.span(node),
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
    raise SpecError([unknown_argument(what, problem.keyword or "", problem.candidates, span)])


def attempt(
    run: Run,
    node: ast.Call,
    name: str,
    function: Callable[..., Any],
    arguments: Sequence[Any],
    keywords: Mapping[str, Any],
) -> Any:
    """Call a function of torch; what it refuses is located, with the shapes that it got."""
    check_time(partial(run.source.span, node), run.engine.trail.notes)
    check_no_layers(run, _written(node, len(arguments) + len(keywords)), [*arguments, *keywords.values()])
    if name in PRODUCTS or name in OF_FLOATS:
        names, values = _named(node, [*arguments, *keywords.values()])
        check_dtypes(name, names, values, run.source.span(node), run.engine.trail.notes())
    if name in _MANY and tensors_in(arguments):
        given = [*arguments[1:], *(value for key, value in keywords.items() if key != "dim")]
        check_pieces(run, node, f"`{name}`", tensors_in(arguments)[0], partial(_pieces, name, given))
    try:
        return run.perform(node, name, function, arguments, keywords)
    except SpecError:
        raise
    except TORCH_ERRORS as error:
        raise SpecError([_refused(run, node, name, error, [*arguments, *keywords.values()])]) from None


_MANY = frozenset(
    "unbind split chunk tensor_split hsplit vsplit dsplit split_with_sizes unsafe_split unsafe_chunk "
    "unsafe_split_with_sizes".split()
)
"""Operations and methods that may give a tensor for each row."""


def _pieces(name: str, given: Sequence[Any], rows: int) -> int:
    """Return how many tensors an operation may give of a tensor with so many rows."""
    match given:
        case [list() | tuple() as sections, *_]:
            return min(rows, len(sections)) + 1
        case [int(number), *_] if name in {"split", "unsafe_split"}:
            return -(-rows // max(number, 1))
        case [int(number), *_] if name != "unbind":
            return min(rows, number)
    return rows


def check_pieces(
    run: Run, node: ast.AST, what: str, tensor: Tensor, pieces: Callable[[int], int] = int
) -> None:
    """Refuse to take a tensor apart into very many: each piece takes time and memory, also without values.

    `pieces` says how many there may be of a tensor with so many rows.
    """
    limit = run.limits.nodes
    most = pieces(max((size for size in tensor.shape if isinstance(size, int)), default=0))
    if most > limit:
        notes = (f"the limit is {limit:,}", *run.engine.trail.notes())
        raise refuse(
            "too-many-values", f"{what} may give {most:,} tensors", run.source.span(node), notes=notes
        )


def _refused(run: Run, node: ast.Call, name: str, error: Exception, values: Sequence[Any]) -> Diagnostic:
    tensors = tensors_in(list(values))
    return Diagnostic(
        "shape-mismatch" if len(tensors) > 1 else "operation-failed",
        refusal(f"`{name}`", error, tensors),
        run.source.span(node),
        label=forms(*_named(node, values)),
        notes=run.engine.trail.notes(),
        help=fixed_size(name, error),
    )


def _named(node: ast.Call, values: Sequence[Any]) -> tuple[list[str], list[Any]]:
    """Return the arguments of a call as they are written, those of a list one by one, with their values."""
    names: list[str] = []
    flat: list[Any] = []
    for part, value in zip(_written(node, len(values)), values, strict=False):
        inside = part.elts if isinstance(part, ast.List | ast.Tuple) else []
        if isinstance(value, list | tuple) and len(value) == len(inside):
            names.extend(map(_text, inside))
            flat.extend(value)
        else:
            names.append(_text(part))
            flat.append(value)
    return names, flat


def _written(node: ast.Call, count: int) -> list[ast.expr]:
    """Return the arguments of a call as they are written; of a method, the tensor too."""
    written: list[ast.expr] = [*node.args, *(keyword.value for keyword in node.keywords)]
    starred = next((at for at, each in enumerate(node.args) if isinstance(each, ast.Starred)), None)
    if isinstance(node.func, ast.Attribute) and (count > len(written) or starred is not None):
        written.insert(0, node.func.value)
    if starred is not None:  # it stands for as many as are not written otherwise
        at = starred + len(written) - len(node.args) - len(node.keywords)
        written[at : at + 1] = [written[at]] * max(count - len(written) + 1, 0)
    return written


def check_no_layers(run: Run, written: Sequence[ast.AST], values: Sequence[Any]) -> None:
    """Refuse a layer where a value is computed with."""
    for part, value in zip(written, values, strict=False):
        if isinstance(value, list | tuple):
            inside = part.elts if isinstance(part, ast.List | ast.Tuple) else [part] * len(value)
            check_no_layers(run, inside, value)
        elif isinstance(value, ModuleReference):
            raise refuse(
                "not-a-value",
                f"`{value.path}` is a layer, not a value",
                run.source.span(part),
                notes=run.engine.trail.notes(),
                help=f"call it: `{_text(part)}(...)`",
            )


def apply_operator(
    run: Run, node: ast.AST, what: str, function: Callable[..., Any], operands: Sequence[Any]
) -> Any:
    """Apply an operator to tensors; sizes that do not broadcast are named with their dimension."""
    check_no_layers(run, parts(node), operands)
    if what in PRODUCTS:
        names = [_text(part) for part in parts(node)]
        check_dtypes(what, names, operands, run.source.span(node), run.engine.trail.notes())
    try:
        return run.perform(node, what, function, operands, {})
    except SpecError:
        raise
    except TORCH_ERRORS as error:
        raise SpecError([_operator_refused(run, node, what, error, operands)]) from None


def _operator_refused(
    run: Run, node: ast.AST, what: str, error: Exception, operands: Sequence[Any]
) -> Diagnostic:
    labels, help = run.engine.trail.cause()
    return Diagnostic(
        "shape-mismatch",
        refusal(f"`{what}`", error, operands),
        run.source.span(node),
        label=forms([_text(part) for part in parts(node)], operands),
        labels=labels,
        notes=run.engine.trail.notes(),
        help=help or fixed_size(what, error),
    )


def parts(node: ast.AST) -> list[ast.AST]:
    """Return the operands of an operator as they are written."""
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
