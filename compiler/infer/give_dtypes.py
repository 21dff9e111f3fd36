"""The states of a model with the dtypes that its placement rules give them.

What is alike, and alike for the rules, stays one state, so that it is inferred once.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

from compiler.infer.dtypes import Dtypes
from compiler.infer.states import BlockState, Chain, Leaf, State, is_node, places, row_items, step_to
from compiler.program import BASE
from spec_schema.clock import check_time
from spec_schema.source import Span


def give_dtypes(root: BlockState, dtypes: Dtypes) -> BlockState:
    """Return the state of a model with the dtypes of all that is inside it."""
    if not dtypes.rules:
        return root
    given = DtypeGiver(root.definition.span).state(root, dtypes)
    assert isinstance(given, BlockState)
    return given


@dataclass(eq=False)
class DtypeGiver:
    """Gives each state the dtypes of its path."""

    place: Span
    known: dict[Hashable, State] = field(default_factory=dict)

    def state(self, state: State, dtypes: Dtypes) -> State:
        """Return a state, and all that is inside it, with dtypes."""
        check_time(self.place)
        key = state, dtypes.key
        if key not in self.known:
            self.known[key] = self._given(state, dtypes)
        return self.known[key]

    def _given(self, state: State, dtypes: Dtypes) -> State:
        place_of = places(row_items(state))

        def child(name: str, inner: State) -> State:
            if name == BASE and not is_node(state):
                return self.state(inner, dtypes)
            return self.state(inner, dtypes.inside([step_to(name, inner, next(place_of))]))

        match state:
            case Leaf():
                return replace(state, dtypes=dtypes)
            case Chain():
                pairs = zip(state.names, state.states, strict=True)
                return replace(state, states=tuple(child(*pair) for pair in pairs))
            case BlockState():
                children = {name: child(name, inner) for name, inner in state.children.items()}
                return replace(state, children=children, dtypes=dtypes)
        return state
