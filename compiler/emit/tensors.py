"""The parameters and buffers of a block, made in its constructor."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING

from compiler.catalogue.initializer_table import INITIALIZER_ARGUMENTS
from compiler.emit.bound import local_names
from compiler.emit.choose import Case
from compiler.emit.groups import ClassGroup
from compiler.emit.nodes import NodeEmitter
from compiler.emit.programs import ProgramTranslator
from compiler.emit.syntax import assign, call, dotted, function, name, own
from compiler.infer.dtypes import FLOAT
from compiler.program import ModuleBody, TensorEntry
from compiler.resolve.values import free_names
from spec_schema.grammar import Program

if TYPE_CHECKING:
    import torch

    from compiler.emit.module import ModuleEmitter

CONSTANT_MAKERS = {"zeros": "torch.zeros", "ones": "torch.ones"}


class TensorEmitter:
    """Emits the statements for the tensors of one class."""

    def __init__(
        self, module: ModuleEmitter, nodes: NodeEmitter, group: ClassGroup, cases: Sequence[Case]
    ) -> None:
        self.module, self.nodes, self.group, self.cases = module, nodes, group, cases

    def emit(self, body: ModuleBody) -> list[ast.stmt]:
        """Return the statements that register the tensors."""
        statements: list[ast.stmt] = []
        for entry in body.tensors.values():
            self.module.names.used |= {"torch", "nn"} if entry.kind == "parameter" else {"torch"}
            if entry.kind == "parameter":
                made = call("nn.Parameter", self._made(entry))
                statements.append(assign(own(entry.name), made))
                statements.extend(self._drawn(entry))
            else:
                statements.append(self._buffer(entry))
                statements.extend(self._drawn(entry))
        return statements

    def _buffer(self, entry: TensorEntry) -> ast.stmt:
        value = self._value(entry) if entry.value is not None else self._made(entry)
        keywords: dict[str, ast.expr] = {} if entry.persistent else {"persistent": ast.Constant(False)}
        return ast.Expr(call(own("register_buffer"), ast.Constant(entry.name), value, **keywords))

    def _made(self, entry: TensorEntry) -> ast.expr:
        """Return the tensor: of zeros or ones if its initialisation says so, else of no values yet."""
        assert entry.type is not None
        sizes = [self._size(entry, at) for at in range(len(entry.type.dimensions))]
        maker = "torch.empty"
        initialiser = self._initialiser(entry)
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
        return {} if set(dtypes) == {FLOAT} else {"dtype": self.nodes.dtype(dtypes, self.cases)}

    def _dtypes(self, entry: TensorEntry) -> list[torch.dtype]:
        return [case.state.tensors[entry.name].dtype for case in self.cases]

    def _initialiser(self, entry: TensorEntry) -> ast.expr | None:
        """Return the initialiser if all instances have the same."""
        found = {each for s in self.group.states for each in self.module.initialisers_of(s, entry.name)}
        expression = found.pop() if len(found) == 1 else None
        return expression.tree if expression is not None else None

    def _drawn(self, entry: TensorEntry) -> list[ast.stmt]:
        """Return the statement that draws the first values, where torch has a function for it."""
        initialiser = self._initialiser(entry) if entry.value is None else None
        if isinstance(initialiser, ast.Name):
            title, arguments, keywords = initialiser.id, [], []
        elif isinstance(initialiser, ast.Call) and isinstance(initialiser.func, ast.Name):
            title, arguments, keywords = initialiser.func.id, initialiser.args, initialiser.keywords
        else:
            return []
        parts = [*arguments, *(k.value for k in keywords)]
        plain = all(
            isinstance(n, ast.Constant | ast.UnaryOp | ast.USub | ast.Load)
            for p in parts
            for n in ast.walk(p)
        )
        if title in CONSTANT_MAKERS or title not in INITIALIZER_ARGUMENTS or not plain:
            return []
        named = {k.arg: k.value for k in keywords if k.arg}
        return [ast.Expr(call(f"nn.init.{title}_", own(entry.name), *arguments, **named))]

    def _size(self, entry: TensorEntry, at: int) -> ast.expr:
        assert entry.type is not None
        dimension = entry.type.dimensions[at]
        inputs = {each.name for each in self.group.definition.inputs}
        if not free_names(dimension) & inputs:
            return self.nodes.expression(dimension)
        sizes = [case.state.tensors[entry.name].shape[at] for case in self.cases]
        wanted = "in_features" if str(dimension).endswith("shape[-1]") else f"{entry.name}_size"
        return self.nodes.choose(sizes, self.cases, wanted)

    def _value(self, entry: TensorEntry) -> ast.expr:
        """Return the expression of a computed buffer; a program becomes a function of the file."""
        assert entry.value is not None
        value = entry.value
        local = local_names(value.body) if isinstance(value, Program) else set()
        translator = ProgramTranslator(
            self.module.names,
            self.module.plugins,
            self.nodes.translator.literals,
            {},
            local,
            None,
            self.module.call_kinds,
        )
        result: ast.expr
        if isinstance(value, Program):
            result = self._function(entry, translator, value)
        else:
            translator.renamed = dict(self.nodes.translator.renamed)
            result = translator.visit(value.tree)
        if self._is_number(entry):
            self.module.names.used.add("torch")
            result = call("torch.tensor", result)
        if entry.type is not None:
            dtype = self.nodes.dtype(self._dtypes(entry), self.cases)
            result = call(ast.Attribute(result, "to", ast.Load()), dtype)
        return result

    def _is_number(self, entry: TensorEntry) -> bool:
        """Say whether a value is a number or a list, of which a tensor is made."""
        return id(entry) in self.module.inferred.engine.own_tensors.numbers

    def _function(self, entry: TensorEntry, translator: ProgramTranslator, value: Program) -> ast.expr:
        """Emit a program of several statements as a function, and return its call."""
        reads = {n.id for s in value.body for n in ast.walk(s) if isinstance(n, ast.Name)}
        titles = [title for title in sorted(self.nodes.ctor_names) if title in reads]
        translator.renamed = {t: name(self.module.names.local(t)) for t in self.nodes.ctor_names}
        body = [*translator.start(value.body, titles), *translator.body(value.body)]
        title = self.module.names.added(f"make_{entry.name}")
        locals_ = [self.module.names.local(t) for t in titles]
        arguments = ast.arguments([], [ast.arg(t) for t in locals_], None, [], [], None, [])
        returns = None if self._is_number(entry) else dotted("Tensor")
        self.module.names.used |= {"Tensor"} if returns else set()
        self.module.functions.append(function(title, arguments, body, returns))
        return call(title, *[self.nodes.expression_of_name(t) for t in titles])
