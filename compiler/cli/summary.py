"""`summary`: the tree of a model, with shapes, parameters, memory and operations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from compiler.cli.console import WIDE, facts, out, say, status, table
from compiler.cli.options import ExpectDigest, ImportPaths, OutputFormat, Plugins, Preset, Settings, Spec
from compiler.cli.outcome import Format
from compiler.cli.subject import Subject

if TYPE_CHECKING:
    from compiler.artifact import Artifact
    from runtime.summary import Form, Node, Summary

KIB, MIB = 2**10, 2**20


def summary(
    spec: Spec,
    set_: Settings = None,
    preset: Preset = None,
    plugin: Plugins = None,
    import_path: ImportPaths = None,
    expect_digest: ExpectDigest = None,
    format: OutputFormat = Format.text,
) -> None:
    """Show a model's layers, shapes, parameters, memory and FLOPs.

    Nothing is allocated, so a model may be larger than the computer. Equal blocks in a row are shown once.
    """
    artifact, digest = _read(Subject(spec, set_, preset, plugin, import_path, expect_digest))
    found = read_summary(artifact)
    match format:
        case Format.json:
            print(json.dumps({**as_json(artifact.name, found), "digest": digest}, indent=2))
        case Format.short:
            totals = (count_text(found.parameters, "parameters"), memory_text(found.bytes), flops_text(found))
            say(f"{artifact.name}: {', '.join(totals)}")
        case Format.text:
            print_summary(out(), found)
            if digest is not None:
                out().print(f"\ndigest {digest}", soft_wrap=True)


def _read(subject: Subject) -> tuple[Artifact, str | None]:
    """Return the artifact, and the digest of a saved model."""
    if not subject.is_model:
        return subject.artifact(), None
    saved = subject.saved(values=False)
    return saved.artifact(subject.plugins or ()), saved.digest


def read_summary(artifact: Artifact) -> Summary:
    """Return the summary of an artifact."""
    with status("running the model without values"):
        from runtime.summary import summarise

        return summarise(artifact)


# --- text -----------------------------------------------------------------------------------------------


def print_summary(console: Console, found: Summary) -> None:
    """Print the tree, then the totals."""
    wide = console.width >= WIDE
    headings = ["layer", "type", "output", "parameters", *(["FLOPs"] if wide else [])]
    spare = ("FLOPs", "output", "type", "parameters")
    rows = table(*headings, numbers=("parameters", "FLOPs"), whole=("layer",), spare=spare)
    for guides, node in _lines(found.root):
        cells: list[Text | str] = [_label(guides, node), _times(node, node.type), form_text(node.output)]
        counts = [_parameters(node), *([_times(node, short_number(node.flops))] if wide else [])]
        rows.add_row(*cells, *counts)
    console.print(rows)
    console.print()
    console.print(facts(_totals(found)))


def _lines(node: Node, guides: str = "", child_guides: str = "") -> Iterator[tuple[str, Node]]:
    """Yield each node with the lines that lead to it."""
    yield guides, node
    for number, child in enumerate(node.children, 1):
        last = number == len(node.children)
        here, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
        yield from _lines(child, child_guides + here, child_guides + below)


def _label(guides: str, node: Node) -> Text:
    if not node.path:
        return Text(node.type, style="bold")
    last = node.copies[-1].rpartition(".")[2]
    return Text.assemble((guides, "dim"), node.name if len(node.copies) == 1 else f"{node.name} … {last}")


def _times(node: Node, text: str) -> str:
    """Return what is true of each copy that a node stands for."""
    return f"{len(node.copies)} × {text}" if text and len(node.copies) > 1 else text


def form_text(form: Form) -> str:
    """Return what a layer returns, on one line; a dtype is named where it is not float32."""
    match form:
        case None:
            return ""
        case tuple():
            return f"({', '.join(map(form_text, form))})"
        case dict():
            return "{" + ", ".join(f"{key}: {form_text(part)}" for key, part in form.items()) + "}"
    return form.shape if form.dtype == "float32" else str(form)


def _parameters(node: Node) -> str:
    if not node.parameters:
        return "shared" if _borrows(node) else ""
    return _times(node, f"{node.parameters:,}") + (" frozen" if node.frozen else "")


def _borrows(node: Node) -> bool:
    return bool(node.shared) or any(map(_borrows, node.children))


def _totals(found: Summary) -> Iterator[tuple[str, str]]:
    trainable = "all trainable" if found.trainable == found.parameters else f"{found.trainable:,} trainable"
    yield "parameters", f"{found.parameters:,}, {trainable}"
    if found.buffers:
        yield "buffers", f"{found.buffers:,} values that are not trained"
    yield "memory", memory_text(found.bytes)
    yield "FLOPs", f"{short_number(found.flops) or '0'} for one forward of {inputs_text(found)}"
    for owner, others in found.shared:
        yield "shared", f"{owner} is also {', '.join(others)}"


def inputs_text(found: Summary) -> str:
    """Return the inputs, and the sizes of their symbolic dimensions."""
    inputs = ", ".join(f"{name}: {form}" for name, form in found.inputs.items())
    sizes = ", ".join(f"{name} {size}" for name, size in found.sizes.items())
    return f"{inputs} at {sizes}" if sizes else inputs


def count_text(count: int, noun: str) -> str:
    """Return `1,024 parameters`."""
    return f"{count:,} {noun.removesuffix('s') if count == 1 else noun}"


def memory_text(count: int) -> str:
    """Return a number of bytes in MiB, or in KiB where that is little."""
    return f"{count / MIB:,.1f} MiB" if count >= MIB / 10 else f"{count / KIB:.3g} KiB"


def flops_text(found: Summary) -> str:
    """Return the operations of one forward."""
    sizes = ", ".join(f"{name} {size}" for name, size in found.sizes.items())
    return f"{short_number(found.flops) or '0'} FLOPs{f' at {sizes}' if sizes else ''}"


def short_number(number: int) -> str:
    """Return three digits and a unit; nothing for nothing."""
    value, unit = float(number), ""
    for bigger in ("k", "M", "G", "T", "P"):
        if value < 999.5:
            break
        value, unit = value / 1000, bigger
    return f"{value:.3g} {unit}".strip() if number else ""


# --- JSON -----------------------------------------------------------------------------------------------


def as_json(name: str, found: Summary) -> dict[str, Any]:
    """Return a summary as plain values."""
    return {
        "name": name,
        "inputs": {key: str(form) for key, form in found.inputs.items()},
        "sizes": dict(found.sizes),
        "parameters": found.parameters,
        "trainable": found.trainable,
        "buffers": found.buffers,
        "bytes": found.bytes,
        "flops": found.flops,
        "shared": {owner: list(others) for owner, others in found.shared},
        "tree": _node_as_json(found.root),
    }


def _node_as_json(node: Node) -> dict[str, Any]:
    return {
        "path": node.path,
        "type": node.type,
        "output": _form_as_json(node.output),
        "parameters": node.parameters,
        "trainable": node.trainable,
        "flops": node.flops,
        "shared": dict(node.shared),
        "copies": list(node.copies),
        "children": [_node_as_json(child) for child in node.children],
    }


def _form_as_json(form: Form) -> Any:
    match form:
        case tuple():
            return [_form_as_json(part) for part in form]
        case dict():
            return {key: _form_as_json(part) for key, part in form.items()}
    return str(form) if form is not None else None
