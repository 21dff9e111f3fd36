"""What the model of a program is computed from: which names count copies, which are rounded, bounded, or decide."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from compiler.emit.bound import expressions_in
from compiler.emit.hidden import hidden_reads
from compiler.emit.trees import names_in
from compiler.program import (
    BlockBody,
    Call,
    Definition,
    Inline,
    LayerNode,
    ModuleBody,
    Repeat,
    ResolvedProgram,
    Splice,
    ValueTree,
)
from compiler.resolve.calls import nodes_of, parts_of
from compiler.resolve.values import expressions_of, free_names
from spec_schema.grammar import Expression
from spec_schema.walk import walk

Link = tuple[str | None, ValueTree]
"""A name, None for the number of copies itself, and what it is computed by."""


@dataclass(frozen=True, eq=False)
class Dependence:
    """What is known of the names of a program from how the rest is computed from them."""

    program: ResolvedProgram

    @cached_property
    def counting(self) -> set[str]:
        """The names that say how many copies there are, also through the arguments of blocks.

        More copies are dear, and one more tells as much as ten.
        """
        return _names(_sources(self._links, {None, *self._counted}))

    @cached_property
    def _counted(self) -> set[str]:
        """The names that say how often a loop of a program runs, or how many are chosen."""
        return names_in(*(count for tree in self._trees for node in walk(tree) for count in _counts(node)))

    @cached_property
    def stepping(self) -> set[str]:
        """The names from which something is computed by steps: rounded, bounded, or one of two."""
        return self._read_where(_steps)

    @cached_property
    def bounded(self) -> set[str]:
        """The names that something is bounded by, or chosen by, so that it hangs on which of two is larger."""
        return self._read_where(_bounds)

    @cached_property
    def bounds(self) -> list[float]:
        """The numbers that are written where something is bounded."""
        constants = [node.value for node in self._nodes_where(_bounds) if isinstance(node, ast.Constant)]
        return [value for value in constants if isinstance(value, int | float)]

    def _read_where(self, is_meant: Callable[[ast.AST], bool]) -> set[str]:
        """Return the names that expressions are computed from which have such a part."""
        read = {node.id for node in self._nodes_where(is_meant) if isinstance(node, ast.Name)}
        return _names(_sources(self._links, {*read}))

    def _nodes_where(self, is_meant: Callable[[ast.AST], bool]) -> list[ast.AST]:
        """Return all parts of the expressions and programs that have such a part."""
        walked = ([*walk(tree)] for tree in self._trees)
        return [node for nodes in walked if any(map(is_meant, nodes)) for node in nodes]

    @cached_property
    def deciding(self) -> set[str]:
        """The names that decide which rules of the spec there are."""
        return self._behind(self.program.scope.deciding)

    @cached_property
    def hidden(self) -> set[str]:
        """The variables of the spec that blocks hide, and compute something from all the same."""
        reads = (hidden_reads(each) for each in self._definitions if each.scope is self.program.scope)
        return self._behind(name for found in reads for names in found.values() for name in names)

    def _behind(self, names: Iterable[str]) -> set[str]:
        """Return variables of the spec with all that they are computed from."""
        return _names(_sources(list(self.program.scope.variable_trees.items()), {*names}))

    @cached_property
    def _links(self) -> list[Link]:
        """What each variable and each argument is computed from."""
        trees = [self.program.scope.variable_trees, *(each.variables for each in self._definitions)]
        return [
            *(pair for each in trees for pair in each.items()),
            *(link for node in self._nodes for link in _links_of(node)),
            *(link for each in self._definitions for link in _links_of_recipes(each)),
        ]

    @cached_property
    def _definitions(self) -> list[Definition]:
        return _definitions(self.program)

    @cached_property
    def _nodes(self) -> list[LayerNode | Splice]:
        return [node for definition in self._definitions for node in _all_nodes(nodes_of(definition))]

    @cached_property
    def _trees(self) -> list[ast.AST]:
        """All that is computed: variables, arguments of blocks and layers, tensors, and forward programs."""
        linked = [expression for _, tree in self._links for expression in expressions_of(tree)]
        return [
            *(expression.tree for expression in linked),
            *(e.tree for node in self._nodes if isinstance(node, Call) for e in expressions_in(node)),
            *(tree for definition in self._definitions for tree in _trees_of(definition.body)),
        ]


def _sources(links: Sequence[Link], found: set[str | None]) -> set[str | None]:
    """Return names with all that they are computed from."""
    while new := {name for to, tree in links if to in found for name in free_names(tree)} - found:
        found = found | new
    return found


def _names(found: Iterable[str | None]) -> set[str]:
    return {name for name in found if name is not None}


def _definitions(program: ResolvedProgram) -> list[Definition]:
    """Return the blocks that a model is made of, those of imported files among them."""
    found = dict.fromkeys([program.model])
    for definition in (left := [program.model]):
        calls = (node for node in _all_nodes(nodes_of(definition)) if isinstance(node, Call))
        new = {call.scope.blocks[call.target] for call in calls if call.target in call.scope.blocks}
        new |= {definition.scope.blocks[name] for name in _recipe_names(definition)}
        left += new - found.keys()
        found |= dict.fromkeys(new)
    return list(found)


def _recipe_names(definition: Definition) -> set[str]:
    """Return the blocks that a block hands on as arguments, or has in its variables."""
    return names_in(*(each.tree for each in _given(definition))) & definition.scope.blocks.keys()


def _given(definition: Definition) -> Iterator[Expression]:
    """Yield the expressions of a block in which blocks may stand."""
    for tree in definition.variables.values():
        yield from expressions_of(tree)
    for node in _all_nodes(nodes_of(definition)):
        yield from expressions_in(node) if isinstance(node, Call) else ()


def _links_of_recipes(definition: Definition) -> Iterator[Link]:
    blocks = definition.scope.blocks
    for expression in _given(definition):
        for node in walk(expression.tree):
            match node:
                case ast.Call(func=ast.Name(id=name)) if name in blocks:
                    names = [parameter.name for parameter in blocks[name].parameters]
                    given = [*zip(names, node.args, strict=False)]
                    given += [(each.arg, each.value) for each in node.keywords if each.arg is not None]
                    yield from ((parameter, expression.part(value)) for parameter, value in given)


def _all_nodes(nodes: Iterable[LayerNode | Splice]) -> Iterator[LayerNode | Splice]:
    for node in nodes:
        yield node
        yield from _all_nodes(nodes_of(node.definition) if isinstance(node, Inline) else parts_of(node))


def _links_of(node: LayerNode | Splice) -> Iterator[Link]:
    for each in node.running if isinstance(node, Repeat) else ():
        yield from ((each.name, each.first), (each.name, each.after))
    match node:
        case Repeat(names=()):
            yield None, node.over
        case Repeat():
            yield from ((name, _column(node.over, at)) for at, name in enumerate(node.names))
        case Call(kind="block"):
            names = [parameter.name for parameter in node.scope.blocks[node.target].parameters]
            for at, argument in enumerate(node.arguments):
                yield argument.name or names[at], argument.value


def _column(over: ValueTree, at: int) -> ValueTree:
    """Return what the name at a place is taken from: of `zip(widths, depths)`, the one list."""
    match over:
        case Expression(tree=ast.Call(func=ast.Name(id="zip"), args=lists)) if at < len(lists):
            return over.part(lists[at])
    return over


def is_stepped(tree: ValueTree) -> bool:
    """Return whether an expression rounds, bounds, or chooses."""
    if not isinstance(tree, Expression):
        return any(map(is_stepped, tree))
    return any(map(_steps, walk(tree.tree)))


def _steps(node: ast.AST) -> bool:
    match node:
        case ast.BinOp(op=ast.FloorDiv() | ast.Mod()):
            return True
        case ast.Call(func=ast.Name(id="ceil" | "floor" | "int" | "make_divisible" | "round")):
            return True
    return _bounds(node)


def _counts(node: ast.AST) -> Sequence[ast.expr]:
    """Return what counts in a call."""
    match node:
        case ast.Call(func=ast.Name(id="range"), args=counts):
            return counts
        case ast.Call(func=ast.Name(id="topk"), args=[_, count, *_]):
            return [count]
        case ast.Call(func=ast.Attribute(attr="topk"), args=[count, *_]):
            return [count]
    return []


def _bounds(node: ast.AST) -> bool:
    match node:
        case ast.IfExp() | ast.Call(func=ast.Name(id="max" | "min")):
            return True
    return False


def _trees_of(body: BlockBody) -> Iterator[ast.AST]:
    """Yield what the tensors of a block and its program are."""
    if isinstance(body, ModuleBody):
        sizes = [e for tensor in body.tensors.values() if tensor.type for e in tensor.type.dimensions]
        yield from (expression.tree for expression in sizes)
        sources = [body.program, *(tensor.value for tensor in body.tensors.values())]
        yield from (ast.Module([*each.roots], []) for each in sources if each is not None)  # type: ignore[list-item]
