"""Hints for convolution, padding and pooling."""

from __future__ import annotations

from hypothesis import strategies as st

from compiler.catalogue.hints import Hints
from runtime.testing.torch_layers.shapes import SIDES, each_rank, images, numbers, sides


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
        "output_size": st.none() | numbers(rank, 1, 3),
        "output_ratio": [0.6, None],
    }
    exceptions = dict.fromkeys(("evaluation", "batch", "dtype"), BY_CHANCE)
    return Hints({"input": images(rank)}, None, arguments, sides(rank, 5, 6), exceptions=exceptions)


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
