"""Merge the classes of one block: equal ones become one, and a layer in which they differ becomes an argument."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from compiler.emit.trees import is_own, names_in
from spec_schema.walk import walk

Form = tuple[object, ...]


@dataclass(frozen=True)
class Origin:
    """Where a class comes from."""

    block: str
    layers: Mapping[str, str]
    """The arguments of the block that are layers: the type of each → the name of the argument."""


@dataclass(eq=False)
class _Made:
    """A class with the types of the layers that its constructor makes, in their order."""

    node: ast.ClassDef
    origin: Origin
    types: list[ast.expr]

    @property
    def texts(self) -> list[str]:
        return list(map(ast.unparse, self.types))


def merge_classes(tree: ast.Module, origins: Mapping[str, Origin]) -> ast.Module:
    """Merge what can be, until nothing is left to merge. The last class is the model, and stays."""
    while _merge_some(tree, origins):
        pass
    return tree


def _merge_some(tree: ast.Module, origins: Mapping[str, Origin]) -> bool:
    """Merge the classes of one block, if any can be; return whether there was something to merge."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    own = {node.name for node in classes}
    blocks = Counter(origins[node.name].block for node in classes[:-1] if node.name in origins)
    groups: dict[tuple[str, Form], list[_Made]] = {}
    for node in classes[:-1]:
        if node.name in origins and blocks[origins[node.name].block] > 1:
            types: list[ast.expr] = []
            form = _form(node, node.name, own, types)
            made = _Made(node, origins[node.name], types)
            groups.setdefault((made.origin.block, form), []).append(made)
    return any(_merge_equal(tree, group) or _merge_alike(tree, group) for group in groups.values())


def _form(node: object, name: str, own: set[str], types: list[ast.expr]) -> Form:
    """Return what is left of a class without its name, and without the types of layers, which are collected."""
    if isinstance(node, list):
        return tuple(_form(part, name, own, types) for part in node)
    if not isinstance(node, ast.AST):
        return (type(node).__name__, "" if node == name else node)
    skipped = None
    if isinstance(node, ast.Call) and _is_type(node.func, own):
        types.append(node.func)
        skipped = "func"
    fields = [field for field in node._fields if field != skipped]
    return (type(node).__name__, *(_form(getattr(node, each, None), name, own, types) for each in fields))


def _is_type(node: ast.expr, own: set[str]) -> bool:
    match node:
        case ast.Name(id=name):
            return name in own
        case ast.Attribute(value=ast.Name(id="nn"), attr=name):
            return name not in ("Sequential", "ModuleList", "ModuleDict", "Parameter")
    return False


def _merge_equal(tree: ast.Module, group: Sequence[_Made]) -> bool:
    """Leave one of the classes that are equal but for their names."""
    first: dict[tuple[str, ...], str] = {}
    renamed: dict[str, str] = {}
    for made in group:
        kept = first.setdefault(tuple(made.texts), made.node.name)
        if kept != made.node.name:
            renamed[made.node.name] = kept
    _replace(tree, renamed)
    return bool(renamed)


def _replace(tree: ast.Module, renamed: Mapping[str, str]) -> None:
    """Leave classes out, and call others in their place."""
    if not renamed:
        return
    tree.body = [n for n in tree.body if not (isinstance(n, ast.ClassDef) and n.name in renamed)]
    for node in walk(tree):
        if isinstance(node, ast.Name):
            node.id = renamed.get(node.id, node.id)


def _merge_alike(tree: ast.Module, group: Sequence[_Made]) -> bool:
    """Make one class of those that differ in the type of one layer, which is a new argument of its constructor."""
    columns = list(zip(*(made.texts for made in group), strict=True))
    varied = {column for column in columns if len(set(column)) > 1}
    if len(group) < 2 or len(varied) != 1:
        return False
    (types,) = varied
    name = _argument(group, types)
    constructor = next((n for n in group[0].node.body if isinstance(n, ast.FunctionDef)), None)
    if name is None or constructor is None or constructor.name != "__init__" or not _only_called(tree, group):
        return False
    places = [group[0].types[at] for at, column in enumerate(columns) if column == types]
    if _reads_inside(group[0].node, places):
        return False
    _give(constructor, name, places)
    for made, text in zip(group, types, strict=True):
        for call in _calls(tree, made.node.name):
            call.keywords.insert(0, ast.keyword(name, ast.parse(text, mode="eval").body))
    _replace(tree, {made.node.name: group[0].node.name for made in group[1:]})
    return True


def _reads_inside(cls: ast.ClassDef, places: Sequence[ast.expr]) -> bool:
    """Return whether a class reads attributes of the layers that it makes in some places."""
    nodes = list(walk(cls))
    made = {
        target.attr
        for node in nodes
        if isinstance(node, ast.Assign)
        and any(each is place for each in walk(node.value) for place in places)
        for target in node.targets
        if is_own(target)
    }
    owners = (node.value for node in nodes if isinstance(node, ast.Attribute))
    return any(is_own(owner) and owner.attr in made for owner in owners)


def _argument(group: Sequence[_Made], types: Sequence[str]) -> str | None:
    """Return the name of the argument that a layer is in all classes, if it is one and nothing else is called so."""
    found = {made.origin.layers.get(text.rpartition(".")[2]) for made, text in zip(group, types, strict=True)}
    if len(found) != 1 or None in found:
        return None
    name = str(found.pop())
    taken = names_in(group[0].node)
    taken |= {n.arg for n in walk(group[0].node) if isinstance(n, ast.arg)}
    return None if name in taken else name


def _only_called(tree: ast.Module, group: Sequence[_Made]) -> bool:
    """Return whether the classes are named only to be called."""
    names = {made.node.name for made in group}
    read = [n for n in walk(tree) if isinstance(n, ast.Name) and n.id in names]
    return len(read) == sum(1 for name in names for _ in _calls(tree, name))


def _calls(tree: ast.Module, name: str) -> Iterator[ast.Call]:
    for node in walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield node


def _give(constructor: ast.FunctionDef, name: str, places: Sequence[ast.expr]) -> None:
    """Add an argument to a constructor, and call it where the layers were made."""
    calls = [n for n in walk(constructor) if isinstance(n, ast.Call) and any(n.func is p for p in places)]
    plain = not any(call.args or call.keywords for call in calls)
    for call in calls:
        call.func = ast.Name(name, ast.Load())
    text = "Callable[[], nn.Module]" if plain else "Callable[..., nn.Module]"
    constructor.args.kwonlyargs.insert(0, ast.arg(name, ast.parse(text, mode="eval").body))
    constructor.args.kw_defaults.insert(0, None)
