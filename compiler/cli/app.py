"""The program: its verbs, and what is shown to who names none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from compiler.cli.bench import bench
from compiler.cli.check import check
from compiler.cli.console import facts, out
from compiler.cli.devices import devices
from compiler.cli.diff.verb import diff
from compiler.cli.draw import draw
from compiler.cli.emit import emit
from compiler.cli.evaluate import evaluate, predict
from compiler.cli.explain import explain
from compiler.cli.export import export
from compiler.cli.fmt import fmt
from compiler.cli.import_ import import_
from compiler.cli.layers import layers
from compiler.cli.load_plan import load_plan
from compiler.cli.lsp import lsp
from compiler.cli.mesh import mesh
from compiler.cli.outcome import DEBUG, Format, chosen_format, debugging, guarded, program_name
from compiler.cli.params import params
from compiler.cli.rename import rename
from compiler.cli.run import run
from compiler.cli.save import save
from compiler.cli.schema import schema
from compiler.cli.set_ import set_
from compiler.cli.summary import summary
from compiler.cli.test_layer import test_layer

EXAMPLES = {
    "run specs/digits.yaml": "train on its data, and save",
    "summary specs/zoo/gpt2.yaml": "its layers and parameters",
    "check my_model.yaml": "what is wrong with it",
}


class Program(TyperGroup):
    """A group of verbs whose every error becomes a message and an exit status."""

    debug = False

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run, and exit. Tracebacks are shown only where `--debug`, anywhere in the line, asks for them."""
        given = list(sys.argv[1:] if args is None else args)
        self.debug = debugging(given)
        chosen_format.set(Format.text)
        wanted = [argument for argument in given if argument != DEBUG]
        name = prog_name or program_name()
        status = guarded(
            lambda: super(Program, self).main(wanted, name, complete_var, standalone_mode=False, **extra),
            self.debug,
        )
        sys.exit(status)

    def invoke(self, ctx: Any) -> Any:
        # Inside `main`, since typer has its own ideas of an interrupt and a broken pipe.
        return guarded(lambda: super(Program, self).invoke(ctx), self.debug)


app = typer.Typer(
    cls=Program,
    add_completion=False,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    epilog=f"Exit status: 0 fine, 1 the spec or file is wrong, 2 wrong usage or no such file, 70 a bug of "
    f"Blockprint's own ({DEBUG} shows the traceback).",
)

VERBS = (
    run,
    evaluate,
    predict,
    check,
    summary,
    emit,
    explain,
    params,
    load_plan,
    diff,
    draw,
    save,
    export,
    import_,
    fmt,
    set_,
    rename,
    schema,
    lsp,
    layers,
    test_layer,
    devices,
    mesh,
    bench,
)


def _name(verb: Callable[..., object]) -> str:
    return verb.__name__.rstrip("_").replace("_", "-")


for verb in VERBS:
    app.command(_name(verb))(verb)


@app.callback()
def overview(context: typer.Context) -> None:
    """Compile declarative specs of neural networks to plain PyTorch modules, and run them."""
    if context.invoked_subcommand is not None:
        return
    program, console = context.command_path, out()
    console.print("Blockprint compiles a declarative spec of a neural network to a plain PyTorch module.\n")
    console.print(facts((f"  {program} {example}", text) for example, text in EXAMPLES.items()))
    console.print()
    console.print(facts((f"  {_name(verb)}", _first_line(verb)) for verb in VERBS))
    console.print(f"\n`{program} VERB --help` tells more about a verb.")


def _first_line(verb: Callable[..., object]) -> str:
    return (verb.__doc__ or "").partition("\n")[0].removesuffix(".")
