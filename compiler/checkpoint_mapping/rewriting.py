"""The tensors of a file under the names that a surgery gives them: skip, prefix, rename, transpose, split, stack."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from compiler.checkpoint_mapping.recipes import Joined, Named, Part, Permuted, Recipe, evaluate, permuted_back
from compiler.rules.checkpoint_call import Split, Stack, Surgery
from spec_schema.diagnostics import Diagnostic
from spec_schema.renaming import Match, Pattern, Template, parse_pattern
from spec_schema.source import Span
from spec_schema.suggest import did_you_mean


@dataclass(frozen=True)
class Header:
    """What a file says of a tensor before its values."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    def meta(self) -> Tensor:
        """Return a tensor of this form without values."""
        return torch.empty(self.shape, dtype=self.dtype, device="meta")


TargetShape = Callable[[str], tuple[int, ...] | None]
"""The shape of a tensor of the model; None if there is none of that name."""


@dataclass(eq=False)
class Rewriting:
    """What a surgery makes of the tensors of one file."""

    surgery: Surgery
    headers: Mapping[str, Header]
    target_shape: TargetShape
    recipes: dict[str, Recipe] = field(default_factory=dict)
    """How each tensor is made of the file's, by its new name."""
    skipped: dict[str, str] = field(default_factory=dict)
    """The selector that skips a tensor, by its name in the file."""
    skipped_as: dict[str, str] = field(default_factory=dict)
    """Names in the file of what is skipped, by the name that it would have had."""
    renamed: dict[str, str] = field(default_factory=dict)
    """New names by those in the file, before tensors are split or stacked."""
    problems: list[Diagnostic] = field(default_factory=list)
    names_are_known: bool = True
    """Whether the new names are what the spec means: no rule about names matches nothing, or makes one name of two."""
    _permuted: dict[str, tuple[int, ...]] = field(default_factory=dict)
    _undo_split: dict[str, Recipe] = field(default_factory=dict)
    _undo_stack: dict[str, Recipe] = field(default_factory=dict)

    def run(self) -> Rewriting:
        """Rewrite, noting what is wrong in `problems`."""
        self._take()
        self._transpose()
        for split in self.surgery.splits:
            self._split(split)
        for stack in self.surgery.stacks:
            self._stack(stack)
        return self

    def back(self, source: str) -> Recipe:
        """Return how a tensor of the file is made of tensors under their new names."""
        name = self.renamed[source]
        recipe = _replaced(self._undo_split.get(name, Named(name)), self._undo_stack)
        return permuted_back(recipe, self._permuted[name]) if name in self._permuted else recipe

    def shape(self, name: str) -> torch.Size:
        """Return the shape of a tensor under its new name."""
        return evaluate(self.recipes[name], lambda source: self.headers[source].meta()).shape

    # Names.

    def _take(self) -> None:
        """Skip, take the prefix off, and rename."""
        inside = []
        for name in self.headers:
            skip = next((each for each in self.surgery.skips if each.pattern.match(name)), None)
            if skip:
                self.skipped[name] = skip.pattern.text
            if name.startswith(self.surgery.prefix):
                inside.append(name)
        self._check_skips()
        self._check_prefix(inside)
        for source, name in zip(inside, self._rename(inside), strict=True):
            if source in self.skipped:
                self.skipped_as.setdefault(name, source)
            elif name in self.recipes:
                self._clash(name, source)
            else:
                self.recipes[name] = Named(source)
                self.renamed[source] = name

    def _rename(self, sources: Sequence[str]) -> list[str]:
        names = [source.removeprefix(self.surgery.prefix) for source in sources]
        for rename in self.surgery.renames:
            matches = [rename.pattern.match(name) for name in names]
            if not any(matches):
                self._matches_nothing("rename", rename.pattern, rename.place, names)
            names = [
                rename.to.fill(match) if match else name for name, match in zip(names, matches, strict=True)
            ]
        return names

    def _check_skips(self) -> None:
        for skip in self.surgery.skips:
            if not any(map(skip.pattern.match, self.headers)):
                self._matches_nothing("skip", skip.pattern, skip.place, list(self.headers))

    def _check_prefix(self, inside: Sequence[str]) -> None:
        prefix = self.surgery.prefix
        if not prefix or inside:
            return
        found = sorted({f"{name.partition('.')[0]}." for name in self.headers})
        near = did_you_mean(prefix, found)
        self.names_are_known = False
        self.problems.append(
            Diagnostic(
                "checkpoint-pattern",
                f"no name in `{self.surgery.path}` begins with `{prefix}`",
                self.surgery.prefix_place,
                notes=() if near else (f"they begin with {shortened(found)}",),
                help=f"did you mean `{near}`?" if near else None,
            )
        )

    def _matches_nothing(self, what: str, pattern: Pattern, place: Span, names: Sequence[str]) -> None:
        is_name = what in ("skip", "rename")
        if self.headers and not (names and (is_name or self.names_are_known)):
            return  # it follows from what is reported already
        near = nearest_pattern(pattern, names)
        self.names_are_known &= what in ("skip", "transpose")
        self.problems.append(
            Diagnostic(
                "checkpoint-pattern",
                f"this `{what}` matches no tensor of `{self.surgery.path}`",
                place,
                notes=() if near else (f"here they are called {shortened(list(names))}",),
                help=f"did you mean `{near}`?" if near else None,
            )
        )

    def _clash(self, name: str, *others: str) -> None:
        recipe = self.recipes.get(name)
        first = recipe.name if isinstance(recipe, Named) else name
        self.names_are_known = False
        self.problems.append(
            Diagnostic(
                "checkpoint-clash",
                f"`{first}` and `{others[0]}` of `{self.surgery.path}` both become `{name}`",
                self.surgery.place,
                help="narrow the `rename` of one, or skip it",
            )
        )

    # Values.

    def _transpose(self) -> None:
        for rule in self.surgery.transposes:
            names = [name for name in self.recipes if rule.pattern.match(name)]
            if not names:
                self._matches_nothing("transpose", rule.pattern, rule.place, list(self.recipes))
            for name in names:
                rank = len(self.shape(name))
                dims = rule.dims or ((1, 0) if rank == 2 else tuple(range(rank)) if rank < 2 else ())
                if len(dims) != rank:
                    self._wrong_rank(name, rank, rule.dims, rule.place)
                elif dims != tuple(range(rank)) and name not in self._permuted:
                    self._permuted[name] = dims
                    self.recipes[name] = Permuted(self.recipes[name], dims)

    def _wrong_rank(self, name: str, rank: int, dims: tuple[int, ...] | None, place: Span) -> None:
        order = "[3, 2, 0, 1]" if rank == 4 else f"{list(reversed(range(rank)))}"
        self.problems.append(
            Diagnostic(
                "checkpoint-shape",
                f"`{name}` has {rank} dimensions, and "
                + (f"{len(dims)} are named" if dims else "a matrix is transposed"),
                place,
                help=f"name the order of the dimensions: `transpose={{'{name}': {order}}}`",
            )
        )

    def _split(self, rule: Split) -> None:
        wholes = {name: match for name in self.recipes if (match := rule.pattern.match(name))}
        if not wholes:
            self._matches_nothing("split", rule.pattern, rule.place, list(self.recipes))
        for whole, match in wholes.items():
            parts = [part.fill(match) for part in rule.parts]
            sizes = self._sizes(whole, parts, rule)
            if sizes is None:
                continue
            recipe = self.recipes.pop(whole)
            lengths = [1 if size is None else size for size in sizes]
            starts = [sum(lengths[:at]) for at in range(len(sizes))]
            self._undo_split[whole] = Joined(tuple(map(Named, parts)), rule.dim, sizes[0] is None)
            for part, start, size in zip(parts, starts, sizes, strict=True):
                if part in self.recipes:
                    self._clash(part, whole)
                self.recipes[part] = Part(recipe, rule.dim, start, size)

    def _sizes(self, whole: str, parts: Sequence[str], rule: Split) -> list[int | None] | None:
        """Return how long each part is: as the model says, else equally long. None stands for a single entry."""
        shape = self.shape(whole)
        shapes = [self.target_shape(part) for part in parts]
        length = shape[rule.dim] if rule.dim < len(shape) else 0
        sizes: list[int | None] = [length // len(parts)] * len(parts)
        if all(each is not None and len(each) == len(shape) - 1 for each in shapes):
            sizes = [None] * len(parts)
        elif all(each is not None and len(each) == len(shape) for each in shapes) and length:
            sizes = [each[rule.dim] for each in shapes if each is not None]
        if length and sum(1 if size is None else size for size in sizes) == length:
            return sizes
        self.names_are_known = False
        wanted = " + ".join(str(1 if size is None else size) for size in sizes)
        message = f"`{whole}` has the shape {list(shape)}, and no dimension {rule.dim}"
        if length:
            message = (
                f"`{whole}` has {length} entries along dimension {rule.dim}, and the parts take {wanted}"
            )
        unknown = [f"`{part}`" for part, each in zip(parts, shapes, strict=True) if each is None]
        note = f"the model has no {', '.join(unknown)}, so that all parts were taken to be equally long"
        self.problems.append(
            Diagnostic(
                "checkpoint-shape",
                message,
                rule.place,
                notes=(note,) if unknown and length else (),
                help="name the parts as the model does: each is as long as its tensor"
                if unknown and length
                else None,
            )
        )
        return None

    def _stack(self, rule: Stack) -> None:
        found = False
        for name in list(self.recipes):
            match = rule.pattern.match(name)
            if match is None:
                continue
            found = True
            parts = [name, *(other.fill(match) for other in rule.others)]
            lacking = [part for part in parts if part not in self.recipes]
            if lacking:
                self._lacks(rule.to.fill(match), lacking[0], rule)
            else:
                self._join(parts, rule.to, match, rule)
        if not found:
            self._matches_nothing("stack", rule.pattern, rule.place, list(self.recipes))

    def _lacks(self, to: str, lacking: str, rule: Stack) -> None:
        near = did_you_mean(lacking, self.recipes)
        self.names_are_known = False
        self.problems.append(
            Diagnostic(
                "checkpoint-tensor",
                f"`{self.surgery.path}` has no tensor for the part `{lacking}` of `{to}`",
                rule.place,
                help=f"did you mean `{near}`?" if near else None,
            )
        )

    def _join(self, parts: Sequence[str], to: Template, match: Match, rule: Stack) -> None:
        whole = to.fill(match)
        shapes = [self.shape(part) for part in parts]
        target = self.target_shape(whole)
        new = target is not None and len(target) == len(shapes[0]) + 1
        recipe = Joined(tuple(self.recipes[part] for part in parts), rule.dim, new)
        try:
            evaluate(recipe, lambda source: self.headers[source].meta())
        except (RuntimeError, IndexError):
            forms = ", ".join(f"`{part}` {list(shape)}" for part, shape in zip(parts, shapes, strict=True))
            message = f"the parts of `{whole}` do not fit together along dimension {rule.dim}"
            self.names_are_known = False
            self.problems.append(Diagnostic("checkpoint-shape", message, rule.place, notes=(forms,)))
            return
        start = 0
        for part, shape in zip(parts, shapes, strict=True):
            size = None if new else shape[rule.dim]
            self._undo_stack[part] = Part(Named(whole), rule.dim, start, size)
            start += 1 if size is None else size
            del self.recipes[part]
        if whole in self.recipes:
            self._clash(whole, parts[0])
        self.recipes[whole] = recipe


def _replaced(recipe: Recipe, by: Mapping[str, Recipe]) -> Recipe:
    """Return a recipe with other recipes in place of names."""
    match recipe:
        case Named(name):
            return by.get(name, recipe)
        case Permuted(of, dims):
            return Permuted(_replaced(of, by), dims)
        case Part(of, dim, start, size):
            return Part(_replaced(of, by), dim, start, size)
        case Joined(parts, dim, new):
            return Joined(tuple(_replaced(part, by) for part in parts), dim, new)


def replaced_names(recipe: Recipe, names: Mapping[str, str]) -> Recipe:
    """Return a recipe with other names."""
    return _replaced(recipe, {old: Named(new) for old, new in names.items()})


SHOWN = 6
"""Names in a note."""


def shortened(names: Sequence[str]) -> str:
    """Return names for a note: the first ones, and how many more there are."""
    shown = ", ".join(f"`{name}`" for name in names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN:,} more" if len(names) > SHOWN else shown or "nothing"


def nearest_pattern(pattern: Pattern, names: Sequence[str]) -> str | None:
    """Return the pattern with each component that no name has replaced by the nearest that there is."""
    known = {component for name in names for component in name.split(".")}
    mended = ".".join(_mended(pattern.text.removeprefix("/").split("."), known))
    text = ("/" if pattern.anchored else "") + mended
    found = text != pattern.text and any(map(parse_pattern(text, None).match, names))
    return text if found else None


def _mended(components: Sequence[str], known: set[str]) -> Iterator[str]:
    for component in components:
        wild = component in known or set(component) & set("*?[{")
        yield component if wild else did_you_mean(component, known) or component
