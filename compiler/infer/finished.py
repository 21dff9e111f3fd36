"""The states of a model after all runs: what no call has reached is given its tensors, or refused."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from compiler.infer.states import BlockState, Chain, Leaf, State, joined, used_children
from compiler.program import ModuleBody
from spec_schema.diagnostics import Diagnostic, SpecError
from spec_schema.selectors import Selector
from spec_schema.source import Span

if TYPE_CHECKING:
    from compiler.infer.engine import Engine


def finished(engine: Engine, root: BlockState) -> BlockState:
    """Return the states of a model, with those of copies that are never called.

    Raises:
        SpecError: nothing tells the sizes of such a copy.
    """
    finisher = _Finisher(engine)
    state = finisher.state(root, "", root.definition.span)
    if finisher.problems:
        raise SpecError(finisher.problems)
    assert isinstance(state, BlockState)
    return state


@dataclass(eq=False)
class _Finisher:
    """Goes over all layers that are made; what is alike is looked at once."""

    engine: Engine
    known: dict[State, State] = field(default_factory=dict)
    problems: list[Diagnostic] = field(default_factory=list)

    def state(self, state: State, path: str, place: Span) -> State:
        if state not in self.known:
            self.known[state] = self._finish(state, path, place)
        return self.known[state]

    def _finish(self, state: State, path: str, place: Span) -> State:
        match state:
            case Leaf(module=None):
                return self._leaf(state, path)
            case Chain():
                states = [
                    self.state(child, f"{path}.{name}", state.node.span)
                    for name, child in zip(state.names, state.states, strict=True)
                ]
                same = all(a is b for a, b in zip(states, state.states, strict=True))
                return state if same else Chain(state.node, state.names, tuple(states))
            case BlockState(called=False, used=used, tensors=tensors) if not (used or tensors):
                if state.children or _has_tensors(state):
                    self._refuse(path, place, "call every copy, or make fewer of them")
                return state
            case BlockState():
                return self._block(self.engine.with_tensors(state, path, place), path)
        return state

    def _block(self, state: BlockState, path: str) -> BlockState:
        shared = _shared(state) - state.used
        if shared:
            state = replace(state, used=state.used | shared)
        made = {
            name: self.state(child, joined(path, name), _span(state, name))
            for name, child in used_children(state)
        }
        if all(made[name] is state.children[name] for name in made):
            return state
        return replace(state, children={**state.children, **made})

    def _leaf(self, state: Leaf, path: str) -> Leaf:
        missing = [a.name for a in state.layer.arguments if a.deferred and a.name not in state.values]
        if not missing:
            return self.engine.shaped(state, state.node.span)
        written = f"{state.layer.name}(..., {missing[0]}=...)"
        self._refuse(path, state.node.span, f"call every copy, or write the size: `{written}`")
        return state

    def _refuse(self, path: str, place: Span, help: str) -> None:
        message = f"`{path}` is never called, and nothing else tells its sizes"
        self.problems.append(Diagnostic("uncalled-copy", message, place, help=help))


def _shared(state: BlockState) -> frozenset[str]:
    """Return the layers that the block shares by their full names: they are made, whether called or not."""
    rules = state.definition.rules
    if not rules.share:
        return frozenset()
    selectors = [each.selector for group in rules.holding(state.values).share for each in group.selectors]
    names = (each.words[0] for each in selectors if each.anchored and _begins_with_name(each))
    return frozenset(name for name in names if name in state.children)


def _begins_with_name(selector: Selector) -> bool:
    first = selector.components[0] if selector.components else None
    return isinstance(first, re.Pattern) and first.pattern in selector.words


def _has_tensors(state: BlockState) -> bool:
    body = state.definition.body
    return isinstance(body, ModuleBody) and bool(body.tensors)


def _span(state: BlockState, name: str) -> Span:
    """Return where a layer of a block is written."""
    body = state.definition.body
    return body.layer_spans[name] if isinstance(body, ModuleBody) else state.definition.span
