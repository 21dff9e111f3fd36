"""What can be wrong between a file and a model, in words, with the way out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from compiler.checkpoint_mapping.recipes import Permuted, names_in
from compiler.checkpoint_mapping.rewriting import SHOWN, Rewriting, shortened
from compiler.rules.plan import Plan, PlanRow
from spec_schema.diagnostics import Diagnostic
from spec_schema.suggest import did_you_mean

FEW_SELECTORS = 3
WRAPPERS = {"module": "`DataParallel`", "_orig_mod": "`torch.compile`"}
"""What a wrapper of a model puts into the names of a state dict."""


def missing(
    rows: Sequence[PlanRow], of: int, rewriting: Rewriting, loose: Sequence[str], scope: str
) -> Diagnostic:
    """Return the diagnostic of tensors of the model that a file does not have."""
    surgery = rewriting.surgery
    which = f"for `{rows[0].name}`" if len(rows) == 1 else f"for {len(rows):,} of {of:,} tensors"
    notes = [] if len(rows) == 1 else [f"nothing for {shortened([row.name for row in rows])}"]
    names = [name.removeprefix(scope) for row in rows for name in row.names]
    skipped = [name for name in names if name in rewriting.skipped_as]
    if skipped:
        source = rewriting.skipped_as[skipped[0]]
        notes.append(f"`{source}` is skipped by `{rewriting.skipped[source]}`")
    return Diagnostic(
        "checkpoint-tensor",
        f"`{surgery.path}` has no tensor {which}",
        surgery.place,
        notes=tuple(notes),
        help=None
        if skipped
        else _unwrapped(rows, rewriting, loose, scope) or _way_to(names, rewriting, loose),
    )


def _unwrapped(rows: Sequence[PlanRow], rewriting: Rewriting, loose: Sequence[str], scope: str) -> str | None:
    """Return how names of wrappers are taken away, None if that would not make all fit."""
    without = {_without_wrappers(name): name for name in loose}
    found = [
        next((without[name] for each in row.names if (name := each.removeprefix(scope)) in without), "")
        for row in rows
    ]
    if not all(found):
        return None
    wrappers = [each for each in WRAPPERS if any(each in name.split(".") for name in found)]
    by = " and ".join(f"`{each}.` is a trace of {WRAPPERS[each]}" for each in wrappers)
    front = re.match(rf"(?:(?:{'|'.join(WRAPPERS)})\.)*", found[0])
    outer = front[0] if front else ""
    if outer and all(name == outer + _without_wrappers(name) for name in found):
        return f"{by}: give `prefix='{rewriting.surgery.prefix}{outer}'`"
    renames = ", ".join(f"'{each}': '/'" for each in wrappers)
    return f"{by}: give `rename={{{renames}}}`"


def _without_wrappers(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _way_to(names: Sequence[str], rewriting: Rewriting, loose: Sequence[str]) -> str:
    found = next((f for name in names if (f := _prefix(name, list(rewriting.headers)))), None)
    if found and not rewriting.surgery.prefix:
        return f"give `prefix='{found}'`"
    outer = next(
        (name.removesuffix(f".{each}") for name in names for each in loose if name.endswith(f".{each}")), None
    )
    if outer:
        return f"put them there: `rename={{'/': '{outer}'}}`"
    for name in names:
        near = did_you_mean(name, loose)
        if near:
            return f"did you mean `{near}`? `rename` gives a tensor the name that it has in the model"
    if loose:
        return f"`rename` what is called otherwise there, such as `{loose[0]}`, or narrow the selector of the rule"
    return "narrow the selector of the rule, or let a later rule decide these"


def _prefix(name: str, sources: Sequence[str]) -> str | None:
    """Return what stands before the name in a file."""
    found = (source for source in sources if source.endswith(f".{name}"))
    return next((source.removesuffix(name) for source in found), None)


def unused(left: Sequence[str], rewriting: Rewriting, plan: Plan, scope: str) -> Diagnostic:
    """Return the diagnostic of tensors of a file that no rule takes."""
    surgery, headers = rewriting.surgery, rewriting.headers
    which = f"`{left[0]}`" if len(left) == 1 else f"{len(left):,} of the {len(headers):,} tensors"
    place = "has no place in the model" if len(left) == 1 else "have no place in the model"
    notes = [_why(source, rewriting, plan, scope) for source in left[:SHOWN]]
    if len(left) > SHOWN:
        notes.append(f"and {len(left) - SHOWN:,} more")
    selectors = list(dict.fromkeys(_as_selector(source) for source in left))
    skip = ", ".join(f"'{each}'" for each in selectors[:FEW_SELECTORS])
    more = ", ..." if len(selectors) > FEW_SELECTORS else ""
    names = [scope + rewriting.renamed.get(source, "") for source in left]
    way = (
        "rename what has another name in the model"
        if plan.by_name.keys().isdisjoint(names)
        else "select more"
    )
    return Diagnostic(
        "checkpoint-unused",
        f"{which} of `{surgery.path}` {place}",
        surgery.place,
        notes=tuple(notes),
        help=f"{way}, or leave out what is not meant: `skip=[{skip}{more}]`",
    )


def _why(source: str, rewriting: Rewriting, plan: Plan, scope: str) -> str:
    """Return why one tensor is not taken."""
    if source not in rewriting.renamed:
        return f"`{source}` does not begin with `{rewriting.surgery.prefix}`"
    name = rewriting.renamed[source]
    would = "" if name == source else f" would be `{name}`, which"
    row = plan.by_name.get(scope + name)
    if row is None:
        return f"`{source}`{would} is no tensor of the model"
    decided = next((d for d in row.decisions if d.won and d.section in ("init", "value")), None)
    if decided is None or decided.place is None:
        return f"`{source}`{would} is in the model, and not selected by this rule"
    return f"`{source}`{would} is decided by another rule: `{decided.text}` ({decided.where()})"


def _as_selector(name: str) -> str:
    """Return a selector for a tensor of a file and those like it in repeated blocks."""
    parts = ["*" if part.isdigit() or re.search(r"[^\w\-]", part) else part for part in name.split(".")]
    return ("/" if len(parts) == 1 else "") + ".".join(parts)


Group = Sequence[tuple[PlanRow, str]]
"""Tensors with the names that they have behind a surgery, alike in the blocks of a repeat."""


def differing_shape(group: Group, rewriting: Rewriting) -> Diagnostic:
    """Return the diagnostic of tensors that have other shapes in the file."""
    row, name = group[0]
    found = list(rewriting.shape(name))
    recipe = rewriting.recipes[name]
    help = None
    if len(found) == 2 and tuple(reversed(found)) == row.shape:
        help = f"turn it: `transpose=['{_as_selector(name)}']`"
        if isinstance(recipe, Permuted):
            help = "leave it as it is: narrow the selectors of `transpose`"
    elif len(found) == len(row.shape) and found[1:] == list(row.shape[1:]):
        help = _other_count(row, found[0], next(names_in(recipe)))
    return Diagnostic(
        "checkpoint-shape",
        f"`{name}` out of `{rewriting.surgery.path}` has the shape {found}",
        rewriting.surgery.place,
        notes=(f"`{row.name}` has the shape {list(row.shape)}", *more_alike(group)),
        help=help,
    )


def _other_count(row: PlanRow, count: int, source: str) -> str:
    """Return what to do about another number of rows, as of classes or words."""
    wanted = row.shape[0]
    fill = "zeros" if len(row.shape) == 1 else "normal(std=0.02)"
    rows = f"cat([checkpoint(...), {fill}[{count}:]])" if count < wanted else f"checkpoint(...)[:{wanted}]"
    return (
        f"keep rows, in a rule for it alone: `- {row.name}: {rows}`; "
        f"or do not load it: `skip=['{_as_selector(source)}']`, and a later rule `- {row.name}: {fill}`"
    )


def differing_dtype(group: Group, rewriting: Rewriting) -> Diagnostic:
    """Return the diagnostic of tensors whose values are numbers of another kind."""
    row, name = group[0]
    source = next(names_in(rewriting.recipes[name]))
    found = str(rewriting.headers[source].dtype).removeprefix("torch.")
    return Diagnostic(
        "checkpoint-dtype",
        f"`{name}` out of `{rewriting.surgery.path}` is {found}",
        rewriting.surgery.place,
        notes=(
            f"`{row.name}` is {str(row.dtype).removeprefix('torch.')}, and values are converted only "
            "among floating, among complex and among whole numbers",
            *more_alike(group),
        ),
    )


def more_alike(group: Sequence[object]) -> tuple[str, ...]:
    """Return the note that there is more than the first of a group."""
    return (f"and so for {len(group) - 1:,} more like it",) if len(group) > 1 else ()
