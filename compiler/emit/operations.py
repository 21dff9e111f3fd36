"""Operations in layer positions: torch's own layer where there is one, else a small class with their arguments."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from compiler.catalogue.operation_layers import TWINS, Twin
from compiler.catalogue.operation_table import FUNCTIONS as OPERATIONS
from compiler.catalogue.operation_table import TRAINING
from compiler.catalogue.operations import signature
from compiler.emit.annotations import annotation_of
from compiler.emit.file import EmittedFile
from compiler.emit.literals import literal
from compiler.emit.syntax import assign, call, class_, dotted, function, load_name, own, parameters
from compiler.infer.states import Operation, takes_mode
from compiler.resolve.layer_names import NOT_OF_VALUES

Key = tuple[str, bool, tuple[str, ...], tuple[str, ...]]
"""Name of an operation, whether it takes the mode of its module, and its arguments by position and by keyword."""


@dataclass(eq=False)
class OperationClass:
    """A class that makes a layer of an operation, with the values that its arguments take."""

    name: str
    values: dict[str, list[object]] = field(default_factory=dict)


class OperationEmitter:
    """Emits the layers of operations, and the classes of those that torch has no layer for."""

    def __init__(self, file: EmittedFile) -> None:
        self.file = file
        self.classes: dict[Key, OperationClass] = {}

    def layer(
        self, states: Sequence[Operation], args: list[ast.expr], keywords: dict[str, ast.expr]
    ) -> ast.expr:
        """Return the expression for the layer that one node makes."""
        first = states[0]
        twin = None if self._is_plugin(first.name) else TWINS.get(first.name)
        if twin is not None and twin.takes(len(args), keywords) and self._shares_mode(first, twin):
            return self._twin(twin, args, keywords)
        made = self._class(states)
        return call(
            load_name(made.name), *args, **{self._local(key): value for key, value in keywords.items()}
        )

    def _shares_mode(self, state: Operation, twin: Twin) -> bool:
        """Return whether an operation follows the mode where its layer does."""
        return ("Dropout" in twin.layer) == takes_mode(state, self.file.plugins)

    def _twin(self, twin: Twin, args: list[ast.expr], keywords: dict[str, ast.expr]) -> ast.expr:
        missing = twin.missing(len(args), keywords)
        written = {**keywords, **{name: literal(value) for name, value in missing.items()}}
        while not keywords and args and _is_default(twin, len(args) - 1, args[-1]):
            args = args[:-1]
        named = {twin.names.get(name, name): value for name, value in written.items()}
        return call(dotted(self.file.nn(twin.layer)), *args, **named)

    # Classes.

    def _class(self, states: Sequence[Operation]) -> OperationClass:
        """Return the class that makes a layer of an operation with such arguments."""
        first = states[0]
        names = tuple(self._positional(first))
        key = first.name, takes_mode(first, self.file.plugins), names, tuple(first.keywords)
        if key not in self.classes:
            parts = first.name.replace(".", "_").split("_")
            name = self.file.names.added("".join(part[:1].upper() + part[1:] for part in parts))
            self.classes[key] = OperationClass(name)
        made = self.classes[key]
        for state in states:
            given = {**dict(zip(names, state.positional, strict=True)), **state.keywords}
            for name, value in given.items():
                made.values.setdefault(name, []).append(value)
        return made

    def _positional(self, state: Operation) -> list[str]:
        """Return the names of the arguments by position that come behind the tensor."""
        count = len(state.positional)
        for overload in self._signatures(state.name):
            kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
            found = [each.name for each in overload.parameters.values() if each.kind in kinds][1 : count + 1]
            if len(found) == count and not set(found) & state.keywords.keys():
                return found
        return [f"argument{number}" for number in range(1, count + 1)]

    def _signatures(self, name: str) -> Sequence[inspect.Signature]:
        if self._is_plugin(name):
            return [inspect.signature(self.file.plugins.operations[name])]
        return signature(name).overloads if name in OPERATIONS else []

    def emitted(self) -> list[ast.stmt]:
        """Return the classes."""
        return [self._emitted(key, made) for key, made in self.classes.items()]

    def _emitted(self, key: Key, made: OperationClass) -> ast.stmt:
        """Return a class whose `forward` is one operation, with the arguments of its constructor."""
        operation, follows_mode, positional, keywords = key
        self.file.names.used |= {"nn", "Tensor"}
        attributes = {name: self._attribute(name) for name in (*positional, *keywords)}
        mode = {TRAINING: own(TRAINING)} if follows_mode else {}
        body = call(
            self._target(operation),
            load_name("x"),
            *(own(attributes[name]) for name in positional),
            **{name: own(attributes[name]) for name in keywords},
            **mode,
        )
        forward = function(
            "forward", parameters([("x", load_name("Tensor"), None)]), [ast.Return(body)], load_name("Tensor")
        )
        constructor = self._constructor(made.values, attributes)
        return class_(made.name, "nn.Module", None, [*constructor, forward])

    def _constructor(
        self, values: Mapping[str, list[object]], attributes: Mapping[str, str]
    ) -> list[ast.stmt]:
        if not values:
            return []
        start = ast.Expr(call(ast.Attribute(call("super"), "__init__", ast.Load())))
        stored = [assign(own(attributes[name]), load_name(self._local(name))) for name in values]
        rows = [(self._local(name), annotation_of(found), None) for name, found in values.items()]
        return [function("__init__", parameters(rows), [start, *stored], ast.Constant(None))]

    def _target(self, operation: str) -> ast.expr:
        if self._is_plugin(operation):
            return self.file.plugin_operation(operation)
        if operation in OPERATIONS:
            return self.file.names.function(OPERATIONS[operation])
        self.file.names.used.add("torch")
        return dotted(f"torch.Tensor.{operation}")

    def _is_plugin(self, name: str) -> bool:
        return name in self.file.plugins.operations

    def _local(self, name: str) -> str:
        return self.file.names.in_constructor(name)

    def _attribute(self, name: str) -> str:
        while name in NOT_OF_VALUES:
            name += "_"
        return name


def _is_default(twin: Twin, at: int, value: ast.expr) -> bool:
    """Return whether an argument by position is what the layer does anyway."""
    from compiler.catalogue.layers import layer_type

    name = twin.names.get(twin.positional[at], twin.positional[at])
    argument = layer_type(twin.layer).argument(name)
    if argument is None or not isinstance(value, ast.Constant | ast.UnaryOp):
        return False
    try:
        written = ast.literal_eval(value)
    except ValueError:
        return False
    return type(written) is type(argument.default) and written == argument.default
