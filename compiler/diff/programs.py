"""What changed about the statements of programs, block by block."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass

from compiler.diff.matching import Matching
from compiler.diff.tree import Module
from compiler.printing import print_call, print_tensor
from compiler.program import Definition, ModuleBody, ParallelBody, ResidualBody, SequenceBody
from spec_schema.grammar import Program


@dataclass(frozen=True)
class ProgramChange:
    """The program of a block that changed. `lines` begin with `-`, `+` or a blank, as in a unified diff."""

    before: str
    after: str
    lines: tuple[str, ...]


def program_changes(matching: Matching) -> list[ProgramChange]:
    """Return the programs that changed. That a layer is called otherwise is no change of a statement."""
    found: dict[tuple[Definition, Definition], tuple[Module, Module]] = {}
    for before, after in matching.pairs:
        if before.definition is not None and after.definition is not None:
            found.setdefault((before.definition, after.definition), (before, after))
    partners = matching.partners()
    made = (_changed(pair, _renames(*pair, partners)) for pair in found.values())
    return list(dict.fromkeys(each for each in made if each is not None))


def _changed(pair: tuple[Module, Module], renames: Mapping[str, str]) -> ProgramChange | None:
    before, after = pair
    assert before.definition is not None
    assert after.definition is not None
    ours, theirs = list(_statements(before.definition, renames)), list(_statements(after.definition, {}))
    if ours == theirs:
        return None
    ours = list(_statements(before.definition, {})) if not _alike(ours, theirs) else ours
    lines = [line for line in difflib.ndiff(ours, theirs) if not line.startswith("?")]
    return ProgramChange(before.type, after.type, tuple(line.rstrip() for line in lines))


def _alike(ours: list[str], theirs: list[str]) -> bool:
    """Return whether some statement is the same on both sides."""
    return not set(ours).isdisjoint(theirs)


def _renames(before: Module, after: Module, partners: Mapping[Module, Module]) -> Mapping[str, str]:
    """Return what the program of one block calls a layer that the other one calls otherwise."""
    found = {}
    for child in before.children:
        other = partners.get(child)
        if other in after.children and other is not None and child.name != other.name:
            found[_called(before, child.name)] = _called(after, other.name)
    return found


def _called(module: Module, name: str) -> str:
    body = module.definition.body if module.definition is not None else None
    return body.called(name) if isinstance(body, ModuleBody) else name


def _statements(definition: Definition, renames: Mapping[str, str]) -> Iterator[str]:
    """Yield what a block computes, line by line."""
    body = definition.body
    match body:
        case ModuleBody():
            yield from (print_tensor(each) for each in body.tensors.values())
            if body.program is not None:
                yield f"forward({', '.join(entry.name for entry in definition.inputs)}):"
                yield from _lines(body.program, renames)
        case ResidualBody(combine=combine):
            yield f"residual, combined by {print_call(combine) if combine is not None else '+'}"
        case ParallelBody(combine=combine):
            yield f"parallel, combined by {print_call(combine)}"
        case SequenceBody(items=items, reuses=True):
            yield from (f"- {item.name or at}" for at, item in enumerate(items))


def _lines(program: Program, renames: Mapping[str, str]) -> Iterable[str]:
    statements = (
        [_Renamed(renames).visit(deepcopy(each)) for each in program.body] if renames else program.body
    )
    return [line for each in statements for line in ast.unparse(each).splitlines()]


@dataclass(frozen=True)
class _Renamed(ast.NodeTransformer):
    """Gives names in a program other names."""

    names: Mapping[str, str]

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self.names.get(node.id, node.id)
        return node
