"""A program calls the layers inside of its layers, and reads what they hold: as a module written by hand does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import compiler
import runtime
from tests.type_checker import refusal

SPEC = """
spec: 1
name: nested
inputs: {x: "float32[batch, 8]"}
vars: {width: 4, depth: 2}
blocks:
  Autoencoder(width):
    layers: {encoder: Linear(width), decoder: Linear(8), unused: Linear(3)}
    forward: return unused(decoder(encoder(x)))
  Stage(n):
    layers: {conv: Linear(n), inner: Autoencoder(n // 2), norm: BatchNorm1d}
    parameters: {scale: {tensor: "float[n]", init: normal}}
    forward: return norm(conv(x)) * scale
model:
  layers:
    vae: Autoencoder(width)
    ls: [Linear(8), ReLU, Linear(8)]
    stages: {repeat: depth, of: Stage(2 * width)}
    par: {parallel: {conv: Linear(8), b: Linear(8)}, combine: add}
  forward: |
    z = vae.encoder(x)
    y = linear(ls[0](x), ls[0].weight, ls[0].bias)
    for stage in stages:
      y = stage.conv(y) * stage.scale + stage.inner.encoder(y).sum() + stage.norm(y)
    y = y + stages[-1].norm.running_mean + stages[0].inner.encoder.weight.sum()
    y = y + par.conv(y) + par.b(y) * par.b.weight[0]
    return vae.decoder(z) + ls[2](y) + linear(x, vae.decoder.weight @ vae.encoder.weight) + par(y)
"""


class Autoencoder(nn.Module):
    def __init__(self, width: int, decodes: bool) -> None:
        super().__init__()
        self.encoder = nn.Linear(8, width)
        if decodes:
            self.decoder = nn.Linear(width, 8)


class Stage(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Linear(8, 8)
        self.inner = Autoencoder(4, decodes=False)
        self.norm = nn.BatchNorm1d(8)
        self.scale = nn.Parameter(torch.empty(8))


class ByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.vae = Autoencoder(4, decodes=True)
        self.ls = nn.ModuleList([nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8)])
        self.stages = nn.ModuleList([Stage(), Stage()])
        self.par = nn.ModuleDict({"conv": nn.Linear(8, 8), "b": nn.Linear(8, 8)})

    def forward(self, x: Tensor) -> Tensor:
        z = self.vae.encoder(x)
        first: nn.Linear = self.ls[0]  # type: ignore[assignment]
        y = F.linear(first(x), first.weight, first.bias)
        stages: list[Stage] = list(self.stages)  # type: ignore[arg-type]
        for stage in stages:
            y = stage.conv(y) * stage.scale + stage.inner.encoder(y).sum() + stage.norm(y)
        y = y + stages[-1].norm.running_mean + stages[0].inner.encoder.weight.sum()
        a, b = self.par["conv"], self.par["b"]
        y = y + a(y) + b(y) * b.get_parameter("weight")[0]
        both = F.linear(x, self.vae.decoder.weight @ self.vae.encoder.weight)
        result: Tensor = self.vae.decoder(z) + self.ls[2](y) + both + a(y) + b(y)
        return result


def test_keys_outputs_and_gradients_are_those_of_the_module_by_hand() -> None:
    model, by_hand = runtime.build(compiler.compile_text(SPEC), device="cpu", seed=0), ByHand()
    assert set(model.state_dict()) == set(by_hand.state_dict())
    by_hand.load_state_dict(model.state_dict())
    x = torch.randn(5, 8)
    for mode in (True, False):
        a, b = model.train(mode)(x), by_hand.train(mode)(x)
        assert torch.allclose(a, b, atol=1e-5)
    a.square().sum().backward()
    b.square().sum().backward()
    theirs = dict(by_hand.named_parameters())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None or theirs[name].grad is None, name
        if parameter.grad is not None:
            assert torch.allclose(parameter.grad, theirs[name].grad, rtol=1e-4, atol=1e-4), name  # type: ignore[arg-type]


def test_the_emitted_file_alone_is_the_model_and_is_typed(tmp_path: Path) -> None:
    artifact = compiler.compile_text(SPEC)
    path = tmp_path / "nested.py"
    path.write_text(artifact.source)
    assert "self.vae.encoder(x)" in artifact.source
    assert "self.vae.decoder.weight @ self.vae.encoder.weight" in artifact.source
    assert 'stage.get_submodule("inner.encoder")(y)' in artifact.source
    assert refusal(tmp_path) == ""
    model = runtime.build(artifact, device="cpu", seed=0)
    names: dict[str, type[nn.Module]] = {}
    exec(compile(artifact.source, str(path), "exec"), names)
    alone = names["Nested"]()
    alone.load_state_dict(model.state_dict())
    x = torch.randn(3, 8)
    assert torch.equal(alone.eval()(x), model.eval()(x))


def test_other_values_of_variables() -> None:
    artifact = compiler.compile_text(SPEC, set={"depth": 3})
    model = runtime.build(artifact, device="cpu")
    assert "stages.2.inner.encoder.weight" in model.state_dict()
    assert "depth: int = 3" in artifact.source


def test_a_model_is_compiled_exported_saved_and_loaded(tmp_path: Path) -> None:
    model = runtime.build(compiler.compile_text(SPEC), device="cpu").eval()
    x = torch.randn(4, 8)
    expected = model(x)
    exported = torch.export.export(model, (x,)).module()
    assert torch.allclose(exported(x), expected, atol=1e-5)
    assert torch.allclose(torch.compile(model, backend="eager", fullgraph=True)(x), expected, atol=1e-5)
    runtime.save(model, tmp_path / "model.safetensors")
    assert torch.equal(runtime.load(tmp_path / "model.safetensors").eval()(x), expected)


PLACED = """
spec: 1
inputs: {x: "float[batch, 8]"}
blocks:
  Pair:
    layers: {a: Linear(8), b: Linear(8)}
    parameters: {scale: {tensor: "float[8]", init: ones}}
    forward: return b(a(x)) * scale
model:
  layers: {pair: Pair, pairs: {repeat: 2, of: Pair}}
  forward: |
    y = pair.b(pair.a(x)) @ pair.a.weight
    for each in pairs:
      y = each.b(each.a(y)) + y * each.scale
    return y
placement:
  - pair.a: cpu
  - pair.b: cuda:0
  - pair.scale: cuda:0
  - pairs: cuda:1
"""


def test_values_move_to_the_layers_inside() -> None:
    source = compiler.compile_text(PLACED).source
    assert "self.pair.b(self.pair.a(x.to(self.pair.a.weight.device)).to(self.pair.b.weight.device))" in source
    assert 'each.get_submodule("a")(y.to(each.a.weight.device))' in source


def refused(program: str) -> compiler.SpecError:
    head = SPEC.partition("  forward: |\n    z")[0]
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(f"{head}  forward: |\n    {program}\n")
    return caught.value


@pytest.mark.parametrize(
    ("program", "code", "message"),
    [
        ("return vae.encodr(x)", "unknown-attribute", "`vae` has no layer, parameter or buffer `encodr`"),
        ("return stages[0].cnv(x)", "unknown-attribute", "`stages.0` has no layer, parameter or buffer `cnv`"),
        ("return x @ vae.encoder.weight", "not-yet-shaped", "`vae.encoder` has no shape before its first call"),
        ("return ls[0].wieght", "not-yet-shaped", "`ls.0` has no shape before its first call"),
        ("return ls[9](x)", "not-an-index", "`ls` has 3 items, and no item 9"),
        ("return vae.state_dict()", "unknown-attribute", "`vae` has no layer, parameter or buffer `state_dict`"),
        ("return vae.encoder(x).foo()", "unknown-method", "tensors have no method `foo`"),
        ("return vae.encoder(x, x)", "input-count", "`Linear`"),
        ("return vae.encoder + x", "not-a-value", "`vae.encoder` is a layer, not a value"),
        ("return [s.foo for s in stages][0]", "unknown-attribute", "`stages.0` has no layer, parameter or buffer"),
        ("return vae.encoder.weight.relu_()", "changed-in-place", "`relu_` changes its tensor in place"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused_in_its_place(program: str, code: str, message: str) -> None:
    first, *_ = refused(program).diagnostics
    assert first.code == code
    assert message in first.message
    assert first.span is not None
    assert first.span.line == 21


def test_a_layer_that_is_called_as_a_whole_and_by_parts() -> None:
    """In either order: what is known of a part stays known."""
    for program in ("y = row[0](x)\n    return row(y)", "y = row(x)\n    return row[0](y) + row.last(y)"):
        text = f"""
spec: 1
inputs: {{x: "float32[batch, 8]"}}
model:
  layers: {{row: {{residual: [Linear(8), {{last: Linear(8)}}]}}}}
  forward: |
    {program}
"""
        model = runtime.build(compiler.compile_text(text), device="cpu")
        assert list(model.state_dict()) == ["row.0.weight", "row.0.bias", "row.last.weight", "row.last.bias"]
        assert model(torch.randn(2, 8)).shape == (2, 8)


def test_copies_of_one_class_keep_an_attribute_that_is_read() -> None:
    """Classes that differ in a layer are not made one where its attributes are read: no checker would know them."""
    text = """
spec: 1
inputs: {x: "float32[batch, 8]"}
blocks:
  A:
    layers: {part: Linear(8)}
    forward: return part(x)
  B:
    layers: {part: "Linear(8, bias=False)"}
    forward: return relu(part(x))
  Of(of):
    layers: {inner: of}
    forward: return inner.part(x)
model: [Of(A), Of(B)]
"""
    source = compiler.compile_text(text).source
    assert source.count("self.inner.part(x)") == 2
