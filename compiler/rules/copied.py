"""Copied first values: which tensor each tensor with an initialiser `copy(...)` begins as."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from compiler.infer.on_meta import only_meta
from compiler.rules.dry_run import DrySource
from compiler.rules.initialisation import COPY, InitEvaluator
from compiler.rules.items import bind
from compiler.rules.plan import Copied, PlanRow
from compiler.rules.table import RuleScope, Table, TableRow, TensorRow
from spec_schema.diagnostics import Diagnostic, Label, SpecError, refuse
from spec_schema.grammar import Expression
from spec_schema.selectors import Selector, Step, names_of, parse_selector, path_of
from spec_schema.source import Span
from spec_schema.suggest import did_you_mean

SHOWN = 6
"""Names in a note."""

Steps = tuple[Step, ...]


def copies(expression: Expression) -> bool:
    """Return whether an initialiser is `copy(...)`."""
    tree = expression.tree
    return isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == COPY


def copied_name(expression: Expression, names: Mapping[str, object]) -> tuple[str, Span] | None:
    """Return what `copy(...)` names, and where, None if an initialiser is another one, or is refused elsewhere."""
    if not copies(expression):
        return None
    assert isinstance(expression.tree, ast.Call)
    try:
        with only_meta():
            text = InitEvaluator(expression, names, (), DrySource((), torch.float32), {}).copied_name(
                expression.tree
            )
    except SpecError:
        return None
    return text, expression.span(expression.tree.args[0])


@dataclass(frozen=True, eq=False)
class Wish:
    """A place of a tensor whose first values a rule copies, and the rule. `selector` is None beside a tensor."""

    row: TensorRow
    text: str
    """What the rule names."""
    named: Span
    scope: Steps
    selector: Selector | None
    place: Span


@dataclass(eq=False)
class Copying:
    """Finds the sources of one model; problems are collected."""

    table: Table
    problems: list[Diagnostic]
    wishes: dict[str, list[Wish]] = field(default_factory=dict)
    """By the canonical name of the tensor: of one that is shared, the rule of each place."""
    parts: dict[tuple[Steps, str], TableRow] = field(default_factory=dict)
    """What `copy(...)` names, by the block and the text."""

    def resolved(self, rows: Sequence[PlanRow]) -> list[PlanRow]:
        """Return the rows of a plan, each that is copied with its source."""
        if not self.wishes:
            return list(rows)
        by_name = {name: row for row in rows for name in row.names}
        found: dict[str, Copied] = {}
        said: set[Span] = set()
        for name, wishes in self.wishes.items():
            try:
                found[name] = self._source(wishes, by_name)
            except SpecError as error:
                if error.diagnostics[0].span not in said:
                    self.problems.extend(error.diagnostics)
                    said |= {each.span for each in error.diagnostics if each.span is not None}
        circles: dict[Span | None, Diagnostic] = {}
        for each in self._circles(found):
            circles.setdefault(each.span, each)
        self.problems.extend(circles.values())
        return [replace(row, copied=found.get(row.name)) for row in rows]

    def _source(self, wishes: Sequence[Wish], by_name: Mapping[str, PlanRow]) -> Copied:
        """Return where the values of a tensor come from, by the rules of all its places."""
        first, *others = [self._one(wish, by_name) for wish in wishes]
        for wish, other in zip(wishes[1:], others, strict=True):
            if other.name != first.name:
                raise refuse(
                    "share-conflict",
                    f"`{wishes[0].row.name}` and `{wish.row.name}` are one tensor with two first values",
                    wish.place,
                    labels=(Label(wishes[0].place, f"the rule of `{wishes[0].row.name}`"),)
                    if wishes[0].place != wish.place
                    else (),
                    notes=(f"they are copied from `{first.name}` and `{other.name}`, which are not shared",),
                    help="share the sources too, or copy one of them alone",
                )
        return first

    def _one(self, wish: Wish, by_name: Mapping[str, PlanRow]) -> Copied:
        inner = wish.row.steps[len(wish.scope) :]
        count = next((n for n in range(len(inner)) if _ends(wish.selector, inner[:n])), len(inner))
        part = self._part(wish)
        name = ".".join(filter(None, (part.name, *names_of(inner[count:]))))
        source = self.table.by_name.get(name)
        if source is None:
            raise self._no_tensor(wish, part, name)
        _check_form(wish, source)
        target = wish.row.steps[: len(wish.scope) + count]
        return Copied(by_name[name].name, name, wish.scope, target, part.steps, wish.row, wish.place)

    def _part(self, wish: Wish) -> TableRow:
        """Return the layer, or the tensor, that a rule copies from."""
        key = (wish.scope, wish.text)
        if key not in self.parts:
            self.parts[key] = self._found(wish.text, wish.named, wish.scope)
        return self.parts[key]

    def _found(self, text: str, place: Span, scope: Steps) -> TableRow:
        selector = bind(
            parse_selector(f"/{text.removeprefix('/')}", place), self._values(scope), self.table, scope
        )
        inside: list[TableRow] = [*self.table.modules_below(scope), *self.table.below(scope)]
        found = [row for row in inside if selector.names(row.steps[len(scope) :])]
        if len(found) == 1:
            return found[0]
        names = [path_of(row.steps[len(scope) :]) for row in found or inside]
        near = None if found else did_you_mean(text, names)
        raise refuse(
            "copy-source",
            f"`{text}` names {len(found):,} parts, and one is copied"
            if found
            else f"there is no `{text}` here",
            place,
            notes=() if near else (_listed(names),),
            help=f"did you mean `{near}`?" if near else None,
        )

    def _values(self, scope: Steps) -> Mapping[str, object]:
        scopes: Iterator[RuleScope] = (each for each in self.table.scopes if each.steps == scope)
        return next((each.state.values for each in scopes), {})

    def _no_tensor(self, wish: Wish, part: TableRow, name: str) -> SpecError:
        inside = [row.name for row in self.table.below(part.steps)]
        return refuse(
            "copy-source",
            f"there is no `{name}` for `{wish.row.name}` to begin as",
            wish.place,
            notes=(_listed(inside),) if inside else (),
            help="copy between parts that hold the same tensors, or name one tensor of each",
        )

    def _circles(self, found: Mapping[str, Copied]) -> Iterator[Diagnostic]:
        """Yield the circles in which nothing has values to begin with, each once."""
        done: set[str] = set()
        for start in found:
            path: list[str] = []
            name = start
            while name in found and name not in done:
                done.add(name)
                path.append(name)
                name = found[name].name
            if name in path:
                circle = path[path.index(name) :]
                yield _circle([*circle, name], found[name].place)


def _ends(selector: Selector | None, path: Steps) -> bool:
    """Return whether a rule names a layer around a tensor, whose tensors are copied by their names inside it."""
    return selector is not None and selector.names(path)


def _check_form(wish: Wish, source: TensorRow) -> None:
    one, other = wish.row.tensor, source.tensor
    if one.shape == other.shape and _kind(one.dtype) == _kind(other.dtype):
        return
    raise refuse(
        "copy-shape",
        f"`{wish.row.name}` cannot begin as `{source.name}`",
        wish.place,
        notes=(f"`{source.name}` is {_form(source)}, `{wish.row.name}` is {_form(wish.row)}",),
    )


def _kind(dtype: torch.dtype) -> object:
    """Return what kind of numbers a dtype has: values are converted among floating-point numbers alone."""
    return "floating" if dtype.is_floating_point else "complex" if dtype.is_complex else dtype


def _form(row: TensorRow) -> str:
    return f"{str(row.tensor.dtype).removeprefix('torch.')}{list(row.tensor.shape)}"


def _circle(names: Sequence[str], place: Span) -> Diagnostic:
    one, other = names[0], names[1]
    message = (
        f"`{one}` is copied from itself" if one == other else f"`{one}` is copied from itself, over `{other}`"
    )
    return Diagnostic(
        "copy-circle",
        message,
        place,
        notes=(" ← ".join(names),) if len(names) > 2 else (),
        help="give one of them values of its own",
    )


def _listed(names: Sequence[str]) -> str:
    return f"there are {', '.join(names[:SHOWN])}" + (", ..." if len(names) > SHOWN else "")
