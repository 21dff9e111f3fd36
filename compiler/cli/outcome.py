"""How a command ends: its exit status, and what is said when something is wrong."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from enum import IntEnum, StrEnum
from typing import Any

import typer

from compiler.catalogue.plugin_files import PluginError
from compiler.cli.answers.record import spoil
from compiler.cli.console import err, in_color
from compiler.extras import MissingExtraError
from spec_schema import clock
from spec_schema.diagnostics import Diagnostic, SpecError
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.render import render_full, render_json, render_short
from spec_schema.shown import ShownError, escape, shown
from spec_schema.suggest import did_you_mean

DEBUG = "--debug"
DEBUG_VARIABLE = "BLOCKPRINT_DEBUG"
_LONGEST = 300
"""Characters shown of a message that is not ours."""

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
"""Words in the errors that torch raises where there is no more memory."""


class Status(IntEnum):
    """Exit statuses."""

    FINE = 0
    REFUSED = 1
    USAGE = 2
    BUG = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class Format(StrEnum):
    """In which form results and diagnostics are printed."""

    text = "text"
    short = "short"
    json = "json"


chosen_format: ContextVar[Format] = ContextVar("chosen_format", default=Format.text)
"""The format of diagnostics, noted while the options are read."""


class UsageProblem(ShownError):
    """Something is wrong with the command line, or a file that it names is not there."""

    def __init__(self, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.message, self.help = message, help


class FileProblem(ShownError):
    """A file, or what happens when its model runs, is wrong in a way that no place in a spec shows."""

    def __init__(self, message: str, notes: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message, self.notes = message, tuple(notes)


# Typer keeps its own copy of click since 0.26, and used click itself before: this is its UsageError in both.
_TyperUsageError: type[Exception] = typer.BadParameter.__bases__[0]


def _as_problem(error: Exception) -> Exception:
    """Return an error of the runtime, or of torch, as a problem that the user can do something about."""
    files = sys.modules.get("runtime.files.header")  # not imported for this: it needs torch
    if files is not None and isinstance(error, files.FileError):
        first, *rest = str(error).splitlines() or [""]
        return FileProblem(first.removesuffix(":"), [line.strip() for line in rest])
    if isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY):
        return MemoryError(str(error))
    return error


def guarded(command: Callable[[], object], debug: bool) -> int:
    """Run a command and return its exit status; every error becomes a message."""
    try:
        status = command()
        sys.stdout.flush()
    except typer.Exit as end:
        return end.exit_code
    except (KeyboardInterrupt, typer.Abort) as interrupt:
        print(f"\n{shown(str(interrupt)) or 'interrupted'}", file=sys.stderr)
        return Status.INTERRUPTED
    except BrokenPipeError:
        _close_output()
        return Status.BROKEN_PIPE
    except Exception as error:
        if debug:
            traceback.print_exc()
        return report(error)
    return status if isinstance(status, int) else Status.FINE


def is_bug(error: Exception) -> bool:
    """Return whether an error is a bug of ours, and not the fault of a spec, a file or the command line."""
    ours = (SpecError, FileProblem, UsageProblem, PluginError, MissingExtraError)
    known = (*ours, MemoryError, OSError, _TyperUsageError)
    return not isinstance(_as_problem(error), known)


def report(error: Exception) -> int:
    """Print what is wrong, and return the exit status."""
    error = _as_problem(error)
    spoil_if_unsure(error)
    match error:
        case SpecError():
            print_diagnostics(error.diagnostics)
            return Status.REFUSED
        case FileProblem():
            _say(error.message, *(("note", note) for note in error.notes))
            return Status.REFUSED
        case MemoryError():
            _say(
                "there is not enough memory", ("help", "`summary` says what the model takes; make it smaller")
            )
            return Status.REFUSED
        case UsageProblem():
            _say(error.message, *([("help", error.help)] if error.help else []))
            return Status.USAGE
        case MissingExtraError() | PluginError():
            _say(_one_line(str(error)))
            return Status.USAGE
        case OSError():
            _say(os_message(error))
            return Status.USAGE
        case _TyperUsageError():
            _say(_usage_message(error), *_usage_help(error))
            return Status.USAGE
    _say_bug(error)
    return Status.BUG


def counted(statuses: Sequence[int]) -> list[str]:
    """Return how many specs were refused, and how many not found, in words; nothing where none was."""
    words = ((Status.REFUSED, "refused"), (Status.USAGE, "not found"))
    return [f"{statuses.count(each)} {word}" for each, word in words if each in statuses]


def spoil_if_unsure(error: Exception) -> None:
    """Let an answer not be kept that another call might not give: for want of time, or of anything but a right spec."""
    if not isinstance(error, SpecError) or any(each.code == clock.CODE for each in error.diagnostics):
        spoil()


def print_diagnostics(diagnostics: Sequence[Diagnostic]) -> None:
    """Print diagnostics on standard error, in the chosen format."""
    match chosen_format.get():
        case Format.json:
            text = render_json(diagnostics)
        case Format.short:
            text = render_short(diagnostics, DEFAULT_LIMITS)
        case Format.text:
            text = render_full(diagnostics, in_color(err()), DEFAULT_LIMITS)
    print(text, file=sys.stderr)


def os_message(error: OSError) -> str:
    """Return what the system says of a file."""
    reason = (error.strerror or str(error) or type(error).__name__).lower()
    return f"`{error.filename}`: {reason}" if error.filename else reason


def _say(message: str, *remarks: tuple[str, str]) -> None:
    color = in_color(err())
    head = "\x1b[1;31merror\x1b[0m" if color else "error"
    lines = [f"{head}: {_one_line(message)}", *(f"  {kind}: {shown(text)}" for kind, text in remarks)]
    print("\n".join(lines), file=sys.stderr)


def _say_bug(error: Exception) -> None:
    what = _one_line(f"{type(error).__name__}: {error}")
    way = f"`{DEBUG}`, or {DEBUG_VARIABLE}=1, shows the traceback"
    print(f"internal error: {what} (a bug of Blockprint, not of your spec; {way})", file=sys.stderr)


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return escape(line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ...")


_SUGGESTION = re.compile(r"[.]? \(?(?:Did you mean|Possible options:) (.*?)[?)]*$")
_CHOICE = re.compile(r"'([^']*)' is not one of (.*)")


def _usage_message(error: Exception) -> str:
    message: str = error.format_message() if hasattr(error, "format_message") else str(error)
    message = _SUGGESTION.sub("", message.strip()).removesuffix(".").replace("Value error, ", "")
    return message[:1].lower() + message[1:]


def _usage_help(error: Exception) -> list[tuple[str, str]]:
    """Return what was probably meant, or where to read on."""
    message: str = error.format_message() if hasattr(error, "format_message") else str(error)
    suggested, choice = _SUGGESTION.search(message), _CHOICE.search(message)
    context = getattr(error, "ctx", None)
    near = None
    if getattr(error, "option_name", "") == "--format" and context and _takes(context.command, "--json"):
        return [("help", f"`{context.command.name}` has `--json`")]
    if suggested:
        candidates = suggested[1].replace("'", "").split(", ")
        near = did_you_mean(getattr(error, "option_name", ""), candidates) or candidates[0]
    elif choice:
        near = did_you_mean(choice[1], re.findall(r"'([^']*)'", choice[2]))
    if near:
        return [("help", f"did you mean `{near}`?")]
    path = context.command_path if context is not None else program_name()
    return [("help", f"`{path} --help` lists what there is")]


def _takes(command: Any, option: str) -> bool:
    return any(option in parameter.opts for parameter in command.params)


def _close_output() -> None:
    """Keep Python from failing once more when it flushes what nobody reads."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError:  # not a file of the system, as in tests
        return


def debugging(arguments: Sequence[str]) -> bool:
    """Return whether tracebacks are asked for."""
    return DEBUG in arguments or os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")


def program_name() -> str:
    """Return how the program was called."""
    return "python -m compiler" if sys.argv[0].endswith("__main__.py") else "blockprint"
