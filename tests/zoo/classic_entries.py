"""The entries of the zoo whose reference is written by hand, in `classic.py` and `recent.py`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tests.zoo import classic, recent
from tests.zoo.parity import Entry, tensors

BATCH = 3


def call(reference: nn.Module, *inputs: Tensor) -> Sequence[Tensor]:
    return tensors(reference(*inputs))


def net(make: Callable[..., nn.Module], **sizes: Any) -> nn.Module:
    """Return a model under the name `net`, by which specs that train it on data find it, too."""
    return nn.Sequential(OrderedDict(net=make(**sizes)))


def normal(*shapes: Sequence[int]) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(BATCH, *shape, generator=generator) for shape in shapes)


def whole(*rows: tuple[int, int]) -> tuple[Tensor, ...]:
    """Return sequences of whole numbers, each below a bound and of a length."""
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randint(0, below, (BATCH, time), generator=generator) for below, time in rows)


def noisy() -> tuple[Tensor, ...]:
    """Return images, and how often noise was added to each."""
    return (*normal((3, 8, 8)), torch.tensor([0, 7, 999]))


def entry(
    spec: str, make: Callable[..., nn.Module], inputs: Callable[[], tuple[Tensor, ...]], **small: Any
) -> Entry:
    """Return an entry whose reference has the sizes of the paper unless it is given others."""
    return Entry(spec, partial(make, **small), inputs, call, {"": make})


ENTRIES: tuple[Entry, ...] = (
    entry(
        "lenet",
        partial(net, classic.LeNet5),
        partial(normal, (1, 32, 32)),
        hidden=12,
        features=8,
        classes=4,
    ),
    entry("unet", classic.UNet, partial(normal, (1, 44, 44)), width=4, depth=2),
    entry(
        "seq2seq",
        classic.Seq2Seq,
        partial(whole, (60, 9), (50, 7)),
        source_vocab=60,
        vocab=50,
        embedding=10,
        hidden=12,
        alignment=14,
        maxout=8,
    ),
    entry("vae", partial(net, classic.VAE), partial(normal, (20,)), pixels=20, hidden=12, latent=3),
    entry("dcgan", classic.DCGAN, partial(normal, (6,), (3, 16, 16)), noise=6, width=4, depth=2),
    entry(
        "siamese", classic.Siamese, partial(normal, (1, 65, 65), (1, 65, 65)), width=2, flat=8, features=12
    ),
    entry(
        "wavenet",
        partial(net, classic.WaveNet),
        partial(whole, (20, 24)),
        levels=20,
        width=6,
        skip=10,
        longest=4,
        stacks=2,
    ),
    entry("pointnet", classic.PointNet, partial(normal, (12, 3)), width=4, classes=5),
    entry(
        "mlp_mixer",
        recent.MlpMixer,
        partial(normal, (3, 32, 32)),
        size=32,
        patch=8,
        dim=12,
        depth=2,
        token_hidden=10,
        channel_hidden=20,
        rate=0.1,
        classes=5,
    ),
    entry(
        "ddpm",
        recent.DiffusionUNet,
        noisy,
        size=8,
        width=8,
        factors=(1, 2),
        depth=1,
        attended=4,
        groups=4,
    ),
)
