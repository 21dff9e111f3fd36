"""A model through its life: whatever is done to it, its values, its ties and what is frozen hold after each step.

What is expected is kept apart from the model: a value for each tensor, under its first name. A step of training is
computed from these by a twin that knows of no rule, in which each name of a tied tensor is given the same leaf. Ties
and frozen parts are written down here once more.
"""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from torch import Tensor, nn
from torch.func import functional_call

import compiler
import runtime
from compiler.artifact import Artifact
from runtime.classes import root_class
from tests.runtime.ties.tied_models import future

pytestmark = pytest.mark.usefixtures("one_thread")

LAYERS = """
spec: 1
name: layers
inputs: {x: "float[batch, 4]"}
dims: {batch: 3}
model:
  layers:
    first: Linear(4)
    h: {repeat: 3, of: [Linear(4), BatchNorm1d]}
    still: [Linear(4), BatchNorm1d]
    last: Linear(4)
  parameters:
    scale: {tensor: "float[4]", init: ones}
  buffers:
    shift: {value: arange(4) / 7, persistent: false}
    kept: {tensor: "float[4]", init: uniform}
  forward: return last(relu(still(h(first(x))))) * scale + shift + kept
"""
LAYER_RULES = """
share:
  layer: ["h.*"]
  ends: [first.weight, last.weight]
  bias: [last.bias, scale]
init: [{scale: ones}, {last.bias: ones}]
freeze: [still, first.bias]
"""
H = [f"{at}.{name}" for at in ("0", "1") for name in ("weight", "bias")]
H += [f"1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")]

WORDS = """
spec: 1
name: words
inputs: {tokens: "int64[batch, time]"}
dims: {batch: 2, time: 3}
model:
  layers:
    embedding: Embedding(5, 4)
    norm: LayerNorm
    head: Linear(5, bias=False)
    other: Linear(5, bias=False)
  forward: |
    x = norm(embedding(tokens))
    return head(x) + other(tanh(x))
"""
WORD_RULES = """
share: {words: [head.weight, embedding.weight, other.weight]}
freeze: [norm.bias]
"""

STATISTICS = """
spec: 1
name: statistics
inputs: {x: "float[batch, 4]"}
dims: {batch: 3}
model:
  - a: Linear(4)
  - one: BatchNorm1d
  - b: Linear(4)
  - two: BatchNorm1d
"""
STATISTICS_RULES = """
share:
  mean: [one.running_mean, two.running_mean]
  var: [one.running_var, two.running_var]
  count: [one.num_batches_tracked, two.num_batches_tracked]
  bias: [a.bias, b.bias]
"""


@dataclass(frozen=True, eq=False)
class Case:
    """A spec without rules, its rules, and what these mean."""

    text: str
    rules: str
    ties: Sequence[Sequence[str]]
    frozen: frozenset[str] = frozenset()
    still: Sequence[str] = ()
    """Layers whose statistics are frozen."""

    @property
    def artifact(self) -> Artifact:
        return compiled(self.text + self.rules)

    def first(self, name: str) -> str:
        """Return the name under which the value of a tensor is kept."""
        return next((group[0] for group in self.ties if name in group), name)

    def others(self, names: Sequence[str]) -> list[list[str]]:
        """Return the names of each tensor, of those that are given."""
        groups: dict[str, list[str]] = {}
        for name in names:
            groups.setdefault(self.first(name), []).append(name)
        return list(groups.values())


CASES = {
    "layers": Case(
        LAYERS,
        LAYER_RULES,
        [
            *[[f"h.{at}.{name}" for at in range(3)] for name in H],
            ["first.weight", "last.weight"],
            ["scale", "last.bias"],
        ],
        frozenset({"first.bias", "still.0.weight", "still.0.bias", "still.1.weight", "still.1.bias"}),
        ["still.1"],
    ),
    "words": Case(
        WORDS, WORD_RULES, [["embedding.weight", "head.weight", "other.weight"]], frozenset({"norm.bias"})
    ),
    "statistics": Case(
        STATISTICS,
        STATISTICS_RULES,
        [
            *[
                [f"{at}.{n}" for at in ("one", "two")]
                for n in ("running_mean", "running_var", "num_batches_tracked")
            ],
            ["a.bias", "b.bias"],
        ],
    ),
}
RATE, DECAY = 0.01, 0.1
DTYPES = st.sampled_from([torch.float32, torch.float64, torch.bfloat16])
FLAGS = st.sampled_from([None, "overwrite", "swap"])
LIVE = 3
"""Models at once."""
SLOW = 2
"""Builds, and loads from a file, in one run: each compiles or executes the source of a model."""
SLOTS = st.sampled_from(["one", "two"])
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None

Values = dict[str, Tensor]


@cache
def compiled(text: str) -> Artifact:
    return compiler.compile_text(text)


@cache
def twin(case: Case) -> nn.Module:
    """Return a model without values, of the same spec without its rules."""
    with torch.device("meta"):
        return root_class(compiled(case.text))()


@cache
def built(case: Case, seed: int) -> nn.Module:
    return runtime.build(case.artifact, seed=seed, device="cpu")


def tensors(model: nn.Module) -> Values:
    return {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }


def cast(values: Values, dtype: torch.dtype) -> Values:
    return {name: t.to(dtype) if t.is_floating_point() else t.clone() for name, t in values.items()}


def copied(values: Values) -> Values:
    return {name: tensor.clone() for name, tensor in values.items()}


@dataclass(eq=False)
class Subject:
    """A model, and what it is expected to be. `values` and `frozen` are by the first name of each tensor."""

    case: Case
    model: nn.Module
    values: Values
    frozen: frozenset[str]

    @property
    def dtype(self) -> torch.dtype:
        return next(p.dtype for p in self.model.parameters())

    @property
    def saved(self) -> Values:
        """The values that a state dict, and a file, hold."""
        return {name: self.values[name] for name in self.values if name in self.model.state_dict()}

    @property
    def computed(self) -> Values:
        """The values that are not saved, as they are computed in the dtype of the model."""
        held, saved = tensors(built(self.case, 0)), self.model.state_dict()
        return cast({name: tensor for name, tensor in held.items() if name not in saved}, self.dtype)

    def inputs(self, seed: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return [
            torch.randn(x.shape, generator=generator).to(self.dtype)
            if x.dtype.is_floating_point
            else torch.randint(0, 5, x.shape, generator=generator)
            for x in self.case.artifact.inferred.inputs.values()
        ]

    def expected_output(self, values: Values, training: bool, seed: int) -> Any:
        """Return what the twin gives; it updates the statistics in `values`."""
        model = twin(self.case).train(training)
        for name in self.case.still:
            model.get_submodule(name).eval()
        given = {name: values[self.case.first(name)] for name in tensors(model)}
        return functional_call(model, given, tuple(self.inputs(seed)))


class Models(RuleBasedStateMachine):
    """One spec, up to three models of it, and two files."""

    def __init__(self) -> None:
        super().__init__()
        self.subjects: list[Subject] = []
        self.files: dict[str, tuple[Values, torch.dtype, str]] = {}
        self.slow = 0
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY)

    def teardown(self) -> None:
        self.folder.cleanup()

    def path(self, slot: str) -> Path:
        return Path(self.folder.name) / f"{slot}.safetensors"

    def subject(self, at: int) -> Subject:
        return self.subjects[at % len(self.subjects)]

    def add(self, model: nn.Module, values: Values, frozen: frozenset[str]) -> None:
        self.subjects = [*self.subjects[-LIVE + 1 :], Subject(self.case, model, values, frozen)]

    def add_new(self, model: nn.Module) -> None:
        held = tensors(model)
        values = {names[0]: held[names[0]].detach().clone() for names in self.case.others(list(held))}
        self.add(model, values, self.case.frozen)

    # Where models come from.

    @initialize(name=st.sampled_from(list(CASES)), seed=st.integers(0, 1))
    def start(self, name: str, seed: int) -> None:
        self.case = CASES[name]
        self.add_new(copy.deepcopy(built(self.case, seed)))

    @precondition(lambda self: self.slow < SLOW)
    @rule(seed=st.integers(0, 1))
    def build(self, seed: int) -> None:
        self.slow += 1
        model = runtime.build(self.case.artifact, seed=seed, device="cpu")
        assert all(
            torch.equal(t, tensors(built(self.case, seed))[name]) for name, t in tensors(model).items()
        )
        self.add_new(model)

    @rule(at=st.integers(0, 2))
    def copy(self, at: int) -> None:
        subject = self.subject(at)
        self.add(copy.deepcopy(subject.model), copied(subject.values), subject.frozen)

    # What is done to them.

    @rule(at=st.integers(0, 2), dtype=DTYPES, flag=FLAGS)
    def cast(self, at: int, dtype: torch.dtype, flag: str | None) -> None:
        subject = self.subject(at)
        with future(flag):
            subject.model.to(dtype)
        subject.values = cast(subject.values, dtype)

    @rule(at=st.integers(0, 2), flag=FLAGS, away=st.booleans())
    def move(self, at: int, flag: str | None, away: bool) -> None:
        """Move to the device where it is, or to one that keeps no values, and fetch these back."""
        subject = self.subject(at)
        with future(flag if flag != "swap" or not away else None):
            subject.model.to("meta" if away else "cpu")
            if away:
                subject.model.to_empty(device="cpu")
        if away:
            subject.model.load_state_dict(self.state(subject, "all"))
            subject.values = {**subject.values, **subject.computed}

    @rule(
        at=st.integers(0, 2), seed=st.integers(0, 3), part=st.sampled_from(["", "still", "h", "norm", "one"])
    )
    def train_a_step(self, at: int, seed: int, part: str) -> None:
        subject = self.subject(at)
        subject.model.eval().train()
        if part in dict(subject.model.named_children()):
            subject.model.get_submodule(part).train()
        optimizer = torch.optim.SGD(subject.model.parameters(), lr=RATE, weight_decay=DECAY)
        loss = subject.model(*subject.inputs(seed)).square().mean()
        if loss.requires_grad:  # else all is frozen, by hand
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        self.expect_step(subject, seed, loss)

    def expect_step(self, subject: Subject, seed: int, loss: Tensor) -> None:
        parameters = dict(subject.model.named_parameters(remove_duplicate=False))
        trained = {name for name in subject.values if name in parameters and name not in subject.frozen}
        leaves = {n: t.detach().clone().requires_grad_(n in trained) for n, t in subject.values.items()}
        expected = subject.expected_output(leaves, True, seed).square().mean()
        assert torch.equal(loss, expected)
        assert loss.requires_grad == expected.requires_grad == bool(trained)
        if trained:
            expected.backward()
        for name in trained:
            grad = leaves[name].grad
            assert grad is not None
            leaves[name].data.add_(grad.add(leaves[name].data, alpha=DECAY), alpha=-RATE)
        subject.values = {name: leaf.detach() for name, leaf in leaves.items()}

    @rule(at=st.integers(0, 2), seed=st.integers(0, 3))
    def evaluate(self, at: int, seed: int) -> None:
        subject = self.subject(at)
        with torch.no_grad():
            found = subject.model.eval()(*subject.inputs(seed))
            assert torch.equal(found, subject.expected_output(copied(subject.values), False, seed))

    @rule(at=st.integers(0, 2), which=st.integers(0, 20), frozen=st.booleans())
    def freeze(self, at: int, which: int, frozen: bool) -> None:
        """Freeze a tensor by hand, or let it be trained, under whichever of its names."""
        subject = self.subject(at)
        parameters = dict(subject.model.named_parameters(remove_duplicate=False))
        name = list(parameters)[which % len(parameters)]
        parameters[name].requires_grad_(not frozen)
        own = {self.case.first(name)}
        subject.frozen = subject.frozen | own if frozen else subject.frozen - own

    # State dicts.

    def state(self, source: Subject, names: str) -> Values:
        """Return a state dict as of an untied model, with all names of each tensor, or with one of them."""
        chosen: list[str] = []
        for group in self.case.others(list(source.model.state_dict())):
            chosen += {"all": group, "first": group[:1], "last": group[-1:]}[names]
        return {name: source.values[self.case.first(name)].clone() for name in chosen}

    @rule(
        at=st.integers(0, 2),
        source=st.integers(0, 2),
        assign=st.booleans(),
        names=st.sampled_from(["own", "all", "first", "last"]),
        flag=FLAGS,
    )
    def load_state_dict(self, at: int, source: int, assign: bool, names: str, flag: str | None) -> None:
        target, other = self.subject(at), self.subject(source)
        state = copy.deepcopy(other.model.state_dict()) if names == "own" else self.state(other, names)
        if assign and target.dtype != other.dtype:
            return  # what is not saved would be of another dtype than the rest
        with future(flag):
            found = target.model.load_state_dict(state, assign=assign)
        assert found.missing_keys == found.unexpected_keys == []
        target.values = {**target.values, **cast(other.saved, target.dtype)}

    @rule(at=st.integers(0, 2), source=st.integers(0, 2), assign=st.booleans(), chosen=st.integers(0, 2**20))
    def load_some_names(self, at: int, source: int, assign: bool, chosen: int) -> None:
        target, other = self.subject(at), self.subject(source)
        state = cast(self.state(other, "all"), target.dtype)
        some = {name: tensor for bit, (name, tensor) in enumerate(state.items()) if chosen >> bit & 1}
        target.model.load_state_dict(some, strict=False, assign=assign)
        loaded = {self.case.first(name) for name in some}
        target.values.update({name: state[name].clone() for name in loaded if name in state})

    @rule(at=st.integers(0, 2), assign=st.booleans(), strict=st.booleans(), which=st.integers(0, 9))
    def refuse_other_values(self, at: int, assign: bool, strict: bool, which: int) -> None:
        subject = self.subject(at)
        group = [g for g in self.case.ties if g[0] in subject.saved][which % len(self.case.ties)]
        state = {name: tensor + 1 for name, tensor in self.state(subject, "all").items()}
        state[group[-1]] = state[group[-1]] + 2
        with pytest.raises(RuntimeError) as error:
            subject.model.load_state_dict(state, assign=assign, strict=strict)
        assert f'"{group[0]}" and "{group[-1]}" are one tensor, and differ' in str(error.value)

    # Files.

    @rule(at=st.integers(0, 2), slot=SLOTS)
    def save(self, at: int, slot: str) -> None:
        subject = self.subject(at)
        digest = runtime.save(subject.model, self.path(slot))
        if slot in self.files and self.same_file(slot, subject):
            assert self.files[slot][2] == digest
        self.files[slot] = (copied(subject.saved), subject.dtype, digest)

    def same_file(self, slot: str, subject: Subject) -> bool:
        values, dtype, _ = self.files[slot]
        return dtype == subject.dtype and all(torch.equal(values[n], t) for n, t in subject.saved.items())

    @precondition(lambda self: self.files and self.slow < SLOW)
    @rule(slot=SLOTS, over=st.booleans())
    def load(self, slot: str, over: bool) -> None:
        """Load a file and, maybe, save the model over it: that changes nothing."""
        if slot not in self.files:
            return
        self.slow += 1
        values, _, digest = self.files[slot]
        model = runtime.load(self.path(slot), device="cpu", digest=digest, train=True)
        self.add(model, copied(values), self.case.frozen)
        self.subjects[-1].values |= self.subjects[-1].computed
        if over:
            assert runtime.save(model, self.path(slot)) == digest

    @precondition(lambda self: self.files)
    @rule(at=st.integers(0, 2), slot=SLOTS)
    def load_into(self, at: int, slot: str) -> None:
        if slot not in self.files:
            return
        subject = self.subject(at)
        values, dtype, digest = self.files[slot]
        if dtype != subject.dtype:
            with pytest.raises(runtime.Mismatch):
                runtime.load_into(subject.model, self.path(slot), digest=digest)
            return
        runtime.load_into(subject.model, self.path(slot), digest=digest)
        subject.values = {**subject.values, **copied(values), **subject.computed}

    # What holds after each step.

    @invariant()
    def values_ties_and_frozen_parts_hold(self) -> None:
        for subject in self.subjects:
            held = tensors(subject.model)
            groups: dict[int, list[str]] = {}
            for name, tensor in held.items():
                expected = subject.values[self.case.first(name)]
                assert tensor.dtype == expected.dtype, name
                assert torch.equal(tensor, expected), name
                groups.setdefault(id(tensor), []).append(name)
            assert sorted(map(sorted, groups.values())) == sorted(map(sorted, self.case.others(list(held))))
            frozen = {n for n, p in subject.model.named_parameters() if not p.requires_grad}
            assert {self.case.first(name) for name in frozen} == subject.frozen
            assert not any(subject.model.get_submodule(name).training for name in self.case.still)

    @invariant()
    def nothing_else_lies_in_the_folder(self) -> None:
        assert {path.name for path in Path(self.folder.name).iterdir()} == {
            f"{s}.safetensors" for s in self.files
        }


TestModels: Callable[..., Any] = Models.TestCase
# Hypothesis gives up some runs before the end; three fifths leave 200 whole ones of 500 examples.
TestModels.settings = settings(max_examples=settings().max_examples * 3 // 5, stateful_step_count=30)  # type: ignore[attr-defined]
