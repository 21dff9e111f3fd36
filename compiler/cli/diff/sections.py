"""The sections of a report: what a reviewer looks for, and what there is to say of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from compiler.cli.diff import wording
from compiler.cli.diff.tensor_names import TensorNames
from compiler.cli.diff.totals import Totals, share, sizes_text
from compiler.cli.summary import memory_text, short_number
from compiler.diff.comparison import Comparison
from compiler.diff.documents import SECTIONS
from compiler.diff.folding import Fold
from compiler.diff.programs import ProgramChange
from compiler.diff.weights import Weights

Columns = tuple[str, str]


@dataclass(frozen=True)
class Section:
    """One thing that a reviewer looks for. Of `lines` that are `packed`, several stand on one where there is room."""

    title: str
    lines: tuple[str, ...]
    packed: bool = False
    short: tuple[str, ...] = ()
    """The same in fewer words, if there are any."""
    code: str = ""
    """The language of the lines, where they are code."""


def sections(found: Comparison, before: Totals, after: Totals) -> list[Section]:
    """Return the sections of a comparison; those that have nothing to say are left out."""
    every = [
        *_totals(before, after),
        *_values(found),
        Section("blocks", tuple(map(wording.block_words, found.blocks)), packed=True),
        *_layers(found.folds),
        _programs(found.programs),
        _rules(found),
        _code(found),
        _weights(found.weights, len(found.tensors.reshaped)),
    ]
    return [section for section in every if section.lines]


def _totals(before: Totals, after: Totals) -> list[Section]:
    rows = [("parameters", f"{each.parameters:,}", each.parameters) for each in (before, after)]
    found = [rows]
    if any(each.trainable != each.parameters for each in (before, after)):
        found.append([("trained", f"{each.trainable:,}", each.trainable) for each in (before, after)])
    found.append([("memory", memory_text(each.bytes), each.bytes) for each in (before, after)])
    found.append([("FLOPs", short_number(each.flops) or "0", each.flops) for each in (before, after)])
    widths = [max(len(pair[side][1]) for pair in found) for side in (0, 1)]
    lines = [_numbers(pair, widths) for pair in found]
    at = sizes_text(before.sizes, after.sizes)
    lines[-1] += f"  at {at}" if at else ""
    return [Section(pair[0][0], (line,)) for pair, line in zip(found, lines, strict=True)]


def _numbers(pair: Sequence[tuple[str, str, int]], widths: Sequence[int]) -> str:
    (_, ours, before), (_, theirs, after) = pair
    shown = f"{ours.rjust(widths[0])} {wording.ARROW} {theirs.rjust(widths[1])}"
    if before == after:
        return f"{ours.rjust(widths[0])}   {'as before'.rjust(widths[1])}"
    return f"{shown}   {share(before, after)}" if before else shown


def _values(found: Comparison) -> Iterator[Section]:
    if found.names is not None:
        yield Section("name", (f" {wording.ARROW} ".join(found.names),))
    for title in SECTIONS:
        changes = [change for change in found.values if change.section == title]
        words = wording.preset_words(changes) if title == "presets" else map(wording.value_words, changes)
        yield Section(title, tuple(words), packed=True)


def _layers(folds: Sequence[Fold]) -> Iterator[Section]:
    def of(kind: str) -> list[Fold]:
        return [each for each in folds if each.first.kind == kind]

    for kind, side in (("removed", 0), ("added", 1)):
        rows = ((wording.layer_name(each, side), wording.layer_words(each)) for each in of(kind))
        yield Section(kind, _columns(rows))
    rows = ((wording.layer_name(each, 1), wording.change_words(each)) for each in of("changed"))
    yield Section("changed", _columns(rows))
    yield Section("renamed", tuple(wording.renames_words(of("renamed"))), packed=True)


WIDEST = 40
"""Characters of a first column."""


def _columns(rows: Iterable[Columns]) -> tuple[str, ...]:
    found = list(rows)
    width = max((len(first) for first, _ in found if len(first) <= WIDEST), default=0)
    return tuple(f"{first.ljust(width)}  {second}" for first, second in found)


def _programs(programs: Sequence[ProgramChange]) -> Section:
    lines: list[str] = []
    for each in programs:
        lines.append(f"{wording.program_name(each)}:")
        lines += (line for line in each.lines if not line.startswith(" "))
    names = ", ".join(map(wording.program_name, programs))
    return Section("programs", tuple(lines), short=(f"{names}: `--all` shows them",), code="diff")


def _rules(found: Comparison) -> Section:
    names = TensorNames(row.name for row in found.after.plan.rows)
    rows = [
        *(wording.rule_words(each, names) for each in found.rules),
        *(wording.effect_words(each, names) for each in found.effects),
    ]
    return Section("rules", _columns(rows))


def _code(found: Comparison) -> Section:
    """Return what to say where the emitted source differs, and nothing else tells why."""
    silent = found.code_differs and not found.is_told
    return Section("code", ("the emitted source differs: `emit` both to see how",) if silent else ())


def _weights(weights: Weights, reshaped: int) -> Section:
    if weights.as_it_is:
        return Section("weights", ("all tensors load as they are",))
    if not weights.proven:
        why = f"no rule loads them: {weights.problem}" if weights.problem else "nothing loads"
        return Section("weights", (why,))
    loaded = wording.loaded_words(weights, reshaped)
    rule = weights.text.rstrip().splitlines()
    short = (f"{loaded}: `--rule` prints the rule, compiled and found right",)
    return Section(
        "weights", (f"{loaded}, by this rule, compiled and found right:", *rule), short=short, code="yaml"
    )
