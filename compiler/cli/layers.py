"""`layers`: the catalogue of layers and operations, with their arguments and documentation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from compiler.catalogue import operations as catalogue
from compiler.catalogue.annotations import accepted, describe
from compiler.catalogue.docstrings import first_sentence
from compiler.catalogue.layer_types import REQUIRED, Argument, LayerType, positional
from compiler.catalogue.layers import layer_documentation, layer_names, layer_type
from compiler.catalogue.operation_table import FACTORIES, FUNCTIONS, METHODS
from compiler.catalogue.plugins import Registry
from compiler.cli.console import facts, out, say, status, table
from compiler.cli.options import OutputFormat, Plugins
from compiler.cli.outcome import Format, UsageProblem
from compiler.pipeline import registry
from spec_schema.suggest import did_you_mean

TORCH = "torch.nn"
SOURCES = {
    "x.shape[-1]": "the last size of the input",
    "x.shape[channel]": "the channels of the input",
    "x.shape[feature]": "the features of the input",
    "x.shape[1]": "the second size of the input",
    "1.shape[-1]": "the last size of the second input",
}
"""The rules of inference in words."""

LEGEND = "Arguments in [brackets] follow from the input: leave them out. `layers NAME` tells more about one."

Name = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", show_default=False, help="A layer or an operation, to see all of it."),
]
Operations = Annotated[bool, typer.Option("--operations", help="List the operations instead of the layers.")]


def layers(
    name: Name = None,
    operations: Operations = False,
    plugin: Plugins = None,
    format: OutputFormat = Format.text,
) -> None:
    """List the layers that a spec can name, or show one of them.

    They are torch's own, with torch's arguments, and those of plugins. Arguments in brackets follow from the
    input and are left out.
    """
    with status("reading the catalogue"):
        plugins = registry(plugin or ())
        layer = _layer(name, plugins) if name is not None else None
        described = _descriptions(plugins) if operations or (name is not None and layer is None) else {}
        known = {} if name is not None or operations else _layers(plugins)
    if layer is not None:
        print_layer(layer, format)
    elif name is not None:
        _show_operation(name, described, plugins, format)
    elif operations:
        print_operations(described, format)
    else:
        print_layers(known.values(), format)


def _layers(plugins: Registry) -> dict[str, LayerType]:
    """Return all layers by name, those of plugins first."""
    return {**plugins.layers, **{name: layer_type(name) for name in sorted(layer_names())}}


def _layer(name: str, plugins: Registry) -> LayerType | None:
    return plugins.layers.get(name) or (layer_type(name) if name in layer_names() else None)


def _descriptions(plugins: Registry) -> dict[str, str]:
    """Return what each operation does, as far as the installed torch has it."""
    own = {
        name: first_sentence(function.__doc__ or "", name) for name, function in plugins.operations.items()
    }
    return {
        **own,
        **{name: catalogue.documentation(name) for name in sorted(FUNCTIONS) if catalogue.available(name)},
    }


def _show_operation(name: str, described: dict[str, str], plugins: Registry, format: Format) -> None:
    if name in described:
        print_operation(name, described[name], format)
        return
    near = did_you_mean(name, [*plugins.layers, *sorted(layer_names()), *described])
    raise UsageProblem(
        f"there is no layer or operation `{name}`",
        f"did you mean `{near}`?" if near else "`layers` and `layers --operations` list what there is",
    )


# --- layers ---------------------------------------------------------------------------------------------


def print_layers(known: Iterable[LayerType], format: Format) -> None:
    """Print how each layer is written, and the first sentence of its documentation."""
    match format:
        case Format.json:
            print(json.dumps([layer_as_json(layer) for layer in known], indent=2))
        case Format.short:
            say(*(layer.name for layer in known))
        case Format.text:
            console = out()
            for layer in known:
                sentence = first_sentence(layer_documentation(layer), layer.name)
                _entry(console, layer.name, _signature(layer), sentence)
            console.print(f"\n{LEGEND}")


def _entry(console: Console, name: str, signature: str, sentence: str) -> None:
    line = Text.assemble((name, "bold"), signature)
    console.print(Padding(line, (0, 0, 0, 2)) if len(line) <= console.width - 2 else _hanging(line, console))
    if sentence:
        console.print(Padding(Text(sentence, style="dim"), (0, 0, 0, 6)))


def _hanging(line: Text, console: Console) -> Padding:
    """Return text whose lines after the first stand further in."""
    first, *rest = line.wrap(console, console.width - 6)
    return Padding(Text("\n    ").join([first, *rest]), (0, 0, 0, 2))


def _signature(layer: LayerType) -> str:
    return f"({', '.join(map(_argument_text, layer.arguments))})" if layer.arguments else ""


def _argument_text(argument: Argument) -> str:
    if argument.deferred is not None:
        return f"[{argument.name}]"
    return argument.name if argument.default is REQUIRED else f"{argument.name}={_default(argument)}"


def _default(argument: Argument) -> str:
    return getattr(argument.default, "__name__", None) or repr(argument.default)


def print_layer(layer: LayerType, format: Format) -> None:
    """Print everything about one layer."""
    if format is Format.json:
        print(json.dumps(layer_as_json(layer), indent=2))
        return
    if format is Format.short:
        say(f"{layer.name}{_signature(layer)}")
        return
    console = out()
    console.print(Text.assemble((layer.name, "bold"), f", a layer of {layer.source}"), soft_wrap=True)
    console.print(layer_documentation(layer))
    console.print()
    if layer.arguments:
        listing = table("argument", "takes", "if left out", whole=("argument",))
        for argument in layer.arguments:
            listing.add_row(argument.name, _takes(argument), _left_out(argument))
        console.print(listing)
        console.print()
    console.print(facts(_ways(layer)))


def _takes(argument: Argument) -> str:
    text = describe(accepted(argument)).replace("Any", "any value")
    return f"{text} (by name)" if argument.keyword_only else text


def _left_out(argument: Argument) -> str:
    if argument.deferred is not None:
        return f"follows: {SOURCES.get(argument.deferred, argument.deferred)}"
    return "required" if argument.default is REQUIRED else _default(argument)


def _ways(layer: LayerType) -> Iterator[tuple[str, str]]:
    """Yield how the layer is written: briefly, and with all that it takes."""
    required = [each.name for each in positional(layer) if each.default is REQUIRED]
    yield "write", f"{layer.name}({', '.join(required)})" if required else layer.name
    optional = [each for each in layer.arguments if each.deferred is None and each.default is not REQUIRED]
    if optional:
        rest = [f"{each.name}={_default(each)}" for each in optional]
        yield "or", f"{layer.name}({', '.join([*required, *rest[:2]])}{', ...' if len(rest) > 2 else ''})"
    if required:
        yield "or", "{" + ", ".join([f"layer: {layer.name}", *(f"{name}: ..." for name in required)]) + "}"


def layer_as_json(layer: LayerType) -> dict[str, Any]:
    """Return a layer of the catalogue as plain values."""
    return {
        "name": layer.name,
        "source": layer.source,
        "documentation": layer_documentation(layer),
        "arguments": [
            {
                "name": argument.name,
                "takes": describe(accepted(argument)),
                "required": argument.default is REQUIRED and argument.deferred is None,
                "default": None if argument.default is REQUIRED else _default(argument),
                "inferred": argument.deferred,
                "keyword_only": argument.keyword_only,
            }
            for argument in layer.arguments
        ],
    }


# --- operations -----------------------------------------------------------------------------------------


def print_operations(described: dict[str, str], format: Format) -> None:
    """Print each operation with the first sentence of its documentation."""
    match format:
        case Format.json:
            entries = [{"name": name, "documentation": text} for name, text in described.items()]
            print(json.dumps(entries, indent=2))
        case Format.short:
            say(*described)
        case Format.text:
            for name, sentence in described.items():
                _entry(out(), name, "", sentence)


def print_operation(name: str, sentence: str, format: Format) -> None:
    """Print everything about one operation."""
    path = FUNCTIONS.get(name)
    arguments = list(catalogue.signature(name).keywords()) if path else []
    if format is Format.json:
        entry = {"name": name, "stands_for": path, "documentation": sentence, "arguments": arguments}
        print(json.dumps({**entry, "method": name in METHODS}, indent=2))
        return
    if format is Format.short:
        say(f"{name}({', '.join(arguments)})")
        return
    console = out()
    console.print(Text.assemble((name, "bold"), f", an operation: {path or 'of a plugin'}"), soft_wrap=True)
    console.print(sentence)
    console.print()
    console.print(facts(_uses(name, arguments)))


def _uses(name: str, arguments: list[str]) -> Iterator[tuple[str, str]]:
    if arguments:
        yield "arguments", ", ".join(arguments)
    if name in FACTORIES:
        yield "in a program", f"{name}(...)"
        return
    rest = "(...)" if len(arguments) != 1 else ""
    method = f", or x.{name}({rest.strip('()')})" if name in METHODS else ""
    yield "in a program", f"{name}(x{', ...' if rest else ''}){method}"
    yield "in a sequence", f"{name}{rest}, applied to the value that flows"
