"""Which inputs of modules count."""

from __future__ import annotations

from torch import nn

from runtime.importing.programs import live
from runtime.importing.records import Record, Scope, values_in


def interfaces_of(*records: Record) -> dict[nn.Module, list[str]]:
    """Return the inputs of each module that its program reads in one of the runs, in the order of `forward`."""
    found: dict[nn.Module, list[str]] = {}
    modules = dict.fromkeys(module for record in records for module in record.scopes)
    for module in modules:
        scopes = [scope for record in records for scope in record.scopes.get(module, ())]
        used = {name for scope in scopes for name in _used(scope, found)}
        order = dict.fromkeys(name for scope in scopes for name in scope.inputs)
        found[module] = [name for name in order if name in used]
    return found


def _used(scope: Scope, inner: dict[nn.Module, list[str]]) -> set[str]:
    read = {id(value) for value in values_in(scope.result)}
    for call in live(scope.calls, scope.result):
        names = inner.get(call.target.module) if call.target.module is not None else None
        kwargs = (
            call.kwargs if names is None else {key: each for key, each in call.kwargs.items() if key in names}
        )
        read |= {id(value) for value in values_in((call.args, kwargs))}
    return {name for name, value in scope.inputs.items() if id(value) in read}
