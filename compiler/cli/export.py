"""`export`: a model in the formats of others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compiler.cli.console import err, facts, out, status
from compiler.cli.options import (
    AllowLarge,
    ExpectDigest,
    ImportPaths,
    OutputFormat,
    Plugins,
    Preset,
    Seed,
    Settings,
    Spec,
)
from compiler.cli.outcome import Format, UsageProblem
from compiler.cli.subject import Subject, check_file
from spec_schema.shown import shown

if TYPE_CHECKING:
    from torch import nn

    from runtime.exporting.agreement import Agreement

Onnx = Annotated[
    Path | None,
    typer.Option("--onnx", metavar="FILE", show_default=False, help="Write a file of ONNX, m.onnx."),
]
Pt2 = Annotated[
    Path | None,
    typer.Option("--pt2", metavar="FILE", show_default=False, help="Write a program of torch.export, m.pt2."),
]
Transformers = Annotated[
    Path | None,
    typer.Option(
        "--transformers",
        metavar="DIR",
        show_default=False,
        help="Write a new folder that `AutoModel.from_pretrained(DIR, trust_remote_code=True)` loads.",
    ),
]
Fix = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=SIZE",
        show_default=False,
        help="Give an open dimension one size, where it cannot stay open. May be given several times.",
    ),
]


def export(
    spec: Spec,
    onnx: Onnx = None,
    pt2: Pt2 = None,
    transformers: Transformers = None,
    fix: Fix = None,
    set_: Settings = None,
    preset: Preset = None,
    plugin: Plugins = None,
    import_path: ImportPaths = None,
    expect_digest: ExpectDigest = None,
    seed: Seed = 0,
    allow_large: AllowLarge = False,
    format: OutputFormat = Format.text,
) -> None:
    """Write a model for other runtimes: ONNX, torch.export, transformers.

    One or several at once. What is written was run beside the model, at several sizes of each open dimension, before
    it is put in place. Of a spec it is the model with its first values, as `--seed` gives them.
    """
    given = {"onnx": onnx, "pt2": pt2, "transformers": transformers}
    paths = {name: path for name, path in given.items() if path is not None}
    if not paths:
        raise UsageProblem(
            "nothing says what to write", "give `--onnx FILE`, `--pt2 FILE` or `--transformers DIR`"
        )
    fixed = _sizes(fix)
    if fixed and [*paths] == ["transformers"]:
        raise UsageProblem("`--fix` is for graphs, `--onnx` and `--pt2`: in the folder all sizes are open")
    check_file(spec)
    _check_paths(spec, paths)
    model = _model(Subject(spec, set_, preset, plugin, import_path, expect_digest), seed, allow_large)
    _print(paths, _exported(model, paths, fixed), format)


def _sizes(given: list[str] | None) -> dict[str, int]:
    found = {}
    for text in given or ():
        name, equals, size = text.partition("=")
        if not equals or not name.strip() or not size.strip().isdecimal():
            raise UsageProblem(f"`--fix {text}` gives no size", f"write `--fix {name.strip() or 'time'}=128`")
        found[name.strip()] = int(size)
    return found


def _check_paths(spec: Path, paths: Mapping[str, Path]) -> None:
    from runtime.export import check_targets

    for path in paths.values():
        if path.is_file() and path.samefile(spec):
            raise UsageProblem(f"`{path}` is what is exported, and would be overwritten", "name another file")
    if len({path.resolve() for path in paths.values()}) < len(paths):
        raise UsageProblem("two formats cannot have one file")
    check_targets(paths)


def _model(subject: Subject, seed: int, allow_large: bool) -> nn.Module:
    """Return the model, whole, on the CPU, evaluating."""
    if subject.is_model:
        return subject.model("cpu", allow_large).eval()
    from runtime.build import build

    artifact = subject.artifact()
    with status("building the model"):
        return build(artifact, seed, "cpu", subject.folder, allow_large).eval()


def _exported(model: nn.Module, paths: Mapping[str, Path], fixed: Mapping[str, int]) -> dict[str, Agreement]:
    """Write what was asked for."""
    from runtime.export import export_all

    with status(f"exporting {', '.join(map(str, paths.values()))}"):
        try:
            return export_all(model, paths, fixed)
        except ValueError as error:  # a dimension that is not there
            raise UsageProblem(str(error)) from None


def _print(paths: Mapping[str, Path], found: Mapping[str, Agreement], format: Format) -> None:
    if format is Format.json:
        made = {
            name: {
                "path": str(paths[name]),
                "sizes": list(each.sizes),
                "difference": each.difference,
                "limits": list(each.limits),
            }
            for name, each in found.items()
        }
        print(json.dumps(made, indent=2))
        return
    for name, each in found.items():
        err().print(shown(f"wrote {paths[name]}"), soft_wrap=True)
        sizes = [
            ("" if number else "run beside the model at", text) for number, text in enumerate(each.sizes)
        ]
        out().print(facts([*sizes, ("largest difference", f"{each.difference:.2g}")]))
