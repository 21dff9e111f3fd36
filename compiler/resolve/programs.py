"""Forward programs with every name looked up against closed tables."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from compiler.catalogue.layers import layer_names
from compiler.catalogue.operation_table import (
    ATTRIBUTES,
    CONSTANTS,
    LIMITS,
    METHODS,
    MODE_ARGUMENTS,
    RESULTS,
    STATISTICS,
)
from compiler.catalogue.operation_table import FUNCTIONS as OPERATIONS
from compiler.catalogue.parametrization_table import PARAMETRIZATIONS
from compiler.program import Scope
from compiler.resolve.layers_in_programs import names_of_layers, root_of
from compiler.resolve.values import changes_a_layer, is_type
from spec_schema.clock import check_time
from spec_schema.diagnostics import Diagnostic, Label
from spec_schema.evaluate import FUNCTIONS
from spec_schema.forms import in_place
from spec_schema.grammar import Source
from spec_schema.source import Span
from spec_schema.suggest import did_you_mean
from spec_schema.unknown_names import PYTHON_WORDS, no_python_word

NAMESPACES = frozenset({"fft", "linalg", "special"})
MODE = "training"
SHOWN_NAMES = 20

_ON_DATA = "a program knows shapes, not data: keep it a tensor"
_HINTS = {
    **dict.fromkeys(("item", "tolist", "numpy"), _ON_DATA),
    **dict.fromkeys(("cpu", "cuda"), "`placement` says what is where"),
    **dict.fromkeys(("requires_grad", "grad", "backward"), "`freeze` says what is not trained"),
    "data": "use `detach()`",
    "append": "make a new list: `ys = [*ys, y]`",
}
"""Ways out, by the name of a method or attribute that the language does not have."""


@dataclass(frozen=True)
class ProgramNames:
    """What a program may name: its inputs, the block's layers and tensors, and compile-time values."""

    inputs: frozenset[str]
    layers: Mapping[str, Span]
    tensors: frozenset[str]
    values: frozenset[str]
    scope: Scope
    buffers: Mapping[str, bool] = field(default_factory=dict)
    """The buffers among the tensors, and whether the program may give them new values."""

    def everything(self) -> list[str]:
        return [*self.own(), *OPERATIONS, *self.scope.plugins.operations, *FUNCTIONS, MODE]

    def own(self) -> list[str]:
        """Return the names that are the block's own."""
        return [*sorted(self.inputs), *self.layers, *sorted(self.tensors), *sorted(self.values)]

    def __contains__(self, name: str) -> bool:
        if name in self.inputs or name in self.layers or name in self.tensors or name in self.values:
            return True
        if name in OPERATIONS or name in self.scope.plugins.operations or name in FUNCTIONS:
            return True
        return name in CONSTANTS or name in NAMESPACES or name == MODE


def check_program(program: Source, body: Iterable[ast.AST], names: ProgramNames) -> list[Diagnostic]:
    """Return what is wrong with the names of a program."""
    roots = list(body)
    updates = set(_updates(roots, names))
    stored = {
        n.id: n
        for root in roots
        for n in ast.walk(root)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and n not in updates
    }
    layers = names_of_layers(roots, names.layers)
    checker = _Checker(program, names, frozenset(stored), layers, list(_hiding(program, stored, names)))
    for root in roots:
        check_time(partial(program.span, root))
        checker.visit(root)
    return sorted(checker.problems, key=lambda d: d.span.start if d.span else 0)


def _updates(roots: Iterable[ast.AST], names: ProgramNames) -> Iterator[ast.Name]:
    """Yield the targets of assignments that give a buffer a new value."""
    for node in (node for root in roots for node in ast.walk(root)):
        if isinstance(node, ast.Assign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found = (n for target in targets for n in ast.walk(target) if isinstance(n, ast.Name))
            yield from (n for n in found if isinstance(n.ctx, ast.Store) and names.buffers.get(n.id))


def _hiding(program: Source, stored: Mapping[str, ast.Name], names: ProgramNames) -> Iterator[Diagnostic]:
    for name, node in stored.items():
        labels: tuple[Label, ...] = ()
        help = "give the value another name"
        if name in names.layers:
            what, labels = f"the layer `{name}`", (Label(names.layers[name], "the layer"),)
        elif name in names.tensors:
            what = f"a {'buffer' if name in names.buffers else 'parameter'} of the block"
            help += _to_update(name, names)
        elif name == MODE:
            what = "the module's mode"
        else:
            continue
        message = f"the local name `{name}` hides {what}"
        yield Diagnostic("hidden-layer", message, program.span(node), labels=labels, help=help)


def _to_update(name: str, names: ProgramNames) -> str:
    """Return how a buffer is given a new value, where that is what an assignment to it may have meant."""
    if name not in names.buffers:
        return ""
    if names.buffers[name]:
        return f", or assign to it: `{name} = ...` is an update, and a loop makes none"
    return f"; a buffer that the program updates says so: `{name}: {{..., updated: true}}`"


@dataclass
class _Checker:
    """Looks up each name of a program once; what hangs from an unknown name is not looked up too."""

    program: Source
    names: ProgramNames
    local: frozenset[str]
    layers: frozenset[str]
    """The names that are layers, or may be."""
    problems: list[Diagnostic] = field(default_factory=list)

    def visit(self, node: ast.AST) -> None:
        """Check a node and what is inside it."""
        match node:
            case ast.Call():
                self._call(node)
            case ast.Attribute():
                self._attribute(node)
            case ast.Name(ctx=ast.Load()):
                if not self._known(node.id):
                    self.problems.append(self._unknown_value(node))
            case _:
                self._children(node)

    def _children(self, node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            self.visit(child)

    def _known(self, name: str) -> bool:
        return name in self.local or name in self.names

    def _call(self, node: ast.Call) -> None:
        function = node.func
        match function:
            case ast.Attribute():
                self._method(node, function)
            case ast.Name():
                if not self._known(function.id):
                    self.problems.append(self._unknown_function(node, function))
            case ast.Subscript():
                self.visit(function)
            case ast.Call(func=ast.Name(id=name)) if (
                is_type(name, self.names.scope) or name in PARAMETRIZATIONS
            ):
                self.visit(function)
            case _:
                message, help = "only a layer, an operation or a method can be called", None
                if isinstance(function, ast.Call):
                    help = "what a call gives is a value: a layer has a name under `layers:`"
                self.problems.append(
                    Diagnostic("unknown-function", message, self.program.span(function), help=help)
                )
        starred = next((each for each in node.args if isinstance(each, ast.Starred)), None)
        if starred is not None and not self._takes_starred(function) and self._is_known(function):
            message = f"`*` in a call of `{ast.unparse(function)}` is not part of the language"
            place = self.program.span(starred)
            self.problems.append(
                Diagnostic("not-in-language", message, place, help="write the arguments out")
            )
        for argument in [*node.args, *node.keywords]:
            self.visit(argument)

    def _is_known(self, function: ast.AST) -> bool:
        return not isinstance(function, ast.Name) or self._known(function.id)

    def _takes_starred(self, function: ast.AST) -> bool:
        """Return whether a list may be spread over the arguments of what is called."""
        match function:
            case ast.Attribute():
                return not self._may_be_layer(function.value, function.attr)
            case ast.Name(id=name) if name not in self.local and name not in self.names.layers:
                plain = name not in FUNCTIONS and name not in MODE_ARGUMENTS and name not in STATISTICS
                return name in self.names.scope.plugins.operations or (name in OPERATIONS and plain)
        return False

    def _method(self, node: ast.Call, function: ast.Attribute) -> None:
        owner, attr = function.value, function.attr
        namespace = self._namespace(owner)
        if namespace:
            name = f"{namespace}.{attr}"
            if name not in OPERATIONS:
                self._report(
                    "unknown-operation", f"there is no operation `{name}`", function, name, OPERATIONS
                )
        elif self._foreign(function):
            self.problems.append(self._foreign_prefix(function))
        elif self._may_be_layer(owner, attr):
            self._inside_of_layer(owner)
        else:
            self._method_of_tensor(node, function)
            self.visit(owner)

    def _may_be_layer(self, owner: ast.AST, attr: str) -> bool:
        """Return whether an expression may be a layer of the block, or one in it: inference looks up what it has."""
        if isinstance(owner, ast.Name) and owner.id in self.names.layers:
            return True
        if attr in _HINTS or attr.endswith("_") or attr in METHODS:
            return False
        return root_of(owner) in self.layers

    def _inside_of_layer(self, node: ast.AST) -> None:
        """Look up the indices on the way to a layer."""
        while isinstance(node, ast.Attribute | ast.Subscript):
            if isinstance(node, ast.Subscript):
                self.visit(node.slice)
            node = node.value

    def _method_of_tensor(self, node: ast.Call, function: ast.Attribute) -> None:
        attr = function.attr
        if attr in METHODS:
            return
        if attr.endswith("_"):
            self.problems.append(in_place(self.program, node, function))
        else:
            self._report("unknown-method", f"tensors have no method `{attr}`", function, attr, METHODS)

    def _attribute(self, node: ast.Attribute) -> None:
        if self._foreign(node):
            self.problems.append(self._foreign_prefix(node))
            return
        owner, attr = node.value, node.attr
        if self._namespace(owner):
            return
        if self._may_be_layer(owner, attr):
            self._inside_of_layer(owner)
            return
        if isinstance(owner, ast.Call) and (limits := self._limits(owner)) is not None:
            if attr not in limits:
                self._report(
                    "unknown-attribute", f"a dtype has no limit `{attr}`", node, attr, sorted(limits)
                )
            self._children(ast.Tuple([*owner.args, *owner.keywords], ast.Load()))  # type: ignore[list-item]
            return
        if attr not in ATTRIBUTES and attr not in METHODS and attr not in RESULTS:
            known = [*sorted(ATTRIBUTES), *METHODS]
            self._report("unknown-attribute", f"tensors have no attribute `{attr}`", node, attr, known)
        self.visit(owner)

    def _limits(self, call: ast.Call) -> frozenset[str] | None:
        """Return what can be asked of `finfo(x.dtype)`, None for another call."""
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        return None if self._known(name) else LIMITS.get(name)

    def _report(self, code: str, message: str, node: ast.Attribute, name: str, known: Iterable[str]) -> None:
        """Report an unknown name behind a dot."""
        near = did_you_mean(name, known)
        help = _HINTS.get(name) or (f"did you mean `{near}`?" if near else None)
        notes = (
            (f"attributes: {', '.join(sorted(ATTRIBUTES))}",)
            if code == "unknown-attribute" and not help
            else ()
        )
        place = self.program.span(node) if "." in name else self.program.attribute_name(node)
        self.problems.append(Diagnostic(code, message, place, notes=notes, help=help))

    def _namespace(self, owner: ast.AST) -> str | None:
        """Return the name if it is that of a group of operations, such as `fft`."""
        if not isinstance(owner, ast.Name) or owner.id not in NAMESPACES:
            return None
        names = self.names
        hidden = owner.id in self.local or owner.id in names.layers or owner.id in names.inputs
        return None if hidden else owner.id

    # Names that mean nothing.

    def _foreign(self, node: ast.Attribute) -> bool:
        """Return whether a dotted name, such as `torch.relu`, starts with a name that means nothing."""
        root = _root(node)
        return root is not None and not self._known(root.id)

    def _foreign_prefix(self, node: ast.Attribute) -> Diagnostic:
        root = _root(node)
        assert root is not None
        help = None
        if node.attr in self.names:
            written = (
                node.attr
                if node.attr in self.names.layers or node.attr in self.names.tensors
                else f"{node.attr}(...)"
            )
            help = f"write `{written}`: it has no prefix here"
        elif node.attr in METHODS:
            help = f"write `x.{node.attr}(...)`: it is a method of tensors"
        message = f"nothing here is named `{root.id}`"
        return Diagnostic("unknown-name", message, self.program.span(root), help=help)

    def _unknown_value(self, node: ast.Name) -> Diagnostic:
        if node.id.lower() in PYTHON_WORDS:
            return no_python_word(node.id, self.program.span(node))
        if is_type(node.id, self.names.scope):
            return self._layer_type(node.id, node, node.id)
        return self._nothing_named("unknown-name", "nothing here is named", node)

    def _unknown_function(self, call: ast.Call, node: ast.Name) -> Diagnostic:
        if is_type(node.id, self.names.scope):
            return self._layer_type(node.id, node, ast.unparse(call))
        if node.id in PARAMETRIZATIONS:
            return changes_a_layer(node.id, self.program.span(node))
        if node.id in LIMITS:
            message, help = (
                f"`{node.id}` is no value by itself",
                f"write what is asked of it: `{ast.unparse(call)}.max`",
            )
            return Diagnostic("unknown-operation", message, self.program.span(node), help=help)
        return self._nothing_named("unknown-operation", "there is no layer or operation", node)

    def _nothing_named(self, code: str, what: str, node: ast.Name) -> Diagnostic:
        known = self.names.everything()
        types = [*self.names.scope.block_names, *self.names.scope.plugins.layers, *layer_names()]
        near = did_you_mean(node.id, types if node.id[0].isupper() else known) or did_you_mean(node.id, known)
        help = f"did you mean `{near}`?" if near else None
        own = ", ".join(self.names.own()[:SHOWN_NAMES])
        notes = (f"names of the block: {own}",) if own and not near else ()
        return Diagnostic(code, f"{what} `{node.id}`", self.program.span(node), notes=notes, help=help)

    def _layer_type(self, name: str, node: ast.Name, written: str) -> Diagnostic:
        own = name.lower() if name.lower() not in self.names else f"{name.lower()}1"
        return Diagnostic(
            "layer-in-program",
            f"`{name}` is a type of layer, and a program calls layers by their names",
            self.program.span(node),
            help=f"name one under `layers:`, such as `{own}: {written}`, and call `{own}(x)`",
        )


def _root(node: ast.expr) -> ast.Name | None:
    """Return the first name of a dotted name."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node if isinstance(node, ast.Name) else None
