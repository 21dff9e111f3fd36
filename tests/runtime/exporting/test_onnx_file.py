"""A file of ONNX is the model: its names, ties, open dimensions and outputs; what is not the model is not written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import compiler
import runtime
from tests.runtime.exporting.kit import built, graph, shapes, tensors, undrawn

pytest.importorskip("onnxruntime")

WORDS = """
inputs: {tokens: "int64[batch, time]", seen: "bool[batch, time]"}
model:
  layers:
    embedding: Embedding(11, 8)
    first: LayerNorm
    second: LayerNorm
    up: Linear(8)
    head: Linear(11, bias=False)
  forward: |
    x = embedding(tokens)
    q = rearrange(first(x), 'b t (h d) -> b h t d', h=2)
    mask = seen.unsqueeze(1).unsqueeze(2)
    y = scaled_dot_product_attention(q, q, q, attn_mask=mask)
    y = up(second(x + rearrange(y, 'b h t d -> b t (h d)')))
    return {"logits": head(y), "pooled": y.mean(1)}
share:
  words: [embedding.weight, head.weight]
"""
RECURRENT = """
inputs: {x: "float32[batch, time, 4]"}
model:
  layers:
    gru: GRU(6, num_layers=2, bidirectional=True, batch_first=True)
    rnn: RNN(5, nonlinearity='relu', bias=False, batch_first=True)
    lstm: LSTM(3, bidirectional=True, batch_first=True)
  forward: |
    x, first = gru(x)
    x, second = rnn(x)
    x, (third, cells) = lstm(x)
    return x, first, second, third, cells
"""


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("words") / "words.onnx"
    found = runtime.export_onnx(undrawn(WORDS), path)
    assert found.difference <= 1e-5
    assert found.sizes[:2] == ("batch 2, time 16", "batch 3, time 17")
    return path


def test_tensors_have_their_names_and_values(words: Path) -> None:
    model, found = undrawn(WORDS), tensors(words)
    named = {name: value for name, value in found.items() if "." in name}
    assert named.keys() == dict(model.named_parameters()).keys()
    for name, value in named.items():
        assert torch.equal(torch.from_numpy(value.copy()), model.get_parameter(name).detach())


def test_a_tie_is_one_initializer_and_equal_tensors_are_several(words: Path) -> None:
    names = [*tensors(words)]  # both norms begin with ones
    assert {"first.weight", "second.weight", "first.bias", "second.bias"} <= {*names}
    assert [name for name in names if name in ("embedding.weight", "head.weight")] == ["embedding.weight"]


def test_inputs_outputs_and_open_dimensions_are_called_as_in_the_spec(words: Path) -> None:
    assert shapes(graph(words).input) == {"tokens": ["batch", "time"], "seen": ["batch", "time"]}
    assert shapes(graph(words).output) == {"logits": ["batch", "time", 11], "pooled": ["batch", 8]}


def test_recurrent_layers_stay_open(tmp_path: Path) -> None:
    found = runtime.export_onnx(built(RECURRENT), tmp_path / "r.onnx")
    assert found.difference <= 1e-5
    assert "batch 3, time 17" in found.sizes
    nodes = [node.op_type for node in graph(tmp_path / "r.onnx").node]
    assert [nodes.count(kind) for kind in ("GRU", "RNN", "LSTM")] == [2, 1, 1]
    assert shapes(graph(tmp_path / "r.onnx").output) == {
        "output_0": ["batch", "time", 6],
        "output_1": [4, "batch", 6],
        "output_2": [1, "batch", 5],
        "output_3": [2, "batch", 3],
        "output_4": [2, "batch", 3],
    }


def test_pooling_and_batch_statistics(tmp_path: Path) -> None:
    pooled = built("""
inputs: {x: "float32[batch, 3, height, width]"}
model: ["Conv2d(4, 3)", "BatchNorm2d(track_running_stats=False)", "AdaptiveAvgPool2d([2, 3])", Flatten, "Linear(2)"]
""")
    found = runtime.export_onnx(pooled, tmp_path / "p.onnx")
    assert found.sizes[:2] == ("batch 2, height 16, width 16", "batch 3, height 17, width 17")
    assert {"1.weight", "1.bias", "0.weight"} <= tensors(tmp_path / "p.onnx").keys()


def test_outputs_that_have_the_names_of_inputs_and_tensors(tmp_path: Path) -> None:
    named = built("""
inputs: {x: "float32[batch, 4]", y: "float32[batch, 4]"}
model:
  parameters: {scale: {tensor: "float[4]", init: ones}}
  forward: |
    return {"scale": x * scale, "x": x, "again": x, "unused": scale}
""")
    runtime.export_onnx(named, tmp_path / "m.onnx")
    assert [*tensors(tmp_path / "m.onnx")] == ["scale"]
    assert [*shapes(graph(tmp_path / "m.onnx").input)] == ["x", "y"]
    assert [*shapes(graph(tmp_path / "m.onnx").output)] == ["output_scale", "output_x", "again", "unused"]


# What is refused.

WAYS = """
inputs: {x: "float32[batch, time, 4]"}
model:
  layers: {long: Linear(4), short: Linear(4)}
  forward: |
    if x.shape[1] > 20:
      return long(x)
    return short(x)
"""
REFUSED = {
    WAYS: "decided once in a graph",
    'inputs: {x: "float32[batch, 4]"}\nmodel:\n  forward: |\n    return x + rand_like(x)\n': "draws random numbers",
    'inputs: {x: "float32[batch, time, 4]"}\nmodel:\n  layers: {r: "LSTM(6, batch_first=True, proj_size=3)"}\n'
    "  forward: |\n    y, s = r(x)\n    return y\n": "`time` cannot stay open",
}


@pytest.mark.parametrize("text", REFUSED, ids=range(len(REFUSED)))
@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_what_is_not_the_model_is_not_written(text: str, tmp_path: Path) -> None:
    with pytest.raises(compiler.SpecError) as error:
        runtime.export_onnx(built(text), tmp_path / "m.onnx")
    [found] = error.value.diagnostics
    assert found.code == "not-exported"
    assert REFUSED[text] in " ".join([found.message, *found.notes])
    assert not [*tmp_path.iterdir()]


def test_a_dimension_that_is_fixed(tmp_path: Path) -> None:
    found = runtime.export_onnx(built(WAYS), tmp_path / "m.onnx", {"time": 6})
    assert all("time 6" in sizes for sizes in found.sizes)
    assert shapes(graph(tmp_path / "m.onnx").input) == {"x": ["batch", 6, 4]}
    with pytest.raises(ValueError, match="no open dimension `tim`: did you mean `time`"):
        runtime.export_onnx(built(WAYS), tmp_path / "m.onnx", {"tim": 6})


def test_a_wrong_translation_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(query: torch.Tensor, *others: torch.Tensor, **options: object) -> torch.Tensor:
        return query

    monkeypatch.setattr(
        "runtime.exporting.onnx_file.WRITTEN_OUT", {torch.nn.functional.scaled_dot_product_attention: wrong}
    )
    with pytest.raises(compiler.SpecError, match="away from the model's"):
        runtime.export_onnx(built(WORDS), tmp_path / "m.onnx")
    assert not [*tmp_path.iterdir()]


def test_a_model_that_is_not_ready(tmp_path: Path) -> None:
    model = built(WAYS)
    model.get_submodule("long").train()
    with pytest.raises(ValueError, match="`long` is in training mode"):
        runtime.export_onnx(model, tmp_path / "m.onnx")
    with pytest.raises(TypeError, match="was not built from a spec"):
        runtime.export_onnx(torch.nn.Linear(2, 2), tmp_path / "m.onnx")
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="is no ordinary file"):
        runtime.export_onnx(model.eval(), tmp_path / "taken")


def test_tensors_that_are_too_large_stand_beside_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.exporting.onnx_file.LARGEST", 100)
    large = built('inputs: {x: "float32[batch, 64]"}\nmodel: [Linear(64)]\n')
    runtime.export_onnx(large, tmp_path / "sub" / "m.onnx")
    assert sorted(each.name for each in (tmp_path / "sub").iterdir()) == ["m.onnx", "m.onnx.data"]
    assert torch.equal(
        torch.from_numpy(tensors(tmp_path / "sub" / "m.onnx")["0.weight"].copy()),
        large.get_parameter("0.weight"),
    )
