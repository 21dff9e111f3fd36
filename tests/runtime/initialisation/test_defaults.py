"""PyTorch's own initialisation as rules: bit by bit what torch's layers draw, for every layer of the catalogue.

Torch's constructor runs with each of its draws put under the generator of the parameter that is drawn, so that its
values must be those of the model built from a spec: no statistics, and no false alarm.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import compiler
import runtime
from compiler.artifact import Artifact
from compiler.catalogue.layers import bind, layer_names, layer_type
from compiler.rules.defaults import DEFAULTS, default_rules
from runtime.random import CHUNK, Draws
from tests.compiler.catalogue.test_layers import simple_arguments

SEED = 3
aten = torch.ops.aten


class Drawing(TorchDispatchMode):
    """Keeps the tensors that torch draws, in order; gives the draw of number i the i-th of `generators`."""

    def __init__(self, generators: Iterable[torch.Generator | None] = ()) -> None:
        super().__init__()
        self.drawn: list[Tensor] = []
        self.generators = list(generators)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if func in (aten.uniform_.default, aten.normal_.default):
            if self.generators:
                given["generator"] = self.generators[len(self.drawn)]
            self.drawn.append(args[0])
        else:
            assert torch.Tag.nondeterministic_seeded not in func.tags, f"another kind of draw: {func}"
        return func(*args, **given)


def drawn_by_torch(make: Callable[[], nn.Module], path: str) -> dict[str, Tensor | None]:
    """Return what a layer of torch has at a path of a model of the seed, None where it copies another tensor."""
    with Drawing() as first:
        state = make().state_dict()
    names = {tensor.data_ptr(): name for name, tensor in state.items() if tensor.numel()}
    drawn = [names.get(tensor.data_ptr()) for tensor in first.drawn]
    generators = [Draws(SEED, f"{path}.{name}")._generator(0) if name else None for name in drawn]
    with Drawing(generators):
        values: dict[str, Tensor | None] = dict(make().state_dict())
    for name, tensor in values.items():
        assert tensor is not None
        if name not in drawn and len(tensor.unique()) > 1:
            values[name] = None
        elif name in drawn:
            assert tensor.numel() < CHUNK, "one chunk is what this test draws"
    return {f"{path}.{name}": value for name, value in values.items()}


@dataclass(frozen=True)
class Case:
    """A layer in a spec, its inputs, and the layers of torch that have its values, by their paths in it."""

    node: str
    inputs: tuple[str, ...]
    torch: tuple[tuple[str, Callable[[], nn.Module]], ...]

    def artifact(self) -> Artifact:
        names = "xyz"[: len(self.inputs)]
        inputs = ", ".join(f'{name}: "{form}"' for name, form in zip(names, self.inputs, strict=True))
        text = (
            f'spec: 1\ninputs: {{{inputs}}}\nmodel:\n  layers: {{layer: {{of: "{self.node}", repeat: 1}}}}\n'
            f"  forward: |\n    return layer[0]({', '.join(names)})\n"
        )
        return compiler.compile_text(text)

    def __str__(self) -> str:
        return self.node


def case(node: str, inputs: str, *torch_layers: Any) -> Case:
    """A case whose first layer of torch is the whole; the others, each after its path, are parts that it copies."""
    whole, *parts = torch_layers
    paths = [("layer.0", whole)]
    paths += [(f"layer.0.{path}", part) for path, part in zip(parts[::2], parts[1::2], strict=True)]
    return Case(node, tuple(inputs.split("; ")), tuple(paths))


ROWS, STEPS, SIGNAL = "float[8, 16]", "float[8, 5, 32]", "float[2, 8, 9]"
IMAGE, VOLUME = "float[2, 8, 9, 9]", "float[2, 8, 9, 9, 9]"
ENCODED = "layers.{}".format
NORM = ("weight", "bias", "running_mean", "running_var")


def encoder_layer() -> nn.Module:
    return nn.TransformerEncoderLayer(32, 4, 48, batch_first=True)


def decoder_layer() -> nn.Module:
    return nn.TransformerDecoderLayer(32, 4, 48, batch_first=True)


CASES = [
    case("Linear(48)", ROWS, lambda: nn.Linear(16, 48)),
    case("Linear(48)", "float[8, 0]", lambda: nn.Linear(0, 48)),
    case("Bilinear(24)", f"{ROWS}; float[8, 5]", lambda: nn.Bilinear(16, 5, 24)),
    case("Conv1d(16, 5)", SIGNAL, lambda: nn.Conv1d(8, 16, 5)),
    case("Conv2d(16, 3, groups=4)", IMAGE, lambda: nn.Conv2d(8, 16, 3, groups=4)),
    case("Conv3d(16, (1, 2, 3))", VOLUME, lambda: nn.Conv3d(8, 16, (1, 2, 3))),
    case("ConvTranspose1d(16, 5)", SIGNAL, lambda: nn.ConvTranspose1d(8, 16, 5)),
    case("ConvTranspose2d(16, 3, groups=2)", IMAGE, lambda: nn.ConvTranspose2d(8, 16, 3, groups=2)),
    case("ConvTranspose3d(4, 2)", VOLUME, lambda: nn.ConvTranspose3d(8, 4, 2)),
    case("BatchNorm1d", SIGNAL, lambda: nn.BatchNorm1d(8)),
    case("BatchNorm2d", IMAGE, lambda: nn.BatchNorm2d(8)),
    case("BatchNorm3d", VOLUME, lambda: nn.BatchNorm3d(8)),
    case("SyncBatchNorm", IMAGE, lambda: nn.SyncBatchNorm(8)),
    *(
        case(
            f"{name}(affine=True, track_running_stats=True)",
            form,
            lambda n=name: getattr(nn, n)(8, 1e-5, 0.1, True, True),
        )
        for name, form in (("InstanceNorm1d", SIGNAL), ("InstanceNorm2d", IMAGE), ("InstanceNorm3d", VOLUME))
    ),
    case("GroupNorm(2)", IMAGE, lambda: nn.GroupNorm(2, 8)),
    case("LayerNorm", ROWS, lambda: nn.LayerNorm(16)),
    case("RMSNorm", ROWS, lambda: nn.RMSNorm(16)),
    case("PReLU(8, init=0.1)", IMAGE, lambda: nn.PReLU(8, init=0.1)),
    case("Embedding(32, 8)", "int64[3, 4]", lambda: nn.Embedding(32, 8)),
    case("Embedding(32, 8, padding_idx=-2)", "int64[3, 4]", lambda: nn.Embedding(32, 8, padding_idx=-2)),
    case("EmbeddingBag(32, 8, padding_idx=5)", "int64[3, 4]", lambda: nn.EmbeddingBag(32, 8, padding_idx=5)),
    case("RNN(24, 2, bidirectional=True)", STEPS, lambda: nn.RNN(32, 24, 2, bidirectional=True)),
    case("LSTM(24, 2, proj_size=7)", STEPS, lambda: nn.LSTM(32, 24, 2, proj_size=7)),
    case("GRU(24)", STEPS, lambda: nn.GRU(32, 24)),
    case("RNNCell(24)", ROWS, lambda: nn.RNNCell(16, 24)),
    case("LSTMCell(24)", ROWS, lambda: nn.LSTMCell(16, 24)),
    case("GRUCell(24)", ROWS, lambda: nn.GRUCell(16, 24)),
    case(
        "MultiheadAttention(4, add_bias_kv=True)",
        "; ".join([STEPS] * 3),
        lambda: nn.MultiheadAttention(32, 4, add_bias_kv=True),
    ),
    case(
        "MultiheadAttention(4, kdim=7, vdim=9)",
        "float[8, 5, 32]; float[6, 5, 7]; float[6, 5, 9]",
        lambda: nn.MultiheadAttention(32, 4, kdim=7, vdim=9),
    ),
    case("TransformerEncoderLayer(4, 48, batch_first=True)", STEPS, encoder_layer),
    case("TransformerDecoderLayer(4, 48, batch_first=True)", f"{STEPS}; {STEPS}", decoder_layer),
    case(
        "TransformerEncoder(TransformerEncoderLayer(4, 48, batch_first=True), 2)",
        STEPS,
        lambda: nn.TransformerEncoder(encoder_layer(), 2),
        *("layers.0", encoder_layer, "layers.1", encoder_layer),
    ),
    case(
        "TransformerDecoder(TransformerDecoderLayer(4, 48, batch_first=True), 2)",
        f"{STEPS}; {STEPS}",
        lambda: nn.TransformerDecoder(decoder_layer(), 2),
        *("layers.0", decoder_layer, "layers.1", decoder_layer),
    ),
    case(
        "Transformer(4, 1, 1, 48, batch_first=True)",
        f"{STEPS}; {STEPS}",
        lambda: nn.Transformer(32, 4, 1, 1, 48, batch_first=True),
        *("encoder.layers.0", encoder_layer, "decoder.layers.0", decoder_layer),
    ),
]
if "LinearCrossEntropyLoss" in layer_names():  # since torch 2.13
    CASES.append(
        case(
            "LinearCrossEntropyLoss(30, bias=True)",
            f"{ROWS}; int64[8]",
            lambda: nn.LinearCrossEntropyLoss(16, 30, bias=True),
        )
    )


@pytest.mark.parametrize("each", CASES, ids=str)
def test_values_are_torchs_own(each: Case) -> None:
    ours = runtime.build(each.artifact(), seed=SEED, device="cpu").state_dict()
    expected: dict[str, Tensor | None] = {}
    for path, make in each.torch:
        made = drawn_by_torch(make, path)
        expected |= {name: value for name, value in made.items() if expected.get(name) is None}
    assert ours.keys() == expected.keys()
    for name, value in expected.items():
        assert value is not None, f"{name}: torch copies it, and no part says from where"
        assert ours[name].dtype == value.dtype
        assert torch.equal(ours[name], value), name


# Nothing is left out.


def holds_state(name: str) -> bool:
    """Whether a layer can hold tensors: it has some with its defaults, or knows how to set them."""
    layer = layer_type(name)
    sizes = {argument.name: 4 for argument in layer.arguments if argument.deferred}
    with torch.device("meta"):
        made = layer.cls(**bind(layer, simple_arguments(name), {}).values, **sizes)
    resets = any(hasattr(made, method) for method in ("reset_parameters", "_reset_parameters"))
    return resets or bool(made.state_dict())


def test_every_layer_that_holds_tensors_has_a_case() -> None:
    tested = {re.match(r"\w+", each.node)[0] for each in CASES}  # type: ignore[index]
    assert {name for name in layer_names() if holds_state(name)} == tested | {UNCALLED}


UNCALLED = "AdaptiveLogSoftmaxWithLoss"
"""The layer that no spec can call, since the size of its result depends on data."""


def test_a_layer_that_cannot_be_called_holds_only_layers_that_are_tested() -> None:
    with pytest.raises(compiler.SpecError, match="depend on data"):
        case(f"{UNCALLED}(30, [10, 20])", f"{ROWS}; int64[8]", None).artifact()
    for module in nn.AdaptiveLogSoftmaxWithLoss(16, 30, [10, 20], head_bias=True).modules():
        assert not list(module.parameters(recurse=False)) or type(module) is nn.Linear


def test_every_rule_is_needed_by_a_case() -> None:
    """For each type and each name of a tensor in a rule there is a tensor that gets its values from there."""
    rows = [row.source for each in CASES for row in each.artifact().plan.rows]
    used = set()
    for row in rows:
        rule = [rule for rule in default_rules() if rule.selector.matches(row.torch_steps)][-1]
        used |= {(rule.selector.text, word) for step in row.torch_steps for word in step}
    for rule in default_rules():
        words = re.findall(r"\w+", rule.selector.text)
        assert words
        for word in words:
            assert (rule.selector.text, word) in used, f"{rule.selector.text}: nothing needs `{word}`"


def test_the_rules_lie_in_the_compiler() -> None:
    assert Path(compiler.__file__).parent / "defaults.yaml" == DEFAULTS


# What is otherwise than in torch.


def test_copies_of_a_layer_differ() -> None:
    """TransformerEncoder copies its layer, so that in torch all start alike. Here each has values of its own name."""
    theirs = nn.TransformerEncoder(encoder_layer(), 2).state_dict()
    found = next(each for each in CASES if each.node.startswith("TransformerEncoder("))
    ours = runtime.build(found.artifact(), seed=SEED, device="cpu").state_dict()
    for name in ("linear1.weight", "linear1.bias", "self_attn.in_proj_weight"):
        assert torch.equal(theirs[f"layers.0.{name}"], theirs[f"layers.1.{name}"])
        assert not torch.equal(ours[f"layer.0.layers.0.{name}"], ours[f"layer.0.layers.1.{name}"])
