"""Where a program gives the buffers of its block new values, in which modes, and what it reads of them."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from compiler.catalogue.operation_table import STATISTICS
from compiler.program import ModuleBody
from compiler.resolve.programs import MODE
from spec_schema.walk import walk

Modes = frozenset[bool]
"""The modes of a module: `True` is training."""
NEVER: Modes = frozenset()
ANY: Modes = frozenset({True, False})
FACTS = frozenset({"shape", "dtype", "device", "ndim"})
"""Attributes of a tensor that no new value changes."""


@dataclass
class Updates:
    """What one program does to the buffers of these names."""

    names: frozenset[str]
    hidden: frozenset[str]
    """What the block itself gives a meaning to: not the mode, and no operation."""
    modes: dict[str, Modes] = field(default_factory=dict)
    """The modes in which each buffer may get a new value."""
    places: dict[str, ast.AST] = field(default_factory=dict)
    """Where each buffer may get one in evaluation."""
    reads: list[tuple[ast.Name, Modes]] = field(default_factory=list)
    """The reads of buffers whose value has to stay as it is, also where the buffer is changed later."""

    @property
    def kept(self) -> frozenset[int]:
        """The reads, by identity, of values that may still be needed when the buffer gets a new one."""
        return frozenset(id(node) for node, modes in self.reads if modes & self.modes.get(node.id, NEVER))

    def run(self, statements: Iterable[ast.stmt], modes: Modes) -> Modes:
        """Go over statements that run in these modes; return the modes in which what follows may run."""
        for statement in statements:
            modes = self._statement(statement, modes)
        return modes

    def _statement(self, node: ast.stmt, modes: Modes) -> Modes:
        match node:
            case ast.If():
                yes, no = self._ways(node.test, modes)
                self._read(node.test, modes, copied=True)
                return self.run(node.body, yes) | self.run(node.orelse, no)
            case ast.For() | ast.While():
                if isinstance(node, ast.For):
                    self._read(node.iter, modes)
                else:
                    self._read(node.test, modes, copied=True)
                self.run(node.body, modes)
                return modes
            case ast.Assign(targets=targets, value=value):
                self._assign(targets, value, modes)
            case ast.AugAssign(target=target, value=value):
                self._assign([target], value, modes)
            case _:
                self._read(node, modes)
        return NEVER if isinstance(node, ast.Return) else modes

    def _assign(self, targets: Sequence[ast.expr], value: ast.expr, modes: Modes) -> None:
        self._read(value, modes, copied=is_update(targets, self.names))
        for node in (node for target in targets for node in walk(target)):
            if isinstance(node, ast.Name) and node.id in self.names:
                self._update(node.id, node, modes)

    def _update(self, name: str, place: ast.AST, modes: Modes) -> None:
        if False in modes:
            self.places.setdefault(name, place)
        self.modes[name] = self.modes.get(name, NEVER) | modes

    def _read(self, node: ast.AST, modes: Modes, copied: bool = False) -> None:
        """Note what is read; what is `copied` at once, or decides at once, need not stay as it is."""
        match node:
            case ast.IfExp(test=test, body=body, orelse=orelse):
                yes, no = self._ways(test, modes)
                self._read(test, modes, copied=True)
                self._read(body, yes, copied)
                self._read(orelse, no, copied)
            case ast.Attribute(value=ast.Name(), attr=attr) if attr in FACTS or attr == "clone":
                pass
            case ast.Name(id=name, ctx=ast.Load()) if name in self.names and not copied:
                self.reads.append((node, modes))
            case _:
                changed = self._changed(node)
                for each in changed:
                    self._update(each.id, each, self._ways(_flag(node), modes)[0])
                for child in ast.iter_child_nodes(node):
                    value = child.value if isinstance(child, ast.keyword) else child
                    if value not in changed:
                        self._read(value, modes, copied)

    def _changed(self, node: ast.AST) -> list[ast.Name]:
        """Return the buffers that an operation with state may change."""
        if (
            not isinstance(node, ast.Call)
            or not isinstance(node.func, ast.Name)
            or node.func.id in self.hidden
        ):
            return []
        return statistics_of(node, self.names)

    def _ways(self, test: ast.expr, modes: Modes) -> tuple[Modes, Modes]:
        """Return the modes in which a condition may hold, and those in which it may not."""
        match test:
            case ast.Constant(value=value):
                return (modes, NEVER) if value else (NEVER, modes)
            case ast.Name(id=name) if name == MODE and name not in self.hidden:
                return modes & {True}, modes & {False}
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                yes, no = self._ways(operand, modes)
                return no, yes
            case ast.BoolOp(op=op, values=values):
                ways = [self._ways(value, modes) for value in values]
                holds, fails = [yes for yes, _ in ways], [no for _, no in ways]
                if isinstance(op, ast.And):
                    return ANY.intersection(*holds), NEVER.union(*fails)
                return NEVER.union(*holds), ANY.intersection(*fails)
        return modes, modes


def updates_of(body: ModuleBody, values: Collection[str]) -> Updates:
    """Return what the program of a block does to its buffers. `values` are its compile-time names."""
    statements = body.program.body if body.program is not None else ()
    loops = [n for each in statements for n in walk(each) if isinstance(n, ast.For)]
    hidden = frozenset({*body.layers, *values, *(name for loop in loops for name in _stored(loop.target))})
    found = Updates(body.updated, hidden)
    if found.names:
        found.run(statements, ANY)
    return found


def _stored(target: ast.expr) -> list[str]:
    return [node.id for node in walk(target) if isinstance(node, ast.Name)]


def is_update(targets: Sequence[ast.expr], names: frozenset[str]) -> bool:
    """Return whether an assignment gives one buffer a new value, and does nothing else."""
    return len(targets) == 1 and isinstance(targets[0], ast.Name) and targets[0].id in names


def statistics_of(call: ast.Call, names: frozenset[str]) -> list[ast.Name]:
    """Return the buffers that an operation with state may change: its arguments that are names of such."""
    function = call.func
    found = STATISTICS.get(function.id) if isinstance(function, ast.Name) else None
    if found is None:
        return []
    named = [k.value for k in call.keywords if k.arg in found.arguments]
    values = [*(each for at, each in enumerate(call.args) if at in found.arguments.values()), *named]
    return [each for each in values if isinstance(each, ast.Name) and each.id in names]


def _flag(call: ast.AST) -> ast.expr:
    """Return what says whether an operation with state changes it."""
    assert isinstance(call, ast.Call)
    assert isinstance(call.func, ast.Name)
    argument, at = STATISTICS[call.func.id].flag
    named = next((k.value for k in call.keywords if k.arg == argument), ast.Constant(True))
    return call.args[at] if at < len(call.args) else named
