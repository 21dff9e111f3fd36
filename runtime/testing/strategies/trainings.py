"""Whole specs that say how they are trained, with the arrays that they are trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import reject
from hypothesis import strategies as st
from torch import Tensor

import compiler
from compiler.artifact import Artifact
from compiler.rules.plan import PlanRow
from runtime.samples import sample
from runtime.testing.strategies.models import VOCABULARY
from runtime.testing.strategies.rules import selector
from runtime.testing.strategies.specs import Document, specs
from runtime.testing.strategies.tensors import Draw, pick, rarely
from spec_schema.canonical import to_json
from spec_schema.selectors import parse_selector

ROWS = 24
"""How many items the data have. No batch has one item, which normalisations refuse in training."""
OPTIMIZERS = (
    "AdamW",
    "SGD(lr=0.01)",
    "SGD(lr=0.01, momentum=0.9, nesterov=True)",
    "Adam(lr=1e-3, amsgrad=True)",
    "RMSprop(lr=1e-3, momentum=0.5)",
    "AdamW(lr=2 * 1e-3, betas=[0.8, 0.9], weight_decay=0.1)",
    *("Adagrad", "NAdam", "RAdam", "Adamax", "ASGD", "Adadelta(lr=0.1)", "Adafactor"),
)
ALONE = ("Rprop", "Muon(lr=0.01)")
"""Optimizers that lack an option that groups set, or that take matrices alone."""
SCHEDULES = (
    "CosineAnnealingLR",
    "StepLR(step_size=1, gamma=0.5)",
    "ExponentialLR(gamma=0.9)",
    "PolynomialLR(total_iters=2)",
    "CosineAnnealingWarmRestarts(T_0=2)",
    "SequentialLR([ConstantLR(total_iters=1), CosineAnnealingLR], milestones=[1])",
)
NOT_WARMED_UP = ("ReduceLROnPlateau(patience=0)", "OneCycleLR(max_lr=0.1, cycle_momentum=False)")
"""Schedules that follow no other one; the second knows one rate."""


@dataclass(frozen=True)
class TrainedSpec:
    """A spec, and the arrays of the file `data.npz` that it names."""

    document: Document
    arrays: Mapping[str, Tensor] = field(repr=False)

    def write(self, folder: Path) -> Path:
        """Write the data into a folder, and the spec, whose place is returned."""
        values = {name: array.numpy() for name, array in self.arrays.items()}
        np.savez(folder / "data.npz", **values)  # type: ignore[arg-type]
        np.savez(folder / "held.npz", **{name: value[:6] for name, value in values.items()})  # type: ignore[arg-type]
        path = folder / "spec.json"
        path.write_text(to_json(self.document))
        return path


@dataclass(frozen=True)
class _Target:
    """A part of the output that is a tensor of floating-point numbers: as it is written, and its form."""

    text: str
    value: Tensor


@st.composite
def trained_specs(draw: Draw) -> TrainedSpec:
    """Draw a valid spec with a section `train`, and its data."""
    document = draw(specs())
    artifact = compiler.compile_text(to_json(document), name="spec.json")
    rows = [row for row in artifact.plan.parameters if row.trainable]
    targets = [
        each for each in _targets("output", artifact.inferred.output) if each.value.dtype.is_floating_point
    ]
    if not rows or not targets or "if training else" in str(document["model"]):
        reject()  # nothing to train, or an output that no one loss takes
    document["train"] = _section(draw, artifact, rows, targets)
    return TrainedSpec(document, _arrays(artifact, targets[0]))


def _targets(text: str, value: Any) -> Iterator[_Target]:
    """Yield each tensor of a nested output."""
    if isinstance(value, Tensor):
        yield _Target(text, value)
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _targets(f"{text}[{key!r}]", part)
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from _targets(f"{text}[{number}]", part)


def _arrays(artifact: Artifact, target: _Target) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    arrays = {
        name: sample(torch.Size([ROWS, *like.shape[1:]]), like.dtype, VOCABULARY, generator)
        for name, like in artifact.inferred.inputs.items()
    }
    if target.value.ndim:
        shape = torch.Size([ROWS, *target.value.shape[1:]])
        arrays["wanted"] = sample(shape, target.value.dtype, VOCABULARY, generator)
    kinds = torch.arange(ROWS) % 3
    return {**arrays, "kinds": kinds, "often": torch.rand(ROWS, generator=generator)}


# The section.


def _section(draw: Draw, artifact: Artifact, rows: list[PlanRow], targets: list[_Target]) -> dict[str, Any]:
    several = False
    section: dict[str, Any] = {"data": _data(draw, artifact, targets[0])}
    section["loss"] = _loss(draw, targets)
    section["optimizer"] = _optimizer(draw, artifact, rows)
    if section["optimizer"] not in ALONE and rarely(draw, 2):
        section["groups"] = _groups(draw, artifact, rows)
        several = True
    several |= isinstance(section["optimizer"], dict)
    section |= _schedule(draw, several)
    section["batch"] = pick(draw, 8, 4, "2 * 3")
    section |= pick(draw, {"epochs": 1}, {"epochs": "1 + 1"}, {"steps": 2})
    section |= _around_a_step(draw, artifact, rows)
    if targets[0].value.ndim:
        section |= _measured(draw, section["data"], targets[0])
    return section


def _data(draw: Draw, artifact: Artifact, target: _Target) -> dict[str, Any]:
    names = list(artifact.inferred.inputs)
    data: dict[str, Any] = {"file": "data.npz", **{name: name for name in names}}
    if target.value.ndim:
        data["goal"] = "wanted"
    held = [None, 0.25, "1 / 4", {"file": "held.npz"}]
    data |= {key: each for key in ("test", "validation") if (each := pick(draw, *held)) is not None}
    if any(isinstance(data.get(key), float | str) for key in ("test", "validation")):
        data |= pick(draw, {}, {"stratify": "kinds"}, {"group": "kinds"})
    data |= pick(draw, {}, {"shuffle": False}, {"weights": "kinds"}, {"weights": "often"})
    if rarely(draw, 4):
        data["transform"] = _transform(pick(draw, *names))
    return data


def _transform(name: str) -> str:
    return (
        f"changed = {name}.clone()\nif training:\n  changed = changed.roll(1)\nreturn {{'{name}': changed}}"
    )


def _loss(draw: Draw, targets: list[_Target]) -> str:
    """Draw a loss that every part of the output is in."""
    parts = [f"({each.text}.double() ** 2).mean()" for each in targets]
    if targets[0].value.ndim and rarely(draw, 2):
        parts[0] = f"mse_loss({targets[0].text}, goal)"
    total = " + ".join(parts)
    return str(pick(draw, total, f"loss = {total}\nreturn loss / {len(parts)}"))


# Optimizers and groups.


def _optimizer(draw: Draw, artifact: Artifact, rows: list[PlanRow]) -> Any:
    if rarely(draw, 6):
        return pick(draw, ALONE[0], *(ALONE[1:] if all(len(row.shape) == 2 for row in rows) else ()))
    if not rarely(draw, 2):
        return pick(draw, *OPTIMIZERS)
    text = _selector(draw, artifact, rows)
    chosen = _chosen(artifact, text)
    matrices = bool(chosen) and all(len(row.shape) == 2 for row in chosen)
    made = {text: pick(draw, *OPTIMIZERS, *(ALONE[1:] if matrices else ()))}
    return made | ({"else": pick(draw, *OPTIMIZERS)} if len(chosen) < len(rows) else {})


def _groups(draw: Draw, artifact: Artifact, rows: list[PlanRow]) -> dict[str, dict[str, Any]]:
    """Draw groups of which each sets an option of its own."""
    options = {"weight_decay": pick(draw, 0, 0.25), "lr": pick(draw, "lr * 0.5", 1e-4)}
    groups: dict[str, dict[str, Any]] = {}
    for name, value in options.items():
        if rarely(draw, 2) or not groups:
            groups.setdefault(_selector(draw, artifact, rows), {})[name] = value
    return groups


def _selector(draw: Draw, artifact: Artifact, rows: list[PlanRow]) -> str:
    """Draw a selector of a trained parameter, and maybe of more."""
    name = pick(draw, *rows).name
    row = artifact.plan.table.by_name.get(name)  # a weight that is parametrised is not in the table
    return f"/{name}" if row is None else selector(draw, row.steps, [])


def _chosen(artifact: Artifact, text: str) -> list[PlanRow]:
    found = artifact.plan.select(parse_selector(text, None))
    return [row for row in found if row.kind == "parameter" and row.trainable]


def _schedule(draw: Draw, several: bool) -> dict[str, Any]:
    if rarely(draw, 2):
        return {}
    if rarely(draw, 3):
        return {"schedule": pick(draw, *NOT_WARMED_UP[: 1 if several else None])}
    warm = {"warmup": pick(draw, 1, 3)} if rarely(draw, 3) else {}
    return {"schedule": pick(draw, *SCHEDULES), **warm}


# All else.


def _around_a_step(draw: Draw, artifact: Artifact, rows: list[PlanRow]) -> dict[str, Any]:
    choices: dict[str, tuple[Any, ...]] = {
        "accumulate": (2, 3),
        "clip": (1.0, "1 / 2", {"norm": 0.5}, {"value": 0.1}),
        "ema": (0.9, 0.5),
        "precision": ("32-true",),
    }
    found = {key: pick(draw, *values) for key, values in choices.items() if rarely(draw, 3)}
    return found | ({"watch": [_selector(draw, artifact, rows)]} if rarely(draw, 3) else {})


def _measured(draw: Draw, data: dict[str, Any], target: _Target) -> dict[str, Any]:
    """Draw metrics of what is held back, and what follows from them."""
    if not {"test", "validation"} & data.keys():
        return {}
    of = [f"{target.text}.flatten()", "goal.flatten()"]
    metric = {"metric": "MeanSquaredError", "of": of}
    found: dict[str, Any] = {"metrics": {"error": metric}} if rarely(draw, 2) else {}
    if "validation" in data and rarely(draw, 2):
        names = ["validation_loss", *(["validation_error"] if found else [])]
        name = pick(draw, *names)
        found["monitor"] = pick(draw, name, {"metric": name, "mode": "max"})
    if "validation" in data and rarely(draw, 3):
        found["early_stopping"] = pick(draw, {"patience": 1}, {"patience": 2, "min_delta": 0.5})
    return found
