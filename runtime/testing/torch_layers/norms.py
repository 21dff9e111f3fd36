"""Hints for normalisation."""

from __future__ import annotations

from compiler.catalogue.hints import Hints
from runtime.testing.torch_layers.shapes import each_rank, images, sides

SEVERAL = {"batch": (2, 4)}
"""Torch refuses to train on one value for each channel."""
OF_THE_BATCH = "without running statistics it takes those of the batch, also when evaluating"


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
        exceptions={"batch if not track_running_stats": OF_THE_BATCH},
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
