"""The expressions and programs of a spec: a strict subset of Python, read with `ast`, never evaluated as Python.

Reading checks the form alone: which kinds of statement and expression there are, and their size. What the
names mean is decided later, against closed tables.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from spec_schema.diagnostics import SpecError, refuse
from spec_schema.limits import DEFAULT_LIMITS, Limits
from spec_schema.reader import Scalar
from spec_schema.source import Span

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
    ast.Expr: "an expression whose value is thrown away",
    ast.AnnAssign: "an annotated assignment",
    ast.Delete: "`del`",
    ast.With: "`with`",
    ast.AsyncWith: "`async with`",
    ast.AsyncFor: "`async for`",
    ast.Raise: "`raise`",
    ast.Try: "`try`",
    ast.Assert: "`assert`",
    ast.Global: "`global`",
    ast.Nonlocal: "`nonlocal`",
    ast.Break: "`break`",
    ast.Continue: "`continue`",
    ast.Match: "`match`",
    ast.LShift: "`<<`",
    ast.RShift: "`>>`",
}
WAYS_OUT: dict[type[ast.AST], str] = {
    ast.GeneratorExp: "write a list: `[... for ... in ...]`",
    ast.Expr: "bind it to a name, or `return` it",
    ast.Break: "put the condition into the `while`",
    ast.Lambda: "write the operation itself, or a block",
    ast.FunctionDef: "write a block: one without layers is a function",
    ast.JoinedStr: "names of repeated layers are written `name: layer{index}`",
    ast.Import: "layers and operations come from the catalogue, or from a plugin that the caller names",
    ast.AnnAssign: "leave the annotation out: shapes and dtypes are inferred",
}

IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


def identifier_problem(name: str, limits: Limits = DEFAULT_LIMITS) -> str | None:
    """Return why `name` cannot be a name in a spec, or None."""
    if len(name) > limits.identifier:
        return f"a name has at most {limits.identifier} characters, and this has {len(name)}"
    if not IDENTIFIER.match(name):
        return "a name is made of ASCII letters, digits and `_`, and starts with a letter"
    if keyword.iskeyword(name):
        return f"`{name}` is a keyword of Python"
    return None


@dataclass(frozen=True, eq=False)
class Source:
    """Parsed text that can say where each of its nodes stands in the file."""

    scalar: Scalar
    text: str
    start: int
    """Offset of `text` in the scalar's decoded text."""

    def span(self, node: ast.AST) -> Span:
        """Return the place of a node of this text."""
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        end_line = getattr(node, "end_lineno", None) or line
        end_column = getattr(node, "end_col_offset", None)
        first = self._offset(line, column)
        last = self._offset(end_line, end_column) if end_column is not None else first + 1
        return self.scalar.locate(self.start + first, self.start + max(last, first + 1))

    def _offset(self, line: int, column: int) -> int:
        """Turn a position of `ast` (1-based line, column in UTF-8 bytes) into a character offset."""
        lines = self.text.split("\n")
        if line > len(lines):
            return len(self.text)
        before = sum(len(text) + 1 for text in lines[: line - 1])
        return before + len(lines[line - 1].encode()[:column].decode(errors="ignore"))


@dataclass(frozen=True, eq=False)
class Expression(Source):
    """One expression: `tree` is its checked `ast` node."""

    tree: ast.expr

    def part(self, tree: ast.expr) -> Expression:
        """Return an expression for a node inside this one."""
        return Expression(self.scalar, self.text, self.start, tree)

    @property
    def place(self) -> Span:
        return self.span(self.tree)

    def __str__(self) -> str:
        return ast.unparse(self.tree)


@dataclass(frozen=True, eq=False)
class Program(Source):
    """A forward program: `body` are its checked statements."""

    body: tuple[ast.stmt, ...]


def parse_expression(
    scalar: Scalar, start: int = 0, end: int | None = None, limits: Limits = DEFAULT_LIMITS
) -> Expression:
    """Read the characters `start` to `end` of a scalar's text as one expression.

    Raises:
        SpecError: the text is no expression, holds a form that the language does not have, or is too large.
    """
    whole = scalar.text if isinstance(scalar.value, str) else repr(scalar.value)
    text = whole[start:end]
    start += len(text) - len(text.lstrip())
    text = text.strip().replace("\n", " ")
    if len(text) > limits.expression:
        raise refuse(
            "expression-too-long",
            f"an expression of {len(text)} characters",
            scalar.span,
            notes=(f"the limit is {limits.expression} characters",),
            help="move parts of it into `vars`",
        )
    tree = _parse(scalar, text, start, "eval")
    assert isinstance(tree, ast.Expression)
    expression = Expression(scalar, text, start, tree.body)
    _check(expression, [tree.body], EXPRESSIONS, limits)
    return expression


def parse_program(scalar: Scalar, limits: Limits = DEFAULT_LIMITS) -> Program:
    """Read a scalar's text as a forward program.

    Raises:
        SpecError: as `parse_expression`, or a way through the program returns nothing.
    """
    text = scalar.text
    tree = _parse(scalar, text, 0, "exec")
    assert isinstance(tree, ast.Module)
    program = Program(scalar, text, 0, tuple(tree.body))
    _check(program, tree.body, STATEMENTS + EXPRESSIONS, limits)
    if not tree.body:
        raise refuse("missing-return", "the program is empty", scalar.span, help="end it with `return x`")
    if not always_returns(tree.body):
        raise refuse(
            "missing-return",
            "the program can end without a `return`",
            program.span(tree.body[-1]),
            help="end it with `return` and the value that flows on",
        )
    return program


def always_returns(body: Sequence[ast.stmt]) -> bool:
    """Say whether every way through the statements ends at a `return`."""
    last = body[-1] if body else None
    if isinstance(last, ast.If):
        return always_returns(last.body) and always_returns(last.orelse)
    return isinstance(last, ast.Return)


def _parse(scalar: Scalar, text: str, start: int, mode: str) -> ast.AST:
    try:
        return ast.parse(text, mode=mode)
    except SyntaxError as error:
        raise _syntax(scalar, text, start, error) from None
    except (ValueError, MemoryError, RecursionError):
        raise refuse("expression-too-deep", "the text is nested too deeply to be read", scalar.span) from None


def _syntax(scalar: Scalar, text: str, start: int, error: SyntaxError) -> SpecError:
    source = Source(scalar, text, start)
    line = min(error.lineno or 1, text.count("\n") + 1)
    column = max((error.offset or 1) - 1, 0)
    lines = text.split("\n")
    at = sum(len(part) + 1 for part in lines[: line - 1]) + min(column, len(lines[line - 1]))
    span = source.scalar.locate(
        start + min(at, max(len(text) - 1, 0)), start + min(at + 1, max(len(text), 1))
    )
    reason = (error.msg or "invalid syntax").removesuffix(".")
    return refuse("syntax", f"this cannot be read: {reason[:1].lower()}{reason[1:]}", span, help=_torn(text))


def _torn(text: str) -> str | None:
    """Explain a call that YAML's flow style tore apart at the comma."""
    opened = sum(text.count(c) for c in "([{") - sum(text.count(c) for c in ")]}")
    if opened > 0:
        return "inside `[ ]` and `{ }` YAML splits at the comma: quote the whole call"
    return None


def walk(roots: Sequence[ast.AST]) -> Iterator[tuple[ast.AST, int]]:
    """Yield every node below `roots` with its expression depth, without recursion."""
    stack = [(root, 0) for root in reversed(roots)]
    while stack:
        node, depth = stack.pop()
        yield node, depth
        below = depth + 1 if isinstance(node, ast.expr) else depth
        stack.extend((child, below) for child in reversed(list(ast.iter_child_nodes(node))))


def _check(
    source: Source, roots: Sequence[ast.AST], allowed: tuple[type[ast.AST], ...], limits: Limits
) -> None:
    errors: list[SpecError] = []
    count = 0
    for node, depth in walk(roots):
        count += 1
        if depth > limits.expression_depth:
            raise refuse(
                "expression-too-deep",
                f"an expression nested more than {limits.expression_depth} deep",
                source.span(node),
                help="name a part of it first",
            )
        if count > limits.program_operations:
            raise refuse(
                "program-too-long",
                f"a program of more than {limits.program_operations} operations",
                source.scalar.span,
                help="split it into blocks",
            )
        error = _form_error(source, node, allowed)
        if error:
            errors.append(error)
    if errors:
        raise SpecError(d for error in errors for d in error.diagnostics)


def _form_error(source: Source, node: ast.AST, allowed: tuple[type[ast.AST], ...]) -> SpecError | None:
    """Return what is wrong with the form of one node, leaving its children to themselves."""
    if not isinstance(node, allowed + OPERATORS + CONTEXTS):
        what = DESCRIPTIONS.get(type(node), f"`{type(node).__name__}`")
        return refuse(
            "not-in-language",
            f"{what} is not part of the language",
            source.span(node),
            help=WAYS_OUT.get(type(node)),
        )
    check = _FORMS.get(type(node))
    return check(source, node) if check else None


def _constant_error(source: Source, node: ast.AST) -> SpecError | None:
    assert isinstance(node, ast.Constant)
    value = node.value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > DEFAULT_LIMITS.integer:
        return refuse("integer-range", "an integer beyond ±(2**53 - 1)", source.span(node))
    if value is None or isinstance(value, int | float | str):
        return None
    if value is Ellipsis:
        return None
    return refuse(
        "not-in-language", f"a {type(value).__name__} literal is not part of the language", source.span(node)
    )


def _name_error(source: Source, node: ast.AST) -> SpecError | None:
    name = node.id if isinstance(node, ast.Name) else ""
    if name == "_" and isinstance(getattr(node, "ctx", None), ast.Store):
        return None
    problem = identifier_problem(name)
    return refuse("bad-name", problem, source.span(node)) if problem else None


def _attribute_error(source: Source, node: ast.AST) -> SpecError | None:
    assert isinstance(node, ast.Attribute)
    if isinstance(node.ctx, ast.Store):
        return refuse(
            "changed-in-place",
            "a program cannot set an attribute",
            source.span(node),
            help="bind a new name instead",
        )
    if node.attr.startswith("_"):
        return refuse("unknown-attribute", f"`{node.attr}` cannot be reached from a spec", source.span(node))
    return None


def _subscript_error(source: Source, node: ast.AST) -> SpecError | None:
    assert isinstance(node, ast.Subscript)
    if isinstance(node.ctx, ast.Store):
        return refuse(
            "changed-in-place",
            "a value cannot be changed in place",
            source.span(node),
            help="make a new value: `torch.where`-like `where(mask, a, b)`, `cat([...])`, "
            "or `ys = [*ys, y]` for a list",
        )
    return None


def _call_error(source: Source, node: ast.AST) -> SpecError | None:
    assert isinstance(node, ast.Call)
    starred = [a for a in node.args if isinstance(a, ast.Starred)]
    starred_names = [k for k in node.keywords if k.arg is None]
    if starred or starred_names:
        place = starred[0] if starred else starred_names[0]
        return refuse(
            "not-in-language",
            "`*` and `**` are not part of a call",
            source.span(place),
            help="write the arguments out",
        )
    return None


def _comprehension_error(source: Source, node: ast.AST) -> SpecError | None:
    assert isinstance(node, ast.comprehension)
    if node.is_async:
        return refuse("not-in-language", "`async` is not part of the language", source.span(node.target))
    return None


def _loop_error(source: Source, node: ast.AST) -> SpecError | None:
    assert isinstance(node, ast.For | ast.While)
    if node.orelse:
        return refuse(
            "not-in-language", "`else` of a loop is not part of the language", source.span(node.orelse[0])
        )
    return None


def _return_error(source: Source, node: ast.AST) -> SpecError | None:
    assert isinstance(node, ast.Return)
    if node.value is None:
        return refuse(
            "missing-return", "`return` gives nothing back", source.span(node), help="return a value"
        )
    return None


def _assign_error(source: Source, node: ast.AST) -> SpecError | None:
    assert isinstance(node, ast.Assign)
    for target in node.targets:
        for part, _ in walk([target]):
            if isinstance(part, ast.Starred):
                return refuse(
                    "not-in-language", "`*` in a target is not part of the language", source.span(part)
                )
    return None


_FORMS = {
    ast.Constant: _constant_error,
    ast.Name: _name_error,
    ast.Attribute: _attribute_error,
    ast.Subscript: _subscript_error,
    ast.Call: _call_error,
    ast.comprehension: _comprehension_error,
    ast.For: _loop_error,
    ast.While: _loop_error,
    ast.Return: _return_error,
    ast.Assign: _assign_error,
}
