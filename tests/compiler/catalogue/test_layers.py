"""The catalogue of layers: what torch exports, with the sizes that follow from the input left out."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from compiler.catalogue import layers
from compiler.catalogue.layers import (
    REQUIRED,
    CannotInfer,
    Problem,
    bind,
    describe_layer,
    infer,
    layer_names,
    layer_type,
    positional,
)

# Arguments that make each layer, by its name or by the beginning of its name: without inferred sizes.
SIMPLE: dict[str, tuple[object, ...]] = {
    "AdaptiveAvgPool": (2,),
    "AdaptiveMaxPool": (2,),
    "AdaptiveLogSoftmaxWithLoss": (20, [5, 10]),
    "AvgPool": (2,),
    "Bilinear": (4,),
    "ChannelShuffle": (2,),
    "CircularPad": (1,),
    "ConstantPad": (1, 0.5),
    "Conv": (4, 3),
    "CrossMapLRN2d": (2,),
    "EmbeddingBag": (10, 4),
    "Embedding": (10, 4),
    "Fold": (4, 2),
    "FractionalMaxPool": (2, 3),
    "GRU": (4,),
    "GroupNorm": (2,),
    "LPPool": (2, 2),
    "LSTM": (4,),
    "LinearCrossEntropyLoss": (5,),
    "Linear": (4,),
    "LocalResponseNorm": (2,),
    "MaxPool": (2,),
    "MaxUnpool": (2,),
    "MultiheadAttention": (2,),
    "PixelShuffle": (2,),
    "PixelUnshuffle": (2,),
    "RNN": (4,),
    "ReflectionPad": (1,),
    "ReplicationPad": (1,),
    "Threshold": (0.1, 0.2),
    "Transformer": (2, 1, 1, 8),
    "TransformerDecoderLayer": (2,),
    "TransformerEncoderLayer": (2,),
    "TransformerDecoder": (nn.TransformerDecoderLayer(4, 2, 8), 1),
    "TransformerEncoder": (nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 1),
    "Unflatten": (1, [2, 2]),
    "Unfold": (2,),
    "ZeroPad": (1,),
}


def simple_arguments(name: str) -> tuple[object, ...]:
    matching = [key for key in SIMPLE if name.startswith(key)]
    return SIMPLE[max(matching, key=len)] if matching else ()


def meta(*shape: int) -> torch.Tensor:
    return torch.ones(shape, device="meta")


def written(name: str, *args: object, **kwargs: object) -> Problem | dict[str, object]:
    bound = bind(layer_type(name), args, kwargs)
    return bound.problem or bound.values


# --- names ----------------------------------------------------------------------------------------------


def test_the_layers_are_what_torch_exports() -> None:
    exported = {name for name in dir(nn) if isinstance(getattr(nn, name), type) and not name.startswith("_")}
    modules = {name for name in exported if issubclass(getattr(nn, name), nn.Module)}
    assert layer_names() == {name for name in modules if layers.is_layer_name(name)}
    assert len(layer_names()) > 110


def test_what_is_left_out_is_known() -> None:
    """A new name in torch.nn is a layer unless someone decides that it is none; both show here or above."""
    left_out = {name for name in nn.modules.__all__ if name not in layer_names()}
    others = {name for name in left_out if not name.startswith("Lazy") and "Loss" not in name}
    assert others <= layers.NOT_LAYERS
    assert set(dir(nn)) | {"Container", "LinearCrossEntropyOptions"} >= layers.NOT_LAYERS
    assert {"CrossEntropyLoss", "MSELoss", "LazyLinear", "Sequential", "RNNBase", "NLLLoss2d"} <= left_out
    assert {"AdaptiveLogSoftmaxWithLoss", "Linear", "Transformer", "Identity"} <= layer_names()


def test_losses_that_are_layers_are_those_with_parameters() -> None:
    for name in layers.LOSSES_WITH_PARAMETERS & set(nn.modules.__all__):
        args = {"AdaptiveLogSoftmaxWithLoss": (8, 10, [5]), "LinearCrossEntropyLoss": (8, 10)}[name]
        assert list(getattr(nn, name)(*args).parameters()), name


def test_names_come_without_importing_torch() -> None:
    code = (
        "import sys; from compiler.catalogue.layers import layer_names; "
        "print('Linear' in layer_names(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


@pytest.mark.parametrize(
    "name", ["Sequential", "LazyLinear", "CrossEntropyLoss", "Nope", "__builtins__", "Module"]
)
def test_what_is_no_layer_is_a_key_error(name: str) -> None:
    with pytest.raises(KeyError):
        layer_type(name)


# --- arguments ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(layer_names()))
def test_every_layer_is_made_from_simple_arguments(name: str) -> None:
    layer = layer_type(name)
    bound = bind(layer, simple_arguments(name), {})
    assert bound.problem is None
    sizes = {each.name: 4 for each in layer.arguments if each.deferred}
    assert not sizes.keys() & bound.values.keys()
    with torch.device("meta"):
        made = layer.cls(**bound.values, **sizes)
    assert isinstance(made, nn.Module)


@pytest.mark.parametrize("name", sorted(layer_names()))
def test_every_default_fits(name: str) -> None:
    for each in layer_type(name).arguments:
        if each.default is not REQUIRED and not callable(each.default):
            assert layers.bind(layer_type(name), (), {each.name: each.default}).problem in (
                None,
                Problem("missing-argument", names=missing_names(name, each.name)),
            )


def missing_names(name: str, given: str) -> tuple[str, ...]:
    needed = (each for each in layer_type(name).arguments if each.default is REQUIRED and not each.deferred)
    return tuple(each.name for each in needed if each.name != given)


def test_arguments_are_those_of_torch_in_its_order() -> None:
    names = [each.name for each in layer_type("Conv2d").arguments]
    assert names[:4] == ["in_channels", "out_channels", "kernel_size", "stride"]
    assert "device" not in names
    assert "dtype" not in names
    assert [each.name for each in positional(layer_type("Conv2d"))] == names[1:]
    assert layer_type("Linear").source == "torch.nn"


def test_recurrent_layers_have_the_arguments_of_their_overloads() -> None:
    assert [each.name for each in positional(layer_type("RNN"))][:3] == [
        "hidden_size",
        "num_layers",
        "nonlinearity",
    ]
    assert "proj_size" in [each.name for each in layer_type("LSTM").arguments]
    assert "proj_size" not in [each.name for each in layer_type("GRU").arguments]


def test_private_arguments_are_no_arguments_and_shift_nothing() -> None:
    bag = layer_type("EmbeddingBag")
    assert not [each for each in bag.arguments if each.name.startswith("_")]
    assert positional(bag)[-1].name == "sparse"
    assert written("EmbeddingBag", 10, 4, padding_idx=0) == {
        "num_embeddings": 10,
        "embedding_dim": 4,
        "padding_idx": 0,
    }


def test_layers_without_an_init_of_their_own_take_nothing() -> None:
    assert layer_type("Sigmoid").arguments == ()
    assert layer_type("Identity").arguments == ()
    assert isinstance(written("Sigmoid", 3), Problem)


# --- inferred sizes -------------------------------------------------------------------------------------

LAZY_TWINS: list[tuple[str, str, tuple[int, ...], tuple[object, ...], str]] = [
    ("Linear", "LazyLinear", (2, 5, 7), (4,), "in_features"),
    *[
        (f"{base}{rank}d", f"Lazy{base}{rank}d", (2, 7, *[9] * rank), args, size)
        for rank in (1, 2, 3)
        for base, args, size in (
            ("Conv", (4, 3), "in_channels"),
            ("ConvTranspose", (4, 3), "in_channels"),
            ("BatchNorm", (), "num_features"),
            ("InstanceNorm", (), "num_features"),
        )
    ],
    *[
        (f"{base}{rank}d", f"Lazy{base}{rank}d", (7, *[9] * rank), args, size)
        for rank in (1, 2, 3)
        for base, args, size in (
            ("Conv", (4, 3), "in_channels"),
            ("ConvTranspose", (4, 3), "in_channels"),
        )
    ],
    ("BatchNorm1d", "LazyBatchNorm1d", (2, 7), (), "num_features"),
]


@pytest.mark.parametrize(("name", "lazy", "shape", "args", "size"), LAZY_TWINS)
def test_inference_agrees_with_the_lazy_twin(
    name: str, lazy: str, shape: tuple[int, ...], args: tuple[object, ...], size: str
) -> None:
    twin = getattr(nn, lazy)(*args)
    twin(torch.ones(*shape))
    sizes = infer(layer_type(name), {}, [meta(*shape)])
    assert sizes == {size: getattr(twin, size)} == {size: 7}


@pytest.mark.parametrize(
    ("name", "shapes", "sizes"),
    [
        ("LayerNorm", [(2, 5, 7)], {"normalized_shape": 7}),
        ("RMSNorm", [(2, 5, 7)], {"normalized_shape": 7}),
        ("GroupNorm", [(2, 8, 5, 5)], {"num_channels": 8}),
        ("SyncBatchNorm", [(2, 8, 5, 5)], {"num_features": 8}),
        ("RNN", [(2, 5, 7)], {"input_size": 7}),
        ("LSTM", [(2, 5, 7)], {"input_size": 7}),
        ("GRU", [(5, 7)], {"input_size": 7}),
        ("RNNCell", [(2, 7)], {"input_size": 7}),
        ("LSTMCell", [(7,)], {"input_size": 7}),
        ("GRUCell", [(2, 7)], {"input_size": 7}),
        ("MultiheadAttention", [(5, 2, 8), (6, 2, 8), (6, 2, 8)], {"embed_dim": 8}),
        ("Bilinear", [(2, 3), (2, 5)], {"in1_features": 3, "in2_features": 5}),
        ("TransformerEncoderLayer", [(2, 5, 8)], {"d_model": 8}),
        ("TransformerDecoderLayer", [(5, 2, 8), (6, 2, 8)], {"d_model": 8}),
        ("Transformer", [(5, 2, 8), (6, 2, 8)], {"d_model": 8}),
        ("InstanceNorm1d", [(7, 9)], {"num_features": 7}),  # unbatched, where torch's lazy twins go wrong
        ("InstanceNorm2d", [(7, 9, 9)], {"num_features": 7}),
        ("InstanceNorm3d", [(7, 9, 9, 9)], {"num_features": 7}),
        ("AdaptiveLogSoftmaxWithLoss", [(2, 8), (2,)], {"in_features": 8}),
        ("LinearCrossEntropyLoss", [(2, 8), (2,)], {"in_features": 8}),
    ],
)
def test_inferred_sizes_run(name: str, shapes: list[tuple[int, ...]], sizes: dict[str, int]) -> None:
    if name not in layer_names():
        pytest.skip("not in this torch")
    layer = layer_type(name)
    inputs = [meta(*shape) for shape in shapes]
    assert infer(layer, {}, inputs) == sizes
    if name in {"AdaptiveLogSoftmaxWithLoss", "LinearCrossEntropyLoss", "SyncBatchNorm"}:
        return  # need values, or an accelerator
    with torch.device("meta"):
        made = layer.cls(**bind(layer, simple_arguments(name), {}).values, **sizes)
        made(*inputs)


def test_no_deferred_layer_goes_untested() -> None:
    deferred = {name for name in layer_names() if any(each.deferred for each in layer_type(name).arguments)}
    tested = {twin[0] for twin in LAZY_TWINS}
    tested |= {
        "LayerNorm",
        "RMSNorm",
        "GroupNorm",
        "SyncBatchNorm",
        "RNN",
        "LSTM",
        "GRU",
        "RNNCell",
        "LSTMCell",
    }
    tested |= {
        "GRUCell",
        "MultiheadAttention",
        "Bilinear",
        "TransformerEncoderLayer",
        "TransformerDecoderLayer",
    }
    tested |= {"Transformer", "AdaptiveLogSoftmaxWithLoss", "LinearCrossEntropyLoss"}
    assert deferred <= tested


def test_written_sizes_are_not_inferred() -> None:
    assert infer(layer_type("Bilinear"), {"in1_features": 9}, [meta(2, 3), meta(2, 5)]) == {"in2_features": 5}
    assert infer(layer_type("ReLU"), {}, [meta(2, 3)]) == {}


def test_symbolic_sizes_stay_symbolic() -> None:
    seen: list[object] = []

    class Probe(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(infer(layer_type("Linear"), {}, [x])["in_features"])
            return x * 2

    batch = torch.export.Dim("n", min=2, max=64)
    torch.export.export(Probe(), (torch.ones(3, 5),), dynamic_shapes=({1: batch},), strict=False)
    assert seen
    assert all(isinstance(size, torch.SymInt) for size in seen)


@pytest.mark.parametrize(
    ("name", "inputs", "argument", "index"),
    [
        ("Linear", [], "in_features", 0),
        ("Linear", [meta()], "in_features", 0),
        ("Linear", [(1, 2)], "in_features", 0),
        ("Conv2d", [meta(2, 3)], "in_channels", 0),
        ("Conv2d", [meta(1, 1, 1, 1, 1)], "in_channels", 0),
        ("BatchNorm1d", [meta(3)], "num_features", 0),
        ("Bilinear", [meta(2, 3)], "in2_features", 1),
    ],
)
def test_a_size_that_does_not_follow_is_named(
    name: str, inputs: list[object], argument: str, index: int
) -> None:
    with pytest.raises(CannotInfer) as caught:
        infer(layer_type(name), {}, inputs)
    assert (caught.value.argument, caught.value.input_index) == (argument, index)


def test_a_foreign_layer_gets_inference_for_its_names() -> None:
    class Separable2d(nn.Module):
        def __init__(self, in_channels: int, in_features: int, width: int, depth: int = 3) -> None:
            super().__init__()

    layer = describe_layer(
        Separable2d, "Separable2d", "mine.py", {"width": "1.shape[0]", "depth": "x.shape[2]"}
    )
    sizes = infer(layer, {}, [meta(2, 3, 4, 5), meta(6, 7)])
    assert sizes == {"in_channels": 3, "in_features": 5, "width": 6, "depth": 4}
    assert positional(layer) == ()
    with pytest.raises(ValueError, match="no argument nope"):
        describe_layer(Separable2d, "Separable2d", "mine.py", {"nope": "x.shape[0]"})
    with pytest.raises(ValueError, match="no size of an input"):
        describe_layer(Separable2d, "Separable2d", "mine.py", {"width": "__import__('os')"})


def test_documentation_is_the_first_paragraph() -> None:
    assert layers.documentation("RMSNorm") == (
        "Applies Root Mean Square Layer Normalization over a mini-batch of inputs."
    )
    assert "long short-term memory" in layers.documentation("LSTM")
    missing = {name for name in layer_names() if not layers.documentation(name)}
    assert missing <= {"CrossMapLRN2d"}  # torch says nothing about it
