"""The table of a survey, in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from runtime.importing.survey.trials import Outcome

BEGIN = "<!-- made by `make import-survey`: begin -->"
END = "<!-- end -->"
STATUSES = ("proven", "imported", "refused", "differs", "failed", "too slow", "too large")
_HEADINGS = (
    *("library", "models", *STATUSES, "lines of the spec", "of the library", "spec ÷ library"),
    *("spec ÷ what ran of it", "seconds"),
)


def report(found: Mapping[str, Sequence[Outcome]], sizes: Mapping[str, int]) -> str:
    """Return the tables of a survey: what came of each library, and why models were not imported.

    `sizes` are the numbers of models that the libraries have.
    """
    lines = [_row(_HEADINGS), _row("---" for _ in _HEADINGS)]
    lines += [_row(_summary(name, each, sizes[name])) for name, each in found.items()]
    refused = [each for outcomes in found.values() for each in outcomes if not is_imported(each)]
    if refused:
        lines += ["", _row(("what stood in the way", "models", "for one", "where")), _row(["---"] * 4)]
        lines += [_row(each) for each in _reasons(refused)]
    return "\n".join(lines) + "\n"


def is_imported(outcome: Outcome) -> bool:
    """Return whether a spec was made."""
    return outcome["status"] in ("proven", "imported")


def _summary(name: str, outcomes: Sequence[Outcome], size: int) -> Iterator[str]:
    made = [each for each in outcomes if is_imported(each)]
    count = len(outcomes)
    yield from (name, str(size) if count == size else f"{count} of {size}, at random")
    for status in STATUSES:
        yield str(sum(each["status"] == status for each in outcomes))
    measured = [each for each in made if each.get("code_lines")]
    yield _median([each["lines"] for each in measured], "{:.0f}")
    yield _median([each["code_lines"] for each in measured], "{:.0f}")
    yield _median([each["lines"] / each["code_lines"] for each in measured], "{:.2f}")
    yield _median([each["lines"] / each["run_lines"] for each in measured], "{:.2f}")
    yield _median([each["seconds"] for each in made], "{:.1f}")


def _median(values: Sequence[float], form: str) -> str:
    return form.format(median(values)) if values else "–"


def _reasons(refused: Sequence[Outcome]) -> Iterator[tuple[str, ...]]:
    """Yield each reason, with how many models have it, and one of them; the most frequent first."""
    groups: dict[str, list[Outcome]] = {}
    for each in refused:
        groups.setdefault(reason(each), []).append(each)
    for why, outcomes in sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        first = outcomes[0]
        yield why, str(len(outcomes)), f"`{first['source']}`", _where(first)


def reason(outcome: Outcome) -> str:
    """Return why a model was not imported, without what is particular to it."""
    said = outcome.get("reason", "")
    if outcome.get("code") != "import-operation":
        said = re.sub(r"`[^`]*`", "`…`", said)
        said = re.sub(r"\d+(\.\d+)?(e[+-]?\d+)?", "N", said)
        said = re.sub(r"\[N(, N)*\]", "[N]", said)
    head = outcome.get("code") or outcome["status"]
    return f"{head}: {said[:150]}" if said else head


def _where(outcome: Outcome) -> str:
    """Return a place in a file, from the folder of its library on."""
    where = re.sub(
        r"^.*?/(?=(timm|torchvision|transformers|torch|runtime|compiler)/)", "", outcome.get("where", "")
    )
    return f"`{where}`" if where else ""


def _row(cells: Any) -> str:
    return f"| {' | '.join(each.replace('|', chr(92) + '|') for each in cells)} |"


def put_into(document: Path, text: str) -> None:
    """Write the tables into a document, in the place of those that it has between its two marks."""
    before, begin, rest = document.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document} has no place for the table: {BEGIN} ... {END}")
    document.write_text(f"{before}{BEGIN}\n{text}{END}{after}")
