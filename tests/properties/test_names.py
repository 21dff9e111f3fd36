"""Whatever a name means to Python, to torch or to the source: a spec that bears it computes the same, or is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis.strategies import one_of, sampled_from

from tests.properties.names import POSITIONS, critical, every_name, refusal

ALWAYS_REFUSED = {"class", "None", "_"}
FINE = {
    **dict.fromkeys(("input", "input of a block", "local", "loop", "local of a value"), "max"),
    **{"comprehension of a program": "fft", "parameter and argument": "nn", "block": "Tensor"},
    **dict.fromkeys(("argument", "variable of a block", "argument of what is in place", "binding of a repeat"), "len"),
    **dict.fromkeys(("variable that a program changes", "argument that a program changes", "comprehension"), "sum"),
    **{"input of branches": "branch", "argument of an inferred size": "type", "loop over layers": "relu"},
    **{"argument and variable of a comprehension": "range", "variable of the file": "torch", "layer": "F"},
    **{"layer and argument": "index", "name of an import": "OrderedDict"},
    **{"item": "self", "branch": "F", "model": "f", "buffer": "self", "layer of a layer": "super"},
    "layer of a list": "Relu",
}  # fmt: skip
"""A name for each position, that the source has use for itself."""


@pytest.mark.usefixtures("one_thread")
@settings(max_examples=settings.default.max_examples // 4)
@given(sampled_from(sorted(POSITIONS)), one_of(sampled_from(critical()), sampled_from(every_name())))
def test_a_name_means_the_same_or_is_refused(position: str, name: str) -> None:
    codes = refusal(position, name)
    assert not {"nowhere", "nothing"} & {*codes}
    assert codes or name not in ALWAYS_REFUSED


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("position", "name"), FINE.items())
def test_a_name_that_the_source_has_use_for(position: str, name: str) -> None:
    assert refusal(position, name) == []
    assert refusal(position, f"{name}_") == []
