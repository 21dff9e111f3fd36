"""A block, variable, argument or layer of a spec, renamed through all its uses."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Literal

from compiler.artifact import Artifact
from compiler.infer.states import BlockState, part_named
from compiler.rewriting.edits import Edit, Editable
from compiler.rewriting.proof import rows
from compiler.rewriting.uses import MODEL, TRAIN, Use, uses
from spec_schema.diagnostics import SpecError
from spec_schema.grammar import Expression, Program, parse_expression, parse_program
from spec_schema.keys import block_name, is_key, split_key
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.names import is_name
from spec_schema.reader import Entries, Scalar, read_text
from spec_schema.shown import ShownError
from spec_schema.walk import walk

Kind = Literal["variable", "block", "argument", "layer"]


class RenameError(ShownError):
    """Something cannot be renamed."""

    def __init__(self, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.help = help


@dataclass(frozen=True)
class Target:
    """What is renamed. `block` is what holds it: a block, the model, or None for the spec."""

    kind: Kind
    block: str | None
    old: str
    new: str
    has_alias: bool = False
    """Whether programs call the layer by another name than its key."""


def renamed(spec: Editable, old: str, new: str) -> Editable:
    """Return a spec in which something has another name, proven by compiling it.

    Raises:
        RenameError: there is no such thing, the name is taken, or the result would mean something else.
        SpecError: the spec is refused as it is.
    """
    root = read_text(spec.text, spec.name, DEFAULT_LIMITS)
    assert isinstance(root, Entries)
    before = spec.compiled()
    found = [*uses(root)]
    target = _target(root, found, old, new)
    check_new(found, target)
    _check_checkpoints(found, target)
    for selectors, attributes in product((True, False), repeat=2):
        edits = {edit for use in found for edit in edits_of(use, target, root, selectors, attributes)}
        if any(spec.text[edit.start : edit.end] != target.old for edit in edits):
            raise RenameError(f"`{old}` stands in a text whose characters are written as escapes")
        after = spec.edited(edits)
        if _is_proven(before, after, target):
            return after
    raise RenameError(
        f"`{old}` cannot be renamed to `{new}`: the spec would mean something else",
        "a selector or a program may mean several things that are called so; write these by hand",
    )


# --- what is meant --------------------------------------------------------------------------------------


def _target(root: Entries, found: list[Use], old: str, new: str) -> Target:
    holder, _, last = old.rpartition(".")
    targets = [each for each in targets_named(root, found, last, new) if _is_meant(each, holder)]
    if not targets:
        raise RenameError(f"the spec has no variable, block, argument or layer `{old}`", _ways(found))
    if len(targets) > 1:
        names = " or ".join(f"`{full_name(each)}`" for each in targets)
        raise RenameError(f"`{old}` is several things", f"write {names}")
    return targets[0]


def _is_meant(target: Target, holder: str) -> bool:
    if not holder:
        return target.kind in ("variable", "block") or target.block == MODEL
    return holder == full_name(target).rpartition(".")[0]


def full_name(target: Target) -> str:
    """Return the name by which a target is meant alone."""
    section = {"variable": "vars", "block": "blocks"}.get(target.kind, target.block)
    return f"{section}.{target.old}"


def targets_named(root: Entries, found: list[Use], name: str, new: str) -> Iterator[Target]:
    """Yield what is called by a name."""
    if is_table(root, "vars", name):
        yield Target("variable", None, name, new)
    blocks = root.get("blocks")
    for key, body in blocks.items() if isinstance(blocks, Entries) else ():
        if block_name(key) == name:
            yield Target("block", None, name, new)
        own = isinstance(body, Entries) and is_table(body, "vars", name)
        if own or name in parameters_of(key):
            yield Target("argument", block_name(key), name, new)
    keys = [(use.block, *split_key(use.scalar.text)) for use in found if use.role == "layer"]
    for block, alias in dict.fromkeys((block, alias) for block, key, alias in keys if key == name):
        yield Target("layer", block, name, new, alias is not None)


def is_table(holder: Entries, key: str, name: str) -> bool:
    """Return whether a mapping has a table under a key, with a name in it."""
    table = holder.get(key)
    return isinstance(table, Entries) and name in table


def parameters_of(signature: str) -> list[str]:
    """Return the names of the parameters in a signature."""
    try:
        tree = ast.parse(f"def {signature if '(' in signature else f'{signature}()'}: pass").body[0]
    except SyntaxError:
        return []
    return [each.arg for each in tree.args.args] if isinstance(tree, ast.FunctionDef) else []


def _ways(found: list[Use]) -> str | None:
    names = {block_name(use.scalar.text) for use in found if use.role == "signature"}
    return f"blocks are {', '.join(sorted(names))}; in one `BLOCK.NAME`" if names else None


def check_new(found: list[Use], target: Target) -> None:
    """Make sure that the new name can be one, and means nothing yet."""
    is_called = target.kind != "layer" or _is_called(found, target)
    fits = is_name(target.new) if is_called else is_key(target.new, is_named=target.has_alias)
    if not fits or (target.kind == "block" and not target.new[:1].isupper()):
        raise RenameError(f"`{target.new}` cannot be the name of a {target.kind}")
    for use in found:
        elsewhere = target.kind == "layer" and use.block != target.block
        if use.role != "text" and not elsewhere and _mentions(use, target.new):
            raise RenameError(f"`{target.new}` is used already: {use.scalar.span}")


def _is_called(found: list[Use], target: Target) -> bool:
    """Return whether programs call a layer by its key: all but what has an alias, or stands in a list or a branch."""
    inside = [use for use in found if use.block == target.block]
    return not target.has_alias and any(
        use.kind in ("layers", "tensors") and split_key(use.scalar.text)[0] == target.old
        if use.role == "layer"
        else use.role == "code" and _mentions(use, target.old)
        for use in inside
    )


def _mentions(use: Use, name: str) -> bool:
    """Return whether a text has a name that means something; the keywords of calls do not."""
    if not _word(name).search(use.scalar.text):
        return False
    source = _parsed(use.scalar) if use.role == "code" else None
    nodes = [node for each in source.roots for node in walk(each)] if source is not None else []
    return source is None or any(isinstance(node, ast.Name) and node.id == name for node in nodes)


def _check_checkpoints(found: list[Use], target: Target) -> None:
    """Make sure that no checkpoint is read by the name of a layer: its file would have to be looked at."""
    word = _word(target.old)
    for use in found:
        reads = use.in_checkpoint or (use.role == "code" and "checkpoint(" in use.scalar.text)
        if target.kind == "layer" and reads and word.search(use.scalar.text):
            raise RenameError(f"a checkpoint is read by the name `{target.old}`: {use.scalar.span}")


# --- where it stands ------------------------------------------------------------------------------------


def _word(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")


def edits_of(use: Use, target: Target, root: Entries, selectors: bool, attributes: bool) -> Iterator[Edit]:
    """Yield the edits of one scalar, with or without those of what may mean something else too."""
    if target.old not in use.scalar.text:
        return
    match use.role:
        case "signature":
            yield from _in_signature(use, target)
        case "layer" if target.kind == "layer" and use.block == target.block:
            if split_key(use.scalar.text)[0] == target.old:
                yield _edit(use.scalar, 0, len(target.old), target)
        case "variable" if use.scalar.text == target.old and _declares(use, target):
            yield _edit(use.scalar, 0, len(target.old), target)
        case "selector":
            yield from _in_selector(use, target, selectors)
        case "template" if target.kind in ("variable", "argument") and _sees(use, target, root):
            yield from _in_brackets(use.scalar, target, "{", "}")
        case "code":
            yield from _in_code(use, target, root, attributes)
        case "name" if target.kind == "argument" and isinstance(use.owner, Entries):
            layer = use.owner.get("layer")
            if isinstance(layer, Scalar) and layer.text == target.block and use.scalar.text == target.old:
                yield _edit(use.scalar, 0, len(target.old), target)


def _edit(scalar: Scalar, start: int, end: int, target: Target) -> Edit:
    place = scalar.locate(start, end)
    return Edit(place.start, place.end, target.new)


def _declares(use: Use, target: Target) -> bool:
    """Return whether a key of `vars` or of a preset is the variable, or that of the block."""
    return (
        use.block == target.block
        if target.kind == "argument"
        else target.kind == "variable" and use.block is None
    )


def _in_signature(use: Use, target: Target) -> Iterator[Edit]:
    text = use.scalar.text
    head = len(block_name(text))
    for found in _word(target.old).finditer(text):
        is_head = found.start() < head
        is_default = text[: found.start()].rstrip()[-1:] not in ("(", ",") and not is_head
        wanted = {
            "block": is_head or is_default,
            "argument": block_name(text) == target.block and not is_head,
            "variable": is_default and target.old not in parameters_of(text),
        }
        if wanted.get(target.kind, False):
            yield _edit(use.scalar, *found.span(), target)


def _in_selector(use: Use, target: Target, with_selectors: bool) -> Iterator[Edit]:
    if target.kind in ("variable", "argument"):
        yield from _in_brackets(use.scalar, target, "[", "]")
    elif with_selectors or (target.kind == "layer" and use.block == target.block):
        inside = {edit.start for edit in _in_brackets(use.scalar, target, "[", "]")}
        for found in _word(target.old).finditer(use.scalar.text):
            edit = _edit(use.scalar, *found.span(), target)
            if edit.start not in inside:
                yield edit


def _in_brackets(scalar: Scalar, target: Target, opening: str, closing: str) -> Iterator[Edit]:
    for found in _word(target.old).finditer(scalar.text):
        before = scalar.text[: found.start()]
        if before.rfind(opening) > before.rfind(closing):
            yield _edit(scalar, *found.span(), target)


def _sees(use: Use, target: Target, root: Entries) -> bool:
    """Return whether a name means the variable or the argument in a place: no block hides it there."""
    if target.kind == "argument":
        return use.block == target.block
    if use.block == TRAIN:
        return target.old not in _fields(root)
    blocks = root.get("blocks")
    bodies = blocks.items() if isinstance(blocks, Entries) else ()
    for key, body in [*bodies, (MODEL, root.get(MODEL))]:
        if block_name(key) == use.block:
            own = isinstance(body, Entries) and is_table(body, "vars", target.old)
            return not own and target.old not in parameters_of(key)
    return True


def _fields(root: Entries) -> set[str]:
    """Return the names that a training gives to what is in a batch."""
    train = root.get(TRAIN)
    data = train.get("data") if isinstance(train, Entries) else None
    return {"output", *(data if isinstance(data, Entries) else ())}


def _in_code(use: Use, target: Target, root: Entries, attributes: bool) -> Iterator[Edit]:
    source = _parsed(use.scalar)
    if source is None:
        return
    nodes = [node for each in source.roots for node in walk(each)]
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in nodes:
        if isinstance(node, ast.keyword) and _is_argument(node, nodes, target):
            place = source.span(node)
            yield Edit(place.start, place.start + len(target.old), target.new)
        elif isinstance(node, ast.Name) and node.id == target.old and _means(use, target, root, bound):
            place = source.span(node)
            yield Edit(place.start, place.end, target.new)
        elif (
            attributes
            and target.kind == "layer"
            and isinstance(node, ast.Attribute)
            and node.attr == target.old
        ):
            place = source.attribute_name(node)
            yield Edit(place.start, place.end, target.new)
        elif isinstance(node, ast.Call) and target.kind == "layer" and _is_copy(node):
            yield from _in_copy(source, node, target)


def _is_copy(call: ast.Call) -> bool:
    """Return whether a call is the initialiser that names another layer."""
    return isinstance(call.func, ast.Name) and call.func.id == "copy" and len(call.args) == 1


def _in_copy(source: Expression | Program, call: ast.Call, target: Target) -> Iterator[Edit]:
    text = source.span(call.args[0])
    for found in _word(target.old).finditer(text.text):
        yield Edit(text.start + found.start(), text.start + found.end(), target.new)


def _is_argument(keyword: ast.keyword, nodes: list[ast.AST], target: Target) -> bool:
    """Return whether a keyword is the argument, in a call of its block."""
    if target.kind != "argument" or keyword.arg != target.old:
        return False
    calls = [node for node in nodes if isinstance(node, ast.Call) and keyword in node.keywords]
    return any(isinstance(call.func, ast.Name) and call.func.id == target.block for call in calls)


def _means(use: Use, target: Target, root: Entries, bound: set[str]) -> bool:
    match target.kind:
        case "block":
            return True
        case "layer":
            return use.block == target.block and not target.has_alias
    return _sees(use, target, root) and target.old not in bound


def _parsed(scalar: Scalar) -> Expression | Program | None:
    """Return a text as an expression or a program, None if it is neither."""
    is_long = scalar.text.startswith("${") and scalar.text.endswith("}")
    end = len(scalar.text) - 1 if is_long else None
    for read in (lambda: parse_expression(scalar, 2 if is_long else 0, end), lambda: parse_program(scalar)):
        with suppress(SpecError):
            return read()
    return None


# --- whether it is the same -----------------------------------------------------------------------------


def _is_proven(before: Artifact, after: Editable, target: Target) -> bool:
    """Return whether a spec with another name is the same model, under the keys that were meant."""
    try:
        artifact = after.compiled()
    except SpecError:
        return False
    key = _key_of(before, target) if target.kind == "layer" else str
    one, other = rows(before, key), rows(artifact)
    same_names = [row[0] for row in one] == [row[0] for row in other]
    return same_names and _neutral(one, target) == _neutral(other, target)


def _neutral(found: object, target: Target) -> str:
    """Return a text of what is compared, in which expressions have the new name."""
    return _word(target.old).sub(target.new, repr(found))


def _key_of(artifact: Artifact, target: Target) -> Callable[[str], str]:
    """Return what becomes of a key when a layer of a block has another name."""

    def key(name: str) -> str:
        state, found = artifact.inferred.root, []
        for part in name.split("."):
            is_holder = isinstance(state, BlockState) and (
                state.definition.is_root if target.block == MODEL else state.definition.name == target.block
            )
            found.append(target.new if is_holder and part == target.old else part)
            state = part_named(state, part)  # type: ignore[assignment]
        return ".".join(found)

    return key
