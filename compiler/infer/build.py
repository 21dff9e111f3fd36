"""States before the first call: what a node is, with its compile-time values decided."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from operator import attrgetter
from types import UnionType

from compiler.catalogue.layers import bind, layer_type
from compiler.catalogue.operation_table import FUNCTIONS, METHODS
from compiler.infer.arguments import Given, evaluate_arguments, evaluate_value
from compiler.infer.handed_on import handing_on
from compiler.infer.nesting import Nesting
from compiler.infer.problems import block_argument_problems, check_no_recipes, layer_problem, not_a_layer
from compiler.infer.running import run_on
from compiler.infer.states import BlockState, Chain, Identity, Leaf, Operation, State, type_name
from compiler.infer.values import Recipe, freeze, show
from compiler.program import (
    BASE,
    Call,
    CallBody,
    CallKind,
    Choice,
    Definition,
    Inline,
    Item,
    LayerNode,
    ModuleBody,
    NameTemplate,
    ParallelBody,
    Repeat,
    Reuse,
    Scope,
    Splice,
)
from compiler.program import Sequence as SequenceNode
from compiler.resolve.extends import not_extended
from compiler.resolve.layer_names import check_layer_key
from compiler.resolve.program import value_of
from compiler.resolve.values import is_type, place_of
from spec_schema.bounds import bindings
from spec_schema.clock import check_time
from spec_schema.diagnostics import Diagnostic, SpecError, refuse
from spec_schema.evaluate import evaluate
from spec_schema.grammar import Expression
from spec_schema.limits import Limits
from spec_schema.source import Span

Values = Mapping[str, object]
Bound = Mapping[str, tuple[object, Repeat]]
Order = tuple[tuple[str, Item], ...]


@dataclass(frozen=True, eq=False)
class ListEntry:
    """One layer of a list, with copies and splices written out.

    `values` are the names that its node sees; `bound` those of them that the repeats around it bind.
    """

    name: str
    item: Item
    node: LayerNode
    values: Values
    bound: Bound


@dataclass
class Builder:
    """Builds the states of nodes. What is alike shares one state: blocks, layers, and rows of them."""

    limits: Limits
    variables_of: Callable[[Scope], Values] = attrgetter("variables")
    """The variables that the blocks of a file see."""
    blocks: dict[Hashable, BlockState] = field(default_factory=dict)
    shared: dict[Hashable, State] = field(default_factory=dict)
    files: dict[str, Values] = field(default_factory=dict)
    """The values of the variables of each file that has layers among them."""
    nesting: Nesting = field(init=False)
    copies_deep: int = 1
    built: int = 0

    def __post_init__(self) -> None:
        self.nesting = Nesting(self.limits)

    def build(self, node: LayerNode, values: Values) -> State:
        """Return the state of a node under the compile-time values of its block."""
        self._count(node)
        match node:
            case Call():
                return self._call(node, values)
            case SequenceNode():
                return self._chain(node, self.items(node.items, values)[0])
            case Repeat():
                return self._chain(node, self.items([Item(None, node, node.span)], values)[0])
            case Choice():
                return self._choice(node, values)
            case Inline():
                arguments = {name: values[name] for name in node.captured}
                return self.instantiate(node.definition, arguments)
        raise AssertionError(node)

    def _count(self, node: LayerNode) -> None:
        check_time(node.span)
        self.built += 1
        if self.built > self.limits.modules:
            raise self._too_many(f"more than {self.limits.modules:,} layers", node.span)

    # Calls.

    def _call(self, node: Call, values: Values) -> State:
        if node.kind == "recipe":
            return self._from_value(node, values)
        given = evaluate_arguments(node, values, self.limits)
        return self.from_call(node, given)

    def _from_value(self, node: Call, values: Values) -> State:
        value = values.get(node.target)
        if isinstance(value, Recipe):
            more = evaluate_arguments(node, values, self.limits)
            shift = len(value.positional)
            added = {shift + k if isinstance(k, int) else k: a for k, a in more.places.items()}
            given = Given(
                (*value.positional, *more.positional),
                {**value.keywords, **more.keywords},
                {**value.places, **added},
            )
            return self.from_call(value.call, given)
        names_operation = (
            node.target in FUNCTIONS or node.target in METHODS or node.target in node.scope.plugins.operations
        )
        if names_operation and node.is_bare:
            raise not_a_layer(node, value, f"for the operation write `{node.target}()`")
        if names_operation:
            return self.from_call(
                replace(node, kind="operation"), evaluate_arguments(node, values, self.limits)
            )
        if is_type(node.target, node.scope):  # a value of another kind does not hide a block or layer
            kind: CallKind = "block" if node.target in node.scope.block_names else "layer"
            return self.from_call(replace(node, kind=kind), evaluate_arguments(node, values, self.limits))
        raise not_a_layer(node, value)

    def from_call(self, node: Call, given: Given) -> State:
        """Return the state of a call whose arguments are evaluated."""
        if node.kind == "operation":
            check_no_recipes(node, given)
            key = (node, freeze(given.positional), freeze(dict(given.keywords)))
            return self.share(key, lambda: Operation(node, node.target, given.positional, given.keywords))
        if node.kind == "block":
            definition = node.scope.blocks[node.target]
            arguments = self._bind_block(definition, node, given)
            if isinstance(definition.body, CallBody):
                return self.build(definition.body.call, {**self.file_values(definition.scope), **arguments})
            return self.instantiate(definition, arguments, node)
        return self._leaf(node, given)

    def share(self, key: Hashable, make: Callable[[], State]) -> State:
        """Return the state of a key, made if there is none yet: what is alike is inferred once."""
        if key not in self.shared:
            self.shared[key] = make()
        return self.shared[key]

    def _leaf(self, node: Call, given: Given) -> State:
        layer = node.scope.plugins.layers.get(node.target) or layer_type(node.target)
        bound = bind(layer, given.positional, given.keywords)
        if bound.problem is not None:
            raise SpecError([layer_problem(layer, bound.problem, node, given)])
        return self.share((node, freeze(dict(bound.values))), lambda: Leaf(layer, node, bound.values))

    def _bind_block(self, definition: Definition, node: Call, given: Given) -> dict[str, object]:
        problems = block_argument_problems(definition, node, given)
        if problems:
            raise SpecError(problems)
        names = [parameter.name for parameter in definition.parameters]
        arguments = {**dict(zip(names, given.positional, strict=False)), **given.keywords}
        for parameter in definition.parameters:
            if parameter.name not in arguments:
                assert parameter.default is not None
                arguments[parameter.name] = evaluate_value(
                    parameter.default, self.file_values(definition.scope), definition.scope, self.limits
                )
        return {name: arguments[name] for name in names}

    def instantiate(self, definition: Definition, arguments: Values, node: Call | None = None) -> BlockState:
        """Return the state of a block that no call has reached."""
        key = (definition, freeze(dict(arguments)))
        if key in self.blocks:
            return self.blocks[key]
        with self.nesting.inside(definition, key, arguments, node):
            state = self._instantiated(definition, arguments)
        self.blocks[key] = state
        return state

    def _instantiated(self, definition: Definition, arguments: Values) -> BlockState:
        values: dict[str, object] = {**self.file_values(definition.scope), **arguments}
        for name, value in definition.variables.items():
            values[name] = evaluate_value(value, values, definition.scope, self.limits)
        children, order = self._children(definition, values)
        handing = handing_on(definition, children.values())
        return BlockState(handing, arguments, values, children, order)

    def file_values(self, scope: Scope) -> Values:
        """Return the variables of a file, those that are layers among them."""
        if not scope.recipes:
            return self.variables_of(scope)
        if scope.file not in self.files:
            values = dict(self.variables_of(scope))
            for name, tree in scope.recipes.items():
                values[name] = evaluate_value(tree, values, scope, self.limits)
            self.files[scope.file] = values
        return self.files[scope.file]

    def _children(self, definition: Definition, values: Values) -> tuple[dict[str, State], Order]:
        body = definition.body
        if isinstance(body, ModuleBody):
            return self._layers(body, values, Leaf | BlockState if definition.is_node else Leaf), ()
        if isinstance(body, ParallelBody):
            named = [(item.name or str(at), item) for at, item in enumerate(body.branches)]
            return {name: self.build(item.node, values) for name, item in named}, tuple(named)
        return self.items(body.items, values)

    def _layers(self, body: ModuleBody, values: Values, bases: UnionType | type[Leaf]) -> dict[str, State]:
        """Return the states of layers; `bases` are those that the block may be, or extend."""
        children: dict[str, State] = {}
        problems: list[Diagnostic] = []
        for name, node in body.layers.items():
            try:
                children[name] = self.build(node, values)
                if name == BASE and not isinstance(children[name], bases):
                    raise not_extended(f"`{type_name(children[name])}`", node.span)
            except SpecError as error:
                problems.extend(error.diagnostics)
        if problems:
            raise SpecError(problems)
        return children

    # Rows of layers.

    def _chain(self, node: SequenceNode | Repeat, built: Mapping[str, State]) -> State:
        names, states = tuple(built), tuple(built.values())
        return self.share((node, names, states), lambda: Chain(node, names, states))

    def items(self, items: Sequence[Item], values: Values) -> tuple[dict[str, State], Order]:
        """Return the states of the items of a list, with copies and splices written out, and their order."""
        built: dict[str, State] = {}
        order: list[tuple[str, Item]] = []
        problems: list[Diagnostic] = []
        for item in items:
            try:
                for place in self._places(item, len(order), values, {}):
                    order.append((place.name, place.item))
                    if not isinstance(place.node, Reuse):
                        if place.name in built:
                            raise _same_name(place)
                        built[place.name] = self.build(place.node, place.values)
            except SpecError as error:
                problems.extend(error.diagnostics)
        if problems:
            raise SpecError(problems)
        return built, tuple(order)

    def places(self, items: Iterable[Item], values: Values) -> Iterator[ListEntry]:
        """Yield the layers of a list in order. Those without a name are named by their position."""
        yield from self._spliced(items, 0, values, {})

    def _spliced(
        self, items: Iterable[Item], first: int, values: Values, bound: Bound
    ) -> Iterator[ListEntry]:
        for item in items:
            for place in self._places(item, first, values, bound):
                first += 1
                yield place

    def _places(self, item: Item, first: int, values: Values, bound: Bound) -> Iterator[ListEntry]:
        node = item.node
        if item.is_spread and isinstance(node, Repeat):
            yield from self._copies(item, node, first, values, bound)
        elif item.is_spread and isinstance(node, Choice):
            chosen = node.then if self.decide(node, values) else node.otherwise
            if isinstance(chosen, Splice):
                yield from self._spliced(chosen.items, first, values, bound)
        else:
            name = node.name if isinstance(node, Reuse) else item.name
            if item.label is not None:
                name = copy_name(item.label, values)
            yield ListEntry(name or str(first), item, node, values, bound)

    def _copies(
        self, item: Item, node: Repeat, first: int, values: Values, bound: Bound
    ) -> Iterator[ListEntry]:
        rows = self.bindings(node, values)
        with self._multiplied(len(rows), _place_of(node)):
            for row in rows:
                inner = {**values, **row}
                within = {**bound, **{name: (value, node) for name, value in row.items()}}
                if isinstance(node.of, Splice):
                    self._count(node)  # a splice that holds nothing costs time, too
                    for place in self._spliced(node.of.items, first, inner, within):
                        first += 1
                        yield place
                    continue
                name = copy_name(node.label, inner) if node.label else str(first)
                yield ListEntry(name, item, node.of, inner, within)
                first += 1

    @contextmanager
    def _multiplied(self, count: int, place: Span) -> Iterator[None]:
        """Multiply out repeats that stand in repeats, before the copies are made."""
        before, self.copies_deep = self.copies_deep, self.copies_deep * count
        if self.copies_deep > self.limits.modules:
            raise self._too_many(f"{self.copies_deep:,} copies", place)
        try:
            yield
        finally:
            self.copies_deep = before

    def _too_many(self, what: str, place: Span) -> SpecError:
        return refuse(
            "too-many-modules", what, place, notes=(f"the limit is {self.limits.modules:,} modules",)
        )

    def bindings(self, node: Repeat, values: Values) -> list[dict[str, object]]:
        """Return what is bound in each copy: its number, the names of `as`, and the running values."""
        over = evaluate_value(node.over, values, node.scope, self.limits)
        span = _place_of(node)
        if isinstance(over, bool) or not isinstance(over, int | list | tuple | range):
            message = f"`repeat` takes a number of copies or a list, and this is {show(over)}"
            raise refuse("bad-repeat", message, span, notes=_bindings(node, values))
        count = over if isinstance(over, int) else len(over)
        if count < 0:
            message = f"`repeat` takes a number of copies, and this is {count}"
            raise refuse("bad-repeat", message, span, notes=_bindings(node, values))
        if count > self.limits.modules:
            raise self._too_many(f"{count:,} copies", span)
        if isinstance(over, int) and node.names:
            help = f"the number of a copy is `{node.index}`"
            if len(node.names) == 1:
                help += f"; under another name: `repeat: range({over})`"
            raise refuse(
                "bad-repeat", "`as` names the items of a list, and this is a number", span, help=help
            )
        rows: list[dict[str, object]] = [{node.index: k} for k in range(count)]
        if not isinstance(over, int) and node.names:
            rows = [{node.index: k, **_bind_row(node, row, k)} for k, row in enumerate(over)]
        return run_on(node, rows, values, self.limits)[0] if node.running else rows

    def behind(self, node: Repeat, values: Values) -> Values:
        """Return the running values of a repeat behind its last copy."""
        return run_on(node, self.bindings(node, values), values, self.limits)[1]

    def _choice(self, node: Choice, values: Values) -> State:
        chosen = node.then if self.decide(node, values) else node.otherwise
        assert not isinstance(chosen, Splice)  # it stands in a list, and is no layer
        return self.build(chosen, values) if chosen is not None else Identity()

    def decide(self, node: Choice, values: Values) -> bool:
        """Return which way a compile-time choice goes."""
        return bool(evaluate(node.condition, values, self.limits))


def _bindings(node: Repeat, values: Values) -> tuple[str, ...]:
    return bindings(node.over.tree, values) if isinstance(node.over, Expression) else ()


def _place_of(node: Repeat, index: int | None = None) -> Span:
    """Return where it says how often to repeat, or an item of that."""
    if isinstance(node.over, Expression):
        return node.over.place
    return (place_of(node.over[index]) if index is not None else None) or node.span


def _bind_row(node: Repeat, row: object, index: int) -> dict[str, object]:
    names = node.names
    if len(names) == 1:
        return {names[0]: row}
    if not isinstance(row, list | tuple) or len(row) != len(names):
        message = f"`as` has {len(names)} names, and this item is {show(row)}"
        raise refuse("bad-repeat", message, _place_of(node, index))
    return dict(zip(names, row, strict=True))


def _same_name(place: ListEntry) -> SpecError:
    """Return the refusal of a second layer of one name."""
    repeat = place.item.node
    label = repeat.label if isinstance(repeat, Repeat) and place.item.is_spread else place.item.label
    what = "copies" if label is not None else "items"
    return refuse(
        "duplicate-name", f"two {what} are named `{place.name}`", label.span if label else place.item.span
    )


def copy_name(label: NameTemplate, values: Values) -> str:
    """Return the name of one copy."""
    text = "".join(p if isinstance(p, str) else str(value_of(p, values)) for p in label.parts)
    problems = check_layer_key(text, label.span, "Sequential") if not text.isdigit() else []
    if problems:
        raise SpecError(problems)
    return text
