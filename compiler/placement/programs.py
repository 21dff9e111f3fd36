"""Programs interpreted over tensors that know their device."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from compiler.catalogue.operation_table import FACTORIES, VIEWS
from compiler.infer.calls import parts
from compiler.infer.interpreter import Interpreter
from compiler.infer.module_references import ModuleReference
from compiler.infer.placed import Placed, map_tensors, place_of, placed_in, put
from compiler.infer.states import BlockState
from compiler.placement.groups import group_key
from compiler.placement.routes import Router
from compiler.placement.transfers import Follow, Slot, position

STRUCTURAL = frozenset({"len", "zip", "enumerate", "reversed", "range"})
"""Functions over lists, which leave the tensors in them alone."""
CPU = "cpu"


class PlacedInterpreter(Interpreter):
    """Runs one program of a block whose tensors are on several devices."""

    engine: Router
    state: BlockState

    def inputs(self, node: ast.Call, cell: ModuleReference) -> tuple[list[Any], dict[str, Any]]:
        arguments, keywords = super().inputs(node, cell)
        values = [*arguments, *keywords.values()]
        target = self.engine.target(cell.state, values)
        written = [*node.args, *(keyword.value for keyword in node.keywords)]
        called = ast.unparse(node.func)
        follows = [Follow(False, f"{called}{suffix}") for suffix in self.engine.suffixes(cell)]
        if target is not None and not follows:
            follows = self._follows(written, target)
        sent = [
            self._send(w, v, target or place_of(v), [*follows, *self._layer_follow(w, called, cell)])
            for w, v in zip(written, values, strict=True)
        ]
        return sent[: len(arguments)], dict(zip(keywords, sent[len(arguments) :], strict=True))

    def _layer_follow(self, written: ast.AST, called: str, cell: ModuleReference) -> list[Follow]:
        """Return the layer as what its input follows, if its parameters tell where it is in every copy."""
        tells = isinstance(written, ast.Name) and self.engine.tells(cell.state)
        return [Follow(False, called, layer=True)] if tells else []

    def _send(self, written: ast.AST, value: Any, target: str | None, follows: Sequence[Follow]) -> Any:
        """Note that the value of an expression has to be on a device; return it there."""
        if target is None:
            return value
        if isinstance(written, ast.List | ast.Tuple) and len(written.elts) == len(value):
            items = [self._send(w, v, target, follows) for w, v in zip(written.elts, value, strict=True)]
            return type(value)(items)
        if not placed_in(value) and value is not None:
            return value
        slot = Slot(group_key(self.state), "value", position(written))
        return self.engine.send(slot, value, target, follows, self.source.span(written))

    def _follows(self, written: Sequence[ast.AST], target: str) -> list[Follow]:
        """Return what is on a device: names among the operands, then tensors of the block."""
        names = [n for w in written for n in ast.walk(w) if isinstance(n, ast.Name)]
        bound = {n.id for n in names if isinstance(n.ctx, ast.Store)}
        found = [n.id for n in names if n.id not in bound and self._place(n.id) == target]
        return [*(Follow(False, name) for name in dict.fromkeys(found)), *self.engine.own(self.state, target)]

    def _place(self, name: str) -> str | None:
        if name in self.cells:
            return None
        return place_of(self.names.get(name, self.tensors.get(name)))

    def perform(
        self,
        node: ast.AST,
        what: str,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
    ) -> Any:
        operands = [*arguments, *keywords.values()]
        if what in STRUCTURAL or not (isinstance(node, ast.Call) or _over_tensors(arguments)):
            return self.watched(node, function, arguments, keywords)
        if what in ("to", "type_as"):
            return self._conversion(function, arguments, keywords)
        tensors = placed_in(operands)
        device = keywords.get("device")
        if isinstance(device, str):
            keywords = {key: value for key, value in keywords.items() if key != "device"}
        elif not tensors:
            device = self._factory_device() if what in FACTORIES else CPU
        else:
            device, arguments, keywords = self._aligned(node, what, arguments, keywords, tensors)
        result = self.watched(node, function, arguments, keywords)
        owned = tensors[0].owned if tensors and all(each.owned for each in tensors) else None
        return map_tensors(lambda tensor: put(tensor, device, owned), result)

    def _conversion(
        self, function: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Any:
        """Convert a tensor; the device that it goes to, if one is given, is where it is then."""
        tensor, *others = arguments
        given = [*others, *keywords.values()]
        device = next((d for d in (place_of(v) or v for v in given) if isinstance(d, str)), None)
        others = [value for value in others if not isinstance(value, str)]
        keywords = {key: value for key, value in keywords.items() if not isinstance(value, str)}
        place, owned = place_of(tensor), getattr(tensor, "owned", None)
        result = function(tensor, *others, **keywords) if others or keywords else tensor
        if place is None:
            return result
        return put(result, device or place, owned if device in (None, place) else None)

    def _factory_device(self) -> str:
        """Return the device of a new tensor for which the program names none."""
        source = self.engine.groups[group_key(self.state)].device_source
        value = self.names.get(source, self.tensors.get(source)) if source is not None else None
        return place_of(value) or CPU

    def _aligned(
        self,
        node: ast.AST,
        what: str,
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
        tensors: Sequence[Placed],
    ) -> tuple[str, Sequence[Any], Mapping[str, Any]]:
        """Return the device that an operation works on, and its operands there."""
        kept = [tensor for tensor in tensors if tensor.owned is not None]
        if len({tensor.place for tensor in kept}) > 1:
            raise self.engine.mix(f"`{what}`", kept, self.source.span(node))
        written = _written(node, len(arguments))
        values = [*arguments, *keywords.values()]
        named = [
            t for w, v in zip(written, values, strict=False) if isinstance(w, ast.Name) for t in placed_in(v)
        ]
        decider = (kept or named or tensors)[0]
        target = decider.place
        if len(written) != len(values):
            if any(tensor.place != target for tensor in tensors):
                raise self.engine.mix(f"`{what}`", tensors, self.source.span(node))
            return target, arguments, keywords
        decides = [any(each is decider for each in placed_in(value)) for value in values]
        deciding = [w for w, first in zip(written, decides, strict=True) if first]
        follows = self._follows([*deciding, *written], target)
        sent = [self._send(w, v, target, follows) for w, v in zip(written, values, strict=True)]
        return target, sent[: len(arguments)], dict(zip(keywords, sent[len(arguments) :], strict=True))

    # Parts of tensors are where the tensors are.

    def attribute(self, node: ast.Attribute) -> Any:
        result = super().attribute(node)
        if node.attr != "device" and node.attr not in VIEWS:
            return result
        value = self.value(node.value)
        if not isinstance(value, Placed):
            return result
        if node.attr == "device":
            return value.place
        return put(result, value.place, value.owned) if isinstance(result, Tensor) else result

    def items(self, node: ast.AST, value: Any) -> list[Any]:
        found = super().items(node, value)
        if isinstance(value, Placed):
            return [put(tensor, value.place, value.owned) for tensor in found]
        return found


def _over_tensors(operands: Sequence[Any]) -> bool:
    """Return whether an operator computes with tensors, rather than with lists of them."""
    plain = (Tensor, bool, int, float, complex)
    return isinstance(operands[0], Tensor) or (
        isinstance(operands[0], plain) and any(isinstance(each, Tensor) for each in operands)
    )


def _written(node: ast.AST, count: int) -> list[ast.AST]:
    """Return the operands of an operation, `count` of them without a name, as they are written."""
    if not isinstance(node, ast.Call):
        return parts(node)
    if any(isinstance(each, ast.Starred) for each in node.args):
        return []  # how many it stands for is not written
    written: list[ast.AST] = [*node.args, *(keyword.value for keyword in node.keywords)]
    if isinstance(node.func, ast.Attribute) and count > len(node.args):
        written.insert(0, node.func.value)
    return written
