"""One value of a spec, set in its text: comments and all else stay as they are."""

from __future__ import annotations

import copy
from typing import Any

from compiler.rewriting.edits import Edit, Editable
from spec_schema.canonical import plain
from spec_schema.diagnostics import refuse
from spec_schema.formatting.order import order_of
from spec_schema.keys import block_name
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.reader import Entries, Items, Node, Scalar, read_text
from spec_schema.shown import ShownError
from spec_schema.source import Span
from spec_schema.suggest import did_you_mean
from spec_schema.validation import validate

Step = str | int


class NoSuchKeyError(ShownError):
    """A spec has not what a path leads to."""

    def __init__(self, path: str, help: str | None) -> None:
        super().__init__(f"the spec has no `{path}`")
        self.help = help


def with_value(spec: Editable, path: str, text: str) -> Editable:
    """Return a spec in which the value that a dotted path leads to is another one, or a key more.

    Raises:
        NoSuchKeyError: the path leads nowhere.
        SpecError: the result is refused, or the value of an anchor would change other values too.
    """
    root = read_text(spec.text, spec.name, DEFAULT_LIMITS)
    value = plain(read_text(text, "VALUE", DEFAULT_LIMITS))
    steps, holder, last = _found(root, path)
    if isinstance(holder, Entries) and last not in holder:
        edit = _added(spec, steps, holder, str(last), value)
    else:
        old = holder[last]  # type: ignore[index]
        value = _as_text(steps, old, value)
        edit = Edit(old.span.start, old.span.end, _replaced(spec, holder, old, value))
    found = spec.edited([edit])
    _check(spec, root, found, [*steps, last], value, edit)
    return found


def _found(root: Node, path: str) -> tuple[list[Step], Items | Entries, Step]:
    """Return the keys to what holds the last one, that, and the last one."""
    steps: list[Step] = []
    node, rest = root, path
    while True:
        step, rest_of = _step(node, rest)
        if step is None:
            return _new_key(node, steps, rest, path)
        holder = node
        assert isinstance(holder, Items | Entries)
        node = holder[step]  # type: ignore[index]
        if isinstance(holder, Items) and not rest[: len(rest) - len(rest_of)].strip(".").isdigit():
            steps.append(step)
            assert isinstance(node, Entries)
            holder, step = node, next(iter(node))
            node = holder[str(step)]
        if not rest_of:
            return steps, holder, step
        steps.append(step)
        rest = rest_of


def _step(node: Node, rest: str) -> tuple[Step | None, str]:
    """Return the key or the number that a path begins with, the longest one, and the rest of the path."""
    parts = rest.split(".")
    for count in range(len(parts), 0, -1):
        name, behind = ".".join(parts[:count]), ".".join(parts[count:])
        if isinstance(node, Entries):
            key = next((key for key in node if name in (key, block_name(key))), None)
            if key is not None:
                return key, behind
        elif isinstance(node, Items) and count == 1 and name.isdigit() and int(name) < len(node):
            return int(name), behind
        elif isinstance(node, Items):
            for number, item in enumerate(node):
                if isinstance(item, Entries) and list(item) == [name]:
                    return number, behind
    return None, rest


def _new_key(node: Node, steps: list[Step], rest: str, path: str) -> tuple[list[Step], Items | Entries, Step]:
    """Return where a key is added, unless it is nearly one that is there."""
    known = list(node) if isinstance(node, Entries) else []
    first = rest.split(".")[0]
    near = did_you_mean(first, [block_name(each) for each in known])
    if not isinstance(node, Entries) or near or "." in rest or (not steps and not known):
        before = path[: len(path) - len(rest)]
        meant = _with_key_between(node, rest) or near
        help = f"did you mean `{before}{meant}`?" if meant else _there(node)
        raise NoSuchKeyError(before + first, help)
    return steps, node, rest


def _with_key_between(node: Node, rest: str) -> str | None:
    """Return the path that leads on from a node where one key was left out in front."""
    found = node.items() if isinstance(node, Entries) and "." in rest else ()
    return next((f"{block_name(key)}.{rest}" for key, below in found if _leads(below, rest)), None)


def _leads(node: Node, rest: str) -> bool:
    """Return whether a path leads to what is there, or to a key that can be added."""
    while rest:
        step, behind = _step(node, rest)
        if step is None:
            return isinstance(node, Entries) and "." not in rest
        named = isinstance(node, Items) and not rest.partition(".")[0].isdigit()
        node = node[step]  # type: ignore[index]
        if named and isinstance(node, Entries):
            node = next(iter(node.values()))
        rest = behind
    return True


def _there(node: Node) -> str | None:
    if isinstance(node, Items):
        return f"its items are 0 to {len(node) - 1}" if node else "the list is empty"
    return f"there is {', '.join(node)}" if isinstance(node, Entries) and node else None


def _as_text(steps: list[Step], old: Node, value: Any) -> Any:
    """Return a word as a text where a variable is one: it has quotes of its own."""
    is_text = isinstance(old, Scalar) and old.text[:1] in ("'", '"') and steps[:1] in (["vars"], ["presets"])
    bare = isinstance(value, str) and value[:1] not in ("'", '"') and value.isidentifier()
    return repr(value) if is_text and bare else value


def _replaced(spec: Editable, holder: Node, old: Node, value: Any) -> str:
    written = spec.written(value, old.span.start)
    before = spec.text[old.span.start - 1 : old.span.start]
    return written if old.span.start < old.span.end or before.isspace() else f" {written}"


def _added(spec: Editable, steps: list[Step], holder: Entries, key: str, value: Any) -> Edit:
    """Return the edit that adds a key behind the others, or in its place among the keys of the language."""
    start, end = holder.span.start, holder.span.end
    if spec.text[start : start + 1] == "{":
        entry = f"{spec.written(key)}: {spec.written(value)}"
        return Edit(end - 1, end - 1, f", {entry}" if holder else entry)
    entry = f"{spec.written(key, start)}: {spec.written(value, start)}"
    column = start - (spec.text.rfind("\n", 0, start) + 1)
    kind = "document" if not steps else "train" if steps == ["train"] else ""
    before = [each for each in holder if order_of(kind, each) <= order_of(kind, key)]
    if not before:
        return Edit(start, start, f"{entry}\n{' ' * column}")
    last = holder[before[-1]].span.end
    at = last + len(spec.text[last:].split("\n")[0])
    return Edit(at, at, f"\n{' ' * column}{entry}")


def _check(spec: Editable, root: Node, found: Editable, path: list[Step], value: Any, edit: Edit) -> None:
    """Make sure that the value has changed, and nothing else."""
    node = read_text(found.text, found.name, DEFAULT_LIMITS)
    expected: Any = copy.deepcopy(plain(root))
    holder = expected
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    if plain(node) != expected:
        place = Span(root.span.file, edit.start, max(edit.end, edit.start + 1))
        raise refuse("yaml-syntax", "this cannot be set alone: an alias stands for it elsewhere", place)
    if validate(node).model is not None:
        found.compiled()
