"""The catalogue of diagnostics: a page for each code, with what it means, why, and how to mend it."""

from __future__ import annotations

from importlib.resources import files

_SUFFIX = ".md"


def codes() -> tuple[str, ...]:
    """Return all codes that have a page, in order."""
    names = [each.name for each in files(__name__).iterdir()]
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)))


def page(code: str) -> str:
    """Return the page of a code.

    Raises:
        KeyError: there is no such code.
    """
    if code not in codes():
        raise KeyError(code)
    return (files(__name__) / f"{code}{_SUFFIX}").read_text("utf-8")
