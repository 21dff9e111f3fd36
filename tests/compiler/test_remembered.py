"""A call that is remembered has the result that torch has, and torch is asked once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from compiler.infer.on_meta import meta_device
from compiler.infer.remembered import REMEMBERED


class Dispatched(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what torch is asked for, but for new tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += "empty" not in str(func)
        return func(*args, **(kwargs or {}))


def image(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(2, 6, 5, 5, dtype=dtype, device="meta")


CALLS: dict[str, Callable[[Tensor], Tensor]] = {
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "layer_norm": lambda x: F.layer_norm(x, x.shape[-1:]),
    "linear": lambda x: F.linear(x, nn.Parameter(x.new_empty(7, x.shape[-1]))),
    "rms_norm": lambda x: F.rms_norm(x, x.shape[-1:]),
    "scaled_dot_product_attention": lambda x: F.scaled_dot_product_attention(x, x[:, :1], x[:, :1]),
    "roll": lambda x: torch.roll(x, [1, 2], [2, 3]),
    "the method roll": lambda x: x.roll(1, 0),
    "instance_norm": F.instance_norm,
    "relu": F.relu,
    "relu of torch": torch.relu,
    "the method relu": lambda x: x.relu(),
    "where": lambda x: torch.where(x > 0, x, x.new_zeros(())),
    "add": lambda x: x + x[:1],
    "mul": lambda x: 2 * x,
    "sub": lambda x: x - 1,
    "div": lambda x: x.long() / x[..., :1],
    "gt": lambda x: x > x.new_empty(3, *[1] * 4),
    "lt": lambda x: x < 0.5,
    "sigmoid": torch.sigmoid,
    "the method sigmoid": lambda x: x.sigmoid(),
    "tanh": torch.tanh,
    "the method tanh": lambda x: x.tanh(),
    "silu": F.silu,
    "mish": F.mish,
    "hardswish": F.hardswish,
    "selu": F.selu,
    "softmax": lambda x: F.softmax(x, -1),
    "embedding": lambda x: F.embedding(x.long(), x.new_empty(9, 4)),
    "conv1d": lambda x: F.conv1d(x[0], x.new_empty(2, x.shape[2], 3)),
    "conv2d": lambda x: F.conv2d(x, x.new_empty(2, x.shape[1], 3, 1), stride=2),
    "conv3d": lambda x: F.conv3d(x, x.new_empty(4, x.shape[0], 3, 1, 1), padding=1),
    "multi_head_attention_forward": lambda x: attention(x.flatten(0, 1)),
}


def attention(x: Tensor) -> Tensor:
    """Return the output of an attention layer, with its weights behind it."""
    layer = nn.MultiheadAttention(x.shape[-1], 1, dtype=x.dtype, device="meta")
    output, weights = layer(x, x, x)
    assert weights is not None
    assert weights.shape == (x.shape[1], len(x), len(x))
    return output


FORMS = {
    "plain": image,
    "half": lambda: image(torch.float16),
    "channels last": lambda: image().to(memory_format=torch.channels_last),
    "a part": lambda: image()[:, ::2, 1:],
    "transposed": lambda: image().transpose(0, 1),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_the_result_is_that_of_torch(call: Callable[[Tensor], Tensor], form: Callable[[], Tensor]) -> None:
    expected = call(form())
    for _ in range(2):
        with meta_device(torch.float32):
            found = call(form())
        assert found.is_meta
        assert (found.shape, found.stride(), found.dtype) == (
            *(expected.shape, expected.stride()),
            expected.dtype,
        )


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_torch_is_asked_once(call: Callable[[Tensor], Tensor]) -> None:
    x = image()[:, :, :4]
    with meta_device(torch.float32):
        call(x)
        with Dispatched() as again:
            call(x)
    with Dispatched() as anew:
        call(x)
    assert again.count < anew.count


def test_every_function_that_is_remembered_is_tried() -> None:
    names = {name.removeprefix("the method ").removesuffix(" of torch") for name in CALLS}
    assert names == {function.__name__ for function in REMEMBERED}


def test_new_results_are_tensors_of_their_own() -> None:
    x = image()
    with meta_device(torch.float32):
        one, other = F.gelu(x), F.gelu(x)
    assert one is not other
    assert one.untyped_storage()._cdata != other.untyped_storage()._cdata


def test_another_default_dtype_is_another_call() -> None:
    count = torch.empty(3, dtype=torch.int64, device="meta")
    for dtype in (torch.float32, torch.float64):
        with meta_device(dtype):
            assert (count + 0.5).dtype == dtype
            assert (count / 2).dtype == dtype


def test_other_numbers_are_another_call() -> None:
    weight = torch.empty(1, 5, device="meta")
    with meta_device(torch.float32):
        assert F.linear(image(), weight).shape[-1] == 1
        assert F.linear(image(), weight.expand(3, 5)).shape[-1] == 3
        with pytest.raises(RuntimeError):
            F.linear(image(), weight[:, :4])


def test_what_works_in_place_is_done_each_time() -> None:
    with meta_device(torch.float32):
        x = image()
        assert F.relu(F.relu(x), inplace=True) is not x
        for found in (F.relu(x, inplace=True), F.relu(x, True), F.relu(x, inplace=True)):
            assert found is x
        with pytest.raises(RuntimeError):
            F.relu(nn.Parameter(x), True)
