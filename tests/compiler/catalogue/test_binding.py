"""Arguments as a spec writes them, bound to those of a layer, or refused with what a message needs."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from compiler.catalogue.layers import Problem, bind, describe_layer, layer_type, reads_as_torch


def written(name: str, *args: object, **kwargs: object) -> Problem | dict[str, object]:
    bound = bind(layer_type(name), args, kwargs)
    return bound.problem or bound.values


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "values"),
    [
        ("Linear", (256,), {}, {"out_features": 256}),
        ("Linear", (256, False), {}, {"out_features": 256, "bias": False}),
        ("Linear", (256,), {"in_features": 784}, {"out_features": 256, "in_features": 784}),
        (
            "Conv2d",
            (64, (3, 5)),
            {"padding": "same"},
            {"out_channels": 64, "kernel_size": (3, 5), "padding": "same"},
        ),
        ("Conv2d", (64, [3, 5], 2), {}, {"out_channels": 64, "kernel_size": [3, 5], "stride": 2}),
        ("AvgPool1d", (2, None), {}, {"kernel_size": 2, "stride": None}),
        ("Dropout", (1,), {}, {"p": 1}),
        ("AdaptiveAvgPool2d", ([None, 3],), {}, {"output_size": [None, 3]}),
        ("LayerNorm", (), {"normalized_shape": [4, 5]}, {"normalized_shape": [4, 5]}),
        ("LayerNorm", (1e-6,), {}, {"eps": 1e-6}),
        ("LayerNorm", (), {"eps": 1}, {"eps": 1}),
        ("MultiheadAttention", (8, 0.1), {}, {"num_heads": 8, "dropout": 0.1}),
        ("MultiheadAttention", (8,), {"kdim": 3}, {"num_heads": 8, "kdim": 3}),
        ("TransformerEncoderLayer", (8,), {"activation": "gelu"}, {"nhead": 8, "activation": "gelu"}),
        ("Upsample", (), {"scale_factor": (2.0, 1)}, {"scale_factor": (2.0, 1)}),
        ("BatchNorm2d", (), {"momentum": None}, {"momentum": None}),
        (
            "LSTM",
            (128, 2),
            {"bidirectional": True},
            {"hidden_size": 128, "num_layers": 2, "bidirectional": True},
        ),
        (
            "AdaptiveLogSoftmaxWithLoss",
            (10, [2, 4], 4),
            {},
            {"n_classes": 10, "cutoffs": [2, 4], "div_value": 4},
        ),
    ],
)
def test_good_calls_bind(
    name: str, args: tuple[object, ...], kwargs: dict[str, object], values: dict[str, object]
) -> None:
    assert written(name, *args, **kwargs) == values


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "kind", "offender", "argument"),
    [
        ("Linear", (784, 256), {}, "inferred-argument", 1, "bias"),
        ("Linear", (784, 256, True), {}, "inferred-argument", 1, "bias"),
        ("LayerNorm", (768,), {}, "inferred-argument", 0, "eps"),
        ("LayerNorm", ([768],), {}, "inferred-argument", 0, "eps"),
        ("BatchNorm2d", (64,), {}, "inferred-argument", 0, "eps"),
        ("GroupNorm", (32, 64), {}, "inferred-argument", 1, "eps"),
        ("MultiheadAttention", (512, 8), {}, "inferred-argument", 1, "dropout"),
        ("TransformerEncoderLayer", (512, 8, 2048, 0.1), {}, "inferred-argument", 2, "dropout"),
        ("Bilinear", (3, 4, 5), {}, "inferred-argument", 1, "bias"),
        ("GRUCell", (3, 4), {}, "inferred-argument", 1, "bias"),
        ("Linear", (256, True, 3), {}, "too-many-arguments", 2, None),
        ("ReLU", (True, 1), {}, "too-many-arguments", 1, None),
        ("BatchNorm1d", (1e-5, 0.1, True, True, False), {}, "too-many-arguments", 4, None),
        ("Linear", (256,), {"bais": False}, "unknown-argument", "bais", None),
        ("Linear", (256,), {"device": "cpu"}, "unknown-argument", "device", None),
        ("Linear", (256,), {"out_features": 3}, "duplicate-argument", "out_features", "out_features"),
        ("Linear", (True,), {}, "argument-type", 0, "out_features"),
        ("Linear", (2.5,), {}, "argument-type", 0, "out_features"),
        ("Linear", ("256",), {}, "argument-type", 0, "out_features"),
        ("Linear", (256,), {"bias": 1}, "argument-type", "bias", "bias"),
        ("Linear", (256,), {"in_features": "many"}, "argument-type", "in_features", "in_features"),
        ("Dropout", (True,), {}, "argument-type", 0, "p"),
        ("Conv2d", (64, [3, 3, 3]), {}, "argument-type", 1, "kernel_size"),
        ("Conv2d", (64, 3), {"padding_mode": "wrap"}, "argument-type", "padding_mode", "padding_mode"),
        (
            "TransformerEncoderLayer",
            (8,),
            {"activation": torch.relu},
            "argument-type",
            "activation",
            "activation",
        ),
        ("MultiheadAttention", (8,), {"bias": "no"}, "argument-type", "bias", "bias"),
        ("Softmax", ("a",), {}, "argument-type", 0, "dim"),
    ],
)
def test_bad_calls_say_what_is_wrong(
    name: str,
    args: tuple[object, ...],
    kwargs: dict[str, object],
    kind: str,
    offender: int | str,
    argument: str | None,
) -> None:
    problem = written(name, *args, **kwargs)
    assert isinstance(problem, Problem)
    assert problem.kind == kind
    assert (problem.keyword if isinstance(offender, str) else problem.index) == offender
    assert problem.argument == argument
    assert problem.value == (kwargs[offender] if isinstance(offender, str) else args[offender])


def test_a_problem_carries_what_a_message_needs() -> None:
    problem = written("Linear", 784, 256)
    assert isinstance(problem, Problem)
    assert (problem.value, problem.expected, problem.names) == (256, "true or false", ("in_features",))
    unknown = written("Linear", 256, bais=False)
    assert isinstance(unknown, Problem)
    assert unknown.names == ("in_features", "out_features", "bias")
    assert written("Conv2d") == Problem("missing-argument", names=("out_channels", "kernel_size"))
    kernel = written("Conv2d", 64, "3")
    assert isinstance(kernel, Problem)
    assert kernel.expected == "an integer or a list of 2 integers"


def test_opaque_values_stand_for_layers_and_for_nothing_else() -> None:
    recipe: Any = object()
    assert written("TransformerEncoder", recipe, 2) == {"encoder_layer": recipe, "num_layers": 2}
    assert isinstance(written("TransformerEncoder", recipe, recipe), Problem)
    assert isinstance(written("Linear", recipe), Problem)

    class Mine(nn.Module):
        def __init__(self, inner: nn.Module, act: Callable[..., nn.Module], kind: type[nn.Module]) -> None:
            super().__init__()

    mine = describe_layer(Mine, "Mine", "mine.py")
    assert bind(mine, (recipe, nn.GELU, nn.ReLU), {}).problem is None
    for args in ((3, nn.GELU, nn.ReLU), (recipe, "gelu", nn.ReLU), (recipe, nn.GELU, 3)):
        problem = bind(mine, args, {}).problem
        assert problem is not None
        assert problem.kind == "argument-type"


def test_a_copied_call_that_fits_by_chance_can_be_recognised() -> None:
    conv = layer_type("Conv2d")
    assert reads_as_torch(conv, (3, 64, 3), {}, {"in_channels": 3})
    assert reads_as_torch(conv, (3, 64), {"kernel_size": 3}, {"in_channels": 3})
    assert not reads_as_torch(conv, (64, 3, 3), {}, {"in_channels": 3})
    assert not reads_as_torch(conv, (3, 3), {}, {"in_channels": 3})
    assert not reads_as_torch(layer_type("ReLU"), (), {}, {})
