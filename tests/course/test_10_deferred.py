"""System 10: sizes that follow from the input, left out or written and checked."""

import pytest
import torch
from torch import nn
from twins import COURSE, assert_same, assert_twins, built, compiled, drawn

import compiler

IMAGE = drawn(4, 3, 16, 16)
EXPLICIT = (COURSE / "10_explicit.yaml").read_text()


def by_hand() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 14 * 14, 32),
        nn.LayerNorm(32),
        nn.Linear(32, 10),
    )


@pytest.mark.parametrize("name", ["10_deferred", "10_explicit"])
def test_it_is_the_module_written_by_hand(name: str) -> None:
    assert_twins(built(name), by_hand(), IMAGE)


def test_no_size_of_an_input_is_written() -> None:
    text = (COURSE / "10_deferred.yaml").read_text()
    body = text.partition("model:")[2]
    assert not any(
        word in body for word in ("in_features", "in_channels", "num_features", "normalized_shape")
    )


def test_left_out_and_written_are_the_same() -> None:
    deferred, explicit = compiled("10_deferred"), compiled("10_explicit")
    shapes = [[(row.name, row.shape) for row in made.plan.rows] for made in (deferred, explicit)]
    assert shapes[0] == shapes[1]
    assert (
        deferred.source.partition("(nn.Sequential)")[2]
        .partition("def ")[2]
        .replace("LayerNorm(32)", "LayerNorm([32])")
        == explicit.source.partition("(nn.Sequential)")[2].partition("def ")[2]
    )
    assert_same(built("10_deferred"), built("10_explicit"), IMAGE)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("in_channels=3", "in_channels=4"),
        ("num_features=8", "num_features=9"),
        ("in_features=8 * 14 * 14", "in_features=8 * 16 * 16"),
        ("normalized_shape=[32]", "normalized_shape=[31]"),
        ("Linear(10, in_features=32)", "Linear(10, in_features=33)"),
    ],
)
def test_a_wrong_size_is_refused_with_its_line(right: str, wrong: str) -> None:
    line = next(at for at, text in enumerate(EXPLICIT.splitlines(), 1) if right in text)
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(EXPLICIT.replace(right, wrong))
    (found,) = caught.value.diagnostics
    assert (found.code, found.span.line) == ("wrong-size", line)
    assert found.span.text in wrong


def test_the_first_argument_of_torch_is_refused_with_the_way_out() -> None:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(EXPLICIT.replace("Linear(10, in_features=32)", "Linear(32, 10)"))
    (found,) = caught.value.diagnostics
    assert found.span.line == 14
    assert found.help is not None
    assert "Linear(10)" in found.help


def test_the_same_spec_fits_another_input() -> None:
    text = (COURSE / "10_deferred.yaml").read_text().replace("3, 16, 16", "1, 9, 9")
    shapes = {row.name: row.shape for row in compiler.compile_text(text).plan.rows}
    assert shapes["0.weight"] == (8, 1, 3, 3)
    assert shapes["4.weight"] == (32, 8 * 7 * 7)
    assert torch.Size(shapes["6.weight"]) == (10, 32)
