"""The programs of one class, and its other expressions over tensors, in the names of its methods."""

from __future__ import annotations

import ast

from compiler.emit.bound import local_names
from compiler.emit.classes.values import ClassValues
from compiler.emit.file import EmittedFile
from compiler.emit.programs import ProgramTranslator
from compiler.emit.syntax import load_name, own
from compiler.emit.transfers import ClassTransfers
from compiler.program import ModuleBody
from compiler.resolve.updates import updates_of
from spec_schema.grammar import Program


class ClassTranslation:
    """Translates what the methods of one class do."""

    def __init__(self, values: ClassValues, file: EmittedFile) -> None:
        self.values, self.file = values, file
        self.inputs = {entry.name for entry in values.definition.inputs}

    def program(self, program: Program) -> list[ast.stmt]:
        """Return the statements of a program."""
        body = self.values.definition.body
        assert isinstance(body, ModuleBody)
        updates = updates_of(body, self.values.states[0].values)
        bound = {*self.inputs, *updates.names}
        translator = self.translator({*local_names(program.body), *self.inputs} - updates.names)
        translator.updates, translator.kept = updates, updates.kept
        statements = [*translator.start(program.body, bound), *translator.body(program.body)]
        self.keep_read(translator)
        return statements

    def class_moves(self) -> ClassTransfers:
        """Return the moves between devices in the class."""
        return ClassTransfers(self.file.moves, self.values.group, self.translator(self.inputs).visit)

    def translator(self, local: set[str]) -> ProgramTranslator:
        """Return what translates expressions; `local` are the names that belong to the method."""
        translator = ProgramTranslator(
            self.values.names,
            self.file.plugins,
            self.values.literals,
            self.values.members,
            local,
            self._device(),
            self.file.call_kinds,
        )
        translator.extending = self.values.group.name if self.values.base is not None else ""
        translator.moves = ClassTransfers(self.file.moves, self.values.group, translator.visit)
        return translator

    def keep_read(self, translator: ProgramTranslator) -> None:
        """Let the constructor store the compile-time values that were read."""
        for name in self.values.plain:
            if name in translator.reads and name not in self.values.called:
                self.values.keep(name)

    def local(self, name: str) -> str:
        """Return what a method calls an input."""
        return self.values.names.local(name)

    def _device(self) -> ast.expr | None:
        """Return the expression for the device of the block's inputs."""
        source = self.values.group.device_source
        if source is None:
            return None
        holder = load_name(self.local(source)) if source in self.inputs else own(source)
        return ast.Attribute(holder, "device", ast.Load())
