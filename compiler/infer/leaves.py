"""Layers of the catalogue: made at their first call, when their input tells the sizes that the spec leaves out."""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from compiler.catalogue.deferral import SIDE_INPUTS
from compiler.catalogue.layers import CannotInfer, infer
from compiler.catalogue.unheard import unheard
from compiler.infer import made
from compiler.infer.arguments import Given
from compiler.infer.block_parameters import float_dtype, open_size
from compiler.infer.calls import TORCH_ERRORS
from compiler.infer.context import Context
from compiler.infer.dtypes import FLOAT, Dtypes
from compiler.infer.layer_dtypes import compared_inputs, convert, in_two_dtypes, saved_floats
from compiler.infer.made import Made
from compiler.infer.on_meta import undrawn
from compiler.infer.one_dtype import OneDtypeInside
from compiler.infer.reasons import needs_values, reason
from compiler.infer.states import Leaf, State
from compiler.infer.symbols import size_text
from compiler.infer.torch_order import check_torch_order, torch_help
from compiler.infer.values import Recipe, freeze, show, tensors_in
from compiler.infer.watched import watched
from compiler.program import Call
from spec_schema.diagnostics import Diagnostic, Label, SpecError, refuse
from spec_schema.source import Span

KEEPS_SHAPES = "torch.nn.modules.dropout"
"""The module of layers that may fail to be made, and whose output has the shape of their input for sure."""
FEW = 8
"""Layers in one of torch, which are soon made and called."""


@dataclass(eq=False)
class Leaves:
    """Calls layers of the catalogue. Layers with equal arguments share one module on the meta device."""

    engine: Context
    modules: dict[Hashable, Made] = field(default_factory=dict)
    aside: list[Diagnostic] | None = None
    """Gets the refusals of layers that change no shape, so that those behind them are looked at too."""

    def call(
        self, state: Leaf, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span, where: str
    ) -> tuple[State, Any]:
        if state.module is None:
            state = self._shape_leaf(state, [*inputs, *keywords.values()], place)
        assert state.module is not None
        if self.engine.changed:
            self._check_sizes(state, [*inputs, *keywords.values()], place)
        with unheard():
            self._check_dtypes(state, inputs, keywords, place)
        try:
            with self._watched(state, state.values, place), self._compared(state, inputs, keywords, place):
                return state, state.module(*inputs, **keywords)
        except SpecError:
            raise
        except TORCH_ERRORS as error:
            refused = self._wrong_inputs(state, inputs, keywords, place)
            raise SpecError([refused or self._leaf_refused(state, inputs, error, place)]) from None

    def _watched(self, state: Leaf, values: Mapping[str, Any], place: Span) -> AbstractContextManager[None]:
        """Let the clock end what a layer does where that may be long. To look costs a tenth of the time."""
        many = any(name.endswith("layers") and isinstance(n, int) and n > FEW for name, n in values.items())
        own = state.layer.source != "torch.nn"
        return watched(place, self.engine.trail.notes) if many or own else nullcontext()

    def shape(self, state: Leaf, place: Span, inputs: Sequence[Any] = ()) -> Leaf:
        """Return a layer that no call has reached, with its tensors: its sizes are written, or follow from inputs."""
        return self._shape_leaf(state, inputs, place)

    def _check_sizes(self, state: Leaf, inputs: Sequence[Any], place: Span) -> None:
        """Refuse a layer whose inferred sizes are others where an open dimension has another size."""
        written = {name: value for name, value in state.values.items() if name not in state.inferred}
        try:
            sizes = infer(state.layer, written, inputs)
        except CannotInfer:
            return  # the call itself says what is wrong with its inputs
        for name, size in state.inferred.items():
            if sizes[name] != size:
                what = f"`{name}` of this {state.layer.name}"
                label = f"gets {', '.join(map(show, inputs))}"
                raise open_size(self.engine, what, (size, sizes[name]), place, label)
        for nested in state.nested.values():
            self._check_sizes(nested, inputs[:1], place)

    def _check_dtypes(
        self, state: Leaf, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span
    ) -> None:
        """Refuse an input that the parameters are not multiplied with: on the meta device torch lets it pass."""
        parameters = state.module.parameters() if state.module is not None else ()
        own = next((p.dtype for p in parameters if p.is_floating_point()), None)
        if own is None or state.layer.source != "torch.nn":
            return
        for given in compared_inputs(state, inputs, keywords):
            if given.dtype != own:
                wanted, found = (str(each).removeprefix("torch.") for each in (own, given.dtype))
                raise refuse(
                    "dtype-mismatch",
                    f"`{state.layer.name}` takes {wanted}, and gets {found}",
                    place,
                    label=f"gets {found}{show(given)}",
                    labels=(*self._declared(state.node, place), *_rule_of(state)),
                    notes=self.engine.trail.notes(),
                    help=f"convert it: `to({wanted})` in a list, `x.to({wanted})` in a program"
                    if given.dtype.is_floating_point
                    else f"look numbers up in an `Embedding`, or convert them: `to({wanted})`",
                )

    def _compared(
        self, state: Leaf, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span
    ) -> AbstractContextManager[object]:
        """Let what a plugin's layer calls be checked where tensors of several dtypes meet in it."""
        if state.layer.source == "torch.nn" or state.module is None:
            return nullcontext()
        given = tensors_in([*inputs, *keywords.values()])
        tensors = (*state.module.parameters(), *state.module.buffers(), *given)
        if len({tensor.dtype for tensor in tensors if tensor.is_floating_point()}) < 2:
            return nullcontext()
        return OneDtypeInside(state.layer.name, place, self.engine.trail.notes())

    def _shape_leaf(self, state: Leaf, inputs: Sequence[Any], place: Span) -> Leaf:
        try:
            sizes: dict[str, object] = dict(infer(state.layer, state.values, inputs))
        except CannotInfer as error:
            several = inputs and isinstance(inputs[0], list | tuple)
            raise refuse(
                "cannot-infer",
                f"`{error.argument}` of `{state.layer.name}` cannot be inferred: {error.reason}",
                state.node.span,
                notes=(f"its input is {', '.join(map(show, inputs))}", *self.engine.trail.notes()),
                help="take the values apart in a `forward` program: `y, state = lstm(x)`"
                if several
                else None,
            ) from None
        check_torch_order(state, sizes)
        nested = {
            name: self._nested(value, inputs, place, state.dtypes.settled)
            for name, value in state.values.items()
            if isinstance(value, Recipe)
        }
        values = {**state.values, **sizes, **{name: leaf.module for name, leaf in nested.items()}}
        made = self._made(state, values)
        return replace(
            state,
            inferred=sizes,
            module=made.module,
            nested=nested,
            first_call=place,
            dtype=made.dtype,
            cast=made.cast,
        )

    def _nested(self, value: Recipe, inputs: Sequence[Any], place: Span, dtypes: Dtypes) -> Leaf:
        """Return an argument that is a layer itself: it is made for the same input."""
        state = self.engine.builder.from_call(value.call, Given(value.positional, value.keywords))
        if not isinstance(state, Leaf):
            raise refuse(
                "not-a-layer",
                f"`{value}` cannot be an argument of a layer",
                value.call.span,
                help="a layer of the catalogue can",
            )
        return self._shape_leaf(replace(state, dtypes=dtypes), inputs[:1], place)

    def _made(self, state: Leaf, values: Mapping[str, Any]) -> Made:
        """Return a layer in the dtype of its tensors, whose names a rule may say."""
        made = self._module(state, values, state.dtypes.dtype)
        dtype = self._one_dtype(state, made.module)
        return made if dtype == made.dtype else self._module(state, values, dtype)

    def _one_dtype(self, state: Leaf, module: nn.Module) -> torch.dtype:
        """Return the dtype that rules give to the tensors of a layer, or refuse several: it computes in one."""
        with unheard():
            inside = [(steps, state.dtypes.inside(steps)) for steps, tensor in saved_floats(module)]
        first, first_dtypes = inside[0] if inside else ((), state.dtypes)
        for steps, dtypes in inside:
            if dtypes.dtype != first_dtypes.dtype:
                raise in_two_dtypes(state, (first, first_dtypes), (steps, dtypes))
        return first_dtypes.dtype

    def _module(self, state: Leaf, values: Mapping[str, Any], dtype: torch.dtype) -> Made:
        plain = {k: v for k, v in values.items() if not isinstance(v, nn.Module)}
        key = (state.layer.cls, freeze(plain), dtype, state.dtypes.rule is None)
        is_plain = len(plain) == len(values)
        if is_plain and key in self.modules:
            return self.modules[key]
        is_alike = is_plain and made.is_alike(state.layer, values)
        before = made.known((key, self.engine.limits)) if is_alike else None
        if before is not None:
            return self.modules.setdefault(key, before)
        found = self._made_new(state, values, dtype)
        if is_plain:
            self.modules[key] = found
        if is_alike and isinstance(found.module, state.layer.cls):
            made.keep((key, self.engine.limits), found)
        return found

    def _made_new(self, state: Leaf, values: Mapping[str, Any], dtype: torch.dtype) -> Made:
        self._check_layers_in_one(state, values)
        given = {"dtype": dtype} if state.layer.takes_dtype and dtype != FLOAT else {}
        try:
            own = state.layer.source == "torch.nn"
            with float_dtype(FLOAT), self._watched(state, values, state.node.span), undrawn(own):
                module: nn.Module = state.layer.cls(**values, **given).eval()
        except TORCH_ERRORS as error:
            problem = self._construction_refused(state, values, error)
            if self.aside is None or state.layer.cls.__module__ != KEEPS_SHAPES:
                raise SpecError([problem]) from None
            if all(each.span != problem.span for each in self.aside):  # once, however many copies there are
                self.aside.append(problem)
            module = nn.Identity()
        with unheard():
            to_meta(module)
            self._check_dimensions(state, module)
        converts = not state.layer.takes_dtype and state.dtypes.rule is not None
        return Made(module, dtype, converts and convert(module, dtype))

    def _check_layers_in_one(self, state: Leaf, values: Mapping[str, Any]) -> None:
        """Refuse a layer of very many layers before it is made: that takes time and memory for each."""
        limit = self.engine.limits.layers_in_one
        for name, value in values.items():
            if name.endswith("layers") and isinstance(value, int) and value > limit:
                notes = (f"the limit is {limit:,}", *self.engine.trail.notes())
                raise refuse(
                    "too-many-modules", f"`{name}` is {value:,}", self._place(state, name), notes=notes
                )

    def _check_dimensions(self, state: Leaf, module: nn.Module) -> None:
        limit = self.engine.limits.dimension
        for name, parameter in module.named_parameters():
            size = max((int(each) for each in parameter.shape), default=0)
            if size > limit:
                message = f"`{name}` of `{state.layer.name}` would have a dimension of {size:,}"
                notes = (f"the limit is {limit:,}", *self.engine.trail.notes())
                raise refuse("bad-size", message, state.node.span, notes=notes)

    def _place(self, state: Leaf, name: str) -> Span:
        """Return where an argument stands, or the call if it has no name there."""
        return next((a.span for a in state.node.arguments if a.name == name), state.node.span)

    def _construction_refused(self, state: Leaf, values: Mapping[str, Any], error: Exception) -> Diagnostic:
        sizes = {name: value for name, value in values.items() if name not in state.values}
        inside = ", ".join(f"{name} = {size_text(value)}" for name, value in sizes.items())
        notes = (f"inferred: {inside}",) if inside else ()
        if needs_values(error):
            return self._values_needed(
                f"the constructor of `{state.layer.name}`",
                error,
                state.node.span,
                'make the tensors that it looks at with `device="cpu"`',
            )
        return Diagnostic(
            "bad-argument",
            f"`{state.layer.name}` cannot be made: {reason(error)}",
            state.node.span,
            notes=(*notes, *self.engine.trail.notes()),
            help=torch_help(state, sizes),
        )

    def _values_needed(self, what: str, error: Exception, place: Span, help: str) -> Diagnostic:
        return Diagnostic(
            "needs-values",
            f"{what} looks at the values of a tensor, and there are none while shapes are inferred",
            place,
            notes=(f"torch says: {reason(error)}", *self.engine.trail.notes()),
            help=help,
        )

    def _wrong_inputs(
        self, state: Leaf, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span
    ) -> Diagnostic | None:
        """Return a diagnostic if the layer does not take so many inputs, or none of that name."""
        takes = inspect.signature(state.layer.cls.forward)
        try:
            takes.bind(state.module, *inputs, **keywords)
        except TypeError:
            name, parameters = state.layer.name, list(takes.parameters.values())[1:]
            names = [each.name for each in parameters]
            unknown = next((keyword for keyword in keywords if keyword not in names), None)
            low = sum(each.default is inspect.Parameter.empty for each in parameters)
            count = f"{low}" if low == len(names) else f"{low} to {len(names)}"
            takes_so_many = (
                f"takes {count} input{'' if count == '1' else 's'}, and gets {len(inputs) + len(keywords)}"
            )
            return Diagnostic(
                "input-count",
                f"`{name}` {takes_so_many}" if unknown is None else f"`{name}` has no input `{unknown}`",
                place,
                labels=self._declared(state.node, place),
                notes=(*[f"inputs: {', '.join(names)}"] * (len(names) > 1), *self.engine.trail.notes()),
            )
        return None

    def _leaf_refused(self, state: Leaf, inputs: Sequence[Any], error: Exception, place: Span) -> Diagnostic:
        wrong = self._wrong_size(state, inputs)
        if wrong:
            return wrong
        if state.layer.source != "torch.nn" and needs_values(error):
            return self._values_needed(
                f"`{state.layer.name}`",
                error,
                place,
                "compute with tensors: `torch.where` does what an `if` on a tensor would",
            )
        return Diagnostic(
            "shape-mismatch",
            f"`{state.layer.name}` refuses its input: {reason(error)}",
            place,
            label=f"gets {', '.join(map(show, inputs))}" if inputs else "",
            labels=self._declared(state.node, place),
            notes=self.engine.trail.notes(),
            help=torch_help(state, state.inferred) or _side_sizes(state, inputs),
        )

    def _declared(self, node: Call, place: Span) -> tuple[Label, ...]:
        same = node.span.file is place.file and node.span.start <= place.start <= node.span.end
        return () if same else (Label(node.span, "the layer"),)

    def _wrong_size(self, state: Leaf, inputs: Sequence[Any]) -> Diagnostic | None:
        """Return a diagnostic if a size that the spec writes is not the one that follows from the input."""
        deferred = {each.name for each in state.layer.arguments if each.deferred}
        written = {name: value for name, value in state.values.items() if name in deferred}
        free = {name: value for name, value in state.values.items() if name not in deferred}
        try:
            actual = infer(state.layer, free, inputs)
        except CannotInfer:
            return None
        for name, value in written.items():
            if actual.get(name) != value:
                argument = next(a for a in state.node.arguments if a.name == name)
                return Diagnostic(
                    "wrong-size",
                    f"`{name}` is {size_text(actual.get(name))}, and the spec says {show(value)}",
                    argument.span,
                    label=f"the input is {show(inputs[0])}",
                    notes=self.engine.trail.notes(),
                    help="leave it out: it follows from the input",
                )
        for name, size in state.inferred.items():
            if name in actual and actual[name] != size:
                return Diagnostic(
                    "shape-mismatch",
                    f"`{name}` of this {state.layer.name} was inferred as {size} by "
                    f"an earlier call, and is {size_text(actual[name])} here",
                    self.engine.trail.frames[-1].place if self.engine.trail.frames else state.node.span,
                    labels=self._declared(state.node, self.engine.trail.frames[-1].place),
                    notes=self.engine.trail.notes(),
                    help="name two layers: one that runs twice gets equal sizes each time",
                )
        return None


def _rule_of(state: Leaf) -> tuple[Label, ...]:
    """Return a label at the rule that gives a layer another dtype than the whole model has."""
    rule = state.dtypes.rule
    if rule is None or rule.dtype_span is None or not rule.selector.components:
        return ()
    return (Label(rule.dtype_span, f"the dtype of this {state.layer.name}"),)


def to_meta(module: nn.Module) -> None:
    """Move what a constructor made elsewhere, of NumPy's arrays say, to the meta device. What is one stays one."""
    moved: dict[int, Tensor] = {}
    for part in module.modules():
        for tensors in (part._parameters, part._buffers):
            for name, tensor in tensors.items():
                if tensor is not None and not tensor.is_meta:
                    tensors[name] = moved.setdefault(id(tensor), _on_meta(tensor))  # type: ignore[assignment]


def _on_meta(tensor: Tensor) -> Tensor:
    there = tensor.detach().to("meta")
    return nn.Parameter(there, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else there


def _side_sizes(state: Leaf, inputs: Sequence[Any]) -> str | None:
    """Return a help with the sizes of further inputs, if they differ from that of the first."""
    names = {each.name for each in state.layer.arguments} - state.values.keys()
    sides = {name: at for name, at in SIDE_INPUTS.items() if name in names and at < len(inputs)}
    sizes = {name: inputs[at].shape[-1] for name, at in sides.items() if isinstance(inputs[at], Tensor)}
    if not sizes or all(size == inputs[0].shape[-1] for size in sizes.values()):
        return None
    written = ", ".join(f"{name}={size_text(size)}" for name, size in sizes.items())
    return f"its other inputs have sizes of their own: write `{written}`"
