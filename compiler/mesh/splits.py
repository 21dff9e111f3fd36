"""Which layers are split over an axis of ranks, in which dimension of their tensors."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

from torch import nn

from compiler.infer.infer import Inferred
from compiler.infer.states import BlockState, Leaf
from compiler.mesh.columns import part_sizes
from compiler.mesh.plan import Fused, LayerSplit, Reason, Style, TensorSplit
from compiler.rules.plan import Plan, PlanRow
from compiler.rules.provenance import Origin, Provenance
from compiler.rules.table import ModuleRow, TensorRow
from spec_schema.diagnostics import Diagnostic, Label, refuse
from spec_schema.evaluate import evaluate
from spec_schema.grammar import Expression
from spec_schema.reader import Scalar
from spec_schema.selectors import Step

STYLES: tuple[Style, ...] = ("colwise", "rowwise")
SPLIT = "split"
DIMENSIONS: Mapping[tuple[type[nn.Module], Style], Mapping[str, int | None]] = {
    (nn.Linear, "colwise"): {"weight": 0, "bias": 0},
    (nn.Linear, "rowwise"): {"weight": 1, "bias": None},
    (nn.Embedding, "colwise"): {"weight": 1},
    (nn.Embedding, "rowwise"): {"weight": 0},
}
"""By the layers that torch splits: the dimension of each tensor; None where each rank has all of it."""
FORM = "write `split('(three h d) ...', h, three=3, h=heads)`: the rows of the weight, its part that is split, sizes"


@dataclass(eq=False)
class Splitter:
    """Collects the splits of a section; later rules win."""

    inferred: Inferred
    plan: Plan
    axes: Mapping[str, int]
    axis: str | None
    problems: list[Diagnostic]
    layers: dict[str, LayerSplit] = field(default_factory=dict)
    rows: dict[str, ModuleRow] = field(default_factory=dict)
    told: set[object] = field(default_factory=set)

    @property
    def ranks(self) -> int:
        """The number of parts."""
        return self.axes[self.axis] if self.axis is not None else 1

    @cached_property
    def blocks(self) -> Mapping[tuple[Step, ...], BlockState]:
        """The blocks by their paths."""
        return {row.steps: row.state for row in self.plan.table.modules if isinstance(row.state, BlockState)}

    def add(self, rows: Iterable[ModuleRow], at: Scalar, written: Expression) -> None:
        """Split the layers that a rule names.

        Raises:
            SpecError: the rule names a layer that is not split so, or says how in no known way.
        """
        reason = Reason(f"{at.text}: {written}", at.span)
        for row in rows:
            style, fused = self._style(row, written)
            kind = type(row.state.module) if isinstance(row.state, Leaf) else None
            if (kind, style) not in DIMENSIONS:
                raise refuse(
                    "split-style",
                    f"`{row.name}` is {_article(row)}, and what can be split are `Linear` and `Embedding`",
                    at.span,
                    help="name the layers inside it",
                )
            if fused is not None and kind is not nn.Linear:
                raise refuse("split-style", f"`{row.name}` is no `Linear`, whose rows are parts", at.span)
            self.layers[row.name] = LayerSplit(style, fused, reason)
            self.rows[row.name] = row

    # The forms of a style.

    def _style(self, row: ModuleRow, written: Expression) -> tuple[Style, Fused | None]:
        tree = written.tree
        if isinstance(tree, ast.Name) and tree.id in STYLES:
            return ("colwise" if tree.id == "colwise" else "rowwise"), None
        is_split = isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == SPLIT
        if not is_split:
            notes = ("styles: colwise, rowwise, split(...)",)
            raise refuse("split-style", f"there is no style `{written}`", written.place, notes=notes)
        assert isinstance(tree, ast.Call)
        return "colwise", self._fused(row, written, tree)

    def _fused(self, row: ModuleRow, written: Expression, call: ast.Call) -> Fused:
        match call.args:
            case [ast.Constant(value=str() as pattern), ast.Name(id=part)]:
                names = pattern.removesuffix("...").strip().removeprefix("(").removesuffix(")").split()
            case _:
                raise refuse(
                    "split-style", "this is not how a fused weight is split", written.place, help=FORM
                )
        if part not in names or len(names) < 2 or not pattern.strip().startswith("("):
            message = f"`{part}` is no part of `{pattern}`"
            raise refuse("split-style", message, written.span(call.args[1]), help=FORM)
        around = self.blocks.get(row.steps[:-1])
        values = {
            **self.inferred.program.variables,
            **(around.values if around is not None else {}),
            **self.axes,
        }
        sizes = {
            each.arg: evaluate(written.part(each.value), values)
            for each in call.keywords
            if each.arg in names
        }
        if any(type(size) is not int or size < 1 for size in sizes.values()):
            raise refuse(
                "bad-size", f"sizes of parts are whole numbers, and these are {sizes}", written.place
            )
        return self._grid(row, written, names, part, {str(k): int(v) for k, v in sizes.items()})

    def _grid(
        self, row: ModuleRow, written: Expression, names: list[str], part: str, sizes: dict[str, int]
    ) -> Fused:
        weight = self._tensor(row, "weight")
        count = int(weight.tensor.shape[0]) if weight is not None else 0
        found = part_sizes(names, sizes, count)
        if found is None:
            shown = ", ".join(f"{name}={size}" for name, size in sizes.items()) or "none"
            notes = (f"`{row.name}.weight` has {count} rows", f"sizes: {shown}")
            message = f"the parts of `({' '.join(names)})` are not the rows of `{row.name}`"
            raise refuse("split-style", message, written.place, notes=notes, help=FORM)
        at = names.index(part)
        if found[at] % self.ranks:
            raise refuse(
                "uneven-split",
                f"`{part}` is {found[at]}, and the {self.ranks} ranks of `{self.axis}` do not divide it",
                written.place,
                help=f"choose a number of `{part}` that they divide, or fewer ranks",
            )
        return Fused(prod(found[:at]), found[at], prod(found[at + 1 :]))

    # Tensors.

    def _tensor(self, row: ModuleRow, name: str) -> TensorRow | None:
        return next((each for each in self.plan.table.below(row.steps) if each.steps[-1].name == name), None)

    def tensors(self) -> dict[str, TensorSplit]:
        """Return how each tensor is split, noting in `problems` which cannot be."""
        found: dict[str, TensorSplit] = {}
        provenance = Provenance(self.inferred)
        for path, split in self.layers.items():
            for row, made in self._split_tensors(path, split):
                self._check(row, made, provenance)
                other = found.setdefault(row.name, made)
                if (other.dim, other.fused) != (made.dim, made.fused):
                    self.problems.append(_two_ways(row, other, made))
        self._check_ties(found)
        return found

    def _split_tensors(self, path: str, split: LayerSplit) -> Iterator[tuple[PlanRow, TensorSplit]]:
        leaf = self.rows[path].state
        assert isinstance(leaf, Leaf)
        assert leaf.module is not None
        for name, dim in DIMENSIONS[type(leaf.module), split.style].items():
            tensor = self._tensor(self.rows[path], name)
            row = self.plan.by_name.get(tensor.name) if tensor is not None else None
            if tensor is not None and row is None:
                message = f"`{tensor.name}` is parametrised, and cannot be split"
                self.problems.append(Diagnostic("split-style", message, split.reason.place))
            elif row is not None:
                yield row, TensorSplit(dim, split.fused, split.reason)

    def _check(self, row: PlanRow, made: TensorSplit, provenance: Provenance) -> None:
        """Note a size that the ranks do not divide, with the lines that it comes from."""
        if made.dim is None or row.shape[made.dim] % self.ranks == 0:
            return
        told = row.source.span, made.dim, made.reason
        if told in self.told:  # of equal copies, one is enough
            return
        self.told.add(told)
        size = provenance.stored_sizes(row)[made.dim]
        labels = tuple(_labels(size.origins))
        named = next(
            (each.text.split(" = ")[0] for each in reversed(size.origins) if " = " in each.text), None
        )
        change = f"choose a `{named}` that they divide" if named else "choose a size that they divide"
        self.problems.append(
            Diagnostic(
                "uneven-split",
                f"`{row.name}` has {size.value} in dimension {made.dim}, and the {self.ranks} ranks of "
                f"`{self.axis}` do not divide it",
                made.reason.place,
                labels=labels,
                help=f"{change}, or another number of ranks: `--mesh {self.axis}=...`",
            )
        )

    def _check_ties(self, found: Mapping[str, TensorSplit]) -> None:
        """Note tensors with several names of which a layer that is not split holds one."""
        for row in self.plan.rows:
            made = found.get(row.name)
            if made is None or made.dim is None:
                continue
            for name in row.names:
                if name.rpartition(".")[0] not in self.layers:
                    self.problems.append(
                        Diagnostic(
                            "split-tie",
                            f"`{name}` is one tensor with `{_other(row, name, self.layers)}`, which is split",
                            made.reason.place,
                            help=f"split both, so that each rank holds the same part: `{name.rpartition('.')[0]}`",
                        )
                    )


def _other(row: PlanRow, name: str, layers: Mapping[str, LayerSplit]) -> str:
    return next(each for each in row.names if each.rpartition(".")[0] in layers and each != name)


def _two_ways(row: PlanRow, one: TensorSplit, other: TensorSplit) -> Diagnostic:
    return Diagnostic(
        "split-tie",
        f"{' and '.join(f'`{name}`' for name in row.names)} are one tensor, split in dimension {one.dim} and in "
        f"dimension {other.dim}",
        other.reason.place,
        labels=(Label(one.reason.place, f"dimension {one.dim}"),) if one.reason != other.reason else (),
        help="an embedding that is `rowwise` and a `Linear` that is `colwise` hold the same part",
    )


def _labels(origins: Iterable[Origin]) -> Iterator[Label]:
    for origin in origins:
        if origin.place is not None:
            yield Label(origin.place, origin.text)


def _article(row: ModuleRow) -> str:
    kind = row.steps[-1].kind if row.steps else "the model"
    return f"{'an' if kind[:1] in 'AEIOU' else 'a'} `{kind}`"
