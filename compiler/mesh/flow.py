"""What becomes of the parts that split layers give: followed through each block, to the layers that take them.

Between a `colwise` layer and a `rowwise` one, each rank computes with its own columns alone. That is what the whole
model computes only where every operation in between treats columns, or heads of them, one by one. What is known to do
otherwise is refused with its place: a fused weight whose columns are several parts, heads that the ranks do not
divide, a layer with parameters, a sum with what is whole. Where nothing takes parts, outputs are made whole again.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from compiler.infer.infer import Inferred
from compiler.infer.states import BlockState, Chain, Leaf, Operation, State
from compiler.mesh.columns import (
    CUTS,
    Axis,
    Literal,
    Part,
    Value,
    cuts_last,
    part_at,
    part_sizes,
    ranks_that_divide,
    takes_columns,
)
from compiler.mesh.local_numbers import local_form
from compiler.mesh.plan import LayerSplit
from compiler.program import ModuleBody, ParallelBody, ResidualBody, SequenceBody
from compiler.rules.plan import Plan
from compiler.rules.table import ModuleRow
from spec_schema.clock import check_time
from spec_schema.diagnostics import Diagnostic, Label, SpecError, refuse
from spec_schema.evaluate import evaluate
from spec_schema.grammar import Expression, Program
from spec_schema.source import Span
from spec_schema.walk import walk


def flows(
    inferred: Inferred,
    plan: Plan,
    layers: Mapping[str, LayerSplit],
    local: Mapping[str, Mapping[str, int]],
    axis: Axis,
    problems: list[Diagnostic],
) -> dict[str, LayerSplit]:
    """Return the splits with what is known of their inputs and outputs, noting in `problems` what goes wrong."""
    found = dict(layers)
    known: dict[object, Mapping[str, LayerSplit]] = {}
    modules = {row.name: row for row in plan.table.modules}
    for around in dict.fromkeys(path.rpartition(".")[0] for path in layers):
        row = modules[around]
        inside = {p.rpartition(".")[2]: s for p, s in layers.items() if p.rpartition(".")[0] == around}
        check_time(next(iter(inside.values())).reason.place)
        key = row.state, tuple(inside.items()), tuple(local.get(around, {}).items())
        if key not in known:
            followed = Block(inferred, plan, row, inside, local.get(around, {}), axis)
            try:
                known[key] = followed.splits()
            except SpecError as error:
                problems.extend(error.diagnostics)
                known[key] = inside
        prefix = f"{around}." if around else ""
        found.update((prefix + name, split) for name, split in known[key].items())
    return found


@dataclass(eq=False)
class Block:
    """Follows the values of one block or list of layers. `layers` are those in it that are split."""

    inferred: Inferred
    plan: Plan
    row: ModuleRow
    layers: Mapping[str, LayerSplit]
    local: Mapping[str, int]
    axis: Axis
    taking: set[str] = field(default_factory=set)
    """The layers that got a part."""

    def splits(self) -> dict[str, LayerSplit]:
        """Return what is split in it, with what is known of inputs and outputs.

        Raises:
            SpecError: a part is used as if it were whole.
        """
        whole = self._run(gathers=not any(split.style == "rowwise" for split in self.layers.values()))
        if not self.taking:  # nothing takes parts: each output is whole again
            whole = self._run(gathers=True)
        if whole is not None:
            raise self._whole_needed(whole, self._place(), "the result of the block is")
        gathers = not self.taking
        for name, split in self.layers.items():
            if gathers and split.fused is not None:
                raise self._whole_needed(Part(name), split.reason.place, "what follows gets")
        return {
            name: replace(
                split, is_gathered=gathers and split.style == "colwise", takes_part=name in self.taking
            )
            for name, split in self.layers.items()
        }

    def _place(self) -> Span:
        return next(iter(self.layers.values())).reason.place

    def _whole_needed(self, part: Part, place: Span, what: str) -> SpecError:
        return refuse(
            "split-flow",
            f"{what} a part of what `{part.since}` gives, where the whole is needed",
            place,
            labels=self._labels(part.since, place),
            help="let a `rowwise` layer take the parts, or leave the layer whole",
        )

    def _labels(self, layer: str, place: Span) -> tuple[Label, ...]:
        rule = self.layers[layer].reason.place if layer in self.layers else None
        return (Label(rule, f"splits `{layer}`"),) if rule is not None and rule != place else ()

    # Bodies.

    def _run(self, gathers: bool) -> Value:
        """Return what the block gives. With `gathers` the layers that are split give what is whole."""
        self.gathers = gathers
        state = self.row.state
        if isinstance(state, Chain):
            return self._in_order(zip(state.names, state.states, strict=True), None)
        assert isinstance(state, BlockState)
        body = state.definition.body
        if isinstance(body, ParallelBody):
            outputs = [
                self._layer(name, child, [None], self._place()) for name, child in state.children.items()
            ]
            return next(filter(None, outputs), None)
        if isinstance(body, ModuleBody) and body.program is not None:
            return self._program(body, body.program, state)
        ordered = state.order if isinstance(body, SequenceBody) else ()
        names = [name for name, _ in ordered] or list(state.children)
        result = self._in_order([(name, state.children[name]) for name in names], None)
        if isinstance(body, ResidualBody) and result is not None:
            raise self._whole_needed(result, self._place(), "what is added to the input is")
        return result

    def _in_order(self, layers: Iterable[tuple[str, State]], value: Value) -> Value:
        for name, state in layers:
            value = self._layer(name, state, [value], self._place())
        return value

    # One layer.

    def _layer(self, name: str, state: State | None, inputs: Sequence[Value], place: Span) -> Value:
        """Return what a layer gives for its inputs."""
        part = next(filter(None, inputs), None)
        split = self.layers.get(name)
        if split is None:
            if part is not None and self._has_tensors(name):
                raise refuse(
                    "split-flow",
                    f"`{name}` has parameters and gets a part of what `{part.since}` gives: each rank would train "
                    "them with its part alone",
                    place,
                    labels=self._labels(part.since, place),
                    help=f"split `{name}` too, or leave `{part.since}` whole",
                )
            if isinstance(state, Operation) and part is not None and part.of is not None:
                written = [None, *state.positional]
                return self._operation(state.name, part, written, state.keywords, place, state.keywords)
            return Part(part.since) if part is not None else None
        takes = split.style == "rowwise" and isinstance(state, Leaf) and isinstance(state.module, nn.Linear)
        if takes and part is not None:
            self.taking.add(name)
            return None
        if part is not None:
            raise self._whole_needed(part, place, f"what `{name}` gets is")
        return Part(name, name) if split.style == "colwise" and not self.gathers else None

    def _has_tensors(self, name: str) -> bool:
        prefix = f"{self.row.name}.{name}." if self.row.name else f"{name}."
        rows = self.plan.table.below(self.row.steps)
        return any(row.kind == "parameter" and row.name.startswith(prefix) for row in rows)

    # Programs.

    def _program(self, body: ModuleBody, program: Program, state: BlockState) -> Value:
        called = {body.called(name): name for name in body.layers}
        return _Run(self, program, state, called).result()

    def _operation(
        self,
        name: str,
        part: Part,
        arguments: Sequence[object],
        keywords: Mapping[str, object],
        place: Span,
        local: Mapping[str, object],
    ) -> Part:
        """Return what an operation makes of the output of a layer. `local` has the keywords as one rank has them.

        Raises:
            SpecError: it takes the columns apart otherwise than the ranks do.
        """
        assert part.of is not None
        if name == "rearrange":
            pattern = next((each for each in arguments if isinstance(each, str)), "")
            self._check_pattern(part.of, pattern, keywords, local, place)
        elif name in CUTS and cuts_last(name, arguments, keywords) and self.layers[part.of].fused is None:
            raise self._fused(part.of, f"`{name}`", place)
        return Part(part.since)

    def _fused(self, layer: str, what: str, place: Span) -> SpecError:
        return refuse(
            "fused-columns",
            f"{what} takes the columns of `{layer}` for several parts, and a rank would have columns of some of them",
            place,
            labels=self._labels(layer, place),
            help=f"split each part: `{layer}: split('(three h d) ...', h, three=3, h=heads)`, as its rows are made",
        )

    def _check_pattern(
        self,
        layer: str,
        pattern: str,
        keywords: Mapping[str, object],
        local: Mapping[str, object],
        place: Span,
    ) -> None:
        """Refuse a pattern whose columns are not those of one rank, counted by its numbers."""
        left = pattern.partition("->")[0].strip()
        if not left.endswith(")"):
            return
        names = left[left.rindex("(") + 1 : -1].split()
        columns = self._columns(layer)
        whole, part = (
            part_sizes(names, given, size)
            for given, size in ((keywords, columns), (local, columns // self.axis[1]))
        )
        split = self.layers[layer]
        at = part_at(names, whole, split) if split.fused is not None else 0
        axis, ranks = self.axis
        if whole is None or at is None:
            raise self._fused(layer, "this pattern", place)
        if split.fused is None and len(names) > 1 and isinstance(keywords.get(names[0]), Literal):
            raise self._fused(layer, "this pattern", place)
        if whole[at] % ranks:
            raise refuse(
                "uneven-split",
                f"`{layer}` gives {whole[at]} of `{names[at]}`, and the {ranks} ranks of `{axis}` do not divide them",
                place,
                labels=self._labels(layer, place),
                help=f"choose a number of `{names[at]}` that they divide, or fewer ranks: "
                f"`--mesh {axis}={ranks_that_divide(whole[at], ranks)}`",
            )
        wanted = [size // ranks if number == at else size for number, size in enumerate(whole)]
        if part != wanted:
            raise refuse(
                "local-number",
                f"each rank has {wanted[at]} of `{names[at]}`, and the program counts {whole[at]}",
                place,
                labels=self._labels(layer, place),
                help=f"write the number of one rank under `local`: `{local_form(self.row, whole[at], axis)}`",
            )

    def _columns(self, layer: str) -> int:
        name = f"{self.row.name}.{layer}.weight" if self.row.name else f"{layer}.weight"
        shape = self.plan.table.by_name[name].tensor.shape
        return int(shape[0])


@dataclass(eq=False)
class _Run:
    """Follows the statements of a program."""

    block: Block
    program: Program
    state: BlockState
    called: Mapping[str, str]
    values: dict[str, Value] = field(default_factory=dict)
    returned: Value = None

    def result(self) -> Value:
        """Return what the program returns."""
        self._statements(self.program.body)
        return self.returned

    def _statements(self, body: Iterable[ast.stmt]) -> None:
        for each in body:
            self._statement(each)

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                made = self._value(value)
                for target in targets:
                    self._assign(target, made)
            case ast.AugAssign(target=ast.Name(id=name), value=value):
                self.values[name] = self._joined([self.values.get(name), self._value(value)], node)
            case ast.Return(value=ast.expr() as value):
                self.returned = self._value(value) or self.returned
            case ast.For(target=target, iter=over, body=body):
                for _ in range(2):  # what the first turn makes, the second may read
                    self._assign(target, self._value(over))
                    self._statements(body)
            case ast.If(test=test, body=body, orelse=otherwise):
                self._value(test)
                before = dict(self.values)
                self._statements(body)
                after, self.values = self.values, before
                self._statements(otherwise)
                self.values.update((name, value) for name, value in after.items() if value is not None)
            case ast.Expr(value=value):
                self._value(value)

    def _assign(self, target: ast.expr, value: Value) -> None:
        for name in walk(target):
            if isinstance(name, ast.Name):
                is_one = isinstance(target, ast.Name)
                self.values[name.id] = value if is_one or value is None else Part(value.since)

    def _value(self, node: ast.expr) -> Value:
        match node:
            case ast.Name(id=name):
                return self.values.get(name)
            case ast.Call():
                return self._call(node)
            case ast.Subscript(value=value, slice=index):
                made = self._value(value)
                of = made.of if made is not None and takes_columns(index) else None
                if of is not None and self.block.layers[of].fused is None:
                    raise self.block._fused(of, "this index", self.program.span(node))
                return Part(made.since) if made is not None else None
            case ast.Attribute(attr="shape" | "ndim" | "dtype" | "device"):
                return None
        inner = [self._value(each) for each in ast.iter_child_nodes(node) if isinstance(each, ast.expr)]
        return self._joined(inner, node)

    def _joined(self, inner: Sequence[Value], node: ast.AST) -> Value:
        """Return what comes of several values. Own tensors of the block among them would be trained by a part."""
        part = next(filter(None, inner), None)
        if part is None:
            return None
        own = {each.id for each in walk(node) if isinstance(each, ast.Name)} & set(self.state.tensors)
        body = self.state.definition.body
        trained = [
            name for name in own if isinstance(body, ModuleBody) and body.tensors[name].kind == "parameter"
        ]
        if trained:
            raise refuse(
                "split-flow",
                f"`{trained[0]}` meets a part of what `{part.since}` gives: a rank would train it with its part alone",
                self.program.span(node),
                labels=self.block._labels(part.since, self.program.span(node)),
                help=f"leave `{part.since}` whole",
            )
        return Part(part.since)

    def _call(self, node: ast.Call) -> Value:
        inputs = [self._value(each) for each in (*node.args, *(k.value for k in node.keywords))]
        place = self.program.span(node)
        if isinstance(node.func, ast.Name) and node.func.id in self.called:
            name = self.called[node.func.id]
            return self.block._layer(name, self.state.children.get(name), inputs, place)
        method = isinstance(node.func, ast.Attribute)
        if isinstance(node.func, ast.Attribute):
            inputs = [self._value(node.func.value), *inputs]
            name = node.func.attr
        elif isinstance(node.func, ast.Name):
            name = node.func.id
        else:
            return self._joined(inputs, node)
        first = inputs[0] if inputs else None
        if first is not None and first.of is not None:
            written = [None, *node.args] if method else list(node.args)
            arguments = [self._number(each, False) for each in written]
            keywords = {k.arg: self._number(k.value, False) for k in node.keywords if k.arg}
            local = {k.arg: self._number(k.value, True) for k in node.keywords if k.arg}
            return self.block._operation(name, first, arguments, keywords, place, local)
        return self._joined(inputs, node)

    def _number(self, node: ast.expr | None, local: bool) -> object:
        """Return the value of an argument where it is known when the spec is compiled, None where it is not."""
        if node is None:
            return None
        if isinstance(node, ast.Constant):
            is_number = type(node.value) is int
            return Literal(node.value) if is_number else node.value  # type: ignore[arg-type]
        values = {
            **self.block.inferred.program.variables,
            **self.state.values,
            **(self.block.local if local else {}),
        }
        try:
            return self._evaluated(node, values)
        except SpecError:
            return None

    def _evaluated(self, node: ast.expr, values: Mapping[str, object]) -> object:
        source = self.program
        return evaluate(Expression(source.scalar, source.text, source.start, node), values)
