"""The blocks that are being built, one inside the other: one that contains itself has to end by its arguments."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from compiler.infer.values import show
from compiler.program import Call, Definition
from spec_schema.diagnostics import Label, SpecError, refuse
from spec_schema.limits import Limits


@dataclass
class Nesting:
    """The blocks under way, the outermost first, each by its key."""

    limits: Limits
    under_way: dict[Hashable, tuple[Definition, Mapping[str, object]]] = field(default_factory=dict)

    @contextmanager
    def inside(
        self, definition: Definition, key: Hashable, arguments: Mapping[str, object], node: Call | None
    ) -> Iterator[None]:
        """Keep a block under way while it is built; SpecError if it does not end.

        `node` is the call that makes it.
        """
        if key in self.under_way:
            raise self._endless(definition, arguments, node)
        if len(self.under_way) >= self.limits.block_depth:
            raise self._too_deep(definition, arguments, node)
        self.under_way[key] = definition, arguments
        try:
            yield
        finally:
            del self.under_way[key]

    def _endless(
        self, definition: Definition, arguments: Mapping[str, object], node: Call | None
    ) -> SpecError:
        """Return the refusal of a block inside itself with equal arguments."""
        message = f"the block `{definition.name}` contains itself with the same arguments"
        place = node.span if node is not None else definition.span
        return refuse(
            "block-cycle",
            message,
            place,
            labels=(Label(definition.span, "the block"),),
            notes=_written(definition, arguments),
            help="let an argument change on the way, and a condition over it end the recursion",
        )

    def _too_deep(
        self, definition: Definition, arguments: Mapping[str, object], node: Call | None
    ) -> SpecError:
        message = f"blocks are nested more than {self.limits.block_depth} deep"
        again = [each for each, _ in self.under_way.values() if each is definition]
        if not again or node is None:
            return refuse("block-depth", message, definition.span)
        return refuse(
            "block-depth",
            message,
            node.span,
            labels=(Label(definition.span, "the block that contains itself"),),
            notes=_written(definition, arguments),
            help="end the recursion by an argument: `{if: depth > 0, then: "
            f"{definition.name}(depth - 1)" + ", else: ...}`",
        )


def _written(definition: Definition, arguments: Mapping[str, object]) -> tuple[str, ...]:
    given = ", ".join(f"{name}={show(value)}" for name, value in arguments.items())
    return (f"it is `{definition.name}({given})` here",)
