"""How large a spec may be. Only the caller can raise a limit; a spec cannot."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds that are checked by arithmetic before anything is expanded or allocated."""

    file_bytes: int = 1 << 20
    nesting: int = 64
    """Depth of mappings and sequences, checked on the event stream."""
    nodes: int = 100_000
    """Nodes of the document, before and after alias expansion."""
    alias_growth: int = 10
    """How many times larger than its source alias expansion may make a document."""
    identifier: int = 64
    """Characters."""
    expression: int = 1_000
    """Characters."""
    expression_depth: int = 32
    program_operations: int = 10_000
    integer: int = 2**53 - 1
    dimension: int = 2**31 - 1
    rank: int = 8
    modules: int = 100_000
    """Modules after `repeat`, multiplied out first."""
    layers_in_one: int = 1_000
    """What `num_layers` of a layer may be."""
    block_depth: int = 32
    import_depth: int = 32
    evaluation_steps: int = 100_000
    """Steps of one compile-time expression or program run."""
    compile_seconds: float = 10.0
    """Seconds of CPU."""
    data_bytes: int = 1 << 32
    """What a training may read: the bytes of a text, or of the arrays of a file."""
    shown: int = 20
    """Diagnostics shown."""


DEFAULT_LIMITS = Limits()
