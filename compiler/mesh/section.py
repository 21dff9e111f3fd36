"""The `mesh` section with every name looked up, and everything checked that can be without a rank."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from compiler.infer.infer import Inferred
from compiler.infer.states import BlockState
from compiler.mesh.flow import flows
from compiler.mesh.local_numbers import local_problems
from compiler.mesh.plan import MeshPlan, Reason
from compiler.mesh.splits import Splitter
from compiler.mesh.units import batch_norms, statistics_problems, unit_problems
from compiler.program import ModuleBody, names_in
from compiler.rule_records import Rules, SelectorRule
from compiler.rules.items import bind, takes_nothing
from compiler.rules.plan import Plan
from compiler.rules.table import ModuleRow, RuleScope
from compiler.rules.unused import unused_selector
from spec_schema.clock import check_time, stage
from spec_schema.diagnostics import Diagnostic, SpecError, refuse
from spec_schema.evaluate import evaluate
from spec_schema.grammar import Expression, parse_expression
from spec_schema.mesh_section import Mesh
from spec_schema.reader import Entries, Items, Scalar
from spec_schema.selectors import parse_selector, read_selector
from spec_schema.source import SourceFile, Span
from spec_schema.suggest import did_you_mean

T = TypeVar("T")
OPTION = "--mesh"
"""What the caller's sizes are read from, as diagnostics name it."""
LARGEST = 2**20
"""Ranks of one axis."""


@stage("mesh")
def read_mesh(inferred: Inferred, plan: Plan, sizes: Mapping[str, int]) -> MeshPlan:
    """Return the checked plan of a mesh. `sizes` of axes replace those of the spec, which are for a section alone.

    Raises:
        SpecError: with every reason why the section is refused.
    """
    document = inferred.program.document
    if document.mesh is not None:
        return MeshReader(inferred, plan, document.mesh, document.at("mesh"), sizes).read()
    text = ",".join(f"{name}={size}" for name, size in sizes.items())
    raise refuse(
        "unknown-axis",
        "the spec has no section `mesh`, and so no axes",
        Span(SourceFile(OPTION, text), 0, len(text)),
        help=f"write one: `mesh: {{axes: {{{next(iter(sizes))}: 2}}, shard: {next(iter(sizes))}}}`",
    )


@dataclass(eq=False)
class MeshReader:
    """Reads one section; problems are collected."""

    inferred: Inferred
    plan: Plan
    mesh: Mesh
    span: Span
    sizes: Mapping[str, int]
    problems: list[Diagnostic] = field(default_factory=list)
    local_places: dict[str, Span] = field(default_factory=dict)

    def read(self) -> MeshPlan:
        """Return the plan, or raise what is wrong with the section."""
        axes = self._axes()
        shard, replicate = (self._role(key, axes) for key in ("shard", "replicate"))
        if shard is not None and shard == replicate:
            message = f"`{shard}` cannot both shard and replicate"
            help = "name another axis, or leave one of the two out"
            self.problems.append(Diagnostic("unknown-axis", message, self.mesh.at("replicate"), help=help))
        self._stop()
        tensor = self._tensor_axis(axes, {shard, replicate})
        splitter = Splitter(self.inferred, self.plan, axes, tensor, self.problems)
        for selector, style in self._pairs("split"):
            self._try(lambda s=selector, e=style: splitter.add(self._layers(s), s, e))  # type: ignore[misc]
        local = self._local(axes)
        units, recompute = self._modules("units"), self._modules("recompute")
        self._stop()
        layers, tensors = splitter.layers, splitter.tensors()
        self._stop()
        layers = flows(
            self.inferred, self.plan, layers, local, (tensor or "", axes.get(tensor or "", 1)), self.problems
        )
        self._stop()
        self.problems += local_problems(layers, local, self.local_places)
        places = {
            axis: self.mesh.at(key) for axis, key in ((shard, "shard"), (replicate, "replicate")) if axis
        }
        made = MeshPlan(
            axes,
            shard,
            replicate,
            tensor,
            units,
            layers,
            tensors,
            local,
            recompute,
            self.span,
            places,
            batch_norms(self.plan) if self._says("sync_statistics") else (),
        )
        self.problems += unit_problems(self.plan, made)
        if not self._says("local_statistics"):
            self.problems += statistics_problems(self.plan, made)
        self._stop()
        return made

    def _says(self, key: str) -> bool:
        flag: Scalar | None = getattr(self.mesh, key)
        return flag is not None and bool(flag.value)

    def _stop(self) -> None:
        if self.problems:
            raise SpecError(self.problems)

    def _try(self, read: Callable[[], T]) -> T | None:
        check_time(self.span)
        try:
            return read()
        except SpecError as error:
            self.problems.extend(error.diagnostics)
            return None

    # Axes.

    def _axes(self) -> dict[str, int]:
        keys = self.mesh.keys_of("axes")
        if not keys:
            self.problems.append(
                Diagnostic(
                    "missing-key", "the mesh has no axes", self.mesh.at("axes"), help="write `axes: {dp: 2}`"
                )
            )
        found = {name: self._try(lambda n=name: self._size(self.mesh.axes[n], n)) or 1 for name in keys}  # type: ignore[misc]
        for name, size in self.sizes.items():
            text = f"{name}={size}"
            place = Span(SourceFile(OPTION, text), 0, len(text))
            if name not in keys:
                self.problems.append(self._unknown(name, keys, place))
            elif not 1 <= size <= LARGEST:
                self.problems.append(_no_size(name, size, place))
            else:
                found[name] = size
        return found

    def _size(self, scalar: Scalar, name: str) -> int:
        value = evaluate(parse_expression(scalar), self.inferred.program.variables)
        if type(value) is not int or not 1 <= value <= LARGEST:
            raise SpecError([_no_size(name, value, scalar.span)])
        return value

    def _unknown(self, name: str, axes: Iterable[str], place: Span) -> Diagnostic:
        near = did_you_mean(name, list(axes))
        notes = () if near else (f"axes: {', '.join(axes) or 'none'}",)
        help = f"did you mean `{near}`?" if near else None
        return Diagnostic("unknown-axis", f"the mesh has no axis `{name}`", place, notes=notes, help=help)

    def _role(self, key: str, axes: Mapping[str, int]) -> str | None:
        written: Scalar | None = getattr(self.mesh, key)
        if written is None:
            return None
        if written.text not in axes:
            self.problems.append(self._unknown(written.text, axes, written.span))
        return written.text

    def _tensor_axis(self, axes: Mapping[str, int], taken: set[str | None]) -> str | None:
        """Return the axis that layers are split over: the one that nothing else names."""
        left = [name for name in axes if name not in taken]
        splits = self.mesh.has("split") and bool(self.mesh.split)
        if splits and not left:
            message = "there is no axis to split layers over: the others are taken"
            help = "write one that neither `shard` nor `replicate` names: `axes: {dp: 2, tp: 2}`"
            raise refuse("unknown-axis", message, self.mesh.at("split"), help=help)
        for name in left[1:] if splits else left:
            self.problems.append(
                Diagnostic(
                    "unused-axis",
                    f"nothing is done over the axis `{name}`",
                    self.mesh.keys_of("axes")[name].span,
                    help=f"write `shard: {name}` or `replicate: {name}`"
                    if splits
                    else f"write `shard: {name}`, `replicate: {name}`, or what is split over it under `split`",
                )
            )
        return left[0] if splits else None

    # Selectors.

    def _pairs(self, key: str) -> Iterator[tuple[Scalar, Expression]]:
        """Yield the positioned `selector: expression` pairs of a list, or of a mapping."""
        written = self.mesh.source(key) if self.mesh.has(key) else ()
        for node in written if isinstance(written, Items | tuple) else [written]:
            assert isinstance(node, Entries)
            for name, at in node.keys_at.items():
                value = node[name]
                assert isinstance(value, Scalar)
                expression = self._try(lambda v=value: parse_expression(v))  # type: ignore[misc]
                if expression is not None:
                    yield at, expression

    def _layers(self, at: Scalar, text: str | None = None) -> list[ModuleRow]:
        """Return the modules that a selector names, those and not what is inside them.

        Raises:
            SpecError: the text is no selector, or names no module.
        """
        selector = read_selector(at) if text is None else parse_selector(text, at.span)
        table = self.plan.table
        bound = bind(selector, table.values, table)
        found = [row for row in table.modules if bound.names(row.steps)]
        if not found and not takes_nothing(bound, table, (), False):
            scope = RuleScope((), Rules(), self.inferred.root)
            raise SpecError([unused_selector(SelectorRule(selector, at.span), scope, table)])
        return found

    def _modules(self, key: str) -> dict[str, Reason]:
        found: dict[str, Reason] = {}
        for scalar in getattr(self.mesh, key):
            for row in self._try(lambda s=scalar: self._layers(s)) or ():  # type: ignore[misc]
                found.setdefault(row.name, Reason(f"{key}: {scalar.text}", scalar.span))
        return {row.name: found[row.name] for row in self.plan.table.modules if row.name in found}

    # Numbers of one rank.

    def _local(self, axes: Mapping[str, int]) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for at, expression in self._pairs("local"):
            block, _, name = at.text.rpartition(".")
            rows = self._try(lambda a=at, b=block: self._layers(a, b or "/")) or []  # type: ignore[misc]
            for row in rows:
                value = self._try(lambda r=row, a=at, n=name, e=expression: self._number(r, n, a, e, axes))  # type: ignore[misc]
                if value is None:
                    break
                found.setdefault(row.name, {})[name] = value
                self.local_places.setdefault(row.name, at.span)
        return found

    def _number(
        self, row: ModuleRow, name: str, at: Scalar, expression: Expression, axes: Mapping[str, int]
    ) -> int:
        state = row.state
        body = state.definition.body if isinstance(state, BlockState) else None
        read = isinstance(body, ModuleBody) and body.program is not None
        used = {each for root in body.program.roots for each in names_in(root)} if read else set()  # type: ignore[union-attr]
        values = state.values if isinstance(state, BlockState) else {}
        whole = values.get(name)
        if name not in used or type(whole) is not int:
            numbers = sorted(each for each in used if type(values.get(each)) is int)
            near = did_you_mean(name, numbers)
            raise refuse(
                "local-number",
                f"the program of `{row.name or 'the model'}` reads no number `{name}`",
                at.span,
                notes=() if near else (f"numbers that it reads: {', '.join(numbers) or 'none'}",),
                help=f"did you mean `{near}`?" if near else None,
            )
        known = {**self.inferred.program.variables, **values, **axes}
        value = evaluate(expression, known)
        if type(value) is not int or value < 1 or whole % value or whole // value not in {1, *axes.values()}:
            raise refuse(
                "uneven-split",
                f"`{name}` is {whole}, and {value!r} of them on each rank do not add up to it",
                expression.place,
                notes=tuple(f"`{axis}` has {size} ranks" for axis, size in axes.items()),
                help=f"choose a `{name}` that the ranks divide, or fewer ranks",
            )
        return value


def _no_size(name: str, value: Any, place: Span) -> Diagnostic:
    return Diagnostic("bad-size", f"`{name}` is a number of ranks from 1, and this is {value!r}", place)
