"""State that a forward updates: a running mean, a codebook; beside torch's own layers and modules written by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime
from compiler import SpecError
from tests.emitted_file import run_file

NORM = """
spec: 1
inputs: {x: "float32[batch, 4]"}
blocks:
  Norm(momentum=0.1):
    parameters:
      weight: {tensor: "float[x.shape[-1]]", init: ones}
      bias: {tensor: "float[x.shape[-1]]", init: zeros}
    buffers:
      running_mean: {tensor: "float[x.shape[-1]]", init: zeros, updated: true}
      running_var: {tensor: "float[x.shape[-1]]", init: ones, updated: true}
      num_batches_tracked: {value: "0", updated: true}
    forward: |
      BODY
model:
  layers: {first: Linear(6), norm: Norm, last: Linear(2)}
  forward: return last(norm(first(x)))
"""
BY_HAND = """
      mean, var = x.mean(0), x.var(0, correction=0)
      if training:
        running_mean = lerp(running_mean, mean, momentum)
        running_var = lerp(running_var, x.var(0), momentum)
        num_batches_tracked += 1
      else:
        mean, var = running_mean, running_var
      return (x - mean) / sqrt(var + 1e-5) * weight + bias
"""
CALLED = """
      if training:
        num_batches_tracked = num_batches_tracked + 1
      return batch_norm(x, running_mean, running_var, weight, bias, training=training, momentum=momentum, eps=1e-5)
"""
CODEBOOK = """
spec: 1
inputs: {x: "float32[batch, 4]"}
blocks:
  Codebook(size, decay=0.9):
    buffers:
      codes: {tensor: "float[size, x.shape[-1]]", init: normal, updated: true}
      counts: {value: "ones([size])", updated: true}
      sums: {tensor: "float[size, x.shape[-1]]", init: normal, updated: true}
    forward: |
      chosen = cdist(x, codes).argmin(1)
      found = codes[chosen]
      if training:
        hits = one_hot(chosen, size).to(float32)
        counts = decay * counts + (1 - decay) * hits.sum(0)
        sums = decay * sums + (1 - decay) * hits.T @ x
        codes = sums / counts[:, None]
      return x + (found - x).detach(), (x * found).sum()
model:
  layers: {up: Linear(3), book: Codebook(5), down: Linear(4)}
  forward: |
    y, loss = book(up(x))
    return down(y).sum() + loss
"""


class Codebook(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("codes", torch.randn(5, 3))
        self.register_buffer("counts", torch.ones(5))
        self.register_buffer("sums", torch.randn(5, 3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        codes = self.codes.clone()
        chosen = torch.cdist(x, codes).argmin(1)
        found = codes[chosen]
        if self.training:
            with torch.no_grad():
                hits = nn.functional.one_hot(chosen, 5).float()
                self.counts.mul_(0.9).add_(hits.sum(0), alpha=0.1)
                self.sums.mul_(0.9).add_(hits.T @ x, alpha=0.1)
                self.codes.copy_(self.sums / self.counts[:, None])
        return x + (found - x).detach(), (x * found).sum()


class Quantised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.book, self.down = nn.Linear(4, 3), Codebook(), nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        y, loss = self.book(self.up(x))
        return self.down(y).sum() + loss


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.norm(self.first(x)))


PAIRS: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "a normalisation by hand": (NORM.replace("BODY", BY_HAND.strip()), Normed),
    "batch_norm": (NORM.replace("BODY", CALLED.strip()), Normed),
    "a codebook": (CODEBOOK, Quantised),
}


def spec(text: str, buffers: str = 'm: {value: "zeros([4])", updated: true}') -> compiler.Artifact:
    lines = "\n".join(f"    {line}" for line in text.strip().splitlines())
    return compiler.compile_text(
        f'spec: 1\ninputs: {{x: "float32[batch, 4]"}}\nmodel:\n  buffers: {{{buffers}}}\n  forward: |\n{lines}\n'
    )


def assert_alike(ours: nn.Module, theirs: nn.Module) -> None:
    """Both learn alike, in keys, outputs, gradients and state, over some batches in training and in evaluation."""
    assert {*ours.state_dict()} == {*theirs.state_dict()}
    theirs.load_state_dict(ours.state_dict())
    optimizers = [torch.optim.SGD(each.parameters(), lr=0.1) for each in (ours, theirs)]
    for seed, training in enumerate([True, True, False, True]):
        x = torch.randn(7, 4, generator=torch.Generator().manual_seed(seed))
        found = [model.train(training)(x).square().sum() for model in (ours, theirs)]
        torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)
        for loss, optimizer in zip(found, optimizers, strict=True):
            optimizer.zero_grad()
            loss.backward()
            if training:
                optimizer.step()
        for name, value in theirs.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-4, atol=1e-5, msg=name)
        gradients = [dict(model.named_parameters()) for model in (ours, theirs)]
        for name, parameter in gradients[1].items():
            torch.testing.assert_close(
                gradients[0][name].grad, parameter.grad, rtol=1e-4, atol=1e-4, msg=name
            )


@pytest.mark.parametrize("name", PAIRS)
def test_a_model_is_equal_to_one_by_hand(name: str) -> None:
    text, theirs = PAIRS[name]
    assert_alike(runtime.build(compiler.compile_text(text)), theirs())


@pytest.mark.parametrize("name", PAIRS)
def test_so_is_its_emitted_file_alone(name: str) -> None:
    text, theirs = PAIRS[name]
    assert_alike(run_file(compiler.compile_text(text).source, "Spec"), theirs())


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: torch.compile(model, backend="aot_eager")])
@pytest.mark.parametrize("name", PAIRS)
def test_so_is_a_copy_and_a_compiled_model(name: str, copied: Callable[[nn.Module], nn.Module]) -> None:
    text, theirs = PAIRS[name]
    model, x = runtime.build(compiler.compile_text(text)), torch.randn(7, 4)
    twin = theirs()
    twin.load_state_dict(model.state_dict())
    other = copied(model)
    torch.testing.assert_close(other(x), twin(x))
    torch.testing.assert_close(other(x), twin(x))
    state = {name.removeprefix("_orig_mod."): each for name, each in other.state_dict().items()}
    torch.testing.assert_close(state, dict(twin.state_dict()))


@pytest.mark.filterwarnings("ignore:.*LeafSpec")
def test_an_exported_model_updates_its_buffers() -> None:
    model = runtime.build(compiler.compile_text(NORM.replace("BODY", BY_HAND.strip())))
    x = torch.randn(7, 4)
    exported = torch.export.export(copy.deepcopy(model), (x,)).run_decompositions()
    updated = {name for name, _ in model.named_buffers()}
    assert {*exported.graph_signature.buffers_to_mutate.values()} == updated
    module = exported.module()
    torch.testing.assert_close(module(x), model(x))
    torch.testing.assert_close(
        module.state_dict()["norm.running_var"], model.state_dict()["norm.running_var"]
    )


def test_what_is_updated_is_saved_and_loaded(tmp_path: Path) -> None:
    model = runtime.build(compiler.compile_text(CODEBOOK))
    model(torch.randn(6, 4))
    runtime.save(model, tmp_path / "model.safetensors")
    loaded = runtime.load(tmp_path / "model.safetensors", train=True)
    x = torch.randn(6, 4)
    assert torch.equal(loaded(x), model(x))
    torch.testing.assert_close(dict(loaded.state_dict()), dict(model.state_dict()), rtol=0, atol=0)


def test_evaluation_changes_nothing_and_training_does() -> None:
    model = runtime.build(compiler.compile_text(CODEBOOK)).eval()
    before = copy.deepcopy(model.state_dict())
    model(torch.randn(6, 4))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model.train()(torch.randn(6, 4))
    assert not torch.equal(model.state_dict()["book.codes"], before["book.codes"])


def test_what_is_read_before_an_update_stays_and_what_is_read_behind_it_is_new() -> None:
    model = runtime.build(spec("a = m\nm = m + x.sum(0)\nreturn x * a, x * m"))
    x = torch.ones(2, 4, requires_grad=True)
    before, after = model(x)
    again, _ = model(x)
    assert not before.any()
    assert torch.equal(after, torch.full((2, 4), 2.0))
    assert torch.equal(again, torch.full((2, 4), 2.0))
    (before + after + again).sum().backward()  # each product still has the buffer that it was made of
    assert torch.equal(x.grad, torch.full((2, 4), 4.0))
    assert not model.m.requires_grad


def test_several_are_updated_at_once() -> None:
    two = 'm: {value: "zeros([4])", updated: true}, n: {value: "ones([4])", updated: true}'
    model = runtime.build(spec("y, (m, n) = x * m, (n, m + 1)\nreturn y", two))
    model(torch.ones(1, 4))
    assert model.m.tolist() == [1] * 4
    model(torch.ones(1, 4))
    assert (model.m.tolist(), model.n.tolist()) == ([1] * 4, [2] * 4)


@pytest.mark.parametrize("value", ["m.T", "m[:, [1, 0]]", "m.flip(0)", "(m, m.T)[1]", "flip(m)"])
def test_a_buffer_may_get_a_view_of_itself(value: str) -> None:
    text = f"""
spec: 1
inputs: {{x: "float32[2, 2]"}}
blocks: {{Flip: {{forward: return x.T}}}}
model:
  layers: {{flip: Flip}}
  buffers: {{m: {{value: "arange(4.0).reshape(2, 2)", updated: true}}}}
  forward: |
    y = flip(x)
    m = {value}
    return y
"""
    model = runtime.build(compiler.compile_text(text))
    before = model.m.clone()
    model(torch.zeros(2, 2))
    expected = {"m[:, [1, 0]]": before[:, [1, 0]], "m.flip(0)": before.flip(0)}.get(value, before.T)
    assert torch.equal(model.m, expected)


@pytest.mark.parametrize("test", ["x.sum() > 0", "x.shape[0] > 2"])
def test_a_condition_may_decide_whether_there_is_an_update(test: str) -> None:
    model = runtime.build(spec(f"if {test}:\n  m = m + 1\nreturn x - m"))
    model(-torch.ones(2, 4))
    assert not model.m.any()
    model(torch.ones(3, 4))
    assert model.m.all()


def test_a_parent_reads_the_state_of_a_layer_as_it_is_then() -> None:
    text = """
spec: 1
inputs: {x: "float32[batch, 4]"}
blocks:
  Counter:
    buffers: {steps: {value: "0.0", updated: true}}
    forward: |
      steps += 1
      return x * steps
model:
  layers: {counter: Counter}
  forward: |
    y = counter(x)
    before = counter.steps
    z = counter(y)
    return before, counter.steps, z
"""
    before, after, _ = runtime.build(compiler.compile_text(text))(torch.ones(1, 4, requires_grad=True))
    assert (before.item(), after.item()) == (1, 2)


def test_what_is_read_in_evaluation_alone_is_no_copy() -> None:
    assert "clone" not in spec("if not training:\n  return x - m\nm = m + 1\nreturn x").source


FROZEN = """
spec: 1
inputs: {x: "float32[batch, 4]"}
blocks:
  Norm:
    layers: {drop: Dropout(0.5)}
    buffers: {mean: {value: "zeros([4])", updated: true}}
    forward: |
      if training:
        mean = lerp(mean, x.mean(0), 0.5)
      return drop(x) - mean
model:
  layers: {a: Norm, b: Norm}
  forward: return b(a(x))
freeze: [a]
"""


@pytest.mark.parametrize(
    "put", [lambda model: model.train(), lambda model: [model.a.train(), model.b.train()]]
)
def test_what_is_frozen_is_not_updated(put: Callable[[nn.Module], object]) -> None:
    model = runtime.build(compiler.compile_text(FROZEN)).eval()
    put(model)
    model(torch.ones(3, 4))
    assert not model.a.mean.any()
    assert model.b.mean.any()
    assert [model.a.training, model.a.drop.training, model.b.training] == [False, True, True]


def test_nor_is_it_in_the_emitted_file() -> None:
    model = run_file(compiler.compile_text(FROZEN).source, "Spec")
    model(torch.ones(3, 4))
    model.train()(torch.ones(3, 4))
    assert not model.a.mean.any()
    assert model.b.mean.any()
    assert model.a.drop.training


def test_many_frozen_blocks_are_gone_over_in_a_loop() -> None:
    text = FROZEN.replace("{a: Norm, b: Norm}", "{a: {repeat: 6, of: Norm}, b: Norm}")
    source = compiler.compile_text(text).source
    assert source.count(".training = False") == 1
    model = run_file(source, "Spec")
    assert [each.training for each in model.a] == [False] * 6


def test_what_is_shared_is_updated_in_both_places() -> None:
    text = FROZEN.replace("freeze: [a]", "share: {mean: [a.mean, b.mean]}")
    model = runtime.build(compiler.compile_text(text))
    model(torch.ones(3, 4))
    assert model.a.mean is model.b.mean
    assert model.a.mean.any()


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("for m in [x, x]:\n  y = m\nreturn y", "hidden-layer"),
        ("return sum([m for m in [x, x]])", "hidden-layer"),
        ("m = x\nreturn x", "update-form"),
        ("m, y = x, x\nreturn x", "update-form"),
        ("m = None\nreturn x", "update-form"),
        ("if x.sum() > 0:\n  m = m.to(float64)\nreturn x", "update-form"),
        ("return batch_norm(x, m, m.clone())", "not-updated"),
        ("y = m\nreturn batch_norm(x, running_mean=y, running_var=m)", "not-updated"),
        ("return batch_norm(x, m)", "shape-mismatch"),
    ],
)
def test_what_is_no_update(program: str, code: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec(program)
    assert [each.code for each in caught.value.diagnostics] == [code]


@pytest.mark.parametrize("init", ["batch_norm(normal, w, w, training=True)", "instance_norm(normal, w, w)"])
def test_first_values_have_no_statistics(init: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec("return x + m.sum()", f'm: {{tensor: "float32[2, 4, 4]", init: "{init}"}}')
    assert caught.value.diagnostics[0].code in ("not-updated", "bad-initializer")


@pytest.mark.parametrize(("program", "layer"), [
    ("batch_norm(x, mean, var, eps=1e-3)", nn.BatchNorm1d(4, eps=1e-3, affine=False)),
    (
        "instance_norm(x, mean, var, use_input_stats=training)",
        nn.InstanceNorm1d(4, track_running_stats=True),
    ),
])  # fmt: skip
def test_operations_with_state_do_what_the_layers_do(program: str, layer: nn.Module) -> None:
    text = f"""
spec: 1
inputs: {{x: "float32[batch, 4, time]"}}
model:
  buffers:
    mean: {{value: "zeros([4])", updated: true}}
    var: {{value: "ones([4])", updated: true}}
  forward: return {program}
"""
    model = runtime.build(compiler.compile_text(text))
    for seed, training in enumerate([True, False, True, False]):
        x = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(seed))
        torch.testing.assert_close(model.train(training)(x), layer.train(training)(x))
        torch.testing.assert_close((model.mean, model.var), (layer.running_mean, layer.running_var))


def test_without_statistics_an_operation_is_pure() -> None:
    model = runtime.build(spec("return batch_norm(x, None, None, training=True)"))
    x = torch.randn(5, 4)
    torch.testing.assert_close(model.eval()(x), (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt())
