"""Variables of a file that those of a block hide, and are computed from: `vars: {dim: 2 * dim}` in a block."""

from __future__ import annotations

from compiler.program import Definition
from compiler.resolve.values import free_names


def hidden_reads(definition: Definition) -> dict[str, set[str]]:
    """Return what each variable of a block reads of the file that itself or a later one hides."""
    own = list(definition.variables)
    arguments = {parameter.name for parameter in definition.parameters}
    return {
        name: free_names(tree) & set(own[at:]) - arguments
        for at, (name, tree) in enumerate(definition.variables.items())
    }
