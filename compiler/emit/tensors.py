"""The parameters and buffers of a block, made in its constructor."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING

from compiler.emit.annotations import annotation_of
from compiler.emit.bound import local_names
from compiler.emit.candidates import choose, choose_dtype
from compiler.emit.choose import Case
from compiler.emit.initialise import FirstValues
from compiler.emit.programs import ProgramTranslator
from compiler.emit.scope import ConstructorScope
from compiler.emit.syntax import assign, call, dotted, function, load_name, own
from compiler.emit.trees import names_in
from compiler.infer.dtypes import FLOAT
from compiler.placement.groups import group_key
from compiler.program import ModuleBody, TensorEntry
from compiler.resolve.values import free_names
from spec_schema.grammar import Program

if TYPE_CHECKING:
    import torch

CONSTANT_MAKERS = {"zeros": "torch.zeros", "ones": "torch.ones"}


class TensorEmitter:
    """Emits the statements for the tensors of one class."""

    def __init__(self, scope: ConstructorScope, first_values: FirstValues, cases: Sequence[Case]) -> None:
        self.scope, self.file, self.first_values, self.cases = scope, scope.file, first_values, cases
        self.key = group_key(scope.group.states[0])

    def emit(self, body: ModuleBody) -> list[ast.stmt]:
        """Return the statements that register the tensors."""
        statements: list[ast.stmt] = []
        for entry in body.tensors.values():
            self.file.names.used |= {"torch", "nn"} if entry.kind == "parameter" else {"torch"}
            if entry.kind == "parameter":
                made = call("nn.Parameter", self._made(entry))
                statements.append(assign(own(entry.name), made))
            else:
                statements.append(self._buffer(entry))
        return statements

    def _buffer(self, entry: TensorEntry) -> ast.stmt:
        value = self._value(entry) if entry.value is not None else self._made(entry)
        keywords: dict[str, ast.expr] = {} if entry.persistent else {"persistent": ast.Constant(False)}
        return ast.Expr(call(own("register_buffer"), ast.Constant(entry.name), value, **keywords))

    def _made(self, entry: TensorEntry) -> ast.expr:
        """Return the tensor: of zeros, ones or a number if its initialisation says so, else of no values yet."""
        assert entry.type is not None
        sizes = [self._size(entry, at) for at in range(len(entry.type.dimensions))]
        maker = self._maker(entry)
        initialiser = self.first_values.constant(self.key, entry.name)
        keywords = self._dtype(entry)
        if isinstance(initialiser, ast.Name) and initialiser.id in CONSTANT_MAKERS:
            maker = CONSTANT_MAKERS[initialiser.id]
        if isinstance(initialiser, ast.Constant) and type(initialiser.value) in (int, float):
            shape = ast.Tuple(sizes, ast.Load())
            written = ast.literal_eval(initialiser)
            number = ast.Constant(written if keywords else float(written))
            return call("torch.full", shape, number, **keywords)
        if not sizes:
            sizes = [ast.Tuple([], ast.Load())]
        return call(maker, *sizes, **keywords)

    def _dtype(self, entry: TensorEntry) -> dict[str, ast.expr]:
        """Return the argument for the dtype of a tensor, if any instance has another than torch's default."""
        dtypes = self._dtypes(entry)
        return {} if set(dtypes) == {FLOAT} else {"dtype": choose_dtype(self.scope, dtypes, self.cases)}

    def _dtypes(self, entry: TensorEntry) -> list[torch.dtype]:
        return [case.state.tensors[entry.name].dtype for case in self.cases]

    def _maker(self, entry: TensorEntry) -> str:
        """Return what makes a tensor of no values yet, which the class fills, or else of zeros."""
        return "torch.empty" if (self.key, entry.name) in self.first_values.filled else "torch.zeros"

    def _size(self, entry: TensorEntry, at: int) -> ast.expr:
        assert entry.type is not None
        dimension = entry.type.dimensions[at]
        inputs = {each.name for each in self.scope.group.definition.inputs}
        if not free_names(dimension) & inputs:
            return self.scope.expression(dimension)
        sizes = [case.state.tensors[entry.name].shape[at] for case in self.cases]
        wanted = "in_features" if str(dimension).endswith("shape[-1]") else f"{entry.name}_size"
        return choose(self.scope, sizes, self.cases, wanted)

    def _value(self, entry: TensorEntry) -> ast.expr:
        """Return the expression of a computed buffer; a program becomes a function of the file."""
        assert entry.value is not None
        value = entry.value
        local = local_names(value.body) if isinstance(value, Program) else set()
        translator = ProgramTranslator(
            self.file.names,
            self.file.plugins,
            self.scope.translator.literals,
            {},
            local,
            None,
            self.file.call_kinds,
        )
        result: ast.expr
        if isinstance(value, Program):
            result = self._function(entry, translator, value)
        else:
            translator.renamed = dict(self.scope.translator.renamed)
            result = translator.visit(value.tree)
        if self._is_number(entry):
            self.file.names.used.add("torch")
            result = call("torch.tensor", result)
        if entry.type is not None:
            dtype = choose_dtype(self.scope, self._dtypes(entry), self.cases)
            result = call(ast.Attribute(result, "to", ast.Load()), dtype)
        return result

    def _is_number(self, entry: TensorEntry) -> bool:
        """Say whether a value is a number or a list, of which a tensor is made."""
        return id(entry) in self.file.runs.plain_values

    def _function(self, entry: TensorEntry, translator: ProgramTranslator, value: Program) -> ast.expr:
        """Emit a program of several statements as a function, and return its call."""
        reads = names_in(*value.body)
        names = [name for name in sorted(self.scope.ctor_names) if name in reads]
        translator.renamed = {t: load_name(self.file.names.local(t)) for t in self.scope.ctor_names}
        body = [*translator.start(value.body, names), *translator.body(value.body)]
        name = self.file.names.added(f"make_{entry.name}")
        locals_ = [self.file.names.local(t) for t in names]
        notes = [annotation_of([case.values[t] for case in self.cases]) for t in names]
        arguments = ast.arguments([], list(map(ast.arg, locals_, notes)), None, [], [], None, [])
        returns = None if self._is_number(entry) else dotted("Tensor")
        self.file.names.used |= {"Tensor"} if returns else set()
        self.file.functions.append(function(name, arguments, body, returns))
        return call(name, *[self.scope.expression_of_name(t) for t in names])
