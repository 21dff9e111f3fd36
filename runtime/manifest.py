"""The tensors of a model by their names: what a file, a plan and a live model are compared by."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from blake3 import blake3
from torch import Tensor, nn

from compiler.rules.plan import Plan, PlanRow


@dataclass(frozen=True)
class Form:
    """What one tensor is, except for its values."""

    kind: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    def __str__(self) -> str:
        note = ", a buffer" if self.kind == "buffer" else ""
        return f"{dtype_name(self.dtype)}{list(self.shape)}{note}"


@dataclass(frozen=True)
class Manifest:
    """The saved tensors of a model, each under all of its names. `owners` has the first name of the same tensor."""

    forms: Mapping[str, Form]
    owners: Mapping[str, str]

    def shared_by(self) -> Mapping[str, frozenset[str]]:
        """Return, for each name, all the names of its tensor."""
        groups: dict[str, set[str]] = {}
        for name, owner in self.owners.items():
            groups.setdefault(owner, set()).add(name)
        return {name: frozenset(groups[owner]) for name, owner in self.owners.items()}


@dataclass(frozen=True)
class Difference:
    """One tensor that differs. `first` and `second` say what it is on either side, None where it is not there."""

    name: str
    first: str | None
    second: str | None


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of a dtype, as specs have it."""
    return str(dtype).removeprefix("torch.")


def of_plan(plan: Plan, dtypes: Mapping[str, torch.dtype]) -> Manifest:
    """Return what a plan says. `dtypes` are those of tensors that were cast, by their canonical names."""
    forms, owners = {}, {}
    for row in saved_rows(plan):
        for name in row.names:
            forms[name] = Form(row.kind, row.shape, dtypes.get(row.name, row.dtype))
            owners[name] = row.name
    return Manifest(forms, owners)


def of_model(model: nn.Module) -> Manifest:
    """Return what a live model has, whatever happened to it since it was built."""
    forms, owners = {}, {}
    first: dict[int, str] = {}
    for name, value in model.state_dict(keep_vars=True).items():
        if isinstance(value, Tensor):
            kind = "parameter" if isinstance(value, nn.Parameter) else "buffer"
            forms[name] = Form(kind, tuple(value.shape), value.dtype)
            owners[name] = first.setdefault(id(value), name)
    return Manifest(forms, owners)


def of_tensors(tensors: Mapping[str, Tensor], plan: Plan) -> Manifest:
    """Return what a file has, in which a tensor stands once. The kind of a tensor does not stand there."""
    kinds = {row.name: row.kind for row in plan.rows}
    forms = {
        name: Form(kinds.get(name, ""), tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()
    }
    return Manifest(forms, {name: name for name in tensors})


def once(manifest: Manifest) -> Manifest:
    """Return a manifest with the first name of each tensor."""
    names = dict.fromkeys(manifest.owners.values())
    return Manifest({name: manifest.forms[name] for name in names}, {name: name for name in names})


def saved_rows(plan: Plan) -> Iterator[PlanRow]:
    """Return the rows that a file holds: a buffer that is not persistent is computed again."""
    return (row for row in plan.rows if row.persistent)


def differences(first: Manifest, second: Manifest) -> list[Difference]:
    """Return every tensor in which two manifests differ: its name, kind, shape, dtype, or what it is one with."""
    found = []
    for name in [*first.forms, *(name for name in second.forms if name not in first.forms)]:
        one, other = first.forms.get(name), second.forms.get(name)
        if one != other:
            found.append(Difference(name, _text(one), _text(other)))
    return [*found, *_sharing(first, second)]


def _text(form: Form | None) -> str | None:
    return None if form is None else str(form)


def _sharing(first: Manifest, second: Manifest) -> Iterator[Difference]:
    """Yield tensors with several names that are one on one side, and not on the other."""
    common = first.forms.keys() & second.forms.keys()
    one, other = first.shared_by(), second.shared_by()
    for name in first.forms:
        if name in common and one[name] & common != other[name] & common:
            yield Difference(name, _alone(name, one[name] & common), _alone(name, other[name] & common))


def _alone(name: str, names: Iterable[str]) -> str:
    others = sorted(set(names) - {name})
    return f"one with {', '.join(f'`{other}`' for other in others)}" if others else "a tensor of its own"


def plan_digest(plan: Plan) -> str:
    """Return the digest of what a plan fixes: names, kinds, shapes, dtypes, sharing, and what is trained.

    First values and devices are not part of it: a file has its own values, and may be loaded anywhere.
    """
    rows = [
        [row.names, row.kind, row.shape, dtype_name(row.dtype), row.persistent, row.trainable]
        for row in plan.rows
    ]
    text = json.dumps([rows, plan.frozen_modules], separators=(",", ":"))
    return str(blake3(text.encode()).hexdigest())
