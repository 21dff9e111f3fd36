"""The first values in emitted source: what is written where, and that what is computed is what is built."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime
from compiler.artifact import Artifact
from tests.properties.comparison import state
from tests.properties.drawn import Pool
from tests.properties.test_emitted_laws import compare, emitted, written

ROOT = Path(__file__).parents[2]
HEAD = 'spec: 1\ninputs: {x: "float[batch, 4]"}\n'


def made(text: str) -> Artifact:
    return compiler.compile_text(text if text.startswith("spec") else HEAD + text)


def resets(artifact: Artifact) -> dict[str, str]:
    """Return the bodies of `reset_parameters` in the source, by class."""
    classes = [node for node in ast.parse(artifact.source).body if isinstance(node, ast.ClassDef)]
    methods = [(cls.name, node) for cls in classes for node in cls.body if isinstance(node, ast.FunctionDef)]
    return {
        cls: "\n".join(map(ast.unparse, node.body))
        for cls, node in methods
        if node.name == "reset_parameters"
    }


ONE = """
model:
  parameters: {p: {tensor: "float[3, 4]", init: "INIT"}}
  forward: return x * p.sum()
"""

FORMS = [
    ("normal(std=0.02)", "nn.init.normal_(self.p, std=0.02)"),
    ("trunc_normal(0, 0.02)", "nn.init.trunc_normal_(self.p, 0, 0.02)"),
    ("orthogonal", "nn.init.orthogonal_(self.p)"),
    ("eye", "nn.init.eye_(self.p)"),
    ("1 / sqrt(2)", "nn.init.constant_(self.p, 1 / math.sqrt(2))"),
    ("-1", "nn.init.constant_(self.p, -1)"),
    ("constant(0.5)", "nn.init.constant_(self.p, 0.5)"),
    ("normal(std=fan_in ** -0.5)", "nn.init.normal_(self.p, std=self.p[0].numel() ** (-0.5))"),
    ("normal(std=1 / fan_out)", "nn.init.normal_(self.p, std=1 / self.p[:, 0].numel())"),
    ("normal(std=1) if fan_in > 2 else zeros", "nn.init.normal_(self.p, std=1)"),
    ("xavier_uniform(gain=-1)", "nn.init.xavier_uniform_(self.p, gain=abs(-1))"),
    ("arange(4) * pi", "with torch.no_grad():\n    self.p.copy_(torch.arange(4) * torch.pi)"),
    (
        "uniform(-10, 10) * (abs(w) >= 5)",
        "with torch.no_grad():\n    w = nn.init.uniform_(torch.empty_like(self.p), -10, 10)\n"
        "    self.p.copy_(w * (torch.abs(w) >= 5))",
    ),
    (
        "mixture([1/4, uniform(5, 10)], [1/2, zeros], [1/4, ones])",
        "with torch.no_grad():\n    u = torch.rand_like(self.p)\n"
        "    self.p.copy_(torch.where(u < 0.25, nn.init.uniform_(torch.empty_like(self.p), 5, 10), "
        "torch.where(u < 0.75, 0.0, torch.ones_like(self.p))))",
    ),
    (
        "stack([w + normal * i for i in range(3)])[0]",
        "with torch.no_grad():\n    w = nn.init.normal_(torch.empty_like(self.p))\n"
        "    self.p.copy_(torch.stack([w + w * i for i in range(3)])[0])",
    ),
]


@pytest.mark.parametrize(("init", "expected"), FORMS, ids=[init for init, _ in FORMS])
def test_each_form_of_an_initialiser(init: str, expected: str) -> None:
    artifact = made(ONE.replace("INIT", init))
    assert resets(artifact) == {"Spec": expected}
    compare(artifact, Pool())


@pytest.mark.parametrize(
    ("init", "maker"), [("zeros", "zeros(3, 4)"), ("ones", "ones(3, 4)"), ("7", "full((3, 4), 7.0)")]
)
def test_what_a_tensor_is_made_with_is_not_written_again(init: str, maker: str) -> None:
    artifact = made(ONE.replace("INIT", init))
    assert (resets(artifact), f"torch.{maker}" in artifact.source) == ({}, True)
    compare(artifact, Pool())


COMPUTED = [
    "arange(4) * pi / 3",
    "sin(arange(4)) + linspace(0, 1, 4)",
    "where(arange(4) > 1, 0.1, pi)",
    "log(arange(1, 5)) * (arange(4) % 3 == 0)",
    "full([4], 0.1) - arange(4) / 7",
    "ones * pi + zeros",
    "eye * 0.1 + 0.3",
    "outer(arange(3), [0.1 * i for i in range(4)][1] * arange(4))",
]


@pytest.mark.parametrize("init", COMPUTED)
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "complex128", "complex64"])
def test_what_is_computed_is_equal_to_what_is_built(init: str, dtype: str) -> None:
    compare(
        made(ONE.replace("INIT", init).replace("float[", f"{dtype}[").replace("x * p.sum()", "x, p")), Pool()
    )


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "float16", "bfloat16", "float64"])
@pytest.mark.parametrize(
    "init", ["orthogonal(gain=2)", "trunc_normal(std=0.5)", "0.5 * orthogonal + trunc_normal", "sparse(0.5)"]
)
def test_what_torch_cannot_draw_as_it_is(dtype: str, init: str) -> None:
    text = ONE.replace("INIT", init).replace("float[3, 4]", f"{dtype}[40, 50]").replace("x * p.sum()", "x, p")
    artifact = made(text)
    built, alone = state(runtime.build(artifact, device="cpu"))["p"], state(emitted(artifact))["p"]
    assert (alone.dtype, written(alone)) == (built.dtype, True)
    wide = torch.complex128 if alone.is_complex() else torch.float64
    built, alone = built.to(wide), alone.to(wide)
    assert math.isclose(float(alone.abs().mean()), float(built.abs().mean()), rel_tol=0.1)
    if init.startswith("orthogonal"):
        torch.testing.assert_close(alone @ alone.mH, 4 * torch.eye(40, dtype=wide), atol=0.1, rtol=0)


BY_TYPE = """
vars: {depth: 3}
model:
  - first: Linear(8)
  - {repeat: depth, of: "Linear(8, bias=False)"}
  - last: Linear(2)
init:
  - Linear.weight: normal(std=1 / sqrt(depth * in_features))
  - Linear.bias: zeros
"""


def test_a_rule_for_a_type_is_a_loop_over_modules() -> None:
    artifact = made(BY_TYPE)
    assert resets(artifact)["Spec"] == (
        "for module in self.modules():\n    if isinstance(module, nn.Linear):\n"
        "        nn.init.normal_(module.weight, std=1 / math.sqrt(self.depth * module.in_features))\n"
        "        if module.bias is not None:\n            nn.init.zeros_(module.bias)"
    )
    compare(artifact, Pool())


def test_one_that_another_rule_overrules_is_written_by_name() -> None:
    artifact = made(BY_TYPE + "  - last.weight: ones\n  - /[2-3].weight: ones\n")
    assert "module.weight" not in artifact.source
    assert "if isinstance(module, nn.Linear) and module.bias is not None:" in artifact.source
    compare(artifact, Pool())


def test_a_loop_leaves_layers_alone_that_have_values_of_their_own() -> None:
    """The projection of an attention is a `Linear` to Python, and no `Linear` to a rule."""
    artifact = made("""spec: 1
inputs: {x: "float[batch, time, 8]"}
model:
  layers: {fc: Linear(8), attend: MultiheadAttention(2)}
  forward: |
    x = fc(x)
    return attend(x, x, x)[0]
init: [Linear.weight: ones]
""")
    assert resets(artifact) == {"Spec": "nn.init.ones_(self.fc.weight)"}
    compare(artifact, Pool())


BLOCK = """
blocks:
  Layer(width, extra=False):
    layers:
      up: Linear(2 * width)
      norm: {if: extra, then: BatchNorm1d, else: Identity}
      down: [ReLU, "Linear(width, bias=extra)"]
    parameters: {scale: {tensor: "float[width]", init: normal(std=1 / width)}}
    init:
      - up.weight: normal(std=width ** -0.5)
      - norm.weight: zeros
      - down.*.weight: normal(std=fan_in ** -0.5)
    forward: return x + scale * down(norm(up(x)))
model:
  - Layer(4, True)
  - Layer(4)
  - Linear(6)
  - Layer(6, extra=True)
"""


def test_what_instances_have_in_common_stands_in_their_class() -> None:
    artifact = made(BLOCK)
    assert resets(artifact) == {
        "Layer": "nn.init.normal_(self.scale, std=1 / self.width)\n"
        "nn.init.normal_(self.up.weight, std=self.width ** (-0.5))\n"
        "if isinstance(self.norm, nn.BatchNorm1d):\n    nn.init.zeros_(self.norm.weight)\n"
        "weight = self.get_parameter('down.1.weight')\n"
        "nn.init.normal_(weight, std=weight[0].numel() ** (-0.5))"
    }
    compare(artifact, Pool())


def test_what_they_have_not_stands_in_the_root() -> None:
    artifact = made(
        BLOCK
        + "init:\n  - /0.scale: uniform(1, 2)\n  - /[0-1].up.weight: arange(4)\n  - /3.up.weight: ones\n"
    )
    assert "scale" not in resets(artifact)["Layer"]
    assert resets(artifact)["Spec"] == (
        "nn.init.uniform_(self.get_parameter('0.scale'), 1, 2)\n"
        "nn.init.normal_(self.get_parameter('1.scale'), std=1 / 4)\n"
        "nn.init.normal_(self.get_parameter('3.scale'), std=1 / 6)\n"
        "with torch.no_grad():\n    self.get_parameter('0.up.weight').copy_(torch.arange(4))\n"
        "    self.get_parameter('1.up.weight').copy_(torch.arange(4))\n"
        "nn.init.ones_(self.get_parameter('3.up.weight'))"
    )
    compare(artifact, Pool())


def test_many_by_name_are_a_loop_over_numbers() -> None:
    artifact = made("""
model: [{repeat: 5, of: [Linear(4), Tanh, "Linear(4)"]}]
init:
  - /[1-3].*.weight: ones
  - /[1-3].0.bias: zeros
""")
    assert resets(artifact) == {
        "Spec": "for index in range(1, 4):\n"
        "    nn.init.ones_(self.get_parameter(f'{index}.0.weight'))\n"
        "    nn.init.ones_(self.get_parameter(f'{index}.2.weight'))\n"
        "    nn.init.zeros_(self.get_parameter(f'{index}.0.bias'))"
    }
    compare(artifact, Pool())


TIED = """spec: 1
inputs: {tokens: "int64[batch, time]"}
model:
  - OWNER
  - ALIAS
share: {words: [0.weight, 1.weight]}
"""


@pytest.mark.parametrize(
    "rules",
    [
        "",
        "init: [Embedding.weight: normal(std=0.02)]",
        "init: [Linear.weight: normal(std=0.02)]",
        'init: ["{Embedding,Linear}.weight": normal(std=0.02)]',
        'init: ["{Embedding,Linear}.weight": ones]',
    ],
)
def test_a_row_of_padding_is_zero_in_all_of_its_places(rules: str) -> None:
    text = TIED.replace("OWNER", '"Embedding(5, 8, padding_idx=1)"').replace(
        "ALIAS", '"Linear(5, bias=False)"'
    )
    artifact = made(text + rules)
    compare(artifact, Pool())
    model = emitted(artifact)
    assert not model.get_parameter("1.weight")[1].any()
    assert model.get_parameter("0.weight")[2:].all()


def test_a_tensor_of_a_block_has_the_default_of_the_layer_that_it_is_shared_with() -> None:
    artifact = made("""
model:
  layers: {fc: "Linear(3, bias=False)"}
  parameters: {p: {tensor: "float[3, 4]", init: normal(std=0.02)}}
  forward: return fc(x) @ p
share: {one: [p, fc.weight]}
""")
    assert resets(artifact) == {"Spec": "nn.init.normal_(self.p, std=0.02)"}
    compare(artifact, Pool())


@pytest.mark.parametrize(
    "layer",
    [
        "TransformerEncoder(TransformerEncoderLayer(2, 6, batch_first=True), 3)",
        "TransformerEncoder(TransformerEncoderLayer(2, 6, batch_first=True), 2)",
    ],
)
def test_copies_of_a_layer_have_values_of_their_own(layer: str) -> None:
    artifact = made(f'spec: 1\ninputs: {{x: "float[2, 3, 4]"}}\nmodel: [inner: "{layer}"]\n')
    compare(artifact, Pool())
    model = emitted(artifact)
    one, other = (model.get_parameter(f"inner.layers.{at}.linear1.weight") for at in (0, 1))
    assert not torch.equal(one, other)


def test_a_checkpoint_is_said_and_nothing_is_left_unwritten() -> None:
    artifact = made("""
model:
  layers: {encoder: Linear(4), head: Linear(2)}
  parameters: {scale: {tensor: "float[4]", init: "checkpoint('scale.safetensors')"}}
  forward: return head(encoder(x) * scale)
init:
  - encoder: checkpoint('encoder.safetensors', prefix='net.')
  - head.weight: zeros
""")
    assert all(written(values) for values in state(emitted(artifact)).values())
    assert "encoder: checkpoint('encoder.safetensors', prefix='net.')" in artifact.source
    assert "checkpoint('scale.safetensors')" in artifact.source
    assert resets(artifact) == {"Spec": "nn.init.zeros_(self.head.weight)"}


def test_gpt2_has_the_deviations_that_its_spec_says() -> None:
    model = emitted(compiler.compile(ROOT / "specs/zoo/gpt2.yaml", preset="tiny"))
    assert math.isclose(float(model.get_parameter("wte.weight").detach().std()), 0.02, rel_tol=0.05)


def test_convnext_has_scales() -> None:
    artifact = compiler.compile(ROOT / "specs/zoo/convnext.yaml", preset="tiny")
    values = state(emitted(artifact))
    scales = [values[row.name] for row in artifact.plan.rows if row.name.endswith("layer_scale")]
    assert scales
    assert all(bool((scale == torch.tensor(1e-6)).all()) for scale in scales)


def test_a_built_model_draws_nothing_in_its_constructor(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets its values from the plan; its class has the method all the same."""

    def drawn(*_: object, **__: object) -> Tensor:
        raise AssertionError("drawn twice")

    monkeypatch.setattr(nn.init, "trunc_normal_", drawn)
    model = runtime.build(made(ONE.replace("INIT", "trunc_normal(std=0.5)")))
    with pytest.raises(AssertionError, match="drawn twice"):
        model.reset_parameters()  # type: ignore[operator]


def test_no_layer_and_no_value_has_the_name_of_the_method() -> None:
    with pytest.raises(compiler.SpecError) as caught:
        made("model: [reset_parameters: Linear(4)]")
    assert caught.value.diagnostics[0].code == "reserved-name"
    artifact = made("""
blocks:
  B(reset_parameters):
    layers: {fc: Linear(4)}
    init: [fc.weight: normal(std=1 / reset_parameters)]
    forward: return fc(x)
model: [B(3)]
""")
    assert resets(artifact) == {"B": "nn.init.normal_(self.fc.weight, std=1 / self.reset_parameters_)"}
    compare(artifact, Pool())


@pytest.mark.parametrize("name", ["nn", "torch", "u"])
def test_a_tensor_may_be_called_as_what_fills_it_is(name: str) -> None:
    artifact = compiler.compile_text(f"""
spec: 1
inputs: {{x: "float[batch, 3]"}}
model:
  buffers: {{{name}: {{tensor: "float64[400]", init: "mixture([0.5, uniform(1, 2)], [0.5, normal])"}}}}
  forward: return x + {name}.sum()
""")
    pool = Pool()
    compare(artifact, pool)
    pool.check()
