"""What of a spec may change when a training is resumed: how parameters are moved, and not what is computed.

What is overridden has its new values from then on; all else goes on as if there had been no interruption.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from runtime.training.optimizers import parts_of
from runtime.training.schedule import Schedule
from spec_schema.suggest import did_you_mean

SECTIONS = ("clip", "groups", "loss", "optimizer", "schedule", "warmup")
"""The keys of `train` that may be overridden."""
FREE_OPTIONS = frozenset({"lr", "initial_lr", "weight_decay", "foreach", "fused"})
"""Options on which it does not depend what an optimizer remembers of a parameter."""

# Which sections.


def check_sections(sections: Iterable[str]) -> None:
    """Refuse what cannot be overridden. ValueError, with what was probably meant."""
    known = [f"train.{name}" for name in SECTIONS]
    for each in sections:
        if each in known or re.fullmatch(r"vars\.\w+", each):
            continue
        near = did_you_mean(each, known)
        way = f"did you mean `{near}`?" if near else f"there are {', '.join(known)}, and `vars.NAME`"
        raise ValueError(f"`{each}` cannot be overridden\n{way}")


def without(bundle: Any, sections: Iterable[str]) -> Any:
    """Return a canonical spec without the sections that are overridden."""
    kept = deepcopy(bundle)
    for each in sections:
        section, _, name = each.partition(".")
        kept["spec"].get(section, {}).pop(name, None)
    return kept


def section_of(place: list[str], bundles: Iterable[Any]) -> str | None:
    """Return the section to override for a difference at this path, or None if it may not be."""
    match place:
        case ["spec", "train", key, *_] if key in SECTIONS:
            return f"train.{key}"
        case ["spec", "vars", name, *_] if not any(_is_used_elsewhere(name, each) for each in bundles):
            return f"vars.{name}"
    return None


def _is_used_elsewhere(name: str, bundle: Any) -> bool:
    """Return whether the name of a variable is a word of what may not be overridden."""
    rest = without(bundle, [*(f"train.{key}" for key in SECTIONS), f"vars.{name}"])
    rest["spec"].pop("presets", None)
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", json.dumps(rest)) is not None


# What is remembered of each parameter.


def memory_of(optimizer: Optimizer, model: nn.Module) -> list[dict[str, Any]]:
    """Return, for each of several optimizers, its name and the parameters of its groups, in the order of its state."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [
        {
            "name": type(part).__name__,
            "parameters": [[names[id(each)] for each in group["params"]] for group in part.param_groups],
        }
        for part in parts_of(optimizer)
    ]


def renewed_states(
    states: Mapping[str, Any], memory: list[dict[str, Any]], optimizer: Optimizer, model: nn.Module
) -> dict[str, Any]:
    """Return the state of a new optimizer, with what an old one remembers of the same parameters.

    An optimizer of another kind, or one whose options ask for other things, remembers nothing yet.
    """
    old = dict(_remembered(states.get("parts", [states]), memory))
    made = []
    for part, told in zip(parts_of(optimizer), memory_of(optimizer, model), strict=True):
        state = part.state_dict()
        for index, name, options in _parameters(told, state):
            kind, before, values = old.get(name, ("", {}, None))
            if kind == told["name"] and _ask_alike(before, options):
                state["state"][index] = values
        made.append(state)
    return {"parts": made} if len(made) > 1 else made[0]


def _remembered(
    states: list[Any], memory: list[dict[str, Any]]
) -> Iterator[tuple[str, tuple[str, Mapping[str, Any], Any]]]:
    for state, told in zip(states, memory, strict=True):
        for index, name, options in _parameters(told, state):
            if index in state["state"]:
                yield name, (told["name"], options, state["state"][index])


def _parameters(told: Mapping[str, Any], state: Mapping[str, Any]) -> Iterator[tuple[int, str, Any]]:
    """Yield number, name and options of each parameter of an optimizer."""
    for names, group in zip(told["parameters"], state["param_groups"], strict=True):
        for index, name in zip(group["params"], names, strict=True):
            yield index, name, group


def _ask_alike(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether options let an optimizer remember the same values: `amsgrad` is set in both, or a momentum."""
    names = (before.keys() & now.keys()) - FREE_OPTIONS - {"params"}
    return all(bool(before[name]) == bool(now[name]) for name in names)


# The rate.


def go_on(schedule: Schedule, times: int, state: Any) -> None:
    """Bring a new schedule to where it would be, had it been there from the beginning.

    One that follows results goes on from the rate that is written, with what it has counted.
    """
    scheduler = schedule.scheduler
    if isinstance(scheduler, ReduceLROnPlateau):
        if state is not None and "num_bad_epochs" in state:
            counted = {
                key: state[key] for key in ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")
            }
            scheduler.load_state_dict({**scheduler.state_dict(), **counted})
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch misses the steps of the optimizer in between
        for _ in range(times):
            scheduler.step()
