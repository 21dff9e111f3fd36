"""Names that rules carry through a model are those of torch's symbols; operations are counted as torch counts them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, flop_registry

import compiler
import runtime.summary
from compiler.infer.named_size import Size, UnknownSizeError, named
from compiler.infer.on_meta import meta_device
from compiler.infer.symbols import shape_text, symbolic_sizes
from runtime.named.dimensions import NamedDimensions
from runtime.named.sizes import mark
from runtime.operations import FORMULAS, REFUSED, Operations, UncountedError
from runtime.summary import summarise

ROOT = Path(__file__).parents[2]
DIMENSIONS = ("batch", "time", "heads", "width")

Call = Callable[[Tensor, int, int], Any]
CALLS: dict[str, Call] = {
    "relu": lambda x, a, b: torch.relu(x),
    "softmax": lambda x, a, b: F.softmax(x, dim=a % x.ndim),
    "layer_norm": lambda x, a, b: F.layer_norm(x, [x.shape[-1]]),
    "itself": lambda x, a, b: x + x * 2,
    "broadcast": lambda x, a, b: x + x.select(0, 0),
    "added": lambda x, a, b: x + torch.zeros(a, b),
    "shown": lambda x, a, b: torch.zeros(x.shape[0], 1) + torch.arange(x.shape[-1]),
    "rest": lambda x, a, b: x.masked_fill(x > 0, 0.0),
    "linear": lambda x, a, b: F.linear(x, torch.zeros(a, x.shape[-1])),
    "matmul": lambda x, a, b: x @ x.transpose(-2, -1),
    "einsum": lambda x, a, b: torch.einsum("abc,adc->abd", x, x),
    "outer": lambda x, a, b: torch.outer(torch.arange(x.shape[0]), torch.arange(x.shape[-1])),
    "embedding": lambda x, a, b: F.embedding(x.long(), torch.zeros(a, b)),
    "attention": lambda x, a, b: F.scaled_dot_product_attention(x, x, x, is_causal=True),
    "conv1d": lambda x, a, b: F.conv1d(x, torch.zeros(a, x.shape[1], 1)),
    "conv2d": lambda x, a, b: F.conv2d(x, torch.zeros(a, x.shape[1], b, 1), padding=a % 2),
    "max_pool2d": lambda x, a, b: F.max_pool2d(x, a, stride=b),
    "adaptive": lambda x, a, b: F.adaptive_avg_pool2d(x, 1),
    "sum": lambda x, a, b: x.sum(a % x.ndim, keepdim=b % 2 == 0),
    "mean of all": lambda x, a, b: x.mean(),
    "max": lambda x, a, b: x.max(dim=a % x.ndim),
    "split": lambda x, a, b: x.split(a, dim=b % x.ndim),
    "chunk": lambda x, a, b: x.chunk(2, dim=b % x.ndim),
    "topk": lambda x, a, b: x.topk(1, dim=a % x.ndim),
    "narrow": lambda x, a, b: x.narrow(a % x.ndim, 0, 1),
    "select": lambda x, a, b: x.select(a % x.ndim, 0),
    "unbind": lambda x, a, b: x.unbind(a % x.ndim),
    "unsqueeze": lambda x, a, b: x.unsqueeze(a % (x.ndim + 1)),
    "squeeze": lambda x, a, b: x.squeeze(a % x.ndim),
    "squeeze all": lambda x, a, b: x.squeeze(),
    "transpose": lambda x, a, b: x.transpose(a % x.ndim, b % x.ndim),
    "permute": lambda x, a, b: x.permute(*reversed(range(x.ndim))),
    "flatten": lambda x, a, b: x.flatten(a % x.ndim),
    "unflatten": lambda x, a, b: x.unflatten(a % x.ndim, (b, -1)),
    "view": lambda x, a, b: x.reshape(x.shape[0], -1, a),
    "reshape": lambda x, a, b: x.reshape(-1, x.shape[-1]),
    "reshape half": lambda x, a, b: x.reshape(*x.shape[:-1], 2, x.shape[-1] // 2),
    "expand": lambda x, a, b: x.unsqueeze(0).expand(a, *([-1] * x.ndim)),
    "repeat": lambda x, a, b: x.repeat(a, *([1] * x.ndim)),
    "cat": lambda x, a, b: torch.cat([x, x], dim=a % x.ndim),
    "stack": lambda x, a, b: torch.stack([x, x], dim=a % x.ndim),
    "getitem": lambda x, a, b: x[..., None, 0],
    "slice": lambda x, a, b: x[:, :a] if x.ndim > 1 else x[:a],
    "table": lambda x, a, b: torch.zeros(a * 9, 3)[: x.shape[-1]],
    "picked": lambda x, a, b: torch.zeros(a, 3)[x.long()],
    "gather": lambda x, a, b: x.gather(-1, x.topk(1)[1]),
    "scatter": lambda x, a, b: torch.zeros_like(x).scatter(-1, x.topk(1)[1], 1.0),
    "tril": lambda x, a, b: torch.ones(x.shape[-1], x.shape[-1]).tril(),
    "full": lambda x, a, b: torch.full([x.shape[0], a], 1.0),
    "new_zeros": lambda x, a, b: x.new_zeros(a, x.shape[-1]),
    "more": lambda x, a, b: torch.zeros(x.shape[0] * a, x.shape[-1] * b),
}


@st.composite
def nets(draw: st.DrawFn) -> tuple[dict[str, int], list[Any], list[tuple[str, int, int]]]:
    """Draw sizes for names, the dimensions of an input, and calls one after the other."""
    sizes = {name: draw(st.integers(2, 7)) for name in DIMENSIONS}
    size = st.one_of(st.sampled_from(DIMENSIONS), st.sampled_from([1, 2, 3, 4, 6, 8]))
    call = st.tuples(st.sampled_from(sorted(CALLS)), st.integers(1, 4), st.integers(1, 4))
    return sizes, draw(st.lists(size, min_size=1, max_size=4)), draw(st.lists(call, min_size=1, max_size=3))


def applied(x: Tensor, calls: Sequence[tuple[str, int, int]]) -> str:
    """Return the shapes of what each call returned, over the first tensor of the one before."""
    said = []
    for name, a, b in calls:
        made = CALLS[name](x, a, b)
        results = [made] if isinstance(made, Tensor) else list(made)
        said += [f"{name} {shape_text(each)}" for each in results]
        x = results[0].float()
    return ", ".join(said)


def with_names(
    sizes: Mapping[str, int], dimensions: Sequence[Any], calls: Sequence[tuple[str, int, int]]
) -> tuple[str, int]:
    names, counter = named(sizes), Operations()
    x = torch.empty([sizes.get(each, each) for each in dimensions], device="meta")
    mark(x, tuple(names.get(each, each) for each in dimensions))
    with meta_device(torch.float32, all_steps=True), counter, NamedDimensions(counter):
        return applied(x, calls), counter.total


def without_names(
    sizes: Mapping[str, int], dimensions: Sequence[Any], calls: Sequence[tuple[str, int, int]]
) -> int:
    """Return the operations that torch counts."""
    with meta_device(torch.float32, all_steps=True), FlopCounterMode(display=False) as counter:
        applied(torch.empty([sizes.get(each, each) for each in dimensions]), calls)
    return counter.get_total_flops()


def with_symbols(
    sizes: Mapping[str, int], dimensions: Sequence[Any], calls: Sequence[tuple[str, int, int]]
) -> str:
    with symbolic_sizes(sizes) as symbols, meta_device(torch.float32):
        return applied(torch.empty([symbols.get(each, each) for each in dimensions]), calls)


@given(nets())
def test_names_are_those_of_torch(
    net: tuple[dict[str, int], list[Any], list[tuple[str, int, int]]],
) -> None:
    try:
        said, operations = with_names(*net)
    except (UnknownSizeError, UncountedError):
        assume(False)
    except Exception:  # a call that torch itself refuses, and nothing else
        with pytest.raises(Exception):  # noqa: B017, PT011
            without_names(*net)
        assume(False)
    assert said == with_symbols(*net)
    assert operations == without_names(*net)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_each_rule_has_an_answer(name: str) -> None:
    sizes = dict(zip(DIMENSIONS, (3, 5, 4, 7), strict=True))
    for dimensions in (["batch", 4, 8], ["batch", 4, 8, 8], ["batch", "time"], [8, 8]):
        for a, b in ((2, 2), (1, 1), (2, 1), (1, 2)):
            try:
                said, _ = with_names(sizes, dimensions, [(name, a, b)])
            except Exception:
                continue
            assert said == with_symbols(sizes, dimensions, [(name, a, b)])
            return
    pytest.fail("no call has an answer")


@pytest.mark.parametrize(
    "ask", [range, bool, int, lambda s: s + 1, lambda s: s > 3, lambda s: s == 4, lambda s: ~s, hash, float]
)
def test_a_size_that_is_asked_for_its_value_refuses(ask: Callable[[Any], Any]) -> None:
    size = named({"batch": 4})["batch"]
    with pytest.raises(UnknownSizeError):
        ask(size)


def test_a_form_of_a_call_that_its_rule_does_not_know_refuses() -> None:
    size, counter = named({"batch": 4})["batch"], Operations()
    x = torch.empty(4, 3, device="meta")
    mark(x, (size, 3))
    with NamedDimensions(counter), pytest.raises(UnknownSizeError, match="permute"):
        x.permute(dims=(1, 0))


def test_products_are_written_as_torch_writes_them() -> None:
    sizes = {"batch": 2, "time": 16, "x": 3, "y": 4, "heads": 5}
    with symbolic_sizes(sizes) as symbols:
        for one in sizes:
            for other in set(sizes) - {one}:
                made = named(sizes)[one] * 3 * named(sizes)[other]
                assert isinstance(made, Size)
                assert shape_text([made]) == shape_text([symbols[one] * 3 * symbols[other]])


def test_every_formula_of_torch_is_ours_or_refused() -> None:
    for each in flop_registry:
        name = str(getattr(each, "_qualified_op_name", each))
        known = name in FORMULAS or any(part in name for part in REFUSED) or not name.startswith("aten::")
        assert known, name


def refuse(error: Exception) -> Callable[..., Any]:
    def run(*_: Any) -> Any:
        raise error

    return run


@pytest.mark.parametrize("error", [UnknownSizeError("shape"), UncountedError("aten::mm")])
def test_what_no_rule_tells_torch_is_asked_for(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = compiler.compile(ROOT / "specs/zoo/gpt2.yaml", preset="tiny")
    once = summarise(artifact)
    monkeypatch.setattr(runtime.summary, "_named_calls", refuse(error))
    assert once == summarise(artifact)


def test_an_error_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = compiler.compile(ROOT / "specs/zoo/gpt2.yaml", preset="tiny")
    monkeypatch.setattr(runtime.summary, "_named_calls", refuse(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        summarise(artifact)


MODELS = ("gpt2", "llama", "bert", "deepseek_v3")


@pytest.mark.parametrize("name", MODELS)
def test_a_model_with_names_is_run_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = compiler.compile(ROOT / f"specs/zoo/{name}.yaml", preset="tiny")
    with monkeypatch.context() as patch:
        for other in ("_plain_calls", "_symbolic_outputs"):
            patch.setattr(runtime.summary, other, lambda *_: pytest.fail("another run"))
        once = summarise(artifact)
    monkeypatch.setattr(runtime.summary, "_named_calls", refuse(UnknownSizeError("all")))
    assert once == summarise(artifact)
