"""From what a module did to its program: the calls that count, and what is a number in them.

Two instances of one class have one program if they did the same on other numbers. So the numbers stand aside: each that
is written in a program is a `Literal` with a place of its own, of which a block may make an argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from runtime.importing.leaves import is_list
from runtime.importing.records import Call, Scope, Structure, Target, Value, values_in


@dataclass(frozen=True)
class Literal:
    """A number in a program, at a place of its own."""

    place: int
    number: int | float


@dataclass(eq=False)
class Program:
    """What a module computes: calls in their order, numbers as literals."""

    module: nn.Module
    inputs: dict[str, Value]
    calls: list[Call]
    result: Structure
    literals: list[Literal] = field(default_factory=list)
    in_training: Program | None = None
    """What it computes in training, where that is something else. Its literals stand among those of this one."""

    def attributes(self) -> list[str]:
        """Return the attributes of the module that are numbers, and used."""
        used = dict.fromkeys(value.path for value in self.values() if value.kind == "attribute")
        return list(used)

    def states(self) -> set[str]:
        """Return the parameters and buffers that the program reads, by their dotted paths."""
        return {value.path for value in self.values() if value.kind == "state"}

    def updated(self) -> set[str]:
        """Return the buffers of the module that the program gives new values."""
        own = self.module._buffers
        found = {call.target.name for call in self.calls if call.target.form == "update"}
        for call in self.calls:
            if call.target.effect and call.target.form == "function":
                read = {value.path for value in values_in((call.args, call.kwargs)) if value.kind == "state"}
                found |= {path for path in read if path in own}
        return found | (self.in_training.updated() if self.in_training is not None else set())

    def modules(self) -> dict[str, nn.Module]:
        """Return the modules that the program calls, by their dotted paths."""
        called = {
            each.target.name: each.target.module for each in self.calls if each.target.module is not None
        }
        return {**called, **(self.in_training.modules() if self.in_training is not None else {})}

    def functions(self) -> set[str]:
        """Return the operations that the program calls by name."""
        found = {each.target.name.partition(".")[0] for each in self.calls if each.target.form == "function"}
        return found | (self.in_training.functions() if self.in_training is not None else set())

    def values(self) -> Iterator[Value]:
        """Yield what the calls are given and what is returned, each use, in training too."""
        yield from self.own_values()
        if self.in_training is not None:
            yield from self.in_training.own_values()

    def own_values(self) -> Iterator[Value]:
        for call in self.calls:
            yield from values_in((call.args, call.kwargs))
        yield from values_in(self.result)


def program_of(
    scope: Scope,
    interfaces: Mapping[nn.Module, list[str]],
    idle: frozenset[nn.Module] = frozenset(),
    literals: list[Literal] | None = None,
) -> Program:
    """Return the program of a scope. `interfaces` are the inputs that modules use, by their names."""
    aliases = _aliases(scope.calls, idle)
    calls = [_substituted(each, aliases) for each in scope.calls if not _is_alias(each, idle)]
    calls = [_with_interface(each, interfaces) for each in calls]
    result = replaced(scope.result, aliases)
    calls = chained(live(calls, result), result, scope.module)
    program = Program(scope.module, {}, [], None, [] if literals is None else literals)
    program.calls = [_lifted(call, program.literals) for call in calls]
    program.result = _lift(result, program.literals)
    wanted = interfaces.get(scope.module, list(scope.inputs))
    program.inputs = {name: each for name, each in scope.inputs.items() if name in wanted}
    return program


def in_both_modes(
    evaluated: Scope,
    trained: Scope | None,
    interfaces: Mapping[nn.Module, list[str]],
    idle: frozenset[nn.Module] = frozenset(),
) -> Program:
    """Return the program of a module that ran in evaluation and in training."""
    if trained is None:
        return program_of(evaluated, interfaces, idle)
    program = program_of(with_rates(evaluated, trained), interfaces, idle)
    other = program_of(trained, interfaces, idle)
    if signature(program, modes=False) == signature(other, modes=False):
        # A mode that is no longer told here is the module's own there: what one of them says holds for both.
        modes = [
            {**each.kwargs, **_mode(more)} for each, more in zip(program.calls, other.calls, strict=True)
        ]
        targets = [more.target if more.target.effect else None for more in other.calls]
        program.calls = [
            replace(each, kwargs=kwargs, target=target or each.target)
            for each, kwargs, target in zip(program.calls, modes, targets, strict=True)
        ]
        return program
    program.in_training = program_of(trained, interfaces, idle, program.literals)
    return program


RATES = {"scaled_dot_product_attention": "dropout_p", "dropout": "p"}
"""What drops in training alone -> its argument that says how much."""


def with_rates(evaluated: Scope, trained: Scope) -> Scope:
    """Return a run in evaluation with the rates of the one in training: authors often give 0 outside of it."""
    pairs = [[each for each in scope.calls if each.target.name in RATES] for scope in (evaluated, trained)]
    if [each.target for each in pairs[0]] != [each.target for each in pairs[1]]:
        return evaluated
    rates = {id(one): _with_rate(one, other) for one, other in zip(*pairs, strict=True)}
    return replace(evaluated, calls=[rates.get(id(each), each) for each in evaluated.calls])


def _with_rate(call: Call, trained: Call) -> Call:
    name = RATES[call.target.name]
    rate = trained.kwargs.get(name)
    if isinstance(rate, Value) and rate.kind != "attribute":
        return call
    kwargs = {key: each for key, each in call.kwargs.items() if key != name}
    kwargs.update({} if rate is None else {name: rate})
    order = [key for key in trained.kwargs if key in kwargs]
    return replace(call, kwargs={key: kwargs[key] for key in dict.fromkeys([*order, *kwargs])})


def _mode(call: Call) -> dict[str, Structure]:
    return {key: each for key, each in call.kwargs.items() if key == "training"}


def _is_alias(call: Call, idle: frozenset[nn.Module]) -> bool:
    if call.target.module in idle:
        return True
    if call.target == Target("operator", "+"):  # what was kept from calls before: nothing
        return isinstance(call.args[0], Value) and call.args[1] is ZERO
    if call.target == Target("item", "[]"):
        return isinstance(call.result, Value) and call.result.number is None and _is_all(call.args[1])
    return call.target == Target("method", "view_as") and call.args[0] is call.args[1]


ZERO = 0
"""Python has one small number of each value."""


def _is_all(index: Structure) -> bool:
    """Return whether an index chooses the whole of a tensor."""
    parts = index if isinstance(index, tuple) else (index,)
    full = (slice(None), slice(0, None))
    return bool(parts) and all(isinstance(each, slice) and each in full for each in parts)


def _aliases(calls: Iterable[Call], idle: frozenset[nn.Module]) -> dict[int, Value]:
    """Return what each result of a call that does nothing is another name of."""
    found: dict[int, Value] = {}
    for call in (each for each in calls if _is_alias(each, idle)):
        source: Value = call.args[0]
        found[id(call.result)] = found.get(id(source), source)
        found[id(call.result)].names.extend(call.result.names)
    return found


def replaced(structure: Structure, aliases: Mapping[int, Value]) -> Structure:
    """Return a structure with other values in the place of some."""
    return mapped(structure, lambda each: aliases.get(id(each), each) if isinstance(each, Value) else each)


def _substituted(call: Call, aliases: Mapping[int, Value]) -> Call:
    args, kwargs = replaced(call.args, aliases), replaced(call.kwargs, aliases)
    return Call(call.target, args, kwargs, call.result, call.position)


def _with_interface(call: Call, interfaces: Mapping[nn.Module, list[str]]) -> Call:
    """Return a call of a block with its inputs by position as far as that goes."""
    module = call.target.module
    if module is None or module not in interfaces:
        return call
    args: list[Structure] = list(call.args)
    kwargs: dict[str, Structure] = {}
    for name in interfaces[module]:
        if name not in call.kwargs:
            continue
        if kwargs or name != interfaces[module][len(args)]:
            kwargs[name] = call.kwargs[name]
        else:
            args.append(call.kwargs[name])
    return Call(call.target, tuple(args), kwargs, call.result, call.position)


def mapped(structure: Structure, change: Any) -> Structure:
    """Return a structure with its leaves changed."""
    if isinstance(structure, Mapping):
        return {key: mapped(each, change) for key, each in structure.items()}
    if isinstance(structure, slice):
        parts = (structure.start, structure.stop, structure.step)
        return slice(*(mapped(each, change) for each in parts))
    if isinstance(structure, list):
        return [mapped(each, change) for each in structure]
    if isinstance(structure, tuple):
        return tuple(mapped(each, change) for each in structure)
    return change(structure)


def _lift(structure: Structure, literals: list[Literal]) -> Structure:
    def change(each: Any) -> Any:
        if isinstance(each, int | float) and not isinstance(each, bool):
            literals.append(Literal(len(literals), each))
            return literals[-1]
        return each

    return mapped(structure, change)


def _lifted(call: Call, literals: list[Literal]) -> Call:
    return Call(
        call.target, _lift(call.args, literals), _lift(call.kwargs, literals), call.result, call.position
    )


def live(calls: list[Call], result: Structure) -> list[Call]:
    """Return the calls that the result depends on."""
    needed = {id(value) for value in values_in(result)}
    kept = []
    for call in reversed(calls):
        if call.target.effect or any(id(value) in needed for value in values_in(call.result)):
            kept.append(call)
            needed.update(id(value) for value in values_in((call.args, call.kwargs)))
    return kept[::-1]


def chained(calls: list[Call], result: Structure, module: nn.Module) -> list[Call]:
    """Return calls in which the layers of a list that run one after the other are one call of the list."""
    uses = _uses(calls, result)
    for path, count in _lists(calls, module).items():
        calls = _chain(calls, path, count, uses)
    return calls


def _uses(calls: list[Call], result: Structure) -> dict[int, int]:
    uses: dict[int, int] = {}
    for call in calls:
        for value in values_in((call.args, call.kwargs)):
            uses[id(value)] = uses.get(id(value), 0) + 1
    for value in values_in(result):
        uses[id(value)] = uses.get(id(value), 0) + 1
    return uses


def _lists(calls: list[Call], module: nn.Module) -> dict[str, int]:
    """Return the lists of which each layer is called once, with their lengths."""
    counts: dict[str, int] = {}
    for call in calls:
        parent, _, last = call.target.name.rpartition(".")
        if call.target.module is not None and parent and last.isdigit():
            counts[parent] = counts.get(parent, 0) + 1
    found = {}
    for path, count in counts.items():
        inside = module.get_submodule(path)
        if is_list(inside) and count == len(inside._modules):
            found[path] = count
    return found


def _chain(calls: list[Call], path: str, count: int, uses: Mapping[int, int]) -> list[Call]:
    items = [each for each in calls if each.target.name.rpartition(".")[0] == path and each.target.module]
    if [each.target.name.rpartition(".")[2] for each in items] != [str(number) for number in range(count)]:
        return calls
    for before, after in pairwise(items):
        handed = after.args and after.args[0] is before.result and isinstance(before.result, Value)
        if not handed or uses.get(id(before.result)) != 1:
            return calls
    first, last = items[0], items[-1]
    if not isinstance(last.result, Value) or not first.args or not isinstance(first.args[0], Value):
        return calls
    if any(not same(each.args[1:], first.args[1:]) or not same(each.kwargs, first.kwargs) for each in items):
        return calls
    form = "loop" if len(first.args) > 1 or first.kwargs else "module"
    whole = Call(Target(form, path, None), first.args, first.kwargs, last.result, first.position)  # type: ignore[arg-type]
    left = {id(each) for each in items[:-1]}
    return [whole if each is last else each for each in calls if id(each) not in left]


def same(first: Structure, second: Structure) -> bool:
    """Return whether two structures hold the same values and constants."""
    return _form(first, {}, by_identity=True) == _form(second, {}, by_identity=True)


def does_the_same(first: Scope, second: Scope) -> bool:
    """Return whether two runs did the same on inputs in the same order."""
    forms = []
    for scope in (first, second):
        numbers = {id(value): place for place, value in enumerate(scope.inputs.values())}
        calls = [_call_form(each, numbers, modes=True) for each in live(scope.calls, scope.result)]
        forms.append((calls, _form(scope.result, numbers)))
    return forms[0] == forms[1]


def signature(program: Program, modes: bool = True) -> object:
    """Return what two programs have in common that differ in numbers alone; in modes that are told, too, if asked."""
    numbers: dict[int, int] = {}
    return (
        tuple(program.inputs),
        tuple(_call_form(each, numbers, modes) for each in program.calls),
        _form(program.result, numbers),
        signature(program.in_training) if program.in_training is not None else None,
    )


def _call_form(call: Call, numbers: dict[int, int], modes: bool) -> object:
    told = {key: each for key, each in call.kwargs.items() if modes or key != "training"}
    args, kwargs = _form(call.args, numbers), _form(told, numbers)
    return (call.target.form, call.target.name, args, kwargs, _form(call.result, numbers))


def _form(structure: Structure, numbers: dict[int, int], by_identity: bool = False) -> object:
    if isinstance(structure, Value):
        if by_identity:
            return ("value", id(structure))
        if structure.kind != "call" and id(structure) not in numbers:
            return (structure.kind, structure.path)
        return ("value", numbers.setdefault(id(structure), len(numbers)))
    if isinstance(structure, Literal):
        return ("number", isinstance(structure.number, float))
    if isinstance(structure, Mapping):
        return ("dict", *((key, _form(each, numbers, by_identity)) for key, each in structure.items()))
    if isinstance(structure, slice):
        parts = (structure.start, structure.stop, structure.step)
        return ("slice", *(_form(each, numbers, by_identity) for each in parts))
    if isinstance(structure, tuple | list):
        return (type(structure).__name__, *(_form(each, numbers, by_identity) for each in structure))
    return ("constant", structure if _hashable(structure) else repr(structure))


def _hashable(constant: object) -> bool:
    return constant is None or isinstance(constant, bool | int | float | str | torch.dtype | type(...))
