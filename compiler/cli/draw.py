"""`draw`: a picture of a model, or of two of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compiler.cli.console import status
from compiler.cli.explain import with_mesh, with_training
from compiler.cli.options import ImportPaths, Plugins, Preset, Settings
from compiler.cli.outcome import UsageProblem
from compiler.cli.run import check_target
from compiler.cli.subject import Subject, check_file
from compiler.cli.text_files import write_output
from compiler.extras import DRAW
from spec_schema.suggest import did_you_mean

if TYPE_CHECKING:
    from compiler.artifact import Artifact
    from compiler.drawing.drawing import Drawing

SUFFIXES = (".html", ".svg", ".mmd")

Names = Annotated[
    list[str],
    typer.Argument(
        metavar="SPEC [B]",
        show_default=False,
        help="A spec or a saved model; with `--diff` two, each also in a revision as in `HEAD~1:model.yaml`.",
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        show_default=False,
        help="Where the picture goes: a page `.html`, `.svg`, or `.mmd` for Mermaid.",
    ),
]
Compared = Annotated[
    bool, typer.Option("--diff", help="Draw both in one picture, with what changed in colour.")
]


def draw(
    names: Names,
    output: Output,
    diff: Compared = False,
    set_: Settings = None,
    preset: Preset = None,
    plugin: Plugins = None,
    import_path: ImportPaths = None,
) -> None:
    """Draw a model: its blocks to open and close, the shapes between them, and what rules decide.

    A page needs nothing but a browser. `.svg` needs the extra `draw`.
    """
    _check_suffix(output)
    if output.suffix == ".svg":
        DRAW.require()
    given = (set_, preset, plugin, import_path)
    with_rows = output.suffix == ".html"
    if diff:
        text = WRITERS[output.suffix](*_compared(names, output, *given))
    else:
        text = WRITERS[output.suffix](*_one(names, output, with_rows, *given))
    write_output(output, text)


def _check_suffix(output: Path) -> None:
    if output.suffix in SUFFIXES:
        return
    near = did_you_mean(output.suffix, SUFFIXES) or ".html"
    raise UsageProblem(
        f"`{output}` says no kind of picture: {', '.join(SUFFIXES)}",
        f"name it `{output.with_suffix(near) if output.name.strip('.') else f'net{near}'}`",
    )


def _one(
    names: list[str],
    output: Path,
    with_rows: bool,
    settings: list[str] | None,
    preset: str | None,
    plugins: list[str] | None,
    import_paths: list[Path] | None,
) -> tuple[Drawing, Artifact]:
    """Return the picture of one model, with all that was decided of its tensors if that is to be shown."""
    if len(names) != 1:
        raise UsageProblem(f"`draw` takes one spec, and these are {len(names)}", "`--diff A B` draws two")
    path = Path(names[0])
    check_file(path)
    check_target(output, path)
    artifact = Subject(path, settings, preset, plugins, import_paths).artifact()
    with status("drawing"):
        return _drawing(artifact, with_rows), artifact


def _drawing(artifact: Artifact, with_rows: bool = False) -> Drawing:
    from compiler.drawing.drawing import draw as drawn

    rows = [with_mesh(artifact, with_training(artifact, row)) for row in artifact.plan.rows if with_rows]
    return drawn(artifact.inferred, artifact.plan, artifact.name, rows or None)


def _compared(
    names: list[str],
    output: Path,
    settings: list[str] | None,
    preset: str | None,
    plugins: list[str] | None,
    import_paths: list[Path] | None,
) -> tuple[Drawing, Artifact]:
    """Return the picture of two models, and the second one."""
    from compiler.cli.diff.sides import Side
    from compiler.diff.picture import compared

    if len(names) != 2:
        raise UsageProblem(f"`--diff` draws two, and these are {len(names)}", "name A and B")
    common = (tuple(settings or ()), preset, tuple(plugins or ()), tuple(import_paths or ()))
    sides = [Side(name, *common) for name in names]
    for side in sides:
        if side.subject.path.exists():
            check_target(output, side.subject.path)
    before, after = (side.artifact() for side in sides)
    with status("drawing"):
        drawings = _drawing(before), _drawing(after, with_rows=True)
        same = before.name == after.name
        title = " → ".join(side.title for side in sides) if same else f"{before.name} → {after.name}"
        return compared(before, after, drawings, title), after


def _page(drawing: Drawing, artifact: Artifact) -> str:
    from compiler.drawing.html import html
    from compiler.rules.provenance import Provenance

    return html(drawing, Provenance(artifact.inferred))


def _svg(drawing: Drawing, artifact: Artifact) -> str:
    from compiler.drawing.svg import svg

    return svg(drawing)


def _mermaid(drawing: Drawing, artifact: Artifact) -> str:
    from compiler.drawing.mermaid import mermaid

    return mermaid(drawing)


WRITERS = {".html": _page, ".svg": _svg, ".mmd": _mermaid}
