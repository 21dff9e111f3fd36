"""A form that a formula gives is the one that torch comes to, and where torch refuses no formula answers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from compiler.infer.known_forms import FORMULAS, filled, known_form

Draw = st.DrawFn
Given = tuple[tuple[Any, ...], Mapping[str, Any]]
SIZE = st.sampled_from([0, 1, 1, *[2, 3, 4, 6] * 4])
DTYPES = st.sampled_from([torch.float32] * 12 + [torch.float64, torch.float16, torch.int64, torch.bool])


@st.composite
def tensors(draw: Draw, *sizes: int, dtype: torch.dtype | None = None) -> Tensor:
    """Draw a tensor of these sizes: mostly in order, maybe transposed, a part, expanded, or with channels last."""
    chosen = draw(DTYPES) if dtype is None else dtype
    made = torch.empty(sizes, dtype=chosen, device="meta")
    match draw(st.integers(0, 39)):
        case 0 if made.ndim > 1:
            return made.transpose(0, 1).contiguous().transpose(0, 1)
        case 1 if made.ndim > 0:
            return made.new_empty(*sizes[:-1], sizes[-1] + 1)[..., :-1]
        case 2 if made.ndim == 4:
            return made.to(memory_format=torch.channels_last)
        case 3:
            return made.new_empty(()).expand(sizes)
        case 4:
            return nn.Parameter(made) if made.is_floating_point() else made
    return made


@st.composite
def mostly(draw: Draw, usual: Any, other: st.SearchStrategy[Any]) -> Any:
    return draw(other) if draw(st.integers(0, 19)) == 0 else usual


@st.composite
def near(draw: Draw, *sizes: int, dtype: torch.dtype) -> Tensor:
    """Draw a tensor of these sizes and dtype, or of others."""
    meant = [draw(mostly(size, SIZE)) for size in sizes]
    return draw(tensors(*meant, dtype=draw(mostly(dtype, DTYPES))))


def shapes(low: int, high: int) -> st.SearchStrategy[list[int]]:
    return st.lists(SIZE, min_size=low, max_size=high)


@st.composite
def one(draw: Draw) -> Given:
    return (draw(tensors(*draw(shapes(0, 5)))),), {}


@st.composite
def approximate(draw: Draw) -> Given:
    (x,), _ = draw(one())
    return (x,), draw(
        st.sampled_from([{}, {"approximate": "tanh"}, {"approximate": "none"}, {"approximate": "no"}])
    )


@st.composite
def two(draw: Draw) -> Given:
    x = draw(tensors(*draw(shapes(0, 4))))
    number = st.sampled_from([2, 0.5, True, 0])
    same = near(*x.shape[draw(st.integers(0, x.ndim)) :], dtype=x.dtype)
    broadcast = tensors(*draw(shapes(0, 4)), dtype=x.dtype)
    return (x, draw(st.one_of(number, same, same, broadcast))), {}


@st.composite
def softmax(draw: Draw) -> Given:
    (x,), _ = draw(one())
    keywords = draw(st.sampled_from([{}, {}, {}, {"dtype": torch.float64}, {"dtype": None}]))
    return (x, draw(st.sampled_from([-3, -1, 0, 1, 2]))), keywords


@st.composite
def linear(draw: Draw) -> Given:
    x = draw(tensors(*draw(shapes(1, 4))))
    out = draw(SIZE)
    weight = draw(near(out, x.shape[-1], dtype=x.dtype))
    return (x, weight, draw(st.one_of(st.none(), near(out, dtype=x.dtype)))), {}


@st.composite
def normalised(draw: Draw, bias: bool = True) -> Given:
    x = draw(tensors(*draw(shapes(1, 4))))
    sizes = draw(mostly(list(x.shape[draw(st.integers(0, x.ndim - 1)) :]), shapes(0, 2)))
    own = [draw(st.one_of(st.none(), near(*sizes, dtype=x.dtype))) for _ in range(1 + bias)]
    return (x, tuple(sizes), *own), {}


@st.composite
def batch_normalised(draw: Draw) -> Given:
    x = draw(tensors(*draw(shapes(2, 6))))
    statistics, affine = draw(st.booleans()), draw(st.booleans())
    own = [
        draw(mostly(draw(near(x.shape[1], dtype=x.dtype)) if there else None, st.none()))
        for there in (statistics, statistics, affine, affine)
    ]
    return (x, *own), {"training": draw(st.booleans())}


@st.composite
def embedded(draw: Draw) -> Given:
    x = draw(
        tensors(
            *draw(shapes(0, 3)),
            dtype=draw(st.sampled_from([torch.int64, torch.int32, torch.int16, torch.float32])),
        )
    )
    weight = draw(near(draw(SIZE), draw(SIZE), dtype=torch.float32))
    keywords = st.sampled_from(
        [{}, {}, {"padding_idx": 0}, {"padding_idx": 9}, {"padding_idx": -1}, {"max_norm": 1.0}]
    )
    return (x, weight), draw(keywords)


@st.composite
def convolved(draw: Draw, dimensions: int) -> Given:
    groups = draw(st.sampled_from([1, 1, 2, 1, 2, 0]))
    inside, out = draw(SIZE), draw(SIZE) * max(groups, 1)
    spatial = mostly(draw(st.integers(4, 7)), st.integers(0, 1))
    x = draw(tensors(draw(SIZE), inside * max(groups, 1), *(draw(spatial) for _ in range(dimensions))))
    kernel = [draw(mostly(draw(st.integers(1, 3)), st.just(0))) for _ in range(dimensions)]
    weight = draw(near(out, inside, *kernel, dtype=x.dtype))
    bias = draw(st.one_of(st.none(), near(out, dtype=x.dtype)))
    step = st.sampled_from([1, 2, 1, 2, 1, 3, 0, -1])
    steps = st.one_of(step, st.lists(step, min_size=dimensions, max_size=dimensions).map(tuple))
    padding = draw(st.one_of(steps, st.sampled_from(["same", "valid", (1,)])))
    keywords = {
        "stride": draw(mostly(1, steps)),
        "padding": draw(mostly(1, st.just(padding))),
        "dilation": draw(mostly(1, steps)),
        "groups": groups,
    }
    return (x, weight, bias), keywords


CALLS: dict[Callable[..., Any], st.SearchStrategy[Given]] = {
    **dict.fromkeys(FORMULAS, one()),
    F.gelu: approximate(),
    **dict.fromkeys((Tensor.add, Tensor.sub, Tensor.mul, Tensor.div), two()),
    F.softmax: softmax(),
    F.linear: linear(),
    F.layer_norm: normalised(),
    F.rms_norm: normalised(bias=False),
    F.batch_norm: batch_normalised(),
    F.embedding: embedded(),
    torch.conv1d: convolved(1),
    torch.conv2d: convolved(2),
    torch.conv3d: convolved(3),
}


@pytest.mark.parametrize("function", FORMULAS, ids=lambda each: each.__name__)
def test_a_known_form_is_that_of_torch(function: Callable[..., Any]) -> None:
    answers = []

    @given(CALLS[function])
    def holds(call: Given) -> None:
        arguments, keywords = call
        form = known_form(function, arguments, keywords)
        answers.append(form is not None)
        if form is not None:
            made = function(*arguments, **keywords)
            assert (tuple(made.shape), made.stride(), made.dtype) == form
            assert made.is_meta
            assert all(made is not each for each in arguments)

    holds()
    assert any(answers), "the formula is never tried"


def test_what_works_in_place_has_no_formula() -> None:
    x = torch.empty(3, device="meta")
    assert known_form(F.relu, (x,), {"inplace": True}) is None
    assert known_form(F.silu, (x, True), {}) is None
    assert known_form(F.relu, (x,), {}) is not None


UNKNOWN: dict[str, Given] = {
    "no tensor": ((3,), {}),
    "values": ((torch.zeros(3),), {}),
    "sparse": ((torch.zeros(3, 3).to_sparse(),), {}),
    "another argument": ((torch.empty(3, device="meta"),), {"out": None}),
    "a class of its own": ((torch.empty(3, device="meta").as_subclass(type("Own", (Tensor,), {})),), {}),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_is_unusual_is_left_to_torch(case: str) -> None:
    arguments, keywords = UNKNOWN[case]
    assert known_form(torch.relu, arguments, keywords) is None


FILLING = {
    "as usual": ((0.0, 1.0), {}, True),
    "no generator": ((0, 1), {"generator": None}, True),
    "a generator": ((0.0, 1.0), {"generator": torch.Generator()}, False),
    "a wrong deviation": ((0.0, -1.0), {}, False),
    "a tensor": ((0.0, torch.ones(())), {}, False),
    "the default": ((), {}, True),
}


@pytest.mark.parametrize("case", FILLING)
def test_what_fills_a_tensor_without_values_leaves_it_as_it_is(case: str) -> None:
    numbers, keywords, known = FILLING[case]
    weight = nn.Parameter(torch.empty(3, device="meta"))
    meant = weight if known else None
    assert filled(nn.init.normal_, (weight, *numbers), keywords) is meant
    assert filled(Tensor.normal_, (weight.detach(), *numbers), keywords) is not weight
    with torch.no_grad():
        assert filled(Tensor.normal_, (weight, *numbers), keywords) is meant
    assert filled(Tensor.normal_, (weight, *numbers), keywords) is None  # torch refuses: it is a leaf
    assert filled(nn.init.normal_, (torch.empty(3), *numbers), keywords) is None


def test_statistics_that_are_trained_are_left_to_torch() -> None:
    x, mean = torch.empty(2, 3, device="meta"), torch.empty(3, device="meta")
    assert known_form(F.batch_norm, (x, mean, mean), {}) is not None
    assert known_form(F.batch_norm, (x, nn.Parameter(mean), mean), {}) is None


UNUSED = {
    "torch._dynamo",
    "sympy",
    "torch.utils.flop_counter",
    "torch.distributed.tensor",
    "transformers",
    "torchmetrics",
    "pytorch_lightning",
}
SMALL = """
spec: 1
name: small
vars: {width: 64}
inputs:
  image: float32[batch, 1, 28, 28]
  word: int64[batch, time]
blocks:
  Block(width):
    layers: {norm: LayerNorm, up: Linear(32 * width), down: Linear(width)}
    forward: |
      return x + down(gelu(up(norm(x))))
model:
  layers:
    seen: ["Conv2d(8, 3)", BatchNorm2d, ReLU, Flatten, Linear(width)]
    read: "Embedding(5000, width)"
    blocks: {repeat: 2, of: Block(width)}
    head: Linear(10)
  forward: |
    return head(blocks(seen(image).unsqueeze(1) + 0.5 * read(word)))
"""


VERB = "sys.argv = ['blockprint', '{}', 'spec.yaml']; from compiler.__main__ import main; main()"
RUNS = {
    **{verb: VERB.format(verb) for verb in ("check", "emit", "summary")},
    "build": "import compiler, runtime; runtime.build(compiler.compile('spec.yaml'), device='meta')",
}


@pytest.mark.parametrize("run", RUNS)
def test_a_process_imports_nothing_that_it_does_not_use(run: str, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SMALL)
    unused = UNUSED - {"torch.utils.flop_counter"} if run == "build" else UNUSED  # it counts what values cost
    script = (
        "import sys, atexit\n"
        f"atexit.register(lambda: print('UNUSED', sorted({unused!r} & sys.modules.keys())))\n"
        f"{RUNS[run]}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "BLOCKPRINT_CACHE": "off"},
    )
    assert done.stdout.splitlines()[-1] == "UNUSED []", done.stdout
