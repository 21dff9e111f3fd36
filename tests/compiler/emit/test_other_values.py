"""The other values at which a model is inferred again: what counts copies grows by one, all else is multiplied."""

from __future__ import annotations

from compiler.emit.other_values import SCHEMES, OtherValues
from tests.compiler.emit.varied_program import SPEC, program


def test_counts_grow_by_one_and_equal_sizes_become_different() -> None:
    values = OtherValues(program()).changed(["width", "heads", "depths", "layers", "rate"], SCHEMES[0])
    assert values["depths"] == [3, 2]
    assert values["layers"] == 4
    assert values["rate"] == 0.375
    assert values["width"] != values["heads"]
    assert values["width"] % 8 == values["heads"] % 8 == 0


def test_each_value_is_another_one_in_every_scheme() -> None:
    made = OtherValues(program(SPEC.replace("{width: 8, heads: 8", "{width: 12, heads: 2")))
    for scheme in SCHEMES:
        found = made.changed(["width", "heads"], scheme)
        assert found["heads"] != 2
        assert found["width"] != 12
        assert scheme is SCHEMES[-1] or found["width"] % found["heads"] == 0


def test_each_number_that_steps_are_computed_from_is_one_larger_alone() -> None:
    made = OtherValues(program(SPEC.replace("rate: 0.5", 'rate: 0.5, m: "width // heads"')))
    first = made.changed(["width", "heads", "rate"], SCHEMES[0])
    _, *others = made.further(["width", "heads", "rate"], SCHEMES[0])
    assert others == [{**first, "width": first["width"] + 1}, {**first, "heads": first["heads"] + 1}]


def test_what_something_is_bounded_by_is_above_and_below_all_else() -> None:
    made = OtherValues(program(SPEC.replace("Linear(heads)", "Linear(min(heads, 90))")))
    first = made.changed(["width", "heads", "rate"], SCHEMES[0])
    _, larger, *others = made.further(["width", "heads", "rate"], SCHEMES[0])
    assert larger == {**first, "heads": first["heads"] + 1}
    assert {other["width"] for other in others} == {first["width"]}
    assert sorted(other["heads"] > 90 for other in others) == [False, True]
    assert 1 in {other["heads"] for other in others}
