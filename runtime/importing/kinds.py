"""Which instances of a class are one block: those that do the same, but for layers that only some of them have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from runtime.importing.nodes import Items, LayerCall, Node, are_alike
from runtime.importing.programs import Program, replaced, signature
from runtime.importing.records import Call, Value


@dataclass(frozen=True)
class Kind:
    """What instances of one class may differ in, so that they are several blocks."""

    cls: type[nn.Module]
    tensors: object
    children: Mapping[str, Node]
    program: Program | None = field(compare=False)
    is_list: bool = False


def heights_of(
    root: nn.Module, is_inside: Callable[[nn.Module], bool], is_layer: Callable[[nn.Module], bool]
) -> dict[nn.Module, int]:
    """Return how many blocks each module is made of at its deepest; equal for those of one class if it can be."""
    modules = list(dict.fromkeys(_inner_first(root)))
    least: dict[type, int] = {}
    single: dict[nn.Module, int] = {}
    for _ in range(len({type(each) for each in modules}) + 1):
        found: dict[nn.Module, int] = {}
        for each in modules:
            inner = max((found[child] for child in each.children()), default=0)
            own = inner + (not is_inside(each))
            found[each] = (
                0 if is_layer(each) else own if is_inside(each) else max(own, least.get(type(each), 0))
            )
        single = single or found
        again = {type(each): 0 for each in modules}
        for each in modules:
            if not is_inside(each):
                again[type(each)] = max(again[type(each)], found[each])
        if again == least:
            return found
        least = again
    return single  # a class that holds itself


def _inner_first(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules in a module and then itself; one with several places in each of them."""
    for each in module.children():
        yield from _inner_first(each)
    yield module


def joined(groups: list[list[nn.Module]], kind_of: Callable[[nn.Module], Kind]) -> list[list[nn.Module]]:
    """Return groups in which those that lack layers of another one of their class are part of it, behind its own."""
    kinds = {id(each): kind_of(each[0]) for each in groups}
    wholes: list[list[nn.Module]] = []
    for group in sorted(groups, key=lambda each: -_size(kinds[id(each)])):
        whole = next((each for each in wholes if is_part(kinds[id(group)], kinds[id(each)])), None)
        if whole is not None:
            whole += group
        else:
            wholes.append(group)
    return sorted(wholes, key=lambda each: next(place for place, group in enumerate(groups) if group is each))


def _size(kind: Kind) -> int:
    return sum(present(each) is not None for each in kind.children.values())


def present(node: Node | None, other: Node | None = None) -> Node | None:
    """Return a node, or None where it does nothing and stands in the place of a list."""
    nothing = isinstance(node, LayerCall) and node.name == "Identity"
    return None if nothing and not isinstance(other, LayerCall) else node


def without_idle(nodes: Sequence[Node | None]) -> list[Node | None]:
    """Return nodes without those that do nothing, where all others are one kind of node."""
    others = [each for each in nodes if each is not None and present(each) is not None]
    if not others or any(not are_alike(others[0], each) for each in others):
        return list(nodes)
    calls = {each.name for each in others if isinstance(each, LayerCall)}
    return [present(each) if each is not None else None for each in nodes] if len(calls) < 2 else list(nodes)


def is_part(kind: Kind, whole: Kind) -> bool:
    """Return whether an instance is like another one, but for layers that it lacks."""
    if (kind.cls, kind.tensors) != (whole.cls, whole.tensors):
        return False
    if kind.is_list:
        return are_alike(Items(tuple(kind.children.items())), Items(tuple(whole.children.items())))
    own = {name: each for name, each in kind.children.items() if present(each, whole.children.get(name))}
    if any(name not in whole.children for name in own):
        return False
    if not all(are_alike(each, whole.children[name]) for name, each in own.items()):
        return False
    lacking = frozenset(name for name in whole.children if name not in own)
    if kind.program is None or whole.program is None:
        return kind.program is whole.program
    return signature(without(kind.program, lacking)) == signature(without(whole.program, lacking))


def without(program: Program, names: frozenset[str]) -> Program:
    """Return a program in which layers that take one value and return one are the identity."""
    aliases: dict[int, Value] = {}
    calls: list[Call] = []
    for call in program.calls:
        args, kwargs = replaced(call.args, aliases), replaced(call.kwargs, aliases)
        single = len(args) == 1 and isinstance(args[0], Value) and not kwargs
        if call.target.form == "module" and call.target.name in names and single:
            aliases[id(call.result)] = args[0]
        else:
            calls.append(replace(call, args=args, kwargs=kwargs))
    training = without(program.in_training, names) if program.in_training is not None else None
    result = replaced(program.result, aliases)
    return Program(program.module, program.inputs, calls, result, program.literals, training)
