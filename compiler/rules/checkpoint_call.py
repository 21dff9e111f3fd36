"""The arguments of `checkpoint(...)`, read and checked before any file is opened."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from spec_schema.bounds import kind
from spec_schema.diagnostics import Diagnostic, SpecError, refuse
from spec_schema.grammar import Source
from spec_schema.renaming import Pattern, Template, parse_pattern, parse_template
from spec_schema.source import Span
from spec_schema.suggest import did_you_mean
from spec_schema.unknown_names import unknown_argument

ARGUMENTS = ("path", "prefix", "rename", "transpose", "split", "stack", "skip")
LARGEST_RANK = 8


@dataclass(frozen=True, eq=False)
class Skip:
    """Source tensors that are not taken."""

    pattern: Pattern
    place: Span


@dataclass(frozen=True, eq=False)
class Rename:
    pattern: Pattern
    to: Template
    place: Span


@dataclass(frozen=True, eq=False)
class Transpose:
    """Dimensions in another order; `dims` is None for the transpose of a matrix."""

    pattern: Pattern
    dims: tuple[int, ...] | None
    place: Span


@dataclass(frozen=True, eq=False)
class Split:
    """One tensor -> several, along `dim`."""

    pattern: Pattern
    parts: tuple[Template, ...]
    dim: int
    place: Span


@dataclass(frozen=True, eq=False)
class Stack:
    """Several tensors -> one, along `dim`. The first pattern finds them; the others are rewritten from it."""

    pattern: Pattern
    others: tuple[Template, ...]
    to: Template
    dim: int
    place: Span


@dataclass(frozen=True, eq=False)
class Surgery:
    """One `checkpoint(...)`. `key` is the same for calls that are written in one place and say the same."""

    path: str
    prefix: str
    renames: tuple[Rename, ...]
    transposes: tuple[Transpose, ...]
    splits: tuple[Split, ...]
    stacks: tuple[Stack, ...]
    skips: tuple[Skip, ...]
    place: Span
    path_place: Span
    prefix_place: Span
    key: str


def read_surgery(source: Source, node: ast.Call, values: Mapping[str, Any]) -> Surgery:
    """Return what a call says; `values` are its evaluated arguments.

    Raises:
        SpecError: with every argument that has not the form that it takes.
    """
    reader = _Reader(source, node)
    path = reader.attempt(lambda: reader.text(values.get("path"), "path")) or ""
    prefix = reader.attempt(lambda: reader.text(values.get("prefix", ""), "prefix")) or ""
    renames = reader.each(values, "rename", dict, reader.rename)
    form = dict if isinstance(values.get("transpose"), dict) else list
    transposes = reader.each(values, "transpose", form, reader.transpose)
    splits = reader.each(values, "split", dict, reader.split)
    stacks = reader.each(values, "stack", dict, reader.stack)
    skips = reader.each(values, "skip", list, reader.skip)
    if not path and not reader.problems:
        reader.problems.append(reader.problem("the path is empty", "path"))
    if reader.problems:
        raise SpecError(reader.problems)
    place = source.span(node)
    key = f"{place}-{place.end}: {values!r}"
    where = reader.at
    return Surgery(
        path, prefix, renames, transposes, splits, stacks, skips, place, where("path"), where("prefix"), key
    )


FORMS = {
    "path": "`checkpoint('model/')`, `checkpoint('model.safetensors')`",
    "prefix": "`prefix='encoder.'`",
    "rename": "`rename={'attn.c_attn': 'attn.qkv'}`",
    "transpose": "`transpose=['qkv.weight']`, or `transpose={'conv.weight': [3, 2, 0, 1]}`",
    "split": "`split={'qkv': ['q', 'k', 'v']}`, or `split={'qkv': {'parts': ['q', 'k', 'v'], 'dim': 1}}`",
    "stack": "`stack={'qkv': ['q', 'k', 'v']}`, or `stack={'qkv': {'parts': ['q', 'k', 'v'], 'dim': 1}}`",
    "skip": "`skip=['attn.bias', '/head']`",
}


@dataclass(eq=False)
class _Reader:
    source: Source
    node: ast.Call
    problems: list[Diagnostic] = field(default_factory=list)

    def attempt(self, read: Callable[[], Any]) -> Any:
        """Run, and note the problems. None if there are some."""
        try:
            return read()
        except SpecError as error:
            self.problems.extend(error.diagnostics)
            return None

    def each(
        self, values: Mapping[str, Any], name: str, form: type, read: Callable[[Any, Any], Any]
    ) -> tuple[Any, ...]:
        """Read each entry of an argument, with its key or its place."""
        value: Any = values.get(name, form())
        if isinstance(value, tuple) and form is list:
            value = list(value)
        if not isinstance(value, dict if form is dict else list):
            what = "a mapping" if form is dict else "a list"
            self.problems.append(self.problem(f"`{name}` takes {what}, and this is {kind(value)}", name))
            return ()
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        made = [self.attempt(partial(read, key, entry)) for key, entry in pairs]
        return tuple(each for each in made if each is not None)

    def problem(self, message: str, name: str, *keys: str | int) -> Diagnostic:
        return Diagnostic("checkpoint-argument", message, self.at(name, *keys), help=f"write {FORMS[name]}")

    def refuse(self, message: str, name: str, *keys: str | int) -> SpecError:
        return SpecError([self.problem(message, name, *keys)])

    def text(self, value: object, name: str, *keys: str | int) -> str:
        if not isinstance(value, str):
            raise self.refuse(f"a text is expected here, and this is {kind(value)}", name, *keys)
        return value

    def at(self, name: str, *keys: str | int) -> Span:
        """Return the place of an argument, or of what is written inside it under `keys`."""
        node: ast.AST | None = next((k.value for k in self.node.keywords if k.arg == name), None)
        if node is None:
            position = ARGUMENTS.index(name)
            node = self.node.args[position] if position < len(self.node.args) else self.node
        for key in keys:
            inner = _inside(node, key)
            if inner is None:
                break
            node = inner
        return self.source.span(node)

    def value_at(self, name: str, key: str, number: int = 0) -> Span:
        """Return the place of what is written behind a key of an argument; in a list, of one item."""
        argument = next((k.value for k in self.node.keywords if k.arg == name), None)
        value = _behind(argument, key)
        value = _behind(value, "parts") or value
        if isinstance(value, ast.List | ast.Tuple) and number < len(value.elts):
            value = value.elts[number]
        return self.at(name, key) if value is None else self.source.span(value)

    # One entry.

    def skip(self, number: int, value: Any) -> Skip:
        place = self.at("skip", number)
        return Skip(parse_pattern(self.text(value, "skip", number), place), place)

    def rename(self, key: str, value: Any) -> Rename:
        place = self.at("rename", key)
        pattern = parse_pattern(key, place)
        template = parse_template(self.text(value, "rename", key), pattern, self.value_at("rename", key))
        return Rename(pattern, template, place)

    def transpose(self, key: str | int, value: Any) -> Transpose:
        place = self.at("transpose", key)
        if isinstance(key, int):
            return Transpose(parse_pattern(self.text(value, "transpose", key), place), None, place)
        whole = isinstance(value, list | tuple) and all(type(each) is int for each in value)
        if not whole or sorted(value) != list(range(len(value))) or not 0 < len(value) <= LARGEST_RANK:
            raise self.refuse("each dimension is named once, counted from 0", "transpose", key)
        return Transpose(parse_pattern(key, place), tuple(value), place)

    def split(self, key: str, value: Any) -> Split:
        place = self.at("split", key)
        pattern = parse_pattern(key, place)
        texts, dim = self._parts(value, "split", key)
        return Split(pattern, self._templates(texts, pattern, "split", key), dim, place)

    def stack(self, key: str, value: Any) -> Stack:
        place = self.at("stack", key)
        texts, dim = self._parts(value, "stack", key)
        pattern = parse_pattern(texts[0], self.value_at("stack", key))
        others = self._templates(texts, pattern, "stack", key, 1)
        return Stack(pattern, others, parse_template(key, pattern, place), dim, place)

    def _templates(
        self, texts: list[str], pattern: Pattern, name: str, key: str, first: int = 0
    ) -> tuple[Template, ...]:
        numbers = range(first, len(texts))
        return tuple(parse_template(texts[at], pattern, self.value_at(name, key, at)) for at in numbers)

    def _parts(self, value: Any, name: str, key: str) -> tuple[list[str], int]:
        dim: object = 0
        if isinstance(value, dict):
            unknown = [each for each in value if each not in ("parts", "dim")]
            if unknown:
                near = did_you_mean(unknown[0], ("parts", "dim"))
                meant = f", did you mean `{near}`?" if near else ""
                raise self.refuse(f"there is no key `{unknown[0]}` here{meant}", name, key)
            value, dim = value.get("parts"), value.get("dim", 0)
        if not isinstance(value, list | tuple) or len(value) < 2:
            raise self.refuse("a list of two or more names is expected here", name, key)
        if type(dim) is not int or not 0 <= dim < LARGEST_RANK:
            raise self.refuse("`dim` is a whole number from 0", name, key)
        return [self.text(each, name, key) for each in value], dim


def _inside(node: ast.AST, key: str | int) -> ast.AST | None:
    """Return what is written under a key or in a place; the key of a mapping, rather than its value."""
    if isinstance(node, ast.Dict):
        found = (each for each in node.keys if isinstance(each, ast.Constant) and each.value == key)
        return next(found, None)
    if isinstance(node, ast.List | ast.Tuple) and isinstance(key, int) and key < len(node.elts):
        return None if any(isinstance(each, ast.Starred) for each in node.elts) else node.elts[key]
    return None


def _behind(node: ast.AST | None, key: str) -> ast.AST | None:
    """Return the value of a key of a mapping that is written out."""
    if not isinstance(node, ast.Dict):
        return None
    pairs = zip(node.keys, node.values, strict=True)
    return next(
        (value for each, value in pairs if isinstance(each, ast.Constant) and each.value == key), None
    )


def bind_arguments(
    source: Source, node: ast.Call, arguments: list[Any], keywords: dict[str, Any]
) -> dict[str, Any]:
    """Return the arguments of a call by name.

    Raises:
        SpecError: there is no such argument, one is given twice, or the path is missing.
    """
    if len(arguments) > len(ARGUMENTS):
        raise refuse(
            "too-many-arguments",
            f"`checkpoint` takes {len(ARGUMENTS)} arguments",
            source.span(node.args[len(ARGUMENTS)]),
            notes=(f"arguments: {', '.join(ARGUMENTS)}",),
        )
    bound = dict(zip(ARGUMENTS, arguments, strict=False))
    for keyword in node.keywords:
        if keyword.arg in bound or keyword.arg not in ARGUMENTS:
            raise _wrong_keyword(source, keyword, keyword.arg in bound)
    if "path" not in {**bound, **keywords}:
        raise refuse(
            "checkpoint-argument",
            "`checkpoint` takes a file or a folder first",
            source.span(node),
            help=f"write {FORMS['path']}",
        )
    return {**bound, **keywords}


def _wrong_keyword(source: Source, keyword: ast.keyword, twice: bool) -> SpecError:
    name, place = keyword.arg or "", source.span(keyword)
    place = place.part(0, len(name)) if place.text.startswith(name) else place
    if twice:
        return refuse("checkpoint-argument", f"`{name}` is given twice", place)
    return SpecError([unknown_argument("`checkpoint`", name, ARGUMENTS, place)])
