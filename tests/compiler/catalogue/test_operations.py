"""Signatures of operations: never stricter than torch, strict enough to catch a misspelling."""

import ast
import collections
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from compiler.catalogue import operations
from compiler.catalogue.operation_table import FUNCTIONS, METHODS
from compiler.catalogue.operations import CallProblem, method_signature, signature

STUBS = Path(torch.__file__).parent / "_C"

AVAILABLE = [name for name in FUNCTIONS if operations.available(name)]

# What the stubs say here is not so: torch itself refuses these calls, as test_the_stubs_err_here shows.
STUBS_ERR = {"full", "tensor", "gelu", "one_hot", "scaled_dot_product_attention"}
STUBS_ERR_IN_METHODS = {"contiguous", "new_tensor", "to"}


def stub_overloads(file: str, class_name: str | None = None) -> dict[str, list[ast.arguments]]:
    body = ast.parse((STUBS / file).read_text("utf-8")).body
    if class_name:
        body = next(each for each in body if isinstance(each, ast.ClassDef) and each.name == class_name).body
    found = collections.defaultdict(list)
    for each in body:
        if isinstance(each, ast.FunctionDef):
            found[each.name].append(each.args)
    return found


def refusals(sig: operations.Signature, stub: ast.arguments, method: bool) -> Iterator[CallProblem]:
    """Call as the stub allows: all by position, then all by keyword, without what specs may never give."""
    places = [each.arg for each in stub.posonlyargs + stub.args][1 if method else 0 :]
    keywords = [each.arg for each in stub.kwonlyargs if each.arg not in sig.forbidden]
    forbidden = [index for index, each in enumerate(places) if each in sig.forbidden]
    reachable = forbidden[0] if forbidden else len(places)
    by_keyword = [each for each in places if each not in sig.forbidden and each != "self"]
    for count, names in ((reachable + (3 if stub.vararg else 0), keywords), (0, by_keyword + keywords)):
        problem = sig.check(count, names)
        if problem is not None:
            yield problem


def test_no_function_is_stricter_than_the_stubs_of_torch() -> None:
    """The stubs come from torch's own generator of bindings; the signatures from its operator schemas."""
    general, functional = stub_overloads("_VariableFunctions.pyi"), stub_overloads("_nn.pyi")
    checked, refused = 0, []
    for name in AVAILABLE:
        root, leaf = FUNCTIONS[name].rsplit(".", 1)
        if not isinstance(operations.operation(name), type(torch.add)) or name in STUBS_ERR:
            continue
        source = {"torch": general, "torch.nn.functional": functional}.get(root, {})
        for stub in source.get(leaf, []):
            checked += 1
            refused += [(name, problem) for problem in refusals(signature(name), stub, method=False)]
    assert refused == []
    assert checked > 300


def test_no_method_is_stricter_than_the_stubs_of_torch() -> None:
    stubs = stub_overloads("__init__.pyi", "TensorBase")
    overloads = [(name, stub) for name in METHODS - STUBS_ERR_IN_METHODS for stub in stubs.get(name, [])]
    refused = [
        (name, problem)
        for name, stub in overloads
        for problem in refusals(method_signature(name), stub, method=True)
    ]
    assert refused == []
    assert len(overloads) > 300


def test_the_stubs_err_here() -> None:
    x, f = torch.ones(2, 2, 2, 2), torch.nn.functional
    for call in (
        lambda: torch.full((2,), 1.0, names=None),
        lambda: torch.tensor([1], torch.float32),
        lambda: f.gelu(x, "tanh"),
        lambda: f.one_hot(tensor=torch.tensor([1])),
        lambda: f.scaled_dot_product_attention(x, x, x, None, 0.0, False, None),
        lambda: x.contiguous(torch.channels_last),
        lambda: x.new_tensor([1], torch.float32),
        lambda: x.to(other=x),
    ):
        with pytest.raises(TypeError):
            call()


class Given:
    """Records how it was called, so that one spelling of a call is both made and checked."""

    def __call__(self, *args: object, **kwargs: object) -> tuple[tuple[object, ...], dict[str, object]]:
        return args, kwargs


given = Given()
X = torch.ones(2, 3, 4, 4)

ACCEPTED_CALLS = [
    ("sum", given(X, axis=1, keepdims=True)),
    ("sum", given(x=X)),
    ("softmax", given(X, 1)),
    ("softmax", given(X, dim=-1, dtype=torch.float64)),
    ("cat", given([X, X], axis=1)),
    ("stack", given(tensors=[X, X], dim=0)),
    ("zeros", given(2, 3, dtype=torch.int64, device="cpu")),
    ("zeros", given(size=(2, 3))),
    ("rand", given(2, 3)),
    ("arange", given(0, 10, 2)),
    ("arange", given(start=0, end=5)),
    ("full", given((2,), 1.0, dtype=torch.float32)),
    ("tensor", given([1.0, 2.0], dtype=torch.float64)),
    ("randint", given(0, 5, size=(2,))),
    ("normal", given(0.0, 1.0, (2,))),
    ("clamp", given(X, min=0)),
    ("where", given(X > 0, X, 0.0)),
    ("where", given(condition=X > 0, input=X, other=X)),
    ("einsum", given("b c h w -> b c", X)),
    ("meshgrid", given(torch.ones(2), torch.ones(3), indexing="ij")),
    ("max_pool2d", given(X, 2, stride=1, return_indices=True)),
    ("adaptive_max_pool2d", given(X, 2, return_indices=True)),
    ("nonzero", given(X, as_tuple=True)),
    ("pad", given(X, (1, 1), mode="constant", value=0.0)),
    ("layer_norm", given(X, (4,))),
    ("conv2d", given(X, torch.ones(5, 3, 1, 1), padding="same")),
    ("scaled_dot_product_attention", given(X, X, X, is_causal=True, scale=0.5)),
    ("rearrange", given(X, "b c (out p) w -> b c out p w", out=2)),
    ("reduce", given(X, "b c h w -> b c", "mean")),
    ("fft.rfft2", given(X, norm="ortho")),
    ("linalg.norm", given(X, axis=1)),
    ("unique", given(X, return_counts=True, dim=0)),
    ("broadcast_shapes", given((2, 1), (1, 3))),
    ("interpolate", given(X, scale_factor=2, mode="nearest")),
    ("dropout", given(X, 0.5, True)),
    ("embedding", given(torch.tensor([0]), torch.ones(2, 2), padding_idx=0)),
    ("gumbel_softmax", given(X, 1.0, True)),
    ("pow", given(2, X)),
    ("div", given(X, 2, rounding_mode="floor")),
]

ACCEPTED_METHOD_CALLS = [
    ("reshape", given(6, 16)),
    ("reshape", given((6, 16))),
    ("reshape", given(shape=(6, 16))),
    ("view", given(-1)),
    ("view", given(2, 3, 16)),
    ("view", given(torch.int32)),
    ("view", given(dtype=torch.int32)),
    ("permute", given(0, 2, 3, 1)),
    ("permute", given(dims=(0, 2, 3, 1))),
    ("expand", given(2, 3, -1, -1)),
    ("repeat", given(1, 1, 2, 2)),
    ("repeat", given(repeats=(1, 1, 2, 2))),
    ("flip", given(0, 1)),
    ("tile", given(2, 2)),
    ("transpose", given(1, 2)),
    ("transpose", given(dim0=1, dim1=2)),
    ("mean", given(dim=(2, 3), keepdim=True)),
    ("mean", given((2, 3), True)),
    ("sum", given(axis=1)),
    ("to", given(torch.float64)),
    ("to", given("cpu", torch.float64, non_blocking=True)),
    ("to", given(device="cpu", dtype=torch.float64, copy=True)),
    ("to", given(tensor=X)),
    ("type", given(torch.float64)),
    ("float", given()),
    ("contiguous", given(memory_format=torch.channels_last)),
    ("size", given(-1)),
    ("size", given(dim=1)),
    ("new_zeros", given(2, 3)),
    ("new_zeros", given((2, 3), dtype=torch.int64)),
    ("new_full", given((2, 3), 1.0)),
    ("split", given(1, dim=1)),
    ("chunk", given(2, axis=2)),
    ("unflatten", given(1, (1, 3))),
    ("masked_fill", given(X > 0, 0.0)),
    ("std", given(0, True)),
    ("max", given(dim=1, keepdim=True)),
    ("norm", given(dim=1)),
    ("nonzero", given(as_tuple=True)),
    ("squeeze", given((0, 1))),
]


@pytest.mark.parametrize(
    ("name", "call"), ACCEPTED_CALLS, ids=lambda each: each if isinstance(each, str) else ""
)
def test_what_torch_accepts_is_accepted(
    name: str, call: tuple[tuple[object, ...], dict[str, object]]
) -> None:
    args, kwargs = call
    operations.operation(name)(*args, **kwargs)
    assert signature(name).check(len(args), kwargs) is None


@pytest.mark.parametrize(
    ("name", "call"), ACCEPTED_METHOD_CALLS, ids=lambda each: each if isinstance(each, str) else ""
)
def test_what_a_method_accepts_is_accepted(
    name: str, call: tuple[tuple[object, ...], dict[str, object]]
) -> None:
    args, kwargs = call
    getattr(X, name)(*args, **kwargs)
    assert method_signature(name).check(len(args), kwargs) is None


@pytest.mark.parametrize(
    ("name", "count", "keywords", "wrong"),
    [
        ("softmax", 1, ["dims"], "dims"),
        ("cat", 1, ["dimension"], "dimension"),
        ("sum", 1, ["dim", "keep_dim"], "keep_dim"),
        ("scaled_dot_product_attention", 3, ["causal"], "causal"),
        ("max_pool2d", 2, ["strides"], "strides"),
        ("linalg.norm", 1, ["order"], "order"),
        ("arange", 1, ["dtyp"], "dtyp"),
    ],
)
def test_an_unknown_keyword_is_named(name: str, count: int, keywords: list[str], wrong: str) -> None:
    problem = signature(name).check(count, keywords)
    assert problem is not None
    assert (problem.kind, problem.keyword) == ("unknown-keyword", wrong)
    assert problem.candidates
    assert wrong not in problem.candidates


def test_candidates_are_the_names_of_torch() -> None:
    assert signature("softmax").keywords() == ("input", "dim", "dtype")
    assert set(method_signature("mean").keywords()) == {"dim", "keepdim", "dtype"}


@pytest.mark.parametrize(("name", "count", "limit"), [("relu", 2, 1), ("cat", 4, 2), ("softmax", 9, 4)])
def test_too_many_positional_arguments(name: str, count: int, limit: int) -> None:
    problem = signature(name).check(count, [])
    assert problem == CallProblem("too-many-positional", limit=limit, candidates=signature(name).keywords())
    assert signature(name).check(limit, []) is None


def test_a_method_does_not_count_its_tensor() -> None:
    assert method_signature("relu").check(0, []) is None
    problem = method_signature("relu").check(1, [])
    assert problem is not None
    assert problem.limit == 0


@pytest.mark.parametrize("keyword", sorted(operations.FORBIDDEN_KEYWORDS))
@pytest.mark.parametrize("name", ["relu", "zeros", "bernoulli", "dropout", "einsum", "unique"])
def test_forbidden_keywords_are_refused(name: str, keyword: str) -> None:
    problem = signature(name).check(1, [keyword])
    assert problem is not None
    assert problem.kind == "forbidden-keyword"
    assert keyword not in problem.candidates


@pytest.mark.parametrize("name", sorted(METHODS))
def test_forbidden_keywords_are_refused_in_every_method(name: str) -> None:
    problem = method_signature(name).check(0, ["out"])
    assert problem is not None
    assert problem.kind == "forbidden-keyword"


def test_a_forbidden_argument_is_out_of_reach_by_position_too() -> None:
    assert signature("dropout").check(3, []) is None
    assert signature("dropout").check(4, []) is not None  # the fourth is inplace
    assert signature("embedding").check(3, ["norm_type"]) is None
    assert signature("embedding").check(4, []) is not None  # the fourth is max_norm
    problem = signature("embedding").check(2, ["max_norm"])
    assert problem is not None
    assert problem.kind == "forbidden-keyword"


def test_every_signature_can_be_read() -> None:
    for name in AVAILABLE:
        assert signature(name).overloads, name
    for name in METHODS:
        assert method_signature(name).overloads, name


def test_an_operation_outside_the_table_is_a_key_error() -> None:
    for name in ("load", "torch.load", "nn", "__class__", "fft.__loader__", ""):
        with pytest.raises(KeyError):
            operations.operation(name)
        with pytest.raises(KeyError):
            operations.available(name)
    for name in ("item", "__class__", "add_"):
        with pytest.raises(KeyError):
            operations.method_signature(name)


def test_an_operation_that_torch_lacks_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FUNCTIONS, "from_the_future", "torch.from_the_future")
    assert not operations.available("from_the_future")
    with pytest.raises(operations.UnavailableOperation, match=r"torch\.from_the_future"):
        operations.operation("from_the_future")
    assert operations.available("relu")


def test_a_path_that_leads_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FUNCTIONS, "system", "os.system")
    monkeypatch.setitem(FUNCTIONS, "module", "torch.nn.functional")
    monkeypatch.setitem(FUNCTIONS, "klass", "torch.Tensor")
    with pytest.raises(KeyError):
        operations.operation("system")
    assert not operations.available("module")
    assert not operations.available("klass")


def test_documentation_is_one_sentence_of_prose() -> None:
    assert operations.documentation("fft.rfft") == (
        "Computes the one dimensional Fourier transform of real-valued input."
    )
    assert operations.documentation("relu") == "Applies the rectified linear unit function element-wise."
    missing = [name for name in AVAILABLE if not operations.documentation(name)]
    assert len(missing) < 40, missing
    assert not [name for name in AVAILABLE if "`" in operations.documentation(name)]
