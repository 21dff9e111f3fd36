"""From a program to its text in the language."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from runtime.importing.expressions import Words, same_structure
from runtime.importing.joining import lines_of, lines_of_modes
from runtime.importing.naming import Names
from runtime.importing.programs import Program
from runtime.importing.records import Call, Structure, Value, values_in


def program_text(program: Program, words: Words) -> tuple[list[str], str]:
    """Return the names of the inputs of a program, and its text."""
    writer = _Writer(program, words)
    statements = writer.statements()
    if program.in_training is None:
        lines = lines_of(statements, program.updated())
    else:
        inside = _Writer(program.in_training, words).statements()
        lines = lines_of_modes(inside, statements, program.updated())
    return writer.inputs, "\n".join(lines) + "\n"


class _Writer(Names):
    def __init__(self, program: Program, words: Words) -> None:
        super().__init__(program, words)
        self.leaves_out = any(
            self.is_unread(call) for call in program.calls if call.target.module is not None
        )
        """Whether it calls a layer for nothing: where that draws numbers, it does so in its turn."""
        self.inlined |= {id(call) for call in program.calls if self.is_inlined(call)}
        self.keep_order()

    def is_unread(self, call: Call) -> bool:
        return not any(self.uses.get(id(each)) for each in values_in(call.result))

    def is_inlined(self, call: Call) -> bool:
        """Return whether a call stands where its result is used."""
        if call.target.form in ("loop", "update") or (call.target.effect and call.target.module is None):
            return False
        if call.target.form == "attribute" and call.target.name == "dtype":
            return True
        named = [each for each in values_in(call.result) if each.names and self.uses.get(id(each))]
        if isinstance(call.result, Value):
            value = call.result
            if self.is_unread(call) or (self.leaves_out and call.target.module is not None):
                return False
            cheap = value.number is not None or call.target.form == "item"
            return (not value.names and (cheap or self.uses[id(value)] == 1)) or (
                cheap and self.uses[id(value)] == 1
            )
        if call.target.name in ("shape", "size"):
            return len(named) < 2 and all(self.uses[id(each)] < 2 for each in named)
        used = [each for each in values_in(call.result) if self.uses.get(id(each))]
        once = all(self.uses[id(each)] == 1 for each in used)
        whole = not named and once and same_structure(self.program.result, call.result)
        return whole or (len(used) == 1 and not used[0].names and self.uses[id(used[0])] == 1)

    def keep_order(self) -> None:
        """Let nothing that reads a buffer stand where it is used, if the buffer has a new value by then."""
        updates = _updates(self.program.calls)
        last = {
            id(value): number
            for number, call in enumerate(self.program.calls)
            for value in values_in((call.args, call.kwargs))
        }
        last |= {id(value): len(self.program.calls) for value in values_in(self.program.result)}
        held: dict[int, set[str]] = {}
        for number, call in enumerate(self.program.calls if updates else ()):
            reads: set[str] = set().union(
                *(held.get(id(each), ()) for each in values_in((call.args, call.kwargs)))
            )
            reads |= {each.path for each in values_in((call.args, call.kwargs)) if each.kind == "state"}
            if call.target.form == "update":
                held[id(call.result)] = {call.target.name}
            elif id(call) in self.inlined:
                used = max((last.get(id(each), number) for each in values_in(call.result)), default=number)
                if any(number < at < used for path in reads for at in updates.get(path, ())):
                    self.inlined.discard(id(call))
                else:
                    held |= {id(each): reads for each in values_in(call.result)}

    def statements(self) -> list[ast.stmt]:
        kept = [call for call in self.program.calls if id(call) not in self.inlined]
        read = [self.read_by((call.args, call.kwargs)) for call in kept] + [self.read_by(self.program.result)]
        self.name_inputs()
        made: list[ast.stmt] = []
        for number, call in enumerate(kept):
            later = set().union(*read[number + 1 :])
            made += self.statement(call, later)
        made.append(ast.Return(self.expression(self.program.result)))
        return made

    def read_by(self, structure: Structure) -> set[int]:
        """Return the values that stand by name in an expression."""
        found: set[int] = set()
        for value in values_in(structure):
            call = self.producer.get(id(value))
            if call is not None and id(call) in self.inlined:
                found |= self.read_by((call.args, call.kwargs))
            else:
                found.add(id(value))
        return found

    def statement(self, call: Call, later: set[int]) -> Iterator[ast.stmt]:
        """Yield what a call is written as; `later` are the values that are still read behind it."""
        if call.target.form == "loop":
            yield from self.loop(call, later)
            return
        if call.target.form == "update":
            self.names[id(call.result)] = call.target.name
            yield ast.Assign([ast.Name(call.target.name)], self.expression(call.args[0]))
            return
        value = self.call(call)
        whole = self.whole_name(call.result, later)
        if whole is not None:
            yield ast.Assign([ast.Name(whole)], value)
            return
        yield from self.set_aside(call.result, later, self.read_by((call.args, call.kwargs)))
        target = self.targets(call.result, later)
        if (
            isinstance(target, ast.Tuple)
            and all(_is_blank(each) for each in target.elts[1:])
            and len(target.elts) > 1
        ):
            target, value = target.elts[0], ast.Subscript(value, ast.Constant(0), ast.Load())
        yield ast.Assign([target], value)

    def loop(self, call: Call, later: set[int]) -> Iterator[ast.stmt]:
        carried = self.expression(call.args[0])
        yield from self.set_aside(call.result, later | {id(each) for each in values_in(call.args[1:])})
        others = [self.expression(each) for each in call.args[1:]]
        named = [ast.keyword(key, self.expression(each)) for key, each in call.kwargs.items()]
        target = self.targets(
            call.result, later | {id(each) for each in values_in((call.args[1:], call.kwargs))}
        )
        assert isinstance(target, ast.Name)
        if not isinstance(carried, ast.Name) or carried.id != target.id:
            yield ast.Assign([target], carried)
        item = self.free(self.words.items.get(call.target.name) or "layer", later)
        step = ast.Call(ast.Name(item), [ast.Name(target.id), *others], named)
        yield ast.For(ast.Name(item), self.module(call.target.name), [ast.Assign([target], step)], [])


def _updates(calls: Sequence[Call]) -> dict[str, list[int]]:
    """Return where buffers have new values from: the numbers of calls."""
    found: dict[str, list[int]] = {}
    for number, call in enumerate(calls):
        if call.target.form == "update":
            found.setdefault(call.target.name, []).append(number)
        elif call.target.effect and call.target.module is None:
            read = [each for each in values_in((call.args, call.kwargs)) if each.kind == "state"]
            for value in read:
                found.setdefault(value.path, []).append(number)
    return found


def _is_blank(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id == "_"
