"""First values follow from seed, name and position: from nothing that stands or runs around them, bit by bit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import compiler
import runtime
import runtime.placement
from compiler.artifact import Artifact
from compiler.catalogue.initializer_table import RANDOM_INITIALIZERS

PLUGIN = """
import torch
from torch import Generator, Tensor, nn
from compiler.plugins import initializer, layer

@initializer
def sunny(shape: tuple[int, ...], scale: float = 1.0, *, generator: Generator) -> Tensor:
    values = torch.randn(shape, generator=generator)
    return scale * values / values.norm() + torch.rand(shape)

@layer
class Own(nn.Module):
    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(in_features, in_features))
        nn.init.orthogonal_(self.matrix)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.matrix
"""
SIZE = 400
"""More than four chunks in a matrix of it, so that they are drawn in parallel."""

EXPRESSIONS = {
    "uniform": "uniform(-1, 1)",
    "normal": "normal",
    "trunc_normal": "trunc_normal(std=0.5)",
    "xavier_uniform": "xavier_uniform(gain=2)",
    "xavier_normal": "xavier_normal()",
    "kaiming_uniform": "kaiming_uniform(a=sqrt(5))",
    "kaiming_normal": "kaiming_normal(mode='fan_out', nonlinearity='relu')",
    "orthogonal": "orthogonal(gain=0.5)",
    "sparse": "sparse(0.3)",
    "mixed": "mixture([0.25, uniform(5, 10)], [0.5, zeros], [0.25, normal(std=2) - mixture([0.5, 1], [0.5, 2])])",
    "masked": "uniform(-10, 10) * (abs(w) >= 5)",
    "centred": "normal(1, 2) - mean(w) + 0.5 * uniform(-1, 1)",
    "normed": "normal / sqrt(sum(w * w, dim=0))",
    "product": "normal @ orthogonal / sqrt(fan_in)",
    "registered": "sunny(scale=3) + normal",
}
"""Initialisers by the name of their layer. Sums and products are what depends on threads, if anything does."""

LAYERS = [f"{name}: Linear({SIZE})" for name in EXPRESSIONS] + ["own: Own", "twin: Own"]
RULES = [f'/{name}.weight: "{value}"' for name, value in EXPRESSIONS.items()]


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("plugin") / "sunshine.py"
    path.write_text(PLUGIN)
    return str(path)


def spec(layers: list[str], rules: list[str], more: str = "") -> str:
    """A spec whose layers run in the order of their names, wherever they are declared."""
    calls = "".join(f"    x = {name}(x)\n" for name in sorted(each.partition(":")[0] for each in layers))
    listed = "".join(f"    {each}\n" for each in layers)
    return (
        f'spec: 1\ninputs: {{x: "float[2, {SIZE}]"}}\nmodel:\n  layers:\n{listed}'
        f'  buffers:\n    scale: {{value: "softmax(arange({SIZE**2}) / {SIZE**2}, dim=0).reshape({SIZE}, {SIZE})"}}\n'
        f"  forward: |\n{calls}    return x.to(float32) @ scale\n"
        f"init:\n{''.join(f'  - {rule}{chr(10)}' for rule in rules)}{more}"
    )


@pytest.fixture(scope="module")
def artifact(plugin: str) -> Artifact:
    return compiler.compile_text(spec(LAYERS, RULES), plugins=[plugin])


@pytest.fixture(scope="module")
def expected(artifact: Artifact) -> dict[str, Tensor]:
    return values(artifact)


def values(artifact: Artifact, seed: int = 5, device: runtime.placement.Devices = "cpu") -> dict[str, Tensor]:
    return runtime.build(artifact, seed=seed, device=device).state_dict()


def assert_same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """The same bits under each name of `expected`; `found` may have more names."""
    assert expected.keys() <= found.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name].cpu(), value), name


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def test_each_random_initialiser_is_here() -> None:
    assert EXPRESSIONS.keys() > RANDOM_INITIALIZERS


@pytest.mark.parametrize("count", [1, 4])
def test_threads(artifact: Artifact, expected: dict[str, Tensor], count: int) -> None:
    with threads(count):
        assert_same(values(artifact), expected)


def test_layers_added_before_and_after(plugin: str, expected: dict[str, Tensor]) -> None:
    layers = [f"aaa: Linear({SIZE})", "bbb: Own", *LAYERS, f"zzz: Linear({SIZE})"]
    more = compiler.compile_text(spec(layers, ["aaa.bias: normal", *RULES, "zzz: ones"]), plugins=[plugin])
    assert_same(values(more), expected)


def test_another_order_of_declarations(plugin: str, expected: dict[str, Tensor]) -> None:
    turned = compiler.compile_text(spec(LAYERS[::-1], RULES[::-1]), plugins=[plugin])
    found = values(turned)
    assert list(found)[1:4] != list(expected)[1:4]
    assert_same(found, expected)


@pytest.mark.parametrize("placement", ["cpu", "auto"])
def test_another_placement(plugin: str, expected: dict[str, Tensor], placement: str) -> None:
    """On a machine with an accelerator `auto` is one."""
    placed = compiler.compile_text(
        spec(LAYERS, RULES, f"placement: [{{/: {placement}}}]\n"), plugins=[plugin]
    )
    assert_same(values(placed, device=None), expected)


def test_placement_on_two_devices(
    plugin: str, expected: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stand-ins: the plan is that of two accelerators, whose tensors lie in the memory of this machine."""
    asked: set[str] = set()
    monkeypatch.setattr(
        runtime.placement, "resolve_device", lambda name: asked.add(name) or torch.device("cpu")
    )
    rules = "placement: [{/: 'cuda:0'}, {'{normal,own}': 'cuda:1'}]\n"
    assert_same(
        values(compiler.compile_text(spec(LAYERS, RULES, rules), plugins=[plugin]), device=None), expected
    )
    assert asked == {"cuda:0", "cuda:1"}


def test_what_lies_elsewhere_changes_nothing_here(artifact: Artifact, expected: dict[str, Tensor]) -> None:
    found = values(artifact, device={"/": "cpu", "{uniform,own,mixed}": "meta"})
    here = {name: value for name, value in expected.items() if not found[name].is_meta}
    assert 0 < len(here) < len(expected)
    assert_same(found, here)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_lower_precision_has_the_same_values_rounded(dtype: str) -> None:
    for law in ("uniform(-1, 1)", "normal", "trunc_normal", "orthogonal", "sparse(0.5)"):
        rule = f'/a.weight: "{law}"'
        single, half = (
            compiler.compile_text(
                spec([f"a: Linear({SIZE})"], [rule], f"placement: [{{/: {{dtype: {each}}}}}]\n")
            )
            for each in ("float32", dtype)
        )
        exact = {
            name: value if name == "scale" else value.to(getattr(torch, dtype))  # it is computed
            for name, value in values(single).items()
        }
        assert_same(values(half), exact)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "complex64", "complex128"])
def test_each_dtype_with_threads(dtype: str) -> None:
    """Parameters of a dtype of their own: laws, a mixture and an expression."""
    tensor = f'{{tensor: "{dtype}[{SIZE}, {SIZE}]", init: "INIT"}}'
    own = ["normal(std=2)", "mixture([0.5, normal], [0.5, uniform(1, 2)])", "normal / 2 + uniform(-1, 1)"]
    own += ["orthogonal"]
    lines = "".join(f"    p{i}: {tensor.replace('INIT', init)}\n" for i, init in enumerate(own))
    text = f'spec: 1\ninputs: {{x: "float32[2]"}}\nmodel:\n  parameters:\n{lines}  forward: return x\n'
    made = compiler.compile_text(text)
    found = []
    for count in (1, 4):
        with threads(count):
            found.append(values(made))
    assert_same(*found)
    for value in found[0].values():
        assert str(value.dtype) == f"torch.{dtype}"
        assert len(torch.view_as_real(value).unique() if value.is_complex() else value.unique()) > 1000


# Whole, or one half at a time.


def test_one_half_at_a_time(artifact: Artifact, expected: dict[str, Tensor]) -> None:
    order = sorted(expected)
    halves = [order[::2], order[1::2]]
    made: dict[str, Tensor] = {}
    for half in halves:
        part: dict[str, Tensor] = {}
        for name in half:
            part |= runtime.initial_values(artifact, f"/{name}", seed=5)
        assert sorted(part) == sorted(half)
        made |= part
    assert_same(made, expected)


def test_a_module_alone(artifact: Artifact, expected: dict[str, Tensor]) -> None:
    part = runtime.initial_values(artifact, "{mixed,own}", seed=5)
    assert part.keys() == {"mixed.weight", "mixed.bias", "own.matrix"}
    assert_same(expected, part)
    assert_same(runtime.initial_values(artifact, seed=5), expected)


def test_a_selector_that_names_nothing(artifact: Artifact) -> None:
    with pytest.raises(ValueError, match="`nothing` names no parameter"):
        runtime.initial_values(artifact, "nothing")


def test_only_what_is_selected_is_drawn(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    generator = runtime.initialise.Draws._generator
    monkeypatch.setattr(
        runtime.initialise.Draws, "_generator", lambda d, chunk: names.append(d.name) or generator(d, chunk)
    )
    runtime.initial_values(artifact, "mixed.weight")
    assert set(names) == {"mixed.weight"}


# What surrounds the caller.


@contextmanager
def default_dtype() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def another_global_seed() -> Iterator[None]:
    state = torch.get_rng_state()
    torch.manual_seed(987)
    try:
        yield
    finally:
        torch.set_rng_state(state)


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


SURROUNDINGS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "default device": lambda: torch.device("meta"),
    "default dtype": default_dtype,
    "global seed": another_global_seed,
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu"),
    "deterministic": deterministic,
}


@pytest.mark.parametrize("surrounding", SURROUNDINGS)
def test_surroundings(artifact: Artifact, expected: dict[str, Tensor], surrounding: str) -> None:
    with SURROUNDINGS[surrounding]():
        found = values(artifact)
    assert_same(found, expected)
    assert not any(value.is_inference() for value in found.values()), "a model that could not be trained"


def test_the_global_generator_and_threads_stay_as_they_are(artifact: Artifact) -> None:
    with threads(3):
        state = torch.get_rng_state()
        values(artifact)
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.get_num_threads() == 3
        assert torch.get_default_dtype() == torch.float32


def test_another_process(plugin: str, expected: dict[str, Tensor], tmp_path: Path) -> None:
    """Other hashes of texts, and another number of threads from the start."""
    (tmp_path / "spec.yaml").write_text(spec(LAYERS, RULES))
    code = (
        "import sys, compiler, runtime; "
        "model = runtime.build(compiler.compile(sys.argv[1], plugins=[sys.argv[2]]), seed=5, device='cpu'); "
        "runtime.save(model, sys.argv[3])"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77", "OMP_NUM_THREADS": "4"}
    arguments = [str(tmp_path / "spec.yaml"), plugin, str(tmp_path / "values.safetensors")]
    root = Path(compiler.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, cwd=root, env=environment)
    assert_same(load_file(tmp_path / "values.safetensors"), expected)


# What they do depend on.


def test_the_seed_changes_each_random_value(artifact: Artifact, expected: dict[str, Tensor]) -> None:
    other = values(artifact, seed=6)
    for name in (f"{each}.weight" for each in EXPRESSIONS):
        assert not torch.equal(other[name], expected[name]), name
    assert not torch.equal(other["own.matrix"], expected["own.matrix"])
    assert torch.equal(other["scale"], expected["scale"])


def test_the_name_changes_each_random_value(expected: dict[str, Tensor]) -> None:
    assert not torch.equal(expected["own.matrix"], expected["twin.matrix"])
    weights = [expected[f"{name}.weight"] for name in ("normal", "normed", "centred", "product")]
    for i, one in enumerate(weights):
        for other in weights[i + 1 :]:
            assert abs(float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])) < 0.02


def test_draws_of_one_expression_are_apart() -> None:
    """Two mixtures choose apart, two draws of one law differ, and one draw is the same however it is written."""
    rules = {
        "a": "mixture([0.5, 0], [0.5, 1]) + 2 * mixture([0.5, 0], [0.5, 1])",
        "b": "normal - normal",
        "c": "normal()",
        "d": "normal(0, 1) if fan_in > 0 else zeros",
    }
    made = {}
    for name, value in rules.items():
        text = spec([f"x1: Linear({SIZE})"], [f'/x1.weight: "{value}"'])
        made[name] = values(compiler.compile_text(text))["x1.weight"]
    shares = torch.stack([(made["a"] == number).float().mean() for number in range(4)])
    assert bool((abs(shares - 0.25) < 0.01).all())
    assert abs(float(made["b"].std()) - 2**0.5) < 0.02
    assert torch.equal(made["c"], made["d"])
