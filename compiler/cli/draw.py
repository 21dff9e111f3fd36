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
    if len(names) != 1:
        raise UsageProblem(f"`draw` takes one spec, and these are {len(names)}", "`--diff A B` draws two")
    path = Path(names[0])
    check_file(path)
    check_target(output, path)
    artifact = Subject(path, set_, preset, plugin, import_path).artifact()
    with status("drawing"):
        text = WRITERS[output.suffix](artifact)
    write_output(output, text)


def _check_suffix(output: Path) -> None:
    if output.suffix in SUFFIXES:
        return
    near = did_you_mean(output.suffix, SUFFIXES) or ".html"
    raise UsageProblem(
        f"`{output}` says no kind of picture: {', '.join(SUFFIXES)}",
        f"name it `{output.with_suffix(near) if output.name.strip('.') else f'net{near}'}`",
    )


def _page(artifact: Artifact) -> str:
    from compiler.drawing.drawing import draw as drawn
    from compiler.drawing.html import html
    from compiler.rules.provenance import Provenance

    rows = [with_mesh(artifact, with_training(artifact, row)) for row in artifact.plan.rows]
    drawing = drawn(artifact.inferred, artifact.plan, artifact.name, rows)
    return html(drawing, Provenance(artifact.inferred))


def _svg(artifact: Artifact) -> str:
    from compiler.drawing.drawing import draw as drawn
    from compiler.drawing.svg import svg

    return svg(drawn(artifact.inferred, artifact.plan, artifact.name))


def _mermaid(artifact: Artifact) -> str:
    from compiler.drawing.drawing import draw as drawn
    from compiler.drawing.mermaid import mermaid

    return mermaid(drawn(artifact.inferred, artifact.plan, artifact.name))


WRITERS = {".html": _page, ".svg": _svg, ".mmd": _mermaid}
