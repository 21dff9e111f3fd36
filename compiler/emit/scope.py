"""The place in a constructor at which a layer is written: the names that it may read, and the statements before it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeGuard

from compiler.emit.branches import Branches, Cases
from compiler.emit.choose import Chooser
from compiler.emit.expressions import Translator, condition
from compiler.emit.file import EmittedFile
from compiler.emit.syntax import load_name
from compiler.placement.groups import ClassGroup
from compiler.program import Choice, ValueTree
from compiler.resolve.values import free_names
from spec_schema.grammar import Expression
from spec_schema.keys import is_attribute

LAYERS = "layers"
"""What a list of layers is called that has no name of its own."""
WIDE = 90
"""Characters of a conditional expression, above which it is written as a statement."""


@dataclass(eq=False)
class ConstructorScope:
    """The constructor of one class, while its layers are written."""

    file: EmittedFile
    group: ClassGroup
    translator: Translator
    chooser: Chooser
    expressions: list[Expression] = field(default_factory=list)
    """The expressions of the class's layers, which an inferred size may equal."""
    ctor_names: set[str] = field(default_factory=set)
    """Names that an expression of the constructor may read: arguments and variables of the block."""
    computed: Mapping[str, ValueTree] = field(default_factory=dict)
    """Those of them that the constructor computes, in their order."""
    variable: Callable[[str], ast.expr] = load_name
    """Returns a variable of the spec, for a class that is made."""
    sink: list[ast.stmt] | None = None
    """Where statements go that are needed first; None where there can be none."""
    hint: str = LAYERS
    """What a list of the layers at hand is called."""

    def __post_init__(self) -> None:
        self.visible: set[str] = set(self.ctor_names)
        self.branches = Branches(self.file.builder, self.may_turn)

    @cached_property
    def computed_expressions(self) -> list[Expression]:
        """The expressions that are more than a name."""
        return [each for each in self.expressions if not isinstance(each.tree, ast.Constant | ast.Name)]

    # Names and expressions.

    def local(self, name: str) -> str:
        return self.file.names.in_constructor(name)

    def local_name(self, wanted: str) -> str:
        """Return a new name for a local value of the constructor."""
        return self.chooser.fresh(self.local(wanted))

    def expression(self, value: ValueTree) -> ast.expr:
        """Return a compile-time value in the constructor's names."""
        if isinstance(value, Expression):
            return self.translator.translate(value.tree)
        return ast.List([self.expression(part) for part in value], ast.Load())

    def condition(self, node: Choice) -> ast.expr:
        """Return what decides a choice, in the constructor's names."""
        return condition(self.expression(node.condition))

    def expression_of_name(self, name: str) -> ast.expr:
        return self.translator.translate(ast.Name(name, ast.Load()))

    def may_turn(self, node: Choice, cases: Cases) -> bool:
        """Return whether a condition that holds for these values is written, since it may be false for others."""
        is_visible = self.visible.issuperset(free_names(node.condition))
        return is_visible and self.file.optional.may_turn(node, cases)

    @contextmanager
    def fixed(self, values: Mapping[str, object]) -> Iterator[None]:
        """Write names as their values meanwhile."""
        translator, visible = self.translator, self.visible
        literals, renamed = translator.literals, translator.renamed
        translator.literals = {**literals, **values}
        translator.renamed = {name: new for name, new in renamed.items() if name not in values}
        self.visible = visible - values.keys()
        yield
        translator.literals, translator.renamed, self.visible = literals, renamed, visible

    @contextmanager
    def renaming(self, names: Mapping[str, ast.expr]) -> Iterator[None]:
        """Write names as these expressions meanwhile."""
        before = self.translator.renamed
        self.translator.renamed = {**before, **names}
        yield
        self.translator.renamed = before

    @contextmanager
    def binding(self, names: Mapping[str, ast.expr]) -> Iterator[None]:
        """Let what is written meanwhile read these names, as these expressions."""
        before = self.visible
        self.visible = before | names.keys()
        with self.renaming(names):
            yield
        self.visible = before

    # Statements in front of what is written.

    def statement(self, statement: ast.stmt) -> None:
        """Write a statement of the constructor."""
        assert self.sink is not None
        self.sink.append(statement)

    def put(self, made: ast.expr, put: Callable[[ast.expr], ast.stmt]) -> None:
        """Write the statement for a layer, or where it is one of two that are long, a condition with two."""
        if _is_wide(made):
            self.statement(ast.If(made.test, [put(made.body)], [put(made.orelse)]))
        else:
            self.statement(put(made))

    @contextmanager
    def inner_statements(self) -> Iterator[list[ast.stmt]]:
        """Collect the statements that are written meanwhile."""
        before, self.sink = self.sink, []
        yield self.sink
        self.sink = before

    @contextmanager
    def without_statements(self) -> Iterator[None]:
        """Let nothing write statements: inside a comprehension there is no place for them."""
        before, self.sink = self.sink, None
        yield
        self.sink = before

    @contextmanager
    def hinted(self, name: str | None) -> Iterator[None]:
        """Call a list that is made meanwhile by the name of its layer."""
        before, self.hint = self.hint, name if name and is_attribute(name) else LAYERS
        yield
        self.hint = before


def _is_wide(made: ast.expr) -> TypeGuard[ast.IfExp]:
    """Say whether a layer is one of two that hardly fit into a line."""
    return isinstance(made, ast.IfExp) and len(ast.unparse(made)) > WIDE
