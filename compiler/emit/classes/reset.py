"""The method of one class that gives its tensors their first values."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile

from torch import nn

from compiler.emit.classes.values import ClassValues
from compiler.emit.initialise import FirstValues, Holder
from compiler.emit.syntax import RESET, call, function, inherited, load_name, own, parameters
from compiler.infer.states import BlockState, node_of
from compiler.placement.groups import group_key
from spec_schema.walk import walk


def reset_method(
    values: ClassValues, first_values: FirstValues, conditions: Mapping[str, ast.expr], inherits: bool = False
) -> ast.FunctionDef | None:
    """Return the method, if the class has any values to give.

    `conditions` say which layers some instances have, and `inherits` whether it derives from a class of the file that
    has the method.
    """
    holder = Holder(
        group_key(values.states[0]),
        values.states,
        values.is_root,
        values.own,
        values.keep,
        values.is_variable,
        lambda name: _is_there(values, name, conditions[name]),
    )
    body = first_values.body(holder)
    if body and values.base is not None:
        body = after_base(values, values.base, body, inherits)
    elif body and inherits:
        body = _after_block(values, body)
    return function(RESET, parameters([]), body, ast.Constant(None)) if body else None


def is_called_by_base(base: nn.Module | None, reset: ast.FunctionDef, inherits: bool = False) -> bool:
    """Return whether the constructor of what a class extends calls the method, and leaves nothing to do."""
    of_torch = base is not None and type(base).__module__.startswith("torch.nn.") and hasattr(base, RESET)
    last = reset.body[-1]
    return (inherits or of_torch) and not (isinstance(last, ast.If) and isinstance(last.test, ast.Call))


def _after_block(values: ClassValues, body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Return the statements behind those of the block that the model is.

    The constructor of that calls the method before the model has values of its own: what reads them waits.
    """
    kept = {*values.stored.values()}
    at_once = list(takewhile(lambda each: not _read(each) & kept, body))
    late = body[len(at_once) :]
    first = ast.Expr(call(inherited(RESET)))
    if not late:
        return [first, *at_once]
    sign = ast.Constant(next(iter(values.stored.values())))
    return [first, *at_once, ast.If(call("hasattr", load_name("self"), sign), [*late], [])]


def after_base(
    values: ClassValues, base: nn.Module, body: Sequence[ast.stmt], inherits: bool = False
) -> list[ast.stmt]:
    """Return the statements behind those of the layer that a class extends.

    Its constructor may call the method before there is anything else, and on the meta device: what needs more waits.
    """
    first = [ast.Expr(call(inherited(RESET)))] if inherits or hasattr(base, RESET) else []
    tensors = [name for name, _ in (*base.named_parameters(), *base.named_buffers()) if "." not in name]
    early = [each for each in body if _is_at_once(each, tensors)]
    late = [each for each in body if each not in early]
    sign = next(_own_attributes(values), None)
    if late and sign is not None:
        late = [ast.If(call("hasattr", load_name("self"), ast.Constant(sign)), late, [])]
    elif late and tensors:
        is_meta = ast.Attribute(own(tensors[0]), "is_meta", ast.Load())
        late = [ast.If(ast.UnaryOp(ast.Not(), is_meta), late, [])]
    return [*first, *early, *late]


def _own_attributes(values: ClassValues) -> Iterator[str]:
    """Yield the attributes that all instances have beside those of the layer that the class extends."""
    if values.definition.is_node:  # made behind all that is inside
        yield from values.stored.values()
    states = [each for each in map(node_of, values.states) if isinstance(each, BlockState)]
    yield from states[0].tensors if states else ()
    yield from values.stored.values()
    for name in filter(None, states[0].children) if states else ():
        if all(name in state.used for state in states):
            yield name


def _is_at_once(statement: ast.stmt, tensors: Sequence[str]) -> bool:
    """Return whether a statement fills tensors of the layer by `nn.init`, and reads nothing else."""
    if isinstance(statement, ast.If):
        return all(_is_at_once(each, tensors) for each in statement.body) and _read(statement) <= {*tensors}
    written = ast.unparse(statement.value) if isinstance(statement, ast.Expr) else ""
    return written.startswith("nn.init.") and _read(statement) <= {*tensors}


def _read(statement: ast.stmt) -> set[str]:
    """Return the attributes of the module that a statement reads, or calls."""
    found = (node for node in walk(statement) if isinstance(node, ast.Attribute))
    return {node.attr for node in found if isinstance(node.value, ast.Name) and node.value.id == "self"}


def _is_there(values: ClassValues, name: str, test: ast.expr) -> ast.expr:
    """Return the condition under which an instance has a layer that some instances have not."""
    read = next((t for t in values.plain if isinstance(test, ast.Name) and values.local(t) == test.id), "")
    attribute = values.own(read)
    if attribute is None:
        return call("hasattr", load_name("self"), ast.Constant(name))
    values.keep(read)
    return own(attribute)
