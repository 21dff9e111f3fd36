"""The options of `diff`, and what it compares."""

from __future__ import annotations

from typing import Annotated

import typer

Names = Annotated[
    list[str],
    typer.Argument(
        metavar="A [B]",
        show_default=False,
        help="Specs, saved models, or revisions of git as in `HEAD~1:model.yaml`. Without B, A with other values.",
    ),
]
SetBefore = Annotated[
    list[str] | None,
    typer.Option("--set-a", metavar="KEY=VALUE", show_default=False, help="A variable of A alone."),
]
SetAfter = Annotated[
    list[str] | None,
    typer.Option("--set-b", metavar="KEY=VALUE", show_default=False, help="A variable of B alone."),
]
PresetBefore = Annotated[
    str | None, typer.Option("--preset-a", metavar="NAME", show_default=False, help="A preset of A.")
]
PresetAfter = Annotated[
    str | None, typer.Option("--preset-b", metavar="NAME", show_default=False, help="A preset of B.")
]
Maps = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="NEW=OLD",
        show_default=False,
        help="Which layer of A a layer of B is: `encoder.layer.{i} = encoder.layer.{2 * i}`.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]
AsMarkdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown, for a pull request.")]
OnlyRule = Annotated[
    bool,
    typer.Option(
        "--rule", help="Print nothing but the rule that loads A's weights, to be pasted below `init:`."
    ),
]
Everything = Annotated[bool, typer.Option("--all", help="Print every line, however many.")]
