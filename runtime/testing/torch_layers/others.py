"""Hints for tables, losses, and layers that change the shape alone."""

from __future__ import annotations

from hypothesis import strategies as st

from compiler.catalogue.hints import Hints
from runtime.testing.torch_layers.sequences import WITHOUT_VALUES
from runtime.testing.torch_layers.shapes import images, numbers, sides
from runtime.testing.torch_layers.upstream import issue

ROWS = {
    "gradcheck if padding_idx is not None": "the row of `padding_idx` is not trained",
    "gradcheck if scale_grad_by_freq": "gradients are divided by how often a row is used, as asked for",
    "gradcheck if sparse": "gradcheck takes no sparse gradients",
    "compile if sparse": "torch.compile takes no sparse gradients",
}
RENORMALISED = {
    f"{property} if max_norm is not None": "it shortens the rows that it uses in place, also when evaluating"
    for property in ("evaluation", "gradcheck", "freeze")
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
                WITHOUT_VALUES, f"it looks at which clusters the targets are in ({issue(194765)})"
            ),
        },
    ),
    "LinearCrossEntropyLoss": Hints(
        {"input": "float[batch, in_features]", "target": "int64[batch]"},
        ["float[]"],
        arguments={"reduction": ["mean", "sum"], "out_features": [()], "ignore_index": [None, -100]},
        values={"target": (0, "num_classes")},
    ),
}


# Shapes, and the rest

RESIZED = {"size": st.none() | numbers(2, 1, 3), "scale_factor": [None, 2, 0.5, (2.0, 1.5)]}
ONE_OF = "(size is None) != (scale_factor is None)"


EVEN = "float[batch, 2 * channels, 2 * length]"
FIRST = {"batch if dim is None": "without `dim`, it works along the first of three dimensions"}


OTHERS = {
    **{
        name: Hints({"input": EVEN}, arguments={"dim": [None, 1, 2, -1]}, exceptions=FIRST)
        for name in ("Softmax", "LogSoftmax", "Softmin")
    },
    "GLU": Hints({"input": EVEN}, arguments={"dim": [-1, 1, 2]}),
    "CosineSimilarity": Hints({"x1": EVEN, "x2": EVEN}, arguments={"dim": [1, 2, -1]}),
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
