"""Hints for the layers of torch: what their signatures do not say, and what they do not promise.

A layer that is not named needs none: most activations and dropouts take all that is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st

from compiler.catalogue.hints import Hints, Recipe

ISSUES = "https://github.com/pytorch/pytorch/issues"
RANKS = (1, 2, 3)
SIDES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
"""The names of the dimensions after the channels."""


def each_rank(name: str, make: Callable[[int], Hints], ranks: tuple[int, ...] = RANKS) -> dict[str, Hints]:
    """Return the hints of layers that differ in the number of dimensions alone."""
    return {f"{name}{rank}d": make(rank) for rank in ranks}


def images(rank: int, channels: str = "channels") -> list[str]:
    """Return the types of a batch of images, and of one image."""
    inside = ", ".join((channels, *SIDES[rank]))
    return [f"float[batch, {inside}]", f"float[{inside}]"]


def sides(rank: int, smallest: int, largest: int) -> dict[str, tuple[int, int]]:
    """Return the range of the sizes after the channels."""
    return dict.fromkeys(SIDES[rank], (smallest, largest))


def numbers(rank: int, *choices: int) -> st.SearchStrategy[int | list[int]]:
    """Return a strategy for an argument that is one number, or one for each dimension."""
    one = st.sampled_from(choices)
    return one | st.lists(one, min_size=rank, max_size=rank)


# Convolution


def conv(rank: int) -> Hints:
    arguments = {
        "kernel_size": numbers(rank, 1, 2),
        "stride": numbers(rank, 1, 2),
        "padding": numbers(rank, 0, 1) | st.sampled_from(["same", "valid"]),
        "dilation": numbers(rank, 1, 2),
        "groups": [1, 2],
        "padding_mode": ["zeros", "reflect", "replicate", "circular"],
    }
    return Hints({"input": images(rank, "in_channels")}, arguments=arguments, sizes=sides(rank, 3, 4))


def conv_transpose(rank: int) -> Hints:
    arguments = {
        "kernel_size": numbers(rank, 1, 2),
        **{name: [1, 2] for name in ("stride", "dilation", "groups")},
        **{name: [0, 1] for name in ("padding", "output_padding")},
        "padding_mode": ["zeros"],
    }
    return Hints(
        {"input": images(rank, "in_channels")},
        arguments=arguments,
        sizes=sides(rank, 3, 4),
        where=["output_padding < max(stride, dilation)"],
    )


FOLD = {name: [1, 2] for name in ("kernel_size", "dilation", "stride")} | {"padding": [0, 1]}
BLOCKS = "((output_size + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1) ** 2"
CONVOLUTION = {
    **each_rank("Conv", conv),
    **each_rank("ConvTranspose", conv_transpose),
    "Fold": Hints(
        {"input": [f"float[batch, channels * kernel_size ** 2, {BLOCKS}]"]},
        arguments={"output_size": [3, 4], **FOLD},
    ),
    "Unfold": Hints({"input": images(2)}, arguments=FOLD, sizes=sides(2, 3, 4)),
}


# Padding


def pad(rank: int) -> Hints:
    one = st.integers(0, 2)
    padding = one | st.lists(one, min_size=2 * rank, max_size=2 * rank)
    return Hints({"input": images(rank)}, arguments={"padding": padding}, sizes=sides(rank, 3, 4))


PADDING = {
    name: hints
    for kind in ("Circular", "Constant", "Reflection", "Replication", "Zero")
    for name, hints in each_rank(f"{kind}Pad", pad).items()
}


# Pooling

BY_CHANCE = "it draws where it pools, also when evaluating"


def max_pool(rank: int) -> Hints:
    arguments = {
        "kernel_size": numbers(rank, 2, 3),
        "stride": numbers(rank, 1, 2),
        "padding": numbers(rank, 0, 1),
        "dilation": numbers(rank, 1, 2),
    }
    return Hints({"input": images(rank)}, arguments=arguments, sizes=sides(rank, 5, 6))


def average_pool(rank: int) -> Hints:
    arguments = {
        "kernel_size": numbers(rank, 2, 3),
        "stride": numbers(rank, 1, 2),
        "padding": numbers(rank, 0, 1),
    }
    return Hints({"input": images(rank)}, arguments=arguments, sizes=sides(rank, 3, 4))


def norm_pool(rank: int) -> Hints:
    size = numbers(rank, 1, 2) if rank > 1 else st.sampled_from([1, 2])
    arguments = {"norm_type": [1.0, 2.0, 4.0], "kernel_size": size, "stride": size}
    return Hints({"input": images(rank)}, arguments=arguments, sizes=sides(rank, 2, 3))


def adaptive_pool(rank: int) -> Hints:
    sizes = st.lists(st.sampled_from([1, 2, None] if rank > 1 else [1, 2]), min_size=rank, max_size=rank)
    return Hints(
        {"input": images(rank)}, arguments={"output_size": st.integers(1, 3) | sizes}, sizes=sides(rank, 2, 4)
    )


def fractional_pool(rank: int) -> Hints:
    arguments = {
        "kernel_size": numbers(rank, 1, 2),
        "output_size": st.none() | numbers(rank, 1, 2),
        "output_ratio": [0.5, None],
    }
    exceptions = dict.fromkeys(("evaluation", "batch", "gradcheck"), BY_CHANCE)
    return Hints({"input": images(rank)}, None, arguments, sides(rank, 4, 5), exceptions=exceptions)


def max_unpool(rank: int) -> Hints:
    """One element for each channel, as places that are drawn for several might be the same."""
    inside = ", ".join(("channels", *SIDES[rank]))
    return Hints(
        [
            {"input": f"float[{shape}]", "indices": f"int64[{shape}]"}
            for shape in (f"batch, {inside}", inside)
        ],
        arguments={"kernel_size": [2, 3], "stride": [1, 2], "padding": [0]},
        sizes=sides(rank, 1, 1),
        values={"indices": (0, f"kernel_size ** {rank}")},
    )


POOLING = {
    **each_rank("MaxPool", max_pool),
    **each_rank("AvgPool", average_pool),
    **each_rank("LPPool", norm_pool),
    **each_rank("AdaptiveAvgPool", adaptive_pool),
    **each_rank("AdaptiveMaxPool", adaptive_pool),
    **each_rank("FractionalMaxPool", fractional_pool, (2, 3)),
    **each_rank("MaxUnpool", max_unpool),
}


# Normalisation

SEVERAL = {"batch": (2, 4)}
"""Torch refuses to train on one value for each channel."""
IN_TRAINING = (
    "runs",
    "shapes",
    "inputs",
    "training",
    "random_state",
    "state_dict",
    "gradients",
    "device",
    "freeze",
)
OF_THE_BATCH = "without running statistics it takes those of the batch, also when evaluating"
ON_GPU = f"on the CPU it refuses to train ({ISSUES.replace('issues', 'pull')}/78078)"


def batch_norm(rank: int) -> Hints:
    flat = ["float[batch, num_features]"] if rank == 1 else []
    return Hints(
        {"input": [*images(rank, "num_features")[:1], *flat]},
        sizes=SEVERAL,
        exceptions={"batch if not track_running_stats": OF_THE_BATCH},
    )


def instance_norm(rank: int) -> Hints:
    return Hints({"input": images(rank, "num_features")}, sizes=sides(rank, 2, 3))


NORMALISATION = {
    **each_rank("BatchNorm", batch_norm),
    **each_rank("InstanceNorm", instance_norm),
    "SyncBatchNorm": Hints(
        {"input": "float[batch, num_features, ...]"},
        sizes=SEVERAL,
        exceptions={"batch if not track_running_stats": OF_THE_BATCH, **dict.fromkeys(IN_TRAINING, ON_GPU)},
    ),
    "GroupNorm": Hints(
        {"input": "float[batch, num_channels, ...]"},
        arguments={"num_groups": [1, 2, 3]},
        where=["num_channels > num_groups"],
    ),
    "CrossMapLRN2d": Hints(
        {"input": images(2)[:1]},
        arguments={"size": [1, 2, 3]},
        exceptions={
            **{
                f"{name} if size == 1": "its backward raises for a size of 1"
                for name in ("gradients", "gradcheck")
            },
            "compile": "it resizes its result, which torch.compile does not follow",
        },
    ),
    "LocalResponseNorm": Hints({"input": "float[batch, channels, size1, ...]"}),
}


# Recurrence

BROKEN_GRAPH = f"torch.compile breaks the graph at it ({ISSUES}/149909)"
STEPS = "batch if batch_first else time, time if batch_first else batch"
LAYERS = "num_layers * (2 if bidirectional else 1)"


def recurrent(state: bool, **arguments: Any) -> Hints:
    """Return the hints of a layer that may get its first state, if that is one tensor."""
    given = {
        f"float[{STEPS}, input_size]": f"float[{LAYERS}, batch, hidden_size]",
        "float[time, input_size]": f"float[{LAYERS}, hidden_size]",
    }
    return Hints(
        [{"input": x, **({"hx": [None, h]} if state else {})} for x, h in given.items()],
        arguments={"num_layers": [1, 2], "dropout": [0.5], **arguments},
        exceptions={"compile": BROKEN_GRAPH},
    )


def cell(state: bool, **arguments: Any) -> Hints:
    """Return the hints of one step of a recurrence."""
    return Hints(
        [
            {"input": f"float[{n}input_size]", **({"hx": [None, f"float[{n}hidden_size]"]} if state else {})}
            for n in ("batch, ", "")
        ],
        arguments=arguments,
    )


NONLINEARITY = ["tanh", "relu"]
RECURRENCE = {
    "RNN": recurrent(True, nonlinearity=NONLINEARITY),
    "GRU": recurrent(True),
    "LSTM": recurrent(False, proj_size=[0, 1]),
    "RNNCell": cell(True, nonlinearity=NONLINEARITY),
    "GRUCell": cell(True),
    "LSTMCell": cell(False),
}


# Attention

WITHOUT_VALUES = ("shapes", "device", "initialisation", "freeze", "spec", "export", "compile")
"""The properties whose checks know of an input its type alone."""

WIDTHS = st.sampled_from([2, 4])
PARTS: Mapping[str, Any] = {
    "nhead": [1, 2],
    "dim_feedforward": [3],
    "activation": ["relu", "gelu"],
    "batch_first": [False, True],
    "layer_norm_eps": [1e-5],
}


def steps(length: str, width: str) -> str:
    """Return the type of a batch of sequences."""
    return f"float[batch if batch_first else {length}, {length} if batch_first else batch, {width}]"


def mask(*lengths: str) -> list[str | None]:
    """Return the types of a mask of numbers, which may be left out."""
    return [None, f"float[{', '.join(lengths)}]"]


def stack(recipe: str, inputs: Mapping[str, Any], argument: str) -> Hints:
    """Return the hints of a stack of layers, which it makes of one."""
    given = {"d_model": 4, "nhead": 2, "dim_feedforward": 3, "batch_first": True}
    layers = [Recipe(recipe, given), Recipe(recipe, {**given, "norm_first": True, "activation": "gelu"})]
    norms = [None, Recipe("LayerNorm", {"normalized_shape": 4})]
    return Hints(
        inputs,
        arguments={argument: layers, "num_layers": [1, 2], "norm": norms},
        exceptions=looks_at(list(inputs)[-1]),
    )


def looks_at(mask: str) -> dict[str, str]:
    """Return what a stack with a mask does not promise."""
    reason = f"it asks whether the numbers of `{mask}` are causal ({ISSUES.replace('issues', 'pull')}/91171)"
    return {f"{name} if {mask}": reason for name in WITHOUT_VALUES}


ATTENTION = {
    "MultiheadAttention": Hints(
        [
            {
                "query": steps("target", "embed_dim"),
                "key": steps("source", "embed_dim if kdim is None else kdim"),
                "value": steps("source", "embed_dim if vdim is None else vdim"),
                "key_padding_mask": mask("batch", "source"),
                "attn_mask": mask("target", "source"),
            },
            {
                "query": "float[target, embed_dim]",
                "key": "float[source, embed_dim if kdim is None else kdim]",
                "value": "float[source, embed_dim if vdim is None else vdim]",
            },
        ],
        arguments={"embed_dim": WIDTHS, "num_heads": [1, 2], "kdim": [None, 3], "vdim": [None, 3]},
    ),
    "TransformerEncoderLayer": Hints(
        [
            {
                "src": steps("time", "d_model"),
                "src_mask": mask("time", "time"),
                "src_key_padding_mask": mask("batch", "time"),
            },
            {"src": "float[time, d_model]"},
        ],
        arguments={"d_model": WIDTHS, **PARTS},
    ),
    "TransformerDecoderLayer": Hints(
        [
            {
                "tgt": steps("target", "d_model"),
                "memory": steps("source", "d_model"),
                "tgt_mask": mask("target", "target"),
                "memory_key_padding_mask": mask("batch", "source"),
            },
            {"tgt": "float[target, d_model]", "memory": "float[source, d_model]"},
        ],
        arguments={"d_model": WIDTHS, **PARTS},
    ),
    "TransformerEncoder": stack(
        "TransformerEncoderLayer",
        {"src": "float[batch, time, 4]", "mask": mask("time", "time")},
        "encoder_layer",
    ),
    "TransformerDecoder": stack(
        "TransformerDecoderLayer",
        {
            "tgt": "float[batch, target, 4]",
            "memory": "float[batch, source, 4]",
            "tgt_mask": mask("target", "target"),
        },
        "decoder_layer",
    ),
    "Transformer": Hints(
        {
            "src": steps("source", "d_model"),
            "tgt": steps("target", "d_model"),
            "tgt_mask": mask("target", "target"),
        },
        arguments={
            "d_model": WIDTHS,
            **PARTS,
            **{f"num_{part}_layers": st.just(1) for part in ("encoder", "decoder")},
        },
        where=["num_encoder_layers + num_decoder_layers == 2", "dim_feedforward == 3"],
        exceptions=looks_at("tgt_mask"),
    ),
}


# Tables and losses

ROWS = {
    "gradcheck if padding_idx is not None": "the row of `padding_idx` is not trained",
    "gradcheck if scale_grad_by_freq": "gradients are divided by how often a row is used, as asked for",
    "gradcheck if sparse": "gradcheck takes no sparse gradients",
    "compile if sparse": "torch.compile takes no sparse gradients",
}
RENORMALISED = {
    f"{property} if max_norm is not None": "it shortens the rows that it uses in place, also when evaluating"
    for property in ("evaluation", "gradcheck", "copy", "freeze")
}
TABLES = {
    "Embedding": Hints(
        {"input": ["int64[batch, ...]", "int64[]"]},
        arguments={"padding_idx": [None, 0, -1], "max_norm": [None, 0.5], "norm_type": [1.0, 2.0]},
        values={"input": (0, "num_embeddings")},
        exceptions={**ROWS, **RENORMALISED},
    ),
    "EmbeddingBag": Hints(
        [
            {"input": "int64[batch, bag]", "per_sample_weights": [None, "float[batch, bag]"]},
            {"input": "int64[count]", "offsets": "int64[bags]"},
        ],
        arguments={
            "padding_idx": [None, 0],
            "max_norm": [None, 0.5],
            "norm_type": [1.0, 2.0],
            "mode": ["mean", "sum", "max"],
            "include_last_offset": [False],
        },
        values={"input": (0, "num_embeddings"), "offsets": (0, 1)},
        where=[
            "mode == 'sum' or not per_sample_weights",
            "mode != 'max' or not (sparse or scale_grad_by_freq)",
        ],
        exceptions={**ROWS, **RENORMALISED},
    ),
    "AdaptiveLogSoftmaxWithLoss": Hints(
        {"input_": "float[batch, in_features]", "target_": "int64[batch]"},
        ["float[batch]", "float[]"],
        arguments={
            "in_features": st.just(4),
            "n_classes": [6],
            "cutoffs": [[2], [2, 4]],
            "div_value": [1.0, 2.0],
        },
        values={"target_": (0, "n_classes")},
        exceptions={
            "gradients": "a cluster that no target is in gets no gradient",
            **dict.fromkeys(
                WITHOUT_VALUES, f"it looks at which clusters the targets are in ({ISSUES}/194765)"
            ),
        },
    ),
    "LinearCrossEntropyLoss": Hints(
        {"input": "float[batch, in_features]", "target": "int64[batch]"},
        ["float[]"],
        arguments={"reduction": ["mean", "sum"], "out_features": [[]], "ignore_index": [None, -100]},
        values={"target": (0, "num_classes")},
    ),
}


# Shapes, and the rest

RESIZED = {"size": st.none() | numbers(2, 1, 3), "scale_factor": [None, 2, 0.5, (2.0, 1.5)]}
ONE_OF = "(size is None) != (scale_factor is None)"


def along(*inputs: str) -> Hints:
    """Return the hints of a layer that works along a dimension which is not that of the batch."""
    return Hints(
        dict.fromkeys(inputs, "float[batch, 2 * channels, 2 * length]"),
        arguments={"dim": [1, 2, -1]},
        exceptions={"batch if dim is None": "without `dim`, that is the first of three dimensions"},
    )


OTHERS = {
    **{name: along("input") for name in ("Softmax", "LogSoftmax", "Softmin", "GLU")},
    "CosineSimilarity": along("x1", "x2"),
    "Softmax2d": Hints({"input": images(2)}),
    "PReLU": Hints({"input": ["float[batch, num_parameters, ...]"]}),
    "Flatten": Hints(
        {"input": "float[batch, channels, height, width]"},
        arguments={"start_dim": [1, 2], "end_dim": [-1, -2, 3]},
    ),
    "Unflatten": Hints(
        {"input": "float[batch, 6, size]"},
        arguments={"dim": [1, -2], "unflattened_size": [[2, 3], [6, 1], [3, -1]]},
    ),
    "PixelShuffle": Hints({"input": images(2, "channels * upscale_factor ** 2")}),
    "PixelUnshuffle": Hints(
        {"input": "float[batch, channels, height * downscale_factor, width * downscale_factor]"}
    ),
    "ChannelShuffle": Hints({"input": "float[batch, channels * groups, size1, ...]"}),
    "Upsample": Hints(
        {"input": images(2)[:1]},
        arguments={
            **RESIZED,
            "mode": ["nearest", "nearest-exact", "area", "bilinear", "bicubic"],
            "align_corners": [None, False, True],
            "recompute_scale_factor": [None, True],
        },
        sizes=sides(2, 2, 3),
        where=[
            ONE_OF,
            "align_corners is None or mode in ['bilinear', 'bicubic']",
            "recompute_scale_factor is None or size is None",
        ],
    ),
    **{
        name: Hints({"input": images(2)[:1]}, arguments=RESIZED, sizes=sides(2, 2, 3), where=[ONE_OF])
        for name in ("UpsamplingBilinear2d", "UpsamplingNearest2d")
    },
}

HINTS: dict[str, Hints] = {
    **CONVOLUTION,
    **PADDING,
    **POOLING,
    **NORMALISATION,
    **RECURRENCE,
    **ATTENTION,
    **TABLES,
    **OTHERS,
}
