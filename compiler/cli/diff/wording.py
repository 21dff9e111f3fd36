"""The words of a report: a change of a layer, of a rule or of a value as one line of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from compiler.cli.diff.tensor_names import TensorNames
from compiler.diff.covers import one_of
from compiler.diff.documents import ValueChange
from compiler.diff.folding import Ends, Fold, grouped
from compiler.diff.programs import ProgramChange
from compiler.diff.rules import Effect, RuleChange
from compiler.diff.structure import Change
from compiler.diff.weights import Weights

ARROW = "→"


def layer_name(found: Fold, side: int) -> str:
    """Return a selector of the layers of a fold, before or after."""
    patterns = [row[0].patterns[side] for row in found.rows]
    if len(patterns) == 1:
        return patterns[0]
    around, names = patterns[0].rpartition(".")[0], [pattern.rpartition(".")[2] for pattern in patterns]
    inside = f"{names[0]} … {names[-1]}" if _is_run(names) else one_of(names)
    return f"{around}.{inside}" if around else inside


def _is_run(names: Sequence[str]) -> bool:
    return all(name.isdigit() for name in names) and len(names) > 1 and one_of(names).startswith("[")


def layer_words(found: Fold) -> str:
    """Return what layers are that were added or removed."""
    module = found.first.module
    type_name = module.type if module.kind != "sequence" else f"a list of {len(module.children)}"
    many = len(found.changes) > 1
    words = f"{len(found.changes)} × {type_name}" if many else type_name
    if not module.parameters:
        return words
    return f"{words}, {module.parameters:,} parameters{' each' if many else ''}"


def change_words(found: Fold) -> str:
    """Return what changed about layers: their type, what the spec writes, or else what follows from other changes."""
    count = f"{len(found.changes)} × " if len(found.changes) > 1 else ""
    types = count + f" {ARROW} ".join(found.first.types())
    if found.arguments or len(found.first.types()) > 1:
        told = [f"{name} {ends_text(ends)}" for name, ends in found.arguments.items()]
        return f"{types} {', '.join(told)}".strip()
    values = found.inferred or found.shapes
    same = grouped(values.items(), lambda entry: tuple(entry[1]))
    told = [f"{', '.join(name for name, _ in group)} {ends_text(group[0][1])}" for group in same]
    return f"{types} {', '.join(told)}{', inferred' if found.inferred else ''}"


def ends_text(ends: Sequence[Ends]) -> str:
    """Return the values before and after; of many the first and the last."""
    texts = [f"{_value(before)} {ARROW} {_value(after)}" for before, after in ends]
    if len(texts) <= 2:
        return " and ".join(texts)
    return f"{texts[0]} … {texts[-1]}"


def _value(value: str | None) -> str:
    return "none" if value is None else value


def renames_words(found: Iterable[Fold]) -> list[str]:
    """Return the renames of what has parameters; the others follow, or say nothing."""
    words = []
    for each in found:
        rows = tuple(row for row in each.rows if _is_told(row[0]))
        if rows:
            bare = "." not in rows[0][0].patterns[0] or "." not in rows[0][0].patterns[1]
            for kept in [Fold((row,)) for row in rows] if bare else [Fold(rows)]:
                words.append(f"{layer_name(kept, 0)} {ARROW} {_new_name(kept)}")
            words += [f"  {one} {ARROW} {other}" for one, other in rows[0][0].tensors]
    return list(dict.fromkeys(words))


def _new_name(found: Fold) -> str:
    """Return what layers are called now; without the block around them, where that is called as before."""
    old, new = (layer_name(found, side) for side in (0, 1))
    head, dot, rest = new.partition(".")
    return rest if dot and old.startswith(f"{head}.") and found.first.owner[1].type == head else new


def _is_told(change: Change) -> bool:
    return change.module.parameters > 0 or bool(change.module.rows)


def value_words(change: ValueChange) -> str:
    """Return a value of a section that changed."""
    colon = ":" if change.section == "inputs" else ""
    if change.before is None:
        return f"+ {change.key}{colon} {change.after}"
    if change.after is None:
        return f"- {change.key}{colon} {change.before}"
    return f"{change.key}{colon} {change.before} {ARROW} {change.after}"


def preset_words(changes: Sequence[ValueChange]) -> list[str]:
    """Return the presets that changed: whole ones by their names alone."""
    words = []
    for group in grouped(changes, lambda change: change.key.partition(".")[0]):
        name = group[0].key.partition(".")[0]
        if all(change.after is None for change in group):
            words.append(f"- {name}")
        elif all(change.before is None for change in group):
            words.append(f"+ {name}")
        else:
            words += map(value_words, group)
    return words


def rule_words(change: RuleChange, names: TensorNames) -> tuple[str, str]:
    """Return a rule that changed, and whom it touches."""
    sign = (
        "~"
        if change.before is not None and change.after is not None
        else "-"
        if change.after is None
        else "+"
    )
    says = f" {ARROW} ".join(
        each for each in (change.before, change.after) if each and change.section != "share"
    )
    selector = f"{change.selector}: " if change.selector and says else change.selector
    end = "" if change.decides else ", to no effect"
    return f"{sign} {change.section} {selector}{says}", f"{names.words(change.touched)}{end}"


def effect_words(effect: Effect, names: TensorNames) -> tuple[str, str]:
    """Return what is decided otherwise for tensors, though no rule of theirs changed."""
    before, _, ours = effect.before.partition(" where ")
    after, _, theirs = effect.after.partition(" where ")
    what = f"{effect.before or 'none'} {ARROW} {effect.after or 'none'}"
    if before == after and ours and theirs:
        pairs = zip(ours.split(", "), theirs.split(", "), strict=False)
        values = (f"{one} {ARROW} {other.partition(' = ')[2]}" for one, other in pairs if one != other)
        what = f"{before} with {', '.join(values).replace(' = ', ' ')}"
    return f"~ {effect.aspect} {what}", names.words(effect.tensors)


def block_words(ends: Ends) -> str:
    """Return a block that is called otherwise, that is no longer used, or that is new."""
    before, after = ends
    return f"- {before}" if after is None else f"+ {after}" if before is None else f"{before} {ARROW} {after}"


def program_name(change: ProgramChange) -> str:
    """Return the name of a block, or both names."""
    return f" {ARROW} ".join(dict.fromkeys((change.before, change.after)))


def loaded_words(weights: Weights, reshaped: int) -> str:
    """Return how many tensors load, and why others do not."""
    count = len(weights.loaded)
    new, gone = len(weights.left) - reshaped, len(weights.lost)
    others = [
        *([f"{reshaped:,} have other shapes"] if reshaped else []),
        *([f"{new:,} are new"] if new > 0 else []),
        *([f"{gone:,} of A have no place"] if gone > 0 else []),
    ]
    return ", ".join([f"{count:,} of {count + len(weights.left):,} tensors load", *others])
