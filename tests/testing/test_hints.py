"""Hints say what is drawn for a layer, and what is not expected of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runtime.testing import (
    PROPERTIES,
    HintError,
    Hints,
    Property,
    Recipe,
    Result,
    check_layer,
    check_property,
)
from runtime.testing.case import Case
from runtime.testing.strategies.cases import cases
from runtime.testing.subject import torch_subject

EXAMPLES = 40


def drawn(layer: str, hints: Hints) -> list[Case]:
    found: list[Case] = []
    check_property(Property("collect", "", found.append), cases(torch_subject(layer, hints)), EXAMPLES)
    return found


def values(layer: str, hints: Hints, of: Callable[[Case], Any]) -> set[Any]:
    return {of(case) for case in drawn(layer, hints)}


def test_none_leaves_an_input_out() -> None:
    hints = Hints({"input": "float[batch, input_size]", "hx": [None, "float[batch, hidden_size]"]})
    assert values("GRUCell", hints, lambda case: tuple(case.inputs)) == {("input",), ("input", "hx")}


def test_types_in_one_mapping_go_together() -> None:
    hints = Hints(
        [
            {"input": "float[batch, input_size]", "hx": "float[batch, hidden_size]"},
            {"input": "float[input_size]", "hx": "float[hidden_size]"},
        ]
    )
    ranks = values("GRUCell", hints, lambda case: tuple(len(each.shape) for each in case.inputs.values()))
    assert ranks == {(2, 2), (1, 1)}


def test_a_condition_may_ask_whether_an_input_is_given() -> None:
    hints = Hints(
        {"input": "float[batch, input_size]", "hx": [None, "float[batch, hidden_size]"]},
        where=["hidden_size > 2 or not hx"],
    )
    sizes = [case.written["hidden_size"] for case in drawn("GRUCell", hints) if "hx" in case.inputs]
    assert set(sizes) == {3, 4}


def test_an_argument_is_written_where_its_default_is_not_allowed() -> None:
    assert values("Dropout", Hints(arguments={"p": [0.1]}), lambda case: case.written.get("p")) == {0.1}
    assert values("Dropout", Hints(arguments={"p": [0.1, 0.5]}), lambda case: case.written.get("p")) == {
        None,
        0.1,
        0.5,
    }


def test_the_batch_is_the_dimension_that_grows_with_it() -> None:
    hints = Hints(
        {"input": "float[batch if batch_first else time, time if batch_first else batch, input_size]"},
        arguments={"batch_first": [False, True], "num_layers": [1]},
    )
    found = values("GRU", hints, lambda case: (case.names["batch_first"], case.inputs["input"].batch))
    assert found == {(False, 1), (True, 0)}


def test_a_layer_as_an_argument_is_a_recipe() -> None:
    recipe = Recipe("TransformerEncoderLayer", {"d_model": 4, "nhead": 2, "batch_first": True})
    hints = Hints({"src": "float[batch, time, 4]"}, arguments={"encoder_layer": [recipe], "num_layers": [1]})
    case = drawn("TransformerEncoder", hints)[0]
    assert "encoder_layer=TransformerEncoderLayer(d_model=4, nhead=2, batch_first=True)" in case.spec()
    assert case.make().layers[0].self_attn.num_heads == 2


def test_an_exception_holds_under_its_condition_alone() -> None:
    inputs = {"input": "int64[batch]"}
    given = {"max_norm": [None, 0.1], "padding_idx": [None]}
    limits: dict[str, Any] = {"values": {"input": (0, "num_embeddings")}, "arguments": given}

    def result(**more: Any) -> Result:
        subject = torch_subject("Embedding", Hints(inputs, **limits, **more))
        return check_property(PROPERTIES["evaluation"], cases(subject), EXAMPLES).result

    assert result() == Result.fails
    assert result(exceptions={"evaluation if max_norm is not None": "it shortens rows"}) == Result.holds
    assert result(exceptions={"evaluation if max_norm is None": "the wrong way round"}) == Result.fails
    assert result(exceptions={"evaluation if True": "never"}) == Result.silent


def test_in_place_is_no_change_where_it_is_asked_for() -> None:
    found = {}
    for inplace in (True, False):
        subject = torch_subject("Hardtanh", Hints(arguments={"inplace": [inplace]}))
        found[inplace] = check_property(PROPERTIES["inputs"], cases(subject), EXAMPLES).result
    assert found == {True: Result.silent, False: Result.holds}


@pytest.mark.parametrize(
    "hints",
    [
        Hints({"inputs": "float[batch]"}),
        Hints([{"input": "float[batch, 2]"}, {"x": "float[batch]"}]),
        Hints([{}]),
        Hints({"input": "float[batch, two words]"}),
        Hints(arguments={"q": [1]}),
        Hints(where=["p >"]),
        Hints(where=["unknown > 1"]),
        Hints(exceptions={"evaluations": "no property"}),
        Hints(exceptions={"evaluations if p > 1": "no property"}),
        Hints(exceptions={"evaluation if p >": "no condition"}),
        Hints(exceptions={"evaluation if unknown > 1": "no name"}),
    ],
    ids=lambda hints: str({k: v for k, v in vars(hints).items() if v}),
)
def test_a_hint_that_is_wrong_is_said(hints: Hints) -> None:
    with pytest.raises(HintError, match="Dropout: "):
        list(check_layer(torch_subject("Dropout", hints), 3))
