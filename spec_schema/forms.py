"""The forms of statement and expression that the language has, and what to say of the others."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Iterator
from typing import Protocol

from spec_schema.diagnostics import Diagnostic
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.names import name_problem
from spec_schema.source import Span


class Located(Protocol):
    """Text that can say where each of its nodes stands in the file."""

    def span(self, node: ast.AST) -> Span: ...

    def attribute_name(self, node: ast.Attribute) -> Span: ...


OPERATORS: tuple[type[ast.AST], ...] = (
    ast.Add,
    ast.Sub,
    ast.Mult,
    ast.Div,
    ast.FloorDiv,
    ast.Mod,
    ast.Pow,
    ast.MatMult,
    ast.BitAnd,
    ast.BitOr,
    ast.BitXor,
    ast.Invert,
    ast.USub,
    ast.UAdd,
    ast.Not,
    ast.And,
    ast.Or,
    ast.Eq,
    ast.NotEq,
    ast.Lt,
    ast.LtE,
    ast.Gt,
    ast.GtE,
    ast.Is,
    ast.IsNot,
    ast.In,
    ast.NotIn,
)
EXPRESSIONS: tuple[type[ast.AST], ...] = (
    ast.Constant,
    ast.Name,
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.IfExp,
    ast.Subscript,
    ast.Slice,
    ast.Tuple,
    ast.List,
    ast.Dict,
    ast.ListComp,
    ast.comprehension,
    ast.Call,
    ast.keyword,
    ast.Attribute,
    ast.Starred,
)
STATEMENTS: tuple[type[ast.AST], ...] = (
    ast.Assign,
    ast.AugAssign,
    ast.Return,
    ast.If,
    ast.While,
    ast.For,
    ast.Pass,
    ast.Break,
    ast.Continue,
)
CONTEXTS = (ast.Load, ast.Store)

DESCRIPTIONS: dict[type[ast.AST], str] = {
    ast.Lambda: "a `lambda`",
    ast.GeneratorExp: "a generator",
    ast.DictComp: "a dict comprehension",
    ast.SetComp: "a set comprehension",
    ast.Set: "a set",
    ast.JoinedStr: "an f-string",
    ast.NamedExpr: "`:=`",
    ast.Await: "`await`",
    ast.Yield: "`yield`",
    ast.YieldFrom: "`yield from`",
    ast.Import: "an `import`",
    ast.ImportFrom: "an `import`",
    ast.FunctionDef: "a function definition",
    ast.AsyncFunctionDef: "a function definition",
    ast.ClassDef: "a class definition",
    ast.AnnAssign: "an annotated assignment",
    ast.Delete: "`del`",
    ast.With: "`with`",
    ast.AsyncWith: "`async with`",
    ast.AsyncFor: "`async for`",
    ast.Raise: "`raise`",
    ast.Try: "`try`",
    ast.TryStar: "`try`",
    ast.Assert: "`assert`",
    ast.Global: "`global`",
    ast.Nonlocal: "`nonlocal`",
    ast.Match: "`match`",
    ast.LShift: "`<<`",
    ast.RShift: "`>>`",
}
WAYS_OUT: dict[type[ast.AST], str] = {
    ast.GeneratorExp: "write a list: `[... for ... in ...]`",
    ast.Lambda: "write the operation itself, or a block",
    ast.FunctionDef: "write a block: one without layers is a function",
    ast.JoinedStr: "names of repeated layers are written `name: layer{index}`",
    ast.Import: "layers and operations come from the catalogue, or from a plugin that the caller names",
    ast.AnnAssign: "leave the annotation out: shapes and dtypes are inferred",
}


PRINT = "print"


def form_problem(
    source: Located, node: ast.AST, allowed: tuple[type[ast.AST], ...], is_index: bool
) -> Diagnostic | None:
    """Return what is wrong with the form of one node, leaving its children to themselves."""
    if isinstance(node, ast.Expr):
        return _thrown_away(source, node)
    if isinstance(node, ast.Constant) and node.value is Ellipsis and not is_index:
        return _not_in_language(source, node, "`...` outside of an index")
    if not isinstance(node, allowed + OPERATORS + CONTEXTS):
        what = DESCRIPTIONS.get(type(node), f"`{type(node).__name__}`")
        return _not_in_language(source, node, what, WAYS_OUT.get(type(node)))
    if isinstance(node, ast.Call):
        return _call_problem(source, node, in_program=ast.Return in allowed)
    check = _FORMS.get(type(node))
    return check(source, node) if check else None


def _not_in_language(source: Located, node: ast.AST, what: str, help: str | None = None) -> Diagnostic:
    return Diagnostic("not-in-language", f"{what} is not part of the language", source.span(node), help=help)


def _thrown_away(source: Located, node: ast.Expr) -> Diagnostic:
    value = node.value
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr[-1] == "_":
        return in_place(source, value, value.func)
    help, says_nothing = "bind it to a name, or `return` it", False
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        help, says_nothing = "write a comment: `# ...`", True
    elif isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == PRINT:
        help, says_nothing = "leave it out: `emit --until infer` shows the shape of each layer's output", True
    message = "the value of this is thrown away"
    return Diagnostic("not-in-language", message, source.span(node), help=help, passed_over=says_nothing)


def passed_over(source: Located, body: list[ast.stmt], problems: list[Diagnostic]) -> list[ast.stmt]:
    """Return statements without those whose value is thrown away, each of which is a problem."""
    kept: list[ast.stmt] = []
    for node in body:
        if isinstance(node, ast.Expr):
            problems.append(_thrown_away(source, node))
            kept.append(ast.copy_location(ast.Pass(), node))
            continue
        if isinstance(node, ast.If | ast.For | ast.While):
            node.body = passed_over(source, node.body, problems)
            node.orelse = passed_over(source, node.orelse, problems)
        kept.append(node)
    return kept


def in_place(source: Located, call: ast.Call, function: ast.Attribute) -> Diagnostic:
    """Return the diagnostic of a method such as `add_`, which changes its tensor."""
    name = function.attr.rstrip("_")
    new = ast.Call(ast.Attribute(function.value, name, ast.Load()), call.args, call.keywords)
    owner = f"{function.value.id} = " if isinstance(function.value, ast.Name) else ""
    return Diagnostic(
        "changed-in-place",
        f"`{function.attr}` changes its tensor in place",
        source.attribute_name(function),
        help=f"make a new value: `{owner}{ast.unparse(new)}`",
    )


def _constant_problem(source: Located, node: ast.AST) -> Diagnostic | None:
    assert isinstance(node, ast.Constant)
    value, limit = node.value, DEFAULT_LIMITS.integer
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > limit:
        return Diagnostic("integer-range", f"the integer is beyond ±{limit}", source.span(node))
    if isinstance(value, float) and not math.isfinite(value):
        return Diagnostic("not-a-number", "the number is beyond what a float can hold", source.span(node))
    if value is None or value is Ellipsis or isinstance(value, int | float | str):
        return None
    return _not_in_language(source, node, f"a {type(value).__name__} literal")


def _name_problem(source: Located, node: ast.AST) -> Diagnostic | None:
    assert isinstance(node, ast.Name)
    if node.id == "_" and isinstance(node.ctx, ast.Store):
        return None
    return name_problem(node.id, source.span(node))


def _attribute_problem(source: Located, node: ast.AST) -> Diagnostic | None:
    assert isinstance(node, ast.Attribute)
    if isinstance(node.ctx, ast.Store):
        help = "bind a new name instead"
        return Diagnostic(
            "changed-in-place", "a program cannot set an attribute", source.span(node), help=help
        )
    if node.attr.startswith("_"):
        place = source.attribute_name(node)
        return Diagnostic("unknown-attribute", f"`{node.attr}` cannot be reached from a spec", place)
    return None


def _subscript_problem(source: Located, node: ast.AST) -> Diagnostic | None:
    assert isinstance(node, ast.Subscript)
    if isinstance(node.ctx, ast.Store):
        return Diagnostic(
            "changed-in-place",
            "a value cannot be changed in place",
            source.span(node),
            help="make a new one: `where(mask, a, b)`, `cat([...])`, or `ys = [*ys, y]` for a list",
        )
    return None


def _call_problem(source: Located, node: ast.Call, in_program: bool) -> Diagnostic | None:
    """Return what is wrong with the form of a call. What takes a `*` in a program is looked up when it is resolved."""
    starred: list[ast.AST] = [] if in_program else [a for a in node.args if isinstance(a, ast.Starred)]
    starred += [keyword for keyword in node.keywords if keyword.arg is None]
    if not starred:
        return None
    stars = "`*`" if isinstance(starred[0], ast.Starred) else "`**`"
    return _not_in_language(source, starred[0], f"{stars} in a call", "write the arguments out")


def _comprehension_problem(source: Located, node: ast.AST) -> Diagnostic | None:
    assert isinstance(node, ast.comprehension)
    return _not_in_language(source, node.target, "`async`") if node.is_async else None


def _loop_problem(source: Located, node: ast.AST) -> Diagnostic | None:
    assert isinstance(node, ast.For | ast.While)
    if not node.orelse:
        return None
    return _not_in_language(source, node.orelse[0], "the `else` of a loop", "write it behind the loop")


def outside_loops(source: Located, body: Iterable[ast.stmt]) -> Iterator[Diagnostic]:
    """Yield each `break` and `continue` that stands in no loop."""
    for node in body:
        if isinstance(node, ast.Break | ast.Continue):
            word = type(node).__name__.lower()
            help = "`return` ends the program" if word == "break" else "`pass` does nothing"
            yield Diagnostic("not-in-language", f"`{word}` stands in no loop", source.span(node), help=help)
        elif isinstance(node, ast.If):
            yield from outside_loops(source, [*node.body, *node.orelse])


def _return_problem(source: Located, node: ast.AST) -> Diagnostic | None:
    assert isinstance(node, ast.Return)
    if node.value is not None:
        return None
    help = "write the value that flows on: `return x`"
    return Diagnostic("missing-return", "`return` gives nothing back", source.span(node), help=help)


def _assign_problem(source: Located, node: ast.AST) -> Diagnostic | None:
    assert isinstance(node, ast.Assign)
    starred = [n for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Starred)]
    return _not_in_language(source, starred[0], "`*` in a target", "name each value") if starred else None


def _operator_problem(source: Located, node: ast.AST) -> Diagnostic | None:
    assert isinstance(node, ast.BinOp | ast.AugAssign)
    if isinstance(node.op, OPERATORS):
        return None
    return _not_in_language(source, node, DESCRIPTIONS[type(node.op)], "multiply or divide by a power of 2")


_FORMS = {
    ast.BinOp: _operator_problem,
    ast.AugAssign: _operator_problem,
    ast.Constant: _constant_problem,
    ast.Name: _name_problem,
    ast.Attribute: _attribute_problem,
    ast.Subscript: _subscript_problem,
    ast.comprehension: _comprehension_problem,
    ast.For: _loop_problem,
    ast.While: _loop_problem,
    ast.Return: _return_problem,
    ast.Assign: _assign_problem,
}
