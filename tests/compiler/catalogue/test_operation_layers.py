"""The layers of torch that stand for operations: each takes what the table says, and computes the same."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor, nn

from compiler.catalogue.operation_layers import TWINS
from compiler.catalogue.operations import operation, signature

IMAGE = (2, 4, 8, 8)
CALLS: dict[str, tuple[tuple[int, ...], tuple[object, ...]]] = {
    "flatten": (IMAGE, ()),
    "unflatten": ((2, 6), (1, [2, 3])),
    "softmax": ((2, 6), (1,)),
    "log_softmax": ((2, 6), (1,)),
    "softmin": ((2, 6), (1,)),
    **{f"adaptive_{kind}_pool{n}d": (IMAGE[: n + 2], (2,)) for kind in ("avg", "max") for n in (1, 2)},
    **{f"{kind}_pool{n}d": (IMAGE[: n + 2], (2,)) for kind in ("avg", "max") for n in (1, 2)},
    **{f"adaptive_{kind}_pool3d": ((*IMAGE, 4), (2,)) for kind in ("avg", "max")},
    **{f"{kind}_pool3d": ((*IMAGE, 4), (2,)) for kind in ("avg", "max")},
    "channel_shuffle": (IMAGE, (2,)),
    "pixel_shuffle": (IMAGE, (2,)),
    "pixel_unshuffle": (IMAGE, (2,)),
    "dropout1d": ((2, 4, 8), ()),
    "dropout2d": (IMAGE, ()),
    "dropout3d": ((*IMAGE, 4), ()),
    "feature_alpha_dropout": (IMAGE, ()),
}


@pytest.mark.parametrize("name", TWINS)
def test_a_layer_computes_what_its_operation_does(name: str) -> None:
    shape, arguments = CALLS.get(name, ((2, 6), ()))
    twin, x = TWINS[name], torch.randn(shape)
    given = twin.missing(len(arguments), ())
    layer: nn.Module = getattr(nn, twin.layer)(*arguments, **given)
    torch.manual_seed(0)
    mode = {"training": True} if "dropout" in name else {}
    expected: Tensor = operation(name)(x, *arguments, **mode)
    torch.manual_seed(0)
    assert torch.equal(layer(x), expected)


@pytest.mark.parametrize("name", TWINS)
def test_a_layer_takes_the_arguments_of_its_operation(name: str) -> None:
    twin = TWINS[name]
    layer = list(inspect.signature(getattr(nn, twin.layer)).parameters)
    assert layer[: len(twin.positional)] == [twin.names.get(each, each) for each in twin.positional]
    assert set(twin.keywords) <= {*layer}
    keywords = signature(name).keywords()
    assert {*twin.positional, *twin.keywords} <= {*keywords}
    order = [list(each.parameters)[1:] for each in signature(name).overloads]
    assert any(each[: len(twin.positional)] == [*twin.positional] for each in order)


@pytest.mark.parametrize("name", TWINS)
def test_a_layer_shares_the_other_defaults(name: str) -> None:
    twin = TWINS[name]
    layer = inspect.signature(getattr(nn, twin.layer)).parameters
    for overload in signature(name).overloads:
        for title in {*twin.positional, *twin.keywords} - {*twin.defaults}:
            ours = (
                overload.parameters[title].default
                if title in overload.parameters
                else inspect.Parameter.empty
            )
            if ours is not inspect.Parameter.empty:
                assert ours == layer[twin.names.get(title, title)].default, title


def test_calls_that_have_no_layer() -> None:
    assert not TWINS["relu"].takes(1, ())
    assert not TWINS["softmax"].takes(1, ["dtype"])
    assert not TWINS["softmax"].takes(1, ["dim"])
    assert not TWINS["max_pool2d"].takes(5, ())
    assert TWINS["max_pool2d"].takes(1, ["stride", "ceil_mode"])
