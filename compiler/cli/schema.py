"""`schema`: the JSON Schema of the language, for editors."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from compiler.catalogue.layers import layer_names, layer_type
from compiler.cli.console import status
from compiler.cli.options import OutputFormat, Plugins
from compiler.cli.outcome import Format
from compiler.cli.text_files import write_output
from compiler.json_schema.language import language_schema
from compiler.pipeline import registry

Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", show_default=False, help="Write it to a file, all or nothing."
    ),
]


def schema(output: Output = None, plugin: Plugins = None, format: OutputFormat = Format.text) -> None:
    """Print the JSON Schema of specs, with what each layer takes.

    Editors complete and check specs with it. Layers of plugins that are loaded are in it.
    """
    plugins = registry(plugin or ())
    with status("reading the layers"):
        layers = {name: layer_type(name) for name in layer_names()} | dict(plugins.layers)
        text = json.dumps(language_schema(layers), indent=2, ensure_ascii=False) + "\n"
    if output is None:
        sys.stdout.write(text)
        return
    write_output(output, text)
