"""The first values of a model in its source: which statement stands in `reset_parameters` of which class.

A rule for all layers of a type is a loop over modules. What else all instances of a class have in common stands in the
class, and what they have not stands in the root, by name. Each tensor is drawn once.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from torch import nn

from compiler.catalogue.plugins import Registry
from compiler.emit.by_type import Filled, TypeLoop, TypeRules, common
from compiler.emit.copies import Copies, Copy, copy_statements
from compiler.emit.filling import TENSOR, Named, as_loops, is_no_grad
from compiler.emit.laws import HALF, LawWriter
from compiler.emit.names import Globals
from compiler.emit.readings import Readings, in_double
from compiler.emit.runs import Runs
from compiler.emit.sites import Differs, Site, Values, attribute_site, is_optional, named_site
from compiler.emit.spots import Spot, blocks_around, by_class, is_drawn_by_layer, present, spots
from compiler.emit.syntax import call, dotted, index, load_name, own
from compiler.emit.trees import copy_tree, form
from compiler.infer.states import BlockState, Leaf, node_of
from compiler.infer.values import holds_recipe
from compiler.placement.groups import group_key
from compiler.program import ModuleBody, ResidualBody, SequenceBody
from compiler.rules.plan import Plan
from compiler.rules.table import RuleScope
from spec_schema.keys import is_attribute
from spec_schema.selectors import path_of

MODULE = "module"


@dataclass(frozen=True)
class Holder:
    """A class that is being emitted."""

    key: Hashable
    states: Sequence[BlockState]
    is_root: bool
    attribute: Callable[[str], str | None]
    """Returns the attribute that holds a value of the class, None if it has no such value."""
    keep: Callable[[str], None]
    """Lets the constructor set the attribute of a value."""
    is_variable: Callable[[str, BlockState, object], bool] = lambda name, state, value: False
    """Returns whether a value of an instance is that of a variable of the spec, which the class is given."""

    is_there: Callable[[str], ast.expr] = lambda name: call("hasattr", load_name("self"), ast.Constant(name))
    """Returns the condition under which an instance has a layer that some instances have not."""

    def has_attribute(self, name: str) -> bool:
        """Return whether a layer of it is an attribute of a known type."""
        if not is_attribute(name):
            return False
        body = self.states[0].definition.body
        if isinstance(body, SequenceBody | ResidualBody):
            return any(item.name == name for item in body.items)
        return isinstance(body, ModuleBody)


class Kept:
    """The values of a class that some statements read, which it keeps once these stand."""

    def __init__(self, holder: Holder) -> None:
        self.holder = holder
        self.read: list[str] = []

    def __call__(self, name: str) -> str | None:
        """Return the attribute for a value."""
        found = self.holder.attribute(name)
        self.read += [name] if found is not None else []
        return found

    def is_variable(self, name: str, spots: Sequence[Spot]) -> bool:
        """Return whether a name of an initialiser is a variable of the spec, which the class is given."""
        found = [(spot.state, spot.initialisation.names[name]) for spot in spots]
        return all(self.holder.is_variable(name, state, value) for state, value in found)

    def keep(self) -> None:
        """Let the constructor set the attributes that were read."""
        for name in self.read:
            self.holder.keep(name)


class FirstValues:
    """Writes the bodies of `reset_parameters`, class by class, the root last."""

    def __init__(self, runs: Runs, names: Globals, plugins: Registry) -> None:
        self.runs, self.names, self.plugins = runs, names, plugins
        self.readings = Readings(plugins)
        plans = [run.plan for run in runs.all]
        self.copies = Copies(plans[0])
        self.late: list[Copy] = []
        """Copies of what the model fills by name."""
        blocks = [blocks_around(plan) for plan in plans]
        found = [spots(*each) for each in zip(plans, blocks, strict=True)]
        self.by_class = by_class([spot for each in found for spot in each])
        self.present = present(zip(plans, blocks, strict=True))
        self.loops = common([self._loops(*each) for each in zip(plans, found, strict=True)])
        looped = [s for loops in self.loops.values() for each in loops for f in each.filled for s in f.spots]
        self.looped = {id(spot.plan) for spot in looped if spot.row is spot.plan.source}
        self.tied_padding = [*{s.plan.name: s.plan for s in looped if is_tied_padding(s)}.values()]
        self.left: list[Spot] = []
        """What no statement of a class says."""
        self.filled: set[tuple[Hashable, str]] = set()
        """The tensors that blocks hold, and that their own class fills."""

    def body(self, holder: Holder) -> list[ast.stmt]:
        """Return the statements of one class, none if it has nothing to fill."""
        found = self.by_class.get(holder.key, {})
        named = [written for here in found.values() if (written := self._filled(holder, here)) is not None]
        values = Kept(holder)
        if holder.is_root:
            self.runs.check_few([spot.plan.name for spot in self.left])
            named += [
                self._named(spot, 0, [spot], not spot.initialisation.scope, values) for spot in self.left
            ]
        loops = self._type_loops(self.loops.get(holder.key, []), self.names, values)
        values.keep()
        padded = self._padding() if holder.is_root else []
        return list(_joined([*loops, *as_loops(named), *padded, *self._copied(holder)]))

    def _copied(self, holder: Holder) -> Iterator[ast.stmt]:
        """Yield the statements that give parts of a class the values of other ones."""
        definition = holder.states[0].definition
        found = self.copies.by_definition.get(definition, [])
        filled_late = {spot.plan.name for spot in self.left} | {n for each in self.late for n in each.writes}
        if not holder.is_root and any(filled_late & each.reads for each in found):
            self.late += self.copies.from_root(definition)
            return
        if holder.is_root:
            self.runs.check_few([name for each in self.late for name in each.writes])
            found = [*self.late, *found]
        self.names.used |= {"torch"} if any(each.rows for each in found) else set()
        yield from copy_statements(holder.states[0], found, holder.has_attribute)

    def _filled(self, holder: Holder, here: Sequence[Spot]) -> Named | list[ast.stmt] | None:
        """Return the statements for one tensor of a class, None if it needs none or if it is left to the root."""
        here = [spot for spot in here if not spot.is_copied]
        needed = [spot for spot in here if self._is_needed(spot)]
        if not needed:
            return None
        name = here[0].inner[0]
        if here[0].is_own and self.constant(holder.key, name) is not None:
            return None
        values = Kept(holder)
        try:
            made = self._statement(holder, here, needed, values)
        except Differs:
            self.left += needed
            return None
        values.keep()
        if here[0].is_own:
            self.filled.add((holder.key, name))
        return made

    def _padding(self) -> list[ast.stmt]:
        """Return the statements for rows of padding in tensors that a loop fills under another name, too."""
        tensors = [(call(own("get_parameter"), ast.Constant(row.name)), row) for row in self.tied_padding]
        return [self._zeros(tensor, number) for tensor, row in tensors for number in row.zero_rows]

    def constant(self, key: Hashable, name: str) -> ast.expr | None:
        """Return the initialiser of a tensor of a block if it is `zeros`, `ones` or a number in all instances."""
        here = self.by_class.get(key, {}).get((name,), [])
        trees = [spot.initialisation.expression.tree for spot in here]
        if (
            not trees
            or len({ast.dump(tree) for tree in trees}) > 1
            or any(spot.plan.zero_rows for spot in here)
        ):
            return None
        return trees[0] if _is_constant(trees[0]) else None

    def loading(self) -> list[str]:
        """Return what is to be loaded from where, a line each: `encoder: checkpoint('file.safetensors')`."""
        read = (
            spot
            for here in self.by_class.values()
            for found in here.values()
            for spot in found
            if spot.is_read
        )
        won = (each for spot in read for each in spot.plan.decisions if each.section == "init" and each.won)
        return [f"First values to load: {text}" for text in dict.fromkeys(each.text for each in won)]

    def _is_needed(self, spot: Spot) -> bool:
        return not (spot.is_read or id(spot.plan) in self.looped or is_drawn_by_layer(spot))

    # One tensor, in all instances of a class.

    def _statement(
        self, holder: Holder, here: Sequence[Spot], needed: Sequence[Spot], kept: Kept
    ) -> Named | list[ast.stmt]:
        """Return the statements that fill a tensor of a class.

        Raises:
            Differs: its instances have different ones, or only some of them have the tensor.
        """
        if len(needed) < len(here) or len({self._form(spot) for spot in here}) > 1:
            raise Differs
        first = here[0]
        is_own = all(spot.initialisation.scope == spot.block.steps for spot in here)
        missing = [state for state in holder.states if state not in self.present[holder.key, first.inner]]
        one_type = len({type(spot.row.module) for spot in here}) == 1
        site = attribute_site(first) if one_type and holder.has_attribute(first.inner[0]) else None
        if site is None:
            if missing:
                raise Differs
            return self._named(first, len(first.block.steps), here, is_own, kept)
        body = self._written(first, site, Values(here, site, is_own, kept), self.names)
        test = _guard(first, site, missing, holder)
        return body if test is None else [ast.If(test, body, [])]

    def _form(self, spot: Spot) -> tuple[object, ...]:
        form, dtype = self.readings.of(spot.plan).form, spot.plan.dtype
        exact = len(form) > 1 and in_double(spot.plan)
        return form, spot.plan.zero_rows, dtype.is_complex, dtype in HALF, exact

    def _named(self, spot: Spot, start: int, here: Sequence[Spot], is_own: bool, kept: Kept) -> Named:
        """Return the statements that fill a tensor which is reached by its name from a class."""
        site = named_site(spot, start)
        inside = Site(load_name(TENSOR), None, site.weight)
        if spot.row.steps[-1].name == "weight":
            inside = Site(load_name(TENSOR), None, load_name(TENSOR))
        body = self._written(spot, inside, Values(here, inside, is_own, kept), self.names)
        return Named(path_of(spot.row.steps[start:]), spot.row.kind == "parameter", body)

    def _written(self, spot: Spot, site: Site, values: Values, names: Globals) -> list[ast.stmt]:
        reading = self.readings.of(spot.plan)
        body = LawWriter(names, self.plugins, spot.plan, reading, site.tensor, values).statements()
        return [*body, *(self._zeros(site.tensor, row) for row in spot.plan.zero_rows)]

    def _zeros(self, tensor: ast.expr, row: int) -> ast.stmt:
        return ast.Expr(call("nn.init.zeros_", index(copy_tree(tensor), row)))

    # Loops over the modules of a type.

    def _loops(self, plan: Plan, found: Sequence[Spot]) -> Mapping[Hashable, list[TypeLoop]]:
        rules = TypeRules(plan, found, self.readings, self.copies.places)
        scopes: dict[Hashable, list[RuleScope]] = {}
        for scope in plan.table.scopes:
            if scope.rules.init and not _is_layer(scope.state):
                scopes.setdefault(group_key(scope.state), []).append(scope)
        return {key: list(self._writable(rules.loops(here), here)) for key, here in scopes.items()}

    def _writable(self, loops: Iterable[TypeLoop], scopes: Sequence[RuleScope]) -> Iterator[TypeLoop]:
        """Yield the loops whose statements can be written."""
        own_values = {k for k, v in scopes[0].state.values.items() if not holds_recipe(v)}
        definition = scopes[0].state.definition
        of_the_file = definition.scope.variables.keys() - definition.variables.keys()
        own_values -= of_the_file - {*self.runs.visible(definition)}
        values = Kept(
            Holder(None, (), False, lambda name: name if name in own_values else None, lambda _: None)
        )
        for loop in loops:
            kept = [each for each in loop.filled if self._is_writable(each, values)]
            if kept:
                yield TypeLoop(loop.cls, kept)

    def _is_writable(self, filled: Filled, kept: Kept) -> bool:
        try:
            self._looped(filled, Globals(), kept)
        except Differs:
            return False
        return True

    def _type_loops(self, loops: Sequence[TypeLoop], names: Globals, kept: Kept) -> list[ast.stmt]:
        """Return one loop over the modules, which does for each type what its rules say."""
        bodies: dict[Hashable, tuple[list[TypeLoop], list[ast.stmt]]] = {}
        for loop in loops:
            body = [each for filled in loop.filled for each in self._looped(filled, names, kept)]
            bodies.setdefault(form(body), ([], body))[0].append(loop)
        chain: list[ast.stmt] = []
        for same, body in reversed(bodies.values()):
            types = [dotted(f"nn.{loop.cls.__name__}") for loop in same]
            of = types[0] if len(types) == 1 else ast.Tuple(types, ast.Load())
            test: ast.expr = call("isinstance", load_name(MODULE), of)
            inner = body[0]
            if len(body) == 1 and isinstance(inner, ast.If):
                test, body = ast.BoolOp(ast.And(), [test, inner.test]), inner.body
            chain = [ast.If(test, body, chain)]
        return [ast.For(ast.Name(MODULE, ast.Store()), call(own("modules")), chain, [])] if chain else []

    def _looped(self, filled: Filled, names: Globals, kept: Kept) -> list[ast.stmt]:
        module = load_name(MODULE)
        tensor = ast.Attribute(module, filled.name, ast.Load())
        site = Site(tensor, module, ast.Attribute(module, "weight", ast.Load()))
        values = Values(filled.spots, site, True, kept)
        spot = filled.spots[0]
        reading = self.readings.of(spot.plan)
        body = LawWriter(names, self.plugins, spot.plan, reading, tensor, values).statements()
        if filled.padded:
            row = ast.Attribute(module, "padding_idx", ast.Load())
            zeros = ast.Expr(call("nn.init.zeros_", index(copy_tree(tensor), row)))
            body.append(ast.If(ast.Compare(row, [ast.IsNot()], [ast.Constant(None)]), [zeros], []))
        if not filled.optional:
            return body
        return [ast.If(ast.Compare(copy_tree(tensor), [ast.IsNot()], [ast.Constant(None)]), body, [])]


def is_tied_padding(spot: Spot) -> bool:
    """Return whether a tensor has rows of padding, and more than one name."""
    return bool(spot.plan.zero_rows) and len(spot.plan.names) > 1


def _is_constant(tree: ast.expr) -> bool:
    """Return whether an initialiser is one that a tensor is made with."""
    if isinstance(tree, ast.Name):
        return tree.id in ("zeros", "ones")
    return isinstance(tree, ast.Constant) and type(tree.value) in (int, float)


def _guard(spot: Spot, site: Site, missing: Sequence[BlockState], holder: Holder) -> ast.expr | None:
    """Return the condition under which an instance has a tensor, None if all have it.

    Raises:
        Differs: it cannot be told from the layer.
    """
    tests: list[ast.expr] = []
    if spot.is_own:
        return None
    name, cls = spot.inner[0], type(spot.row.module)
    if len(spot.inner) == 1:  # of the layer that the block extends
        there = ast.Compare(copy_tree(site.tensor), [ast.IsNot()], [ast.Constant(None)])
        return there if missing or is_optional(cls, name) else None
    layers = [
        state.children.get(name) if name in state.used or not _has_program(state) else None
        for state in missing
    ]
    others = [
        layer
        for layer in layers
        if layer is not None and not (isinstance(layer, Leaf) and type(layer.module) is cls)
    ]
    if others and getattr(nn, cls.__name__, None) is not cls:
        raise Differs
    if others:
        tests.append(call("isinstance", copy_tree(site.module), dotted(f"nn.{cls.__name__}")))
    elif None in layers:
        tests.append(holder.is_there(name))
    if len(layers) > len(others) + layers.count(None) or is_optional(cls, spot.inner[1]):
        tests.append(ast.Compare(copy_tree(site.tensor), [ast.IsNot()], [ast.Constant(None)]))
    if len(tests) > 1:
        return ast.BoolOp(ast.And(), tests)
    return tests[0] if tests else None


def _is_layer(state: BlockState) -> bool:
    """Return whether a block is one layer that has no others inside: no loop goes over its modules."""
    node = node_of(state)
    return isinstance(node, Leaf) and node.module is not None and not [*node.module.children()]


def _has_program(state: BlockState) -> bool:
    body = state.definition.body
    return isinstance(body, ModuleBody) and body.program is not None


def _joined(statements: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield statements, those without gradient that follow each other in one `with`."""
    for is_one, group in groupby(statements, is_no_grad):
        found = list(group)
        if is_one:
            inner = [each for one in found if isinstance(one, ast.With) for each in one.body]
            first = found[0]
            assert isinstance(first, ast.With)
            yield ast.With(first.items, inner)
        else:
            yield from found
