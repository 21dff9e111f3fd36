"""What `forward` makes of several values: the branches of a block, or its input and what its layers give."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from compiler.catalogue.operation_table import FUNCTIONS as OPERATIONS
from compiler.catalogue.operation_table import LIST_FIRST
from compiler.catalogue.plugin_files import import_name
from compiler.emit.classes.translation import ClassTranslation
from compiler.emit.syntax import annotated, assign, call, index, load_name, own
from compiler.emit.transfers import ClassTransfers
from compiler.infer.states import BlockState
from compiler.program import Call, ParallelBody

MANY = 4
"""More branches than this are joined one after the other, and not by calls inside of each other."""


class Combiner:
    """Writes the combinations of one class."""

    def __init__(self, translation: ClassTranslation, moves: ClassTransfers) -> None:
        self.translation, self.moves = translation, moves
        self.names, self.plugins = translation.values.names, translation.file.plugins

    def branches(self, body: ParallelBody, state: BlockState, flow: str) -> list[ast.stmt]:
        """Return the statements that return the combination of what the branches make of a value."""
        named = any(item.name is not None for item in body.branches)
        every = call(own("values")) if named else load_name("self")
        is_list = self._is_list(body.combine.target)
        moves = self.moves.has("layer") or self.moves.has("result")
        if is_list and not moves:
            return [ast.Return(self._call(body.combine, [_of_each(every, flow)]))]
        if not moves and len(state.order) > MANY:
            return self._one_by_one(body.combine, every, flow)
        layers = [
            index(load_name("self"), ast.Constant(name if named else int(name))) for name, _ in state.order
        ]
        made = [call(layer, self.moves.layer(at, load_name(flow))) for at, layer in enumerate(layers)]
        if is_list or len(made) <= MANY:
            return [ast.Return(self.combined(body.combine, made))]
        first, *rest = self.moves.results(made)
        result = _unlike("y", flow)
        steps = [assign(result, self._call(body.combine, [load_name(result), each])) for each in rest]
        return [_tensor(result, first), *steps, ast.Return(load_name(result))]

    def _one_by_one(self, combine: Call, layers: ast.expr, flow: str) -> list[ast.stmt]:
        """Return a loop over the branches, in which each is joined to what those before it gave."""
        result, first, others, branch = (_unlike(name, flow) for name in ("y", "first", "others", "branch"))
        unpacked = ast.Tuple([load_name(first), ast.Starred(load_name(others), ast.Load())], ast.Load())
        given = call(load_name(branch), load_name(flow))
        joined = assign(result, self._call(combine, [load_name(result), given]))
        return [
            assign(unpacked, layers),
            _tensor(result, call(load_name(first), load_name(flow))),
            ast.For(ast.Name(branch, ast.Store()), load_name(others), [joined], []),
            ast.Return(load_name(result)),
        ]

    def _is_list(self, target: str) -> bool:
        """Return whether an operation takes all values as one list."""
        return target in LIST_FIRST or target in self.plugins.operations

    def combined(self, combine: Call | None, values: Sequence[ast.expr]) -> ast.expr:
        """Return the combination of values: their sum, if nothing else is said."""
        moved = self.moves.results(values)
        if combine is None:
            return ast.BinOp(moved[0], ast.Add(), moved[1])
        if self._is_list(combine.target):
            return self._call(combine, [ast.List(moved, ast.Load())])
        return self._call(combine, moved)

    def _call(self, combine: Call, values: Sequence[ast.expr]) -> ast.expr:
        """Return the call of an operation, once for each value after the first one, if there are several."""
        operation = self._operation(combine.target)
        args, keywords = self._arguments(combine)
        result, *rest = values
        if not rest and self._is_list(combine.target):
            return call(operation, result, *args, **keywords)
        for value in rest:
            result = call(operation, result, value, *args, **keywords)
        return result

    def _operation(self, target: str) -> ast.expr:
        if target in self.plugins.operations:
            return load_name(self.names.plugin(target, import_name(self.plugins.operations[target])))
        return self.names.function(OPERATIONS[target])

    def _arguments(self, combine: Call) -> tuple[list[ast.expr], dict[str, ast.expr]]:
        """Return the further arguments of an operation, by position and by name."""
        translator = self.translation.translator(set())
        args = [translator.translate(a.value.tree) for a in combine.arguments if a.name is None]  # type: ignore[union-attr]
        keywords = {a.name: translator.translate(a.value.tree) for a in combine.arguments if a.name}  # type: ignore[union-attr]
        self.translation.keep_read(translator)
        return args, keywords


def _of_each(layers: ast.expr, flow: str) -> ast.expr:
    """Return `[branch(x) for branch in self]`."""
    branch = _unlike("branch", flow)
    loop = ast.comprehension(ast.Name(branch, ast.Store()), layers, [], 0)
    return ast.ListComp(call(load_name(branch), load_name(flow)), [loop])


def _tensor(name: str, value: ast.expr) -> ast.stmt:
    return annotated(name, load_name("Tensor"), value)


def _unlike(name: str, flow: str) -> str:
    """Return a name for a local value, another one than that of the input."""
    return name if name != flow else f"{name}_"
