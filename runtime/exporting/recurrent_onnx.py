"""Recurrent layers in ONNX, which has one operator for each kind, with gates in an order of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnxscript import opset18 as op

from runtime.exporting.recurrent import operator

Value = Any
"""A value of a graph of ONNX."""


@dataclass(frozen=True)
class Kind:
    """A kind of recurrent layer. `order` has the gates as ONNX wants them, by their number in torch."""

    call: Callable[..., Any]
    order: tuple[int, ...]
    options: Mapping[str, Any]


KINDS = {
    "rnn_tanh": Kind(op.RNN, (0,), {"activation": "Tanh"}),
    "rnn_relu": Kind(op.RNN, (0,), {"activation": "Relu"}),
    "gru": Kind(op.GRU, (1, 0, 2), {"linear_before_reset": 1}),
    "lstm": Kind(op.LSTM, (0, 3, 1, 2), {}),
}


def translations() -> dict[Any, Callable[..., Any]]:
    """Return what each of the operators becomes."""
    return {operator(name): _translation(kind) for name, kind in KINDS.items()}


def _translation(kind: Kind) -> Callable[..., Any]:
    def translated(
        input: Value,
        hx: Value,
        params: Sequence[Value],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> Any:
        states = list(hx) if isinstance(hx, Sequence) else [hx]
        stack = Stack(kind, states, params, 4 if has_biases else 2, 2 if bidirectional else 1)
        x = op.Transpose(input, perm=[1, 0, 2]) if batch_first else input
        for number in range(num_layers):
            x = stack.layer(x, number)
        outputs = [op.Concat(*each, axis=0) if len(each) > 1 else each[0] for each in stack.last]
        return op.Transpose(x, perm=[1, 0, 2]) if batch_first else x, *outputs

    return translated


class Stack:
    """The layers of one recurrent module, one over the other."""

    def __init__(
        self, kind: Kind, states: list[Value], params: Sequence[Value], each: int, directions: int
    ) -> None:
        self.kind, self.states, self.params, self.each, self.directions = (
            kind,
            states,
            params,
            each,
            directions,
        )
        self.last: list[list[Value]] = [[] for _ in states]

    def layer(self, x: Value, number: int) -> Value:
        """Return what one layer makes of a sequence, [time, batch, features], and keep its last states."""
        ways = range(self.directions)
        tensors = [self._tensors(number * self.directions + way) for way in ways]
        weights, recurrent = (_stacked([each[at] for each in tensors]) for at in (0, 1))
        bias = _stacked([op.Concat(*each[2:], axis=0) for each in tensors]) if self.each == 4 else None
        first = number * self.directions
        given = [
            op.Slice(state, [first], [first + self.directions], [0])
            if _is_more(state, self.directions)
            else state
            for state in self.states
        ]
        options = dict(self.kind.options)
        activation = options.pop("activation", None)
        if activation is not None:
            options["activations"] = [activation] * self.directions
        output, *last = self.kind.call(
            x,
            weights,
            recurrent,
            bias,
            None,
            *given,
            direction="bidirectional" if self.directions == 2 else "forward",
            hidden_size=int(self.states[0].shape[2]),
            **options,
        )
        for kept, value in zip(self.last, last, strict=True):
            kept.append(value)
        return op.Reshape(op.Transpose(output, perm=[0, 2, 1, 3]), [0, 0, -1])

    def _tensors(self, number: int) -> list[Value]:
        """Return the weights and biases of one layer in one direction, with their gates in the order of ONNX."""
        own = self.params[number * self.each : (number + 1) * self.each]
        return [self._ordered(each) for each in own]

    def _ordered(self, tensor: Value) -> Value:
        order = self.kind.order
        if len(order) == 1:
            return tensor
        parts = op.Split(tensor, axis=0, num_outputs=len(order))
        return op.Concat(*[parts[at] for at in order], axis=0)


def _stacked(tensors: Sequence[Value]) -> Value:
    """Return tensors of all directions as one."""
    each = [op.Unsqueeze(tensor, [0]) for tensor in tensors]
    return op.Concat(*each, axis=0) if len(each) > 1 else each[0]


def _is_more(state: Value, directions: int) -> bool:
    """Return whether a state is that of several layers."""
    return int(state.shape[0]) != directions
