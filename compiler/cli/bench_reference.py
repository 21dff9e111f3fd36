"""`bench --reference file.py:make`: a module written by hand, from a file of the caller's, which is run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

from compiler.catalogue.plugin_files import load_file
from compiler.catalogue.plugins import split_reference
from compiler.cli.console import err
from compiler.cli.outcome import FileProblem, UsageProblem
from compiler.cli.subject import check_file
from spec_schema.shown import shown
from spec_schema.suggest import did_you_mean

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Reference:
    """A function that returns a module written by hand, and where it is from."""

    path: Path
    name: str
    function: Callable[[], Any]

    def made_on(self, device: str) -> nn.Module:
        """Return a new module on a device, evaluating.

        Raises:
            FileProblem: the function fails, or returns something else.
        """
        from torch import nn

        with self.blamed():
            made = self.function()
        if not isinstance(made, nn.Module):
            kind = type(made).__name__
            raise FileProblem(f"`{self.name}` of {self.path} returns {kind}, and no torch.nn.Module")
        with self.blamed():
            return made.to(device).eval()

    @contextmanager
    def blamed(self, where: str = "") -> Iterator[None]:
        """Make of whatever fails in a `with` a problem of the file, with its line."""
        try:
            yield
        except MemoryError:
            raise
        except (Exception, SystemExit) as error:
            raise problem(self.path, error, where) from error


def read_reference(text: str) -> Reference:
    """Run the file that `file.py:make` names, and return its function.

    Raises:
        UsageProblem: there is no such file, or no function is named.
        FileProblem: the file fails, or has no such function.
    """
    place, name = split_reference(text)
    if name is None or not place.endswith(".py"):
        raise UsageProblem(f"`--reference {text}` names no function of a Python file", "write `file.py:make`")
    path = Path(place)
    check_file(path)
    err().print(shown(f"note: {path} is run with all rights that you have"), soft_wrap=True)
    try:
        module = load_file(path)
    except (Exception, SystemExit) as error:
        raise problem(path, error) from error
    function = getattr(module, name, None)
    if not callable(function):
        named = {key for key, value in vars(module).items() if callable(value) and not key.startswith("_")}
        near = did_you_mean(name, sorted(named))
        raise FileProblem(f"{path} has no function `{name}`" + (f"; did you mean `{near}`?" if near else ""))
    return Reference(path, name, function)


def problem(path: Path, error: BaseException, where: str = "") -> FileProblem:
    """Return what went wrong in a file, with the line of it where it did."""
    own = [frame.lineno for frame in extract_tb(error.__traceback__) if _is(path, frame.filename)]
    line = error.lineno if isinstance(error, SyntaxError) and _is(path, error.filename) else own[-1:] or None
    line = line[0] if isinstance(line, list) else line
    place = f"{path}:{line}" if line else str(path)
    reason = error.msg if isinstance(error, SyntaxError) else str(error)
    return FileProblem(f"{place}: the reference fails{where}: {type(error).__name__}: {reason}")


def _is(path: Path, name: str | None) -> bool:
    return name is not None and Path(name) == path.resolve()
