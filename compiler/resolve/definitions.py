"""Blocks: from the body of a document to a definition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from compiler.program import (
    BASE,
    BASE_CALL,
    BlockBody,
    Call,
    CallBody,
    Definition,
    Input,
    Item,
    LayerNode,
    ModuleBody,
    Parameter,
    Scope,
    SequenceBody,
    TensorEntry,
    TensorKind,
    ValueTree,
)
from compiler.resolve.borrow import ImpliedProgram, in_order, write_out
from compiler.resolve.extends import base_hidden, read_base
from compiler.resolve.layer_names import check_layer_key, check_layer_name
from compiler.resolve.mode import follow_mode, mode_problems
from compiler.resolve.nodes import DEFAULT_INPUT, NodeReader, reuses
from compiler.resolve.programs import ProgramNames, check_program
from compiler.resolve.rules import read_rules
from compiler.resolve.signatures import read_signature
from compiler.resolve.values import check_names, read_value
from compiler.rule_records import Rules
from spec_schema import document as doc
from spec_schema import layer_nodes as form
from spec_schema.diagnostics import Diagnostic, Label, SpecError
from spec_schema.grammar import Expression, Program, parse_expression, parse_program, parse_value
from spec_schema.keys import called, key_place, name_place, split_key
from spec_schema.names import name_problem
from spec_schema.reader import Scalar
from spec_schema.source import Span
from spec_schema.tensors import TRAINABLE, TensorType, parse_tensor

BODY = (
    doc.Body
    | Scalar
    | form.SequenceNode
    | form.Repeat
    | form.SplicedRepeat
    | form.Parallel
    | form.Residual
    | form.Choice
    | form.SplicedChoice
    | form.LongCall
)


class DefinitionReader:
    """Reads one block; what is wrong with it is collected in `problems`."""

    def __init__(
        self,
        name: str,
        parameters: tuple[Parameter, ...],
        scope: Scope,
        span: Span,
        inputs: tuple[Input, ...],
    ) -> None:
        self.name, self.parameters, self.scope, self.span = name, parameters, scope, span
        self.inputs = inputs
        self.problems: list[Diagnostic] = []
        own = {parameter.name for parameter in parameters}
        self.reader = NodeReader(scope, scope.names | own, set(), self.problems, name, own)

    def read(self, body: BODY) -> Definition:
        """Return the definition of a body."""
        for parameter in self.parameters:
            if parameter.default is not None:
                self.problems.extend(check_names(parameter.default, self.scope.names, self.scope))
        variables: dict[str, ValueTree] = {}
        rules = Rules()
        if isinstance(body, doc.Body):
            variables = self._variables(body)
            own = {*variables, *(parameter.name for parameter in self.parameters)}
            rules = read_rules(body, self.scope, self.problems, own)
            content: BlockBody = self._module(body)
        else:
            content = self._content(body)
        documentation = body.doc.text if isinstance(body, doc.Body) and body.doc else None
        return Definition(
            self.name,
            self.parameters,
            variables,
            self.inputs,
            content,
            rules,
            self.scope,
            self.span,
            documentation,
        )

    def _content(self, body: BODY) -> BlockBody:
        content = self._list(body)
        match content:
            case SequenceBody(items=[Item(node=Call(kind="layer" | "block"))] as items) if self._is_call(
                body
            ):
                return CallBody(tuple(items), reuses=False)
        return content

    def _is_call(self, body: BODY) -> bool:
        """Return whether the body of a block is one call and no list, so that the block is what is called."""
        is_block = self.scope.block_names.get(self.name) == self.span
        return is_block and isinstance(body, Scalar | form.LongCall)

    def _list(self, body: BODY) -> BlockBody:
        if isinstance(body, form.Residual):
            return self.reader.residual_body(body)
        if isinstance(body, form.Parallel):
            return self.reader.parallel_body(body)
        nodes = body.root if isinstance(body, form.SequenceNode) else [body]
        items = self.reader.items(nodes)
        return SequenceBody(items, reuses(items))

    def _variables(self, body: doc.Body) -> dict[str, ValueTree]:
        variables: dict[str, ValueTree] = {}
        for name in body.vars:
            try:
                value = read_value(body.table("vars")[name])
                self.problems.extend(check_names(value, self.reader.values, self.scope))
                variables[name] = value
            except SpecError as error:
                self.problems.extend(error.diagnostics)
            self.reader.values.add(name)  # also where its value is refused: who uses it is not at fault
            self.reader.own.add(name)
        return variables

    def _module(self, body: doc.Body) -> ModuleBody:
        for key, _ in body.forwards()[:1]:
            self._read_inputs(key)
        base = read_base(body, self.reader)
        layers = self._layers(body)
        written = body.keys_of("layers").values()
        spans = {split_key(at.text)[0]: key_place(at) for at in written}
        names = {called(at.text): name_place(at) for at in written}
        aliases = {key: name for key, name in (split_key(at.text) for at in written) if name is not None}
        tensors = self._tensors(body, {**spans, **names})
        if not body.has("extends"):
            return ModuleBody(layers, spans, tensors, self._program(body, names, tensors), aliases)
        place = body.at("extends")
        keys = body.keys_of("vars")
        named = {**spans, **names, **{name: keys[name].span for name in body.vars}}
        self.problems.extend(base_hidden(place, named, tensors, (*self.parameters, *self.inputs)))
        program = self._program(body, {BASE_CALL: place, **names}, tensors)
        made = {BASE: base, **layers} if base is not None else layers
        return ModuleBody(made, {BASE: place, **spans}, tensors, program, {BASE: BASE_CALL, **aliases})

    def _layers(self, body: doc.Body) -> dict[str, LayerNode]:
        layers: dict[str, LayerNode] = {}
        keys = body.keys_of("layers")
        seen: dict[str, Span] = {}
        for written, node in body.layers.items():
            key, name = split_key(written)[0], called(written)
            self._check_key(keys[written], bool(body.forwards()), seen)
            self.reader.path = f"{self.name}{name[:1].upper()}{name[1:]}".replace("-", "_")
            read = self._layer(name, node)
            if read is not None:
                layers[key] = read
            self.reader.layers.add(name)
        return layers

    def _check_key(self, written: Scalar, has_program: bool, seen: dict[str, Span]) -> None:
        """Note what is wrong with the key of a layer, and with the name that programs call it by."""
        key, name = split_key(written.text)[0], called(written.text)
        found = check_layer_key(key, key_place(written), is_named=name != key)
        if not found and has_program:
            found = [
                _uncallable(problem, key) for problem in [name_problem(name, name_place(written))] if problem
            ]
        for each, at in {key: key_place(written), name: name_place(written)}.items():
            if each in seen:
                message, labels = f"two layers are named `{each}`", (Label(seen[each], "the first one"),)
                found.append(Diagnostic("duplicate-name", message, at, labels=labels))
            seen.setdefault(each, at)
        self.problems.extend(found)

    def _layer(self, name: str, node: object) -> LayerNode | None:
        if not isinstance(node, form.SequenceNode):
            return self.reader.named_layer(node)
        try:
            return self.reader.layer_list(name, node)
        except SpecError as error:
            self.problems.extend(error.diagnostics)
            return None

    def _tensors(self, body: doc.Body, layers: dict[str, Span]) -> dict[str, TensorEntry]:
        tensors: dict[str, TensorEntry] = {}
        tables: tuple[tuple[TensorKind, Mapping[str, Scalar | doc.TensorEntry]], ...] = (
            ("parameter", body.parameters),
            ("buffer", body.buffers),
        )
        for kind, table in tables:
            keys = body.keys_of(f"{kind}s")
            for name, node in table.items():
                place = keys[name].span
                self.problems.extend(check_layer_name(name, place))
                if name in layers or name in tensors:
                    other = layers[name] if name in layers else tensors[name].span
                    message, labels = f"the block has another `{name}`", (Label(other, "the other"),)
                    self.problems.append(Diagnostic("duplicate-name", message, place, labels=labels))
                try:
                    tensors[name] = self._tensor(name, kind, node, place)
                except SpecError as error:
                    self.problems.extend(error.diagnostics)
        return tensors

    def _tensor(
        self, name: str, kind: TensorKind, node: Scalar | doc.TensorEntry, place: Span
    ) -> TensorEntry:
        node_type: TensorType | None
        if isinstance(node, Scalar):
            node_type, init, value, persistent, updated = parse_tensor(node), None, None, True, False
        else:
            node_type = parse_tensor(node.tensor) if node.tensor else None
            init = parse_expression(node.init) if node.init else None
            value = self._tensor_value(node.value) if node.value else None
            persistent = node.persistent is None or bool(node.persistent.value)
            updated = node.updated is not None and bool(node.updated.value)
            self._check_entry(kind, node, place)
        if kind == "parameter" and node_type is not None and node_type.dtype not in TRAINABLE:
            self.problems.append(_untrainable(name, node_type))
        known = self.reader.values | {entry.name for entry in self.inputs} | {"shape"}  # `x.shape[1]`
        for dimension in node_type.dimensions if node_type else ():
            self.problems.extend(check_names(dimension, known, self.scope))
        return TensorEntry(
            name, kind, node_type, init, value, persistent, place, updated and kind == "buffer"
        )

    def _check_entry(self, kind: str, node: doc.TensorEntry, place: Span) -> None:
        if node.value is not None and kind == "parameter":
            self.problems.append(
                Diagnostic(
                    "value-of-parameter",
                    "a parameter has an `init`, not a `value`",
                    node.at("value"),
                    help="write `init:`, or make it a buffer if it is not trained",
                )
            )
        if node.updated is not None and kind == "parameter":
            self.problems.append(_updated_parameter(node.at("updated")))
        if node.tensor is None and node.value is None:
            self.problems.append(Diagnostic("missing-key", "the key `tensor` is missing", place))

    def _tensor_value(self, text: Scalar) -> Program | Expression:
        """Read `value:`, an expression or a program of several statements."""
        source = parse_value(text)
        names = ProgramNames(frozenset(), {}, frozenset(), frozenset(self.reader.values), self.scope)
        note = "the value of a buffer is computed before there is an input"
        inputs = {f"nothing here is named `{entry.name}`" for entry in self.inputs}
        for problem in check_program(source, source.roots, names):
            self.problems.append(replace(problem, notes=(note,)) if problem.message in inputs else problem)
        self.problems.extend(mode_problems(source, source.roots, names))
        return source

    def _program(
        self, body: doc.Body, layers: dict[str, Span], tensors: dict[str, TensorEntry]
    ) -> Program | None:
        forwards = body.forwards()
        if forwards or self.reader.borrowing:
            self.problems.extend(_hidden_by_inputs(self.inputs, layers, tensors))
        if len(forwards) > 1:
            labels = (Label(forwards[0][0].span, "the first one"),)
            place = forwards[1][0].span
            self.problems.append(
                Diagnostic("two-forwards", "a block has one `forward`", place, labels=labels)
            )
        if not forwards:
            return self._implied_program(body, layers) if self.reader.borrowing else None
        text = forwards[0][1]
        thrown_away: list[Diagnostic] = []
        try:
            if not isinstance(text, Scalar) or not isinstance(text.value, str):
                raise SpecError(
                    [
                        Diagnostic(
                            "wrong-type",
                            "a forward program is a text",
                            text.span,
                            help="write `forward: |` and the program below it",
                        )
                    ]
                )
            program = parse_program(text, aside=thrown_away)
        except SpecError as error:
            self.problems.extend([*thrown_away, *error.diagnostics])
            return None
        self.problems.extend(thrown_away)
        inputs = frozenset(entry.name for entry in self.inputs)
        buffers = {name: entry.updated for name, entry in tensors.items() if entry.kind == "buffer"}
        values = frozenset(self.reader.values)
        names = ProgramNames(inputs, layers, frozenset(tensors), values, self.scope, buffers)
        self.problems.extend(check_program(program, program.body, names))
        program = follow_mode(program, names, self.problems)
        return write_out(program, self.reader.borrowing, self.problems) if self.reader.borrowing else program

    def _implied_program(self, body: doc.Body, layers: dict[str, Span]) -> Program:
        """Return the program that runs the layers in order, for a block with a list that runs them too."""
        first = next(iter(body.keys_of("layers").values()))
        empty = ImpliedProgram(first, "", 0, (), layers)
        program = in_order(list(layers), self.inputs[0].name, empty)
        return write_out(program, self.reader.borrowing, self.problems)

    def _read_inputs(self, key: Scalar) -> None:
        """Read `forward(a, b=None)`, before the tensors whose sizes may follow from an input."""
        if "(" in key.text:
            try:
                _, self.inputs = read_signature(key, Input)
            except SpecError as error:
                self.problems.extend(error.diagnostics)


def _hidden_by_inputs(
    inputs: Iterable[Input], layers: Mapping[str, Span], tensors: Mapping[str, TensorEntry]
) -> Iterator[Diagnostic]:
    """Yield the inputs that bear the name of a layer or tensor of the block, which no program could reach."""
    for entry in inputs:
        if entry.name in layers:
            what, place = "layer", layers[entry.name]
        elif entry.name in tensors:
            what, place = tensors[entry.name].kind, tensors[entry.name].span
        else:
            continue
        yield Diagnostic(
            "hidden-layer",
            f"the input `{entry.name}` hides the {what} `{entry.name}`",
            entry.span,
            labels=(Label(place, f"the {what}"),),
            help="give one of them another name",
        )


def _updated_parameter(place: Span) -> Diagnostic:
    """Return the refusal of a parameter that a program would give new values."""
    message = "a parameter is changed by the optimiser alone"
    help = "what a program updates stands under `buffers:`"
    return Diagnostic("updated-parameter", message, place, help=help)


def _uncallable(problem: Diagnostic, key: str) -> Diagnostic:
    """Return the refusal of a layer that no program can call."""
    name = "layer_" + key.strip("-_").replace("-", "_")
    help = f"give it a name that the program calls it by: `{key} as {name}`"
    return replace(problem, message=f"{problem.message}, by which a program could call it", help=help)


def _untrainable(name: str, declared: TensorType) -> Diagnostic:
    """Return the refusal of a parameter whose dtype has no gradient."""
    return Diagnostic(
        "integer-parameter",
        f"the parameter `{name}` is {declared.dtype}, which has no gradient",
        declared.span,
        help=f"a tensor that is not trained stands under `buffers:`: `{name}: {declared}`",
    )


def default_inputs(span: Span) -> tuple[Input, ...]:
    """Return the inputs of a block that declares none."""
    return (Input(DEFAULT_INPUT, None, span),)
