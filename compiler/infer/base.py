"""What a block may have beside the layer that it extends."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.infer.states import Leaf
from compiler.program import BASE, Definition, ModuleBody
from spec_schema.diagnostics import Diagnostic, Label, SpecError
from spec_schema.source import Span


def check_base(base: Leaf, definition: Definition) -> None:
    """Refuse layers and tensors of a block that would replace attributes of the layer which it extends.

    Raises:
        SpecError: there are such.
    """
    problems = list(_replaced(base, definition))
    if problems:
        raise SpecError(problems)


def _replaced(base: Leaf, definition: Definition) -> Iterator[Diagnostic]:
    body = definition.body
    assert isinstance(body, ModuleBody)
    places: dict[str, Span] = {**body.layer_spans, **{each.name: each.span for each in body.tensors.values()}}
    for name, place in places.items():
        if name != BASE and hasattr(base.module, name):
            yield Diagnostic(
                "reserved-name",
                f"`{name}` is an attribute of `{base.layer.name}`, which the block extends",
                place,
                labels=(Label(base.node.span, "the base"),),
                help=f"name it `{name}_layer`" if name in body.layers else "give it another name",
            )
