"""`import`: the spec of a live module, and its weights."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from compiler.cli.console import err, status
from compiler.cli.import_check import Check, check_libraries
from compiler.cli.outcome import UsageProblem
from spec_schema.shown import shown

Source = Annotated[
    str | None,
    typer.Argument(
        metavar="[SOURCE]",
        show_default=False,
        help="`file.py:callable`, `package.module:callable`, `timm:NAME`, `torchvision:NAME`, or "
        "`transformers:FOLDER`. Its code is run.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        show_default=False,
        help="The spec; the weights go beside it. Of a check: the document that its table is put into.",
    ),
]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="NAME=TYPE",
        show_default=False,
        help="An input: `image=float32[batch, 3, 224, 224]`.",
    ),
]
Dims = Annotated[
    list[str] | None,
    typer.Option(
        "--dim", metavar="NAME=SIZE", show_default=False, help="An example size of an open dimension."
    ),
]
Arguments = Annotated[
    list[str] | None,
    typer.Option("--arg", metavar="KEY=VALUE", show_default=False, help="An argument of the callable."),
]
Libraries = Annotated[
    list[str] | None,
    typer.Option(
        "--check",
        metavar="LIBRARY",
        show_default=False,
        help="Import all models of a library, `timm`, `torchvision` or `transformers`, and write a table of it; "
        "may be given several times.",
    ),
]
Sample = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, show_default=False, help="Check so many models, drawn at random."),
]
Seed = Annotated[int, typer.Option(metavar="N", min=0, help="What the sample is drawn with.")]
Jobs = Annotated[int, typer.Option(metavar="N", min=1, help="Check so many models at a time.")]
Seconds = Annotated[
    int, typer.Option(metavar="S", min=1, help="The processor time that one checked model may take.")
]
Gigabytes = Annotated[float, typer.Option(metavar="GB", min=1, help="The memory that it may take.")]
Parameters = Annotated[
    int, typer.Option(metavar="N", min=0, help="A checked model with more is imported, and not proven.")
]
Results = Annotated[
    Path,
    typer.Option(metavar="FOLDER", help="What came of each checked model; a check goes on where it stopped."),
]
Keep = Annotated[
    list[str] | None,
    typer.Option(
        "--keep",
        metavar="TYPE",
        show_default=False,
        help="Let modules of this type stay layers of Python, which the spec needs as a plugin.",
    ),
]
Unproven = Annotated[
    bool, typer.Option("--unproven", help="Write the spec without comparing it with the module.")
]


def import_(
    source: Source = None,
    output: Output = None,
    input: Inputs = None,
    dim: Dims = None,
    arg: Arguments = None,
    keep: Keep = None,
    unproven: Unproven = False,
    check: Libraries = None,
    sample: Sample = None,
    seed: Seed = 0,
    jobs: Jobs = 1,
    time_limit: Seconds = 300,
    memory_limit: Gigabytes = 12,
    prove_up_to: Parameters = 100_000_000,
    results: Results = Path("out/import"),
) -> int | None:
    """Make a spec of a live module: blocks, repeats, ties and weights.

    Its code is run, with all rights of the caller. Nothing is written before the spec was compared with the module:
    names, shapes, outputs and gradients.
    """
    if check:
        return check_libraries(
            Check(check, sample, seed, jobs, time_limit, memory_limit, prove_up_to, results, output)
        )
    if source is None:
        raise UsageProblem("there is no SOURCE", "name a module, `file.py:callable`, or `--check timm`")
    import_one(source, output, input, dim, arg, keep, unproven)
    return None


def import_one(
    source: str,
    output: Path | None,
    input: list[str] | None,
    dim: list[str] | None,
    arg: list[str] | None,
    keep: list[str] | None,
    unproven: bool,
) -> None:
    """Write the spec of one module, and its weights."""
    from runtime.importing.imported import from_module
    from runtime.importing.kept import noted
    from runtime.importing.sources import argument_value, source_of

    arguments = {key: argument_value(value) for key, value in _pairs("--arg", arg).items()}
    sizes = {key: _size(value) for key, value in _pairs("--dim", dim).items()}
    with status(f"making {source}"), noted(keep or ()):
        found = source_of(source, arguments)
    inputs = _pairs("--input", input) or found.inputs
    if not inputs:
        raise UsageProblem(
            f"nothing says what `{source}` takes", "give `--input image='float32[batch, 3, 224, 224]'`"
        )
    name = output.stem if output is not None else "weights"
    with status(f"importing {source}"):
        made = from_module(
            found.module,
            inputs,
            dims={**found.dims, **sizes},
            checkpoint=f"{name}.safetensors",
            prove_it=not unproven,
            keep=keep or (),
        )
    for place in made.report.looks:
        err().print(
            shown(f"note: what a tensor holds decides the way at {place}: the spec goes the way it went")
        )
    for name in made.report.saved:
        err().print(
            shown(
                f"note: the spec saves `{name}`, which the module does not: nothing says how it is computed"
            )
        )
    if output is None:
        sys.stdout.write(made.text)
        return
    made.save(output)
    err().print(shown(f"wrote {output} and {name}.safetensors"), soft_wrap=True)
    if made.plugin is not None:
        plugin = output.with_name(f"{made.plugin.name}.py")
        err().print(shown(f"wrote {plugin}: the spec needs `--plugin {plugin}`"), soft_wrap=True)


def _pairs(option: str, given: list[str] | None) -> dict[str, str]:
    found = {}
    for each in given or ():
        key, sign, value = each.partition("=")
        if not sign or not key:
            raise UsageProblem(f"`{option} {each}` is no KEY=VALUE")
        found[key.strip()] = value.strip()
    return found


def _size(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise UsageProblem(f"`{text}` is no size of a dimension")
    return int(text)
