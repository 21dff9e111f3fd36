"""The rows of a plan as the model stores them: a parametrised parameter as the tensors that stand for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from compiler.rules.initialisation import reads_checkpoint
from compiler.rules.parametrization import Parametrization, Stored
from compiler.rules.plan import Decision, Parametrized, PlanRow, meta
from spec_schema.selectors import Step, names_of

Steps = tuple[Step, ...]


def stored_rows(rows: Iterable[PlanRow], found: Mapping[str, Parametrization]) -> Iterator[PlanRow]:
    """Yield the rows in the order of the state dict: what stands for a parameter is behind all else of its layer."""
    waiting: list[tuple[Steps, list[PlanRow]]] = []
    for row in rows:
        while waiting and row.steps[: len(waiting[-1][0])] != waiting[-1][0]:
            yield from waiting.pop()[1]
        by = found.get(row.name)
        if by is None:
            yield row
        elif waiting and waiting[-1][0] == row.steps[:-1]:
            waiting[-1][1].extend(_standing_for(row, by))
        else:
            waiting.append((row.steps[:-1], list(_standing_for(row, by))))
    for _, last in reversed(waiting):
        yield from last


def _standing_for(row: PlanRow, by: Parametrization) -> Iterator[PlanRow]:
    rule = Decision("parametrize", f"{by.rule.selector.text}: {by.rule.value}", by.rule.span)
    decisions = (*row.decisions, rule)
    plain = replace(row, decisions=decisions)
    read = row.initialisation is not None and reads_checkpoint(row.initialisation.expression)
    for stored in by.stored:
        steps = (*row.steps[:-1], *stored.path)
        names = tuple(_name(name, stored) for name in row.names)
        shape, dtype = meta(stored.tensor)
        source = replace(row.source, steps=steps, name=names[0], tensor=stored.tensor, kind=stored.kind)
        yield replace(
            row,
            names=names,
            kind=stored.kind,
            shape=shape,
            dtype=dtype,
            trainable=row.trainable and stored.kind == "parameter" and _learns(stored),
            initialisation=row.initialisation if read else None,
            steps=steps,
            source=source,
            decisions=tuple(each for each in decisions if each.section != "init" or not stored.is_own),
            zero_rows=(),
            stands_for=Parametrized(plain, by, stored),
        )


def _learns(stored: Stored) -> bool:
    """Return whether a parameter is trained where its layer is."""
    return stored.tensor.requires_grad or not stored.is_own


def _name(name: str, stored: Stored) -> str:
    around, _, _ = name.rpartition(".")
    return ".".join(filter(None, (around, *names_of(stored.path))))


def parametrized_in(rows: Iterable[PlanRow]) -> tuple[Parametrized, ...]:
    """Return the parameters that some rows stand for, each once."""
    found = {row.stands_for.plain.name: row.stands_for for row in rows if row.stands_for}
    return tuple(found.values())
