"""Every property finds the defects that were planted for it, and finds nothing in the layers that are right.

Each defect is a layer of `broken.py`, tried by the property that it was planted for. The table says also which of the
properties find it alone: without such a one that defect would pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import broken
import pytest
from torch import nn

import compiler
from runtime.testing import PROPERTIES, Result, Verdict, check_layer, check_property, subject_of
from runtime.testing.report import failure_lines
from runtime.testing.strategies.cases import cases

EXAMPLES = 10
FEW = 2
LONGEST_SPEC = 15


@dataclass(frozen=True)
class Defect:
    """A layer, the property that finds what is wrong in it, and words of the cause that is named.

    `cause` None: nothing in the source of the layer tells. `alone`: no other property finds it.
    """

    layer: type[nn.Module]
    property: str
    cause: str | None = None
    alone: bool = False

    def __str__(self) -> str:
        return f"{self.layer.__name__}-{self.property}"


DEFECTS = (
    Defect(broken.NeedsTwoItems, "runs"),
    Defect(broken.WrongShapeInABranch, "shapes", alone=True),
    Defect(broken.WrongShapeInTraining, "shapes", alone=True),
    Defect(broken.LooksAtValues, "shapes", "item` makes a number of a tensor"),
    Defect(broken.BranchesOnValues, "shapes", "`x.sum() > 0` looks at values"),
    Defect(broken.InPlace, "inputs", "`x.mul_(self.weight)` works in place"),
    Defect(broken.Augmented, "inputs", "`x += 1` works in place"),
    Defect(broken.AlwaysDropping, "evaluation", "pass `training=self.training`"),
    Defect(broken.CountsWhenEvaluating, "evaluation", "`self.calls.add_(1)` changes the layer", alone=True),
    Defect(broken.KeepsTheLastCall, "evaluation", "`self.last = [y]` changes the layer"),
    Defect(broken.AlwaysLearning, "evaluation", "self.mean.lerp_("),
    Defect(
        broken.SeededByTheClock, "training", "`torch.Generator` is not torch's global generator", alone=True
    ),
    Defect(broken.PythonsRandom, "training", "`random.random` is not torch's global generator"),
    Defect(broken.Seeding, "random_state", "`torch.manual_seed(0)` is for the caller", alone=True),
    Defect(broken.PythonsRandom, "random_state", "`random.random` is not torch's global generator"),
    Defect(broken.NumPysRandom, "random_state", "`np.random.rand` is not torch's global generator"),
    Defect(broken.CentreOfAll, "batch", "`x.mean()` is over the items of the batch", alone=True),
    Defect(broken.CentreOfTheBatch, "batch", "`x.mean(dim=0, keepdim=True)` is over the items", alone=True),
    Defect(broken.BilinearOfTheChapter, "batch", "`x.T` turns the batch"),
    Defect(broken.Remembering, "registration", "`self.seen = x.detach()` changes the layer", alone=True),
    Defect(
        broken.ListOfParameters, "registration", "`self.shifts` is a plain container: use `nn.ParameterList`"
    ),
    Defect(broken.ListOfLayers, "registration", "`self.layers` is a plain container: use `nn.ModuleList`"),
    Defect(broken.PlainTensor, "registration", "use `self.register_buffer('shift', ...)`"),
    Defect(broken.RepeatedOfTheChapter, "registration", "it hides in a closure"),
    Defect(broken.FixedHiddenOfTheChapter, "registration", "use `self.register_buffer('c', ...)`"),
    Defect(broken.FixedHiddenOfTheChapter, "state_dict", "use `self.register_buffer('c', ...)`"),
    Defect(broken.Forgetting, "state_dict", "`persistent=False` is not in the state dict", alone=True),
    Defect(broken.Counting, "state_dict", "`self.calls += 1` changes the layer", alone=True),
    Defect(broken.BoundToTheOriginal, "copy", "`self.scale` is a function of this very layer"),
    Defect(broken.SharedByItsCopy, "copy", "a `__deepcopy__` of its own", alone=True),
    Defect(broken.Detached, "gradients", "`self.weight.detach` cuts the gradient"),
    Defect(broken.WithoutGradient, "gradients", "`torch.no_grad` records no gradient"),
    Defect(broken.Unused, "gradients", "the output does not depend on it", alone=True),
    Defect(
        broken.DenseOfTheChapter,
        "gradients",
        "`self.weight.data` cuts the gradient: use `self.weight` itself",
    ),
    Defect(
        broken.SquareWithHalfTheGradient,
        "gradcheck",
        "`_WrongSquare` has a `backward` of its own",
        alone=True,
    ),
    Defect(broken.KeepsTheLastCall, "shared", "`self.last = [y]` changes the layer"),
    Defect(broken.FadingGradient, "shared", "`self.calls += 1` changes the layer", alone=True),
    Defect(broken.BoundToADtype, "dtype", "pass the `dtype` of an input", alone=True),
    Defect(broken.BoundToFloat32, "dtype", "`x.float()` is not what the caller gave"),
    Defect(broken.BoundToTheCpu, "device", "pass the `device` of an input"),
    Defect(broken.PlainTensor, "device", "use `self.register_buffer('shift', ...)`"),
    Defect(broken.FixedHiddenOfTheChapter, "device", "use `self.register_buffer('c', ...)`"),
    Defect(
        broken.Uninitialised, "initialisation", "`torch.empty(in_features)` has whatever was in the memory"
    ),
    Defect(broken.NumPysRandom, "initialisation", "`np.random.rand` is not torch's global generator"),
    Defect(broken.TrainedInSpite, "freeze", "self.weight.clamp_(-0.5, 0.5)` changes the layer", alone=True),
    Defect(broken.Renaming, "spec", "changes the keys", alone=True),
    Defect(broken.OtherWhenExported, "export", "`torch.compiler.is_exporting` makes it another", alone=True),
    Defect(broken.BranchesOnValues, "export", "`x.sum() > 0` looks at values"),
    Defect(broken.BreaksTheGraph, "compile", alone=True),
    Defect(broken.BranchesOnValues, "compile", "`x.sum() > 0` looks at values"),
)

REFUSED = {
    broken.NeedsTwoItems: "expected more than 1 value per channel",
    broken.LooksAtValues: "looks at the values of a tensor",
    broken.BranchesOnValues: "looks at the values of a tensor",
    broken.FixedHiddenOfTheChapter: "looks at the values of a tensor",
}
"""Layers that no spec can hold, with what the compiler says of them."""

WITH_PARAMETERS = (broken.Scale, broken.FixedHidden, broken.BilinearReduction, broken.Dense, broken.Repeated)
WITHOUT = (broken.Positions, broken.Average, broken.Drop, broken.Centre, broken.Square)
RIGHT: dict[type[nn.Module], frozenset[str]] = {
    **dict.fromkeys(WITH_PARAMETERS, frozenset()),
    **dict.fromkeys(WITHOUT, frozenset({"freeze", "shared"})),
}
"""Layers that are right, with the properties that say nothing of them."""


@cache
def found(layer: type[nn.Module], property: str, examples: int = EXAMPLES) -> Verdict:
    return check_property(PROPERTIES[property], cases(subject_of(layer)), examples)


@pytest.mark.parametrize("defect", DEFECTS, ids=str)
def test_a_defect_is_found_and_its_cause_named(defect: Defect) -> None:
    verdict = found(defect.layer, defect.property)
    assert verdict.failure is not None
    text = "\n".join(failure_lines(verdict))
    if defect.cause is None:
        assert "  cause: " not in text
        raises = "it raises" in verdict.failure.message
        assert raises == ("broken.py:" in verdict.failure.message), "the line of the layer that raises"
    else:
        assert defect.cause in text


@pytest.mark.parametrize("defect", DEFECTS, ids=str)
def test_the_example_is_a_small_spec_that_compiles(defect: Defect) -> None:
    case = found(defect.layer, defect.property).case
    assert case is not None
    text = case.spec()
    assert len(text.splitlines()) <= LONGEST_SPEC, text
    sizes = [size for each in case.inputs.values() for size in each.shape]
    assert sum(sizes) <= 5, case
    plugins = [str(Path(broken.__file__))]
    if defect.layer in REFUSED:
        with pytest.raises(compiler.SpecError, match=REFUSED[defect.layer]):
            compiler.compile_text(text, plugins=plugins)
    else:
        source = compiler.compile_text(text, plugins=plugins).source
        assert f"import {defect.layer.__name__}" in source


@pytest.mark.parametrize("layer", RIGHT, ids=lambda each: each.__name__)
def test_a_layer_that_is_right_has_all_properties(layer: type[nn.Module]) -> None:
    verdicts = {each.property.name: each for each in check_layer(subject_of(layer), EXAMPLES // 3)}
    assert list(verdicts) == list(PROPERTIES)
    assert [each.failure for each in verdicts.values() if each.result == Result.fails] == []
    silent = {name for name, each in verdicts.items() if each.result == Result.silent}
    assert silent == RIGHT[layer]


def test_every_property_has_defects_planted_for_it() -> None:
    assert {each.property for each in DEFECTS} == set(PROPERTIES)


ALONE = [each for each in DEFECTS if each.alone]


@pytest.mark.parametrize("defect", ALONE, ids=str)
def test_no_other_property_finds_it(defect: Defect) -> None:
    """Without its property the kit would let the defect pass."""
    others = [name for name in PROPERTIES if name != defect.property]
    finding = [name for name in others if found(defect.layer, name, FEW).result == Result.fails]
    assert finding == []
