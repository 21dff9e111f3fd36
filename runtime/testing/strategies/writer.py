"""A program while it is written: its lines, the form of each local name, and the layers and tensors it uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from runtime.testing.strategies.draft import NUMBER, Scope, fresh, key_of
from runtime.testing.strategies.layers import Node, keeping, projection
from runtime.testing.strategies.nodes import node
from runtime.testing.strategies.tensors import Draw, Flow, Width, pick, rarely

LAYERS = ("fc", "norm", "up", "mlp", "attn", "conv", "head", "proj", "mix", "gate")
LOCALS = ("y", "z", "out", "a", "b", "skip")


@dataclass
class Writer:
    """Writes one program. `main` is the name that the value flows under; `keep` asks for its form at the end."""

    scope: Scope
    depth: int
    keep: bool
    main: str
    source: tuple[str, Flow]
    """The input, whose sizes those of parameters may be taken from."""
    lines: list[str] = field(default_factory=list)
    env: dict[str, Flow] = field(default_factory=dict)
    layers: dict[str, Node] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    """What is written in front of each layer: its key, with its name where that is another one."""
    called: dict[str, tuple[Flow, Flow]] = field(default_factory=dict)
    widths: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    buffers: dict[str, Any] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    depth_of_blocks: int = 0
    base: Node = None
    """The layer that the block extends."""

    def line(self, text: str) -> None:
        self.lines.append("  " * self.depth_of_blocks + text)

    @contextmanager
    def indented(self) -> Iterator[None]:
        """Write the lines of an inner block; the layers that are first called in it are not called after it."""
        self.depth_of_blocks += 1
        before = dict(self.called)
        yield
        self.called = before
        self.depth_of_blocks -= 1

    def local(self, draw: Draw) -> str:
        """Draw a new local name."""
        return fresh(draw, self.taken, LOCALS)

    def add(self, draw: Draw, made: Node) -> str:
        """Add a layer under a new name."""
        name = fresh(draw, self.taken, LAYERS)
        self.layers[name] = made
        self.keys[name] = key_of(draw, self.taken, name, NUMBER)
        return name

    def layer(self, draw: Draw, flow: Flow, keep: bool) -> tuple[str, Flow]:
        """Draw a layer for a flow, and return its name and the flow after it.

        It is one that there is, a new one, or a list that runs one that there is.
        """
        again = [
            (name, after)
            for name, (before, after) in self.called.items()
            if before == flow and (after == flow or not keep)
        ]
        if again and rarely(draw, 2):
            return pick(draw, *again)  # type: ignore[no-any-return]
        made, after = node(draw, self.scope, flow, self.depth, keep)
        if again and rarely(draw, 3):
            borrowed, after = pick(draw, *again)
            made = [keeping(draw, self.scope, flow), borrowed]
        name = self.add(draw, made)
        self.called[name] = (flow, after)
        return name, after

    def project(self, draw: Draw, flow: Flow, wanted: Width) -> str:
        """Add a layer that gives the wanted width."""
        name = self.add(draw, projection(draw, self.scope, flow, wanted))
        self.called[name] = (flow, flow.wide(wanted))
        self.widths[name] = wanted.text
        return name

    def bind(self, draw: Draw, text: str, flow: Flow) -> None:
        """Bind an expression to the main name or to a new one, which then is the main one."""
        if not self.keep and not self.depth_of_blocks and rarely(draw, 2):
            self.main = self.local(draw)
        self.env[self.main] = flow
        self.line(f"{self.main} = {text}")

    def tensor(self, draw: Draw, table: dict[str, Any], entry: Any, *names: str) -> str:
        """Add a parameter or a buffer under a new name."""
        name = fresh(draw, self.taken, names)
        table[name] = entry
        return name

    def result(self, draw: Draw, wanted: Width | None) -> str:
        """Return the expression of the result, of the wanted width."""
        flow = self.env[self.main]
        if wanted is None or (flow.width == wanted and not rarely(draw, 3)):
            return self.main
        return f"{self.project(draw, flow, wanted)}({self.main})"

    def body(self, header: str) -> dict[str, Any]:
        """Return the body of a block with this program."""
        layers = {self.keys[name]: made for name, made in self.layers.items()}
        tables = {
            "extends": self.base,
            "layers": layers,
            "parameters": self.parameters,
            "buffers": self.buffers,
        }
        program = "\n".join(self.lines) + "\n"
        return {**{key: table for key, table in tables.items() if table}, header: program}
