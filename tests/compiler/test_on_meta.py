"""While a spec is compiled nothing is made but on the meta device, whatever an operation is called with."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch

import compiler
import runtime
from compiler.catalogue import operations
from compiler.catalogue.operation_table import FUNCTIONS, METHODS
from compiler.infer.on_meta import meta_device
from compiler.infer.values import tensors_in
from runtime.summary import summarise
from tests.on_meta import Made

HEAD = 'spec: 1\ninputs: {x: "float[batch, 8]"}\n'
MANY = 2_000
"""Numbers that fill more than a kilobyte, and harm nobody."""
NUMBERS: tuple[tuple[Any, ...], ...] = (
    *(
        (MANY,),
        ([MANY],),
        ([0.5] * MANY,),
        (0.5,),
        (0.0, 1.0),
        (2, 3),
        (1, MANY),
        ([MANY], 1.0),
        (0.5, [MANY]),
    ),
    *((0.0, 1.0, MANY), (0.0, 1.0, [MANY]), (0, 9, [MANY]), (9, [MANY]), (MANY, MANY), ([MANY], [1])),
)
"""What a program may give where it gives no tensor."""
NAMED: tuple[dict[str, Any], ...] = ({}, {"size": [MANY]}, {"mean": 0.0, "std": 1.0, "size": [MANY]})


def small(result: Any) -> bool:
    """Say whether all that a call returns is without values."""
    return all(tensor.is_meta for tensor in tensors_in(result))


@pytest.mark.parametrize("name", [name for name in sorted(FUNCTIONS) if operations.available(name)])
def test_an_operation_of_numbers_makes_nothing_elsewhere(name: str) -> None:
    with meta_device(torch.float32), Made() as made:
        for arguments, keywords in product([(), *NUMBERS], NAMED):
            try:
                result = operations.operation(name)(*arguments, **keywords)
            except Exception:  # most calls are refused, by errors of every kind
                continue
            assert small(result)
    assert not made.elsewhere


def tensors() -> list[torch.Tensor]:
    """Return some that most operations take."""
    shapes = ((40, 40), (4, 4, 40, 40), (4, 40, 40), (MANY,), ())
    return [torch.empty(shape) for shape in shapes] + [torch.empty(40, 40, dtype=torch.int64)]


FORMS: tuple[tuple[Any, ...], ...] = (
    (),
    (2,),
    (0.5,),
    (2, 1),
    (0.0, 1.0),
    ([2, 2],),
    ([40],),
    (2, 0, 1),
    ("a b -> b a",),
)


@pytest.mark.parametrize(
    "name", [*(n for n in sorted(FUNCTIONS) if operations.available(n)), *(f".{n}" for n in sorted(METHODS))]
)
def test_an_operation_over_tensors_makes_nothing_elsewhere(name: str) -> None:
    function = getattr(torch.Tensor, name[1:], None) if name[0] == "." else operations.operation(name)
    assert function is not None
    with meta_device(torch.float32), Made() as made:
        for one, form in product(tensors(), FORMS):
            for arguments in ((one, *form), (one, one, *form), (one, one, one, *form), ([one, one], *form)):
                try:
                    result = function(*arguments)
                except Exception:
                    continue
                assert small(result)
    assert not made.elsewhere


PROGRAMS = {
    "normal": "x + normal(0.0, 1.0, [8])",
    "normal by name": "x + normal(mean=0.0, std=1.0, size=[8])",
    "normal of tensors": "x + normal(x, 1.0)",
    "a sum of numbers": "x + add(1.0, 2.0)",
    "a sum of numbers that grows": f"x.sum() + add(1.0, 2.0).expand({MANY}).exp().sum()",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_makes_nothing_elsewhere(name: str) -> None:
    text = f"{HEAD}model:\n  forward: return {PROGRAMS[name]}\n"
    with Made(small=16) as made:
        artifact = compiler.compile_text(text)
        summarise(artifact)
    assert not made.elsewhere
    assert runtime.build(artifact)(torch.zeros(2, 8)).dtype == torch.float32


def test_an_initialiser_makes_nothing_elsewhere() -> None:
    grown = f"ones * sum(exp(broadcast_to(add(1.0, 2.0), [{MANY}])))"
    with Made(small=16) as made:
        compiler.compile_text(f"{HEAD}model: [Linear(4)]\ninit: [Linear.weight: '{grown}']\n")
    assert not made.elsewhere


PLACES = {
    "a factory": "{forward: \"return x + zeros(8, device='cpu')\"}",
    "a number": '{forward: "return x + zeros(8, device=0)"}',
    "a method": "{forward: \"return x.to('cpu')\"}",
    "a layer": "[{layer: full_like, fill_value: 1.0, device: \"'cpu'\"}]",
    "a combination": "{parallel: [Linear(8), Linear(8)], combine: \"add(device='cpu')\"}",
}


@pytest.mark.parametrize("place", PLACES)
def test_a_spec_names_no_device(place: str) -> None:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(f"{HEAD}model: {PLACES[place]}\n")
    assert [found.code for found in caught.value.diagnostics] == ["forbidden-argument"]
