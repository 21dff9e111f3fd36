"""`explain`: why a parameter is as it is, and what an error code means."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from compiler.catalogue.docstrings import first_sentence
from compiler.cli.console import facts, out, say
from compiler.cli.explained import Explained, reasons_of
from compiler.cli.options import ExpectDigest, ImportPaths, OutputFormat, Plugins, Preset, Settings
from compiler.cli.outcome import Format, UsageProblem
from compiler.cli.selection import SelectorText, select
from compiler.cli.subject import Subject
from spec_schema.diagnostics import SpecError
from spec_schema.suggest import did_you_mean

if TYPE_CHECKING:
    from compiler.artifact import Artifact
    from compiler.rules.plan import Decision, PlanRow
    from compiler.rules.provenance import Origin, Provenance
    from spec_schema.source import Span

PAGE = ".md"
FENCE = "```"

What = Annotated[
    str | None,
    typer.Argument(
        metavar="[SPEC|CODE]", show_default=False, help="A spec or a saved model; or the code of an error."
    ),
]


def explain(
    what: What = None,
    selector: SelectorText = None,
    set_: Settings = None,
    preset: Preset = None,
    plugin: Plugins = None,
    import_path: ImportPaths = None,
    expect_digest: ExpectDigest = None,
    format: OutputFormat = Format.text,
) -> None:
    """Explain what decided a parameter, or what an error code means.

    For a spec and a selector: every rule that touched the parameters, with its place, and which one won.
    For an error code such as `shape-mismatch`: what it means and what to do. Without either: all codes.
    """
    if what is None:
        print_codes(format)
    elif selector is None and _is_code(what):
        print_page(what, format)
    else:
        artifact = Subject(Path(what), set_, preset, plugin, import_path, expect_digest).artifact()
        rows = [with_mesh(artifact, with_training(artifact, row)) for row in select(artifact, selector)]
        print_rows(artifact, rows, format)


# --- parameters -----------------------------------------------------------------------------------------


def print_rows(artifact: Artifact, rows: list[PlanRow], format: Format) -> None:
    """Print what was decided for each row, and by which lines."""
    from compiler.rules.provenance import Provenance

    origins = Provenance(artifact.inferred)
    match format:
        case Format.json:
            print(json.dumps([{**as_json(row), **origins_as_json(row, origins)} for row in rows], indent=2))
        case Format.short:
            for row in rows:
                for decision in row.decisions:
                    won = "decides" if decision.won else "overruled"
                    say(f"{row.name}: {decision.section} {decision.text} ({decision.where()}) {won}")
                for title, origin in reasons_of(row, origins).origins():
                    say(f"{row.name}: {title}: {origin.text} ({origin.where()})")
        case Format.text:
            explained = Explained(out(), origins)
            for row in rows:
                explained.print(row, form_text(row))


def with_training(artifact: Artifact, row: PlanRow) -> PlanRow:
    """Return a row with what decides how it is trained: its optimizer, its rate and decay."""
    try:
        groups = artifact.training.groups if artifact.training is not None else ()
    except SpecError:  # a saved model, whose section may name what is not there
        return row
    found = next((group.decisions[row.name] for group in groups if row.name in group.decisions), ())
    return replace(row, decisions=(*row.decisions, *found)) if found else row


def with_mesh(artifact: Artifact, row: PlanRow) -> PlanRow:
    """Return a row with what decides how it lies on the mesh of its spec, if there is one."""
    from compiler.mesh.told import mesh_decisions

    try:
        made = artifact.mesh
    except SpecError:  # a saved model, whose section may name what is not there
        return row
    return row if made is None else replace(row, decisions=(*row.decisions, *mesh_decisions(made, row)))


def dtype_text(row: PlanRow) -> str:
    """Return the dtype of a row, as specs name it."""
    return str(row.dtype).removeprefix("torch.")


def form_text(row: PlanRow) -> str:
    """Return the dtype and the shape of a row."""
    return f"{dtype_text(row)}{list(row.shape)}"


def as_json(row: PlanRow) -> dict[str, Any]:
    """Return a row of the plan as plain values."""
    return {
        "name": row.name,
        "names": list(row.names),
        "kind": row.kind,
        "dtype": dtype_text(row),
        "shape": list(row.shape),
        "trainable": row.trainable,
        "persistent": row.persistent,
        "device": row.device,
        "init": row.initialisation.text if row.initialisation else None,
        "begins_as": row.copied.source if row.copied else None,
        "decisions": [_decision_as_json(decision) for decision in row.decisions],
    }


def origins_as_json(row: PlanRow, origins: Provenance) -> dict[str, Any]:
    """Return the lines that the names of the initialiser, the dtype and the sizes come from, as plain values."""
    names = origins.names(row.initialisation) if row.initialisation else ()
    return {
        "where": [_origin_as_json(origin) for origin in names],
        "dtype_from": _origin_as_json(origins.dtype(row.source)),
        "sizes": [
            {"size": size.value, "from": [_origin_as_json(origin) for origin in size.origins]}
            for size in origins.stored_sizes(row)
        ],
    }


def _origin_as_json(origin: Origin) -> dict[str, Any]:
    return {"text": origin.text, **_place_as_json(origin.place)}


def _place_as_json(place: Span | None) -> dict[str, Any]:
    return {"file": place.file.name if place else None, "line": place.line if place else None}


def _decision_as_json(decision: Decision) -> dict[str, Any]:
    return {
        "section": decision.section,
        "text": decision.text,
        **_place_as_json(decision.place),
        "won": decision.won,
    }


# --- codes ----------------------------------------------------------------------------------------------


def _is_code(what: str) -> bool:
    """Return whether one word is a code and not a file: it has none of what the names of files have."""
    return not ({".", "/", "\\"} & set(what) or Path(what).exists())


def pages() -> dict[str, Traversable]:
    """Return the page of each code, in alphabetical order."""
    folder = files("spec_schema") / "codes"
    found = folder.iterdir() if folder.is_dir() else iter(())
    by_code = {page.name.removesuffix(PAGE): page for page in found if page.name.endswith(PAGE)}
    return dict(sorted(by_code.items()))


def print_page(code: str, format: Format) -> None:
    """Print the page of a code. UsageProblem, with the nearest one, if there is none."""
    known = pages()
    if code not in known:
        near = did_you_mean(code, known)
        raise UsageProblem(
            f"there is no error code `{code}`, and no file of that name",
            f"did you mean `{near}`?" if near else "`explain` alone lists all codes",
        )
    text = known[code].read_text("utf-8")
    if format is Format.json:
        print(json.dumps({"code": code, "text": text}, indent=2))
    else:
        say(*readable(text))


def readable(text: str) -> Iterator[str]:
    """Yield the lines of a page for a person: its title without a sign, and its examples indented."""
    fenced = False
    for line in text.strip().splitlines():
        if line.startswith(FENCE):
            fenced = not fenced
        elif fenced:
            yield f"    {line}".rstrip()
        else:
            yield line.removeprefix("# ")


def print_codes(format: Format) -> None:
    """Print all codes, each with the title of its page."""
    titles = {code: _title(page.read_text("utf-8")) for code, page in pages().items()}
    match format:
        case Format.json:
            print(json.dumps([{"code": code, "title": title} for code, title in titles.items()], indent=2))
        case Format.short:
            say(*titles)
        case Format.text:
            console = out()
            console.print(facts(titles.items()))
            console.print("\n`explain CODE` shows what a code means and what to do.", soft_wrap=True)


def _title(text: str) -> str:
    """Return the first sentence of a page, without its full stop."""
    title, _, rest = text.partition("\n")
    prose = rest if title.startswith("#") else text
    return first_sentence(prose, "").removesuffix(".")
