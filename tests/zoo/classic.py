"""Architectures older than the libraries, as one writes them by hand in PyTorch: what the specs are held against."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TABLE = [
    *([0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [0, 4, 5], [0, 1, 5]),
    *([0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5], [0, 3, 4, 5], [0, 1, 4, 5], [0, 1, 2, 5]),
    *([0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5], [0, 1, 2, 3, 4, 5]),
]
"""Table I of LeCun et al. (1998)."""


# LeNet-5 (LeCun et al., 1998).


class ScaledTanh(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(x * 2 / 3)


class Subsampling(nn.Module):
    def __init__(self, maps: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.ones(maps, 1, 1))
        self.bias = nn.Parameter(torch.zeros(maps, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        total = x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]
        return total * self.coefficient + self.bias


class PartialConvolution(nn.Module):
    def __init__(self, table: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.table = [list(row) for row in table]
        self.maps = nn.ModuleList(nn.Conv2d(len(row), 1, 5) for row in table)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.maps[at](x[:, row]) for at, row in enumerate(self.table)], dim=1)


class RadialBasis(nn.Module):
    codes: Tensor

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("codes", torch.randint(0, 2, (classes, features)) * 2.0 - 1)

    def forward(self, x: Tensor) -> Tensor:
        return ((x[:, None, :] - self.codes[None]) ** 2).sum(-1)


class LeNet5(nn.Module):
    def __init__(self, hidden: int = 120, features: int = 84, classes: int = 10) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(1, 6, 5)
        self.s2 = Subsampling(6)
        self.c3 = PartialConvolution(TABLE)
        self.s4 = Subsampling(len(TABLE))
        self.c5 = nn.Conv2d(len(TABLE), hidden, 5)
        self.f6 = nn.Linear(hidden, features)
        self.output = RadialBasis(features, classes)
        self.squash = ScaledTanh()

    def forward(self, image: Tensor) -> Tensor:
        x = self.squash(self.s2(self.squash(self.c1(image))))
        x = self.squash(self.s4(self.squash(self.c3(x))))
        x = self.squash(self.c5(x)).flatten(1)
        return self.output(self.squash(self.f6(x)))


# U-Net (Ronneberger et al., 2015).


class DoubleConvolution(nn.Sequential):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 3), nn.ReLU(), nn.Conv2d(outputs, outputs, 3), nn.ReLU())


class Expansion(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, inputs // 2, 2, stride=2)
        self.convs = DoubleConvolution(inputs, inputs // 2)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.up(x)
        dy, dx = (skip.shape[2] - x.shape[2]) // 2, (skip.shape[3] - x.shape[3]) // 2
        skip = skip[:, :, dy : dy + x.shape[2], dx : dx + x.shape[3]]
        return self.convs(torch.cat([skip, x], dim=1))


class UNet(nn.Module):
    def __init__(self, width: int = 64, depth: int = 4, channels: int = 1, classes: int = 2) -> None:
        super().__init__()
        widths = [channels, *(width * 2**level for level in range(depth + 1))]
        self.down = nn.ModuleList()
        for level in range(depth + 1):
            dropout = nn.Dropout(0.5) if level >= depth - 1 else nn.Identity()
            self.down.append(nn.Sequential(DoubleConvolution(widths[level], widths[level + 1]), dropout))
        self.up = nn.ModuleList(Expansion(each) for each in reversed(widths[2:]))
        self.classify = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for level, stage in enumerate(self.down):
            x = stage(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        x = skips.pop()
        for stage in self.up:
            x = stage(x, skips.pop())
        return self.classify(x)


# Sequence to sequence with additive attention (Bahdanau et al., 2014).


class AdditiveAttention(nn.Module):
    def __init__(self, hidden: int, alignment: int) -> None:
        super().__init__()
        self.query = nn.Linear(hidden, alignment)
        self.score = nn.Linear(alignment, 1, bias=False)

    def forward(self, state: Tensor, memory: Tensor, keys: Tensor) -> Tensor:
        energy = self.score(torch.tanh(self.query(state)[:, None] + keys)).squeeze(-1)
        return torch.bmm(energy.softmax(-1)[:, None], memory).squeeze(1)


class MaxoutReadout(nn.Module):
    def __init__(self, hidden: int, embedding: int, maxout: int, vocab: int) -> None:
        super().__init__()
        self.state = nn.Linear(hidden, 2 * maxout)
        self.word = nn.Linear(embedding, 2 * maxout, bias=False)
        self.context = nn.Linear(2 * hidden, 2 * maxout, bias=False)
        self.output = nn.Linear(maxout, vocab)

    def forward(self, state: Tensor, word: Tensor, context: Tensor) -> Tensor:
        t = self.state(state) + self.word(word) + self.context(context)
        return self.output(torch.maximum(t[:, ::2], t[:, 1::2]))


class Seq2Seq(nn.Module):
    def __init__(
        self,
        source_vocab: int = 30000,
        vocab: int = 30000,
        embedding: int = 620,
        hidden: int = 1000,
        alignment: int = 1000,
        maxout: int = 500,
    ) -> None:
        super().__init__()
        self.hidden = hidden
        self.source_embedding = nn.Embedding(source_vocab, embedding)
        self.encoder = nn.LSTM(embedding, hidden, batch_first=True, bidirectional=True)
        self.start = nn.Linear(hidden, hidden)
        self.embedding = nn.Embedding(vocab, embedding)
        self.key = nn.Linear(2 * hidden, alignment, bias=False)
        self.attention = AdditiveAttention(hidden, alignment)
        self.decoder = nn.LSTMCell(embedding + 2 * hidden, hidden)
        self.readout = MaxoutReadout(hidden, embedding, maxout, vocab)

    def forward(self, source: Tensor, written: Tensor) -> Tensor:
        memory, (last, _) = self.encoder(self.source_embedding(source))
        keys = self.key(memory)
        state = torch.tanh(self.start(last[1]))  # the backward one has read the first word last
        cell = torch.zeros_like(state)
        logits = []
        for word in self.embedding(written).unbind(1):
            context = self.attention(state, memory, keys)
            logits.append(self.readout(state, word, context))
            state, cell = self.decoder(torch.cat([word, context], -1), (state, cell))
        return torch.stack(logits, 1)


# Variational autoencoder (Kingma & Welling, 2013).


class GaussianEncoder(nn.Module):
    def __init__(self, pixels: int, hidden: int, latent: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(pixels, hidden)
        self.mean = nn.Linear(hidden, latent)
        self.log_variance = nn.Linear(hidden, latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.hidden(x).tanh()
        return self.mean(h), self.log_variance(h)


class BernoulliDecoder(nn.Module):
    def __init__(self, latent: int, hidden: int, pixels: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(latent, hidden)
        self.pixels = nn.Linear(hidden, pixels)

    def forward(self, z: Tensor) -> Tensor:
        return self.pixels(self.hidden(z).tanh()).sigmoid()


class VAE(nn.Module):
    def __init__(self, pixels: int = 784, hidden: int = 500, latent: int = 20) -> None:
        super().__init__()
        self.encoder = GaussianEncoder(pixels, hidden, latent)
        self.decoder = BernoulliDecoder(latent, hidden, pixels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encoder(x)
        std = torch.exp(0.5 * log_variance)
        return self.decoder(mean + std * torch.randn_like(std)), mean, log_variance


# DCGAN (Radford et al., 2015).


def doubling(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 5, stride=2, padding=2, output_padding=1, bias=False)


def halving(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 5, stride=2, padding=2, bias=False)


class Generator(nn.Sequential):
    def __init__(self, noise: int, width: int, depth: int) -> None:
        widths = [width * 2**level for level in reversed(range(depth))]
        super().__init__()
        self.project = nn.Linear(noise, 16 * widths[0], bias=False)
        self.append(nn.Unflatten(1, (widths[0], 4, 4)))
        self.append(nn.BatchNorm2d(widths[0]))
        self.append(nn.ReLU())
        for inputs, outputs in pairwise(widths):
            self.append(nn.Sequential(doubling(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU()))
        self.picture = doubling(width, 3)
        self.append(nn.Tanh())


class Discriminator(nn.Sequential):
    def __init__(self, width: int, depth: int) -> None:
        widths = [width * 2**level for level in range(depth)]
        super().__init__(halving(3, width), nn.LeakyReLU(0.2))
        for inputs, outputs in pairwise(widths):
            layer = nn.Sequential(halving(inputs, outputs), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2))
            self.append(layer)
        self.append(nn.Flatten())
        self.real = nn.Linear(16 * widths[-1], 1, bias=False)
        self.append(nn.Sigmoid())


class DCGAN(nn.Module):
    def __init__(self, noise: int = 100, width: int = 128, depth: int = 4) -> None:
        super().__init__()
        self.generator = Generator(noise, width, depth)
        self.discriminator = Discriminator(width, depth)

    def forward(self, noise: Tensor, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        made = self.generator(noise)
        return made, self.discriminator(picture), self.discriminator(made)


# Siamese network (Bromley et al., 1993; Koch et al., 2015).


class Tower(nn.Module):
    def __init__(self, width: int, flat: int, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 10)
        self.conv2 = nn.Conv2d(width, 2 * width, 7)
        self.conv3 = nn.Conv2d(2 * width, 2 * width, 4)
        self.conv4 = nn.Conv2d(2 * width, 4 * width, 4)
        self.features = nn.Linear(flat, features)

    def forward(self, x: Tensor) -> Tensor:
        for conv in (self.conv1, self.conv2, self.conv3):
            x = F.max_pool2d(F.relu(conv(x)), 2)
        return torch.sigmoid(self.features(F.relu(self.conv4(x)).flatten(1)))


class Siamese(nn.Module):
    def __init__(self, width: int = 64, flat: int = 9216, features: int = 4096) -> None:
        super().__init__()
        self.tower = Tower(width, flat, features)
        self.alike = nn.Linear(features, 1, bias=False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        distance = (self.tower(first) - self.tower(second)).abs()
        return torch.sigmoid(self.alike(distance))


# WaveNet (van den Oord et al., 2016).


class GatedLayer(nn.Module):
    def __init__(self, width: int, skip: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.filter = nn.Conv1d(width, width, 2, dilation=dilation)
        self.gate = nn.Conv1d(width, width, 2, dilation=dilation)
        self.residual = nn.Conv1d(width, width, 1)
        self.skip = nn.Conv1d(width, skip, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        padded = F.pad(x, (self.dilation, 0))
        z = torch.tanh(self.filter(padded)) * torch.sigmoid(self.gate(padded))
        return self.residual(z) + x, self.skip(z)


class WaveNet(nn.Module):
    def __init__(
        self, levels: int = 256, width: int = 32, skip: int = 512, longest: int = 512, stacks: int = 3
    ) -> None:
        super().__init__()
        self.levels = levels
        self.causal = nn.Conv1d(levels, width, 2)
        self.layers = nn.ModuleList()
        for _ in range(stacks):
            for power in range(longest.bit_length()):
                self.layers.append(GatedLayer(width, skip, 2**power))
        self.post = nn.Sequential(nn.ReLU(), nn.Conv1d(skip, skip, 1), nn.ReLU(), nn.Conv1d(skip, levels, 1))

    def forward(self, samples: Tensor) -> Tensor:
        one_hot = F.one_hot(samples, self.levels).transpose(1, 2).to(self.causal.weight)
        x = self.causal(F.pad(one_hot, (1, 0)))
        total = torch.zeros((), dtype=x.dtype)
        for layer in self.layers:
            x, skip = layer(x)
            total = total + skip
        return self.post(total).transpose(1, 2)


# PointNet (Qi et al., 2017).


class PointLayer(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(inputs, outputs, 1), nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class DenseLayer(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.linear(x)))


class SharedMLP(nn.Sequential):
    def __init__(self, *widths: int) -> None:
        super().__init__(*(PointLayer(inputs, outputs) for inputs, outputs in pairwise(widths)))


class TransformNet(nn.Module):
    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.size = size
        self.each = SharedMLP(size, width, 2 * width, 16 * width)
        self.dense = nn.Sequential(DenseLayer(16 * width, 8 * width), DenseLayer(8 * width, 4 * width))
        self.matrix = nn.Linear(4 * width, size * size)
        nn.init.zeros_(self.matrix.weight)
        self.matrix.bias.data = torch.eye(size).flatten()

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.each(x).max(dim=2).values
        return self.matrix(self.dense(pooled)).view(-1, self.size, self.size)


class PointNet(nn.Module):
    def __init__(self, width: int = 64, classes: int = 40) -> None:
        super().__init__()
        self.turn_points = TransformNet(3, width)
        self.low = SharedMLP(3, width, width)
        self.turn_features = TransformNet(width, width)
        self.high = SharedMLP(width, width, 2 * width, 16 * width)
        self.head = nn.Sequential(
            DenseLayer(16 * width, 8 * width),
            DenseLayer(8 * width, 4 * width),
            nn.Dropout(0.3),
            nn.Linear(4 * width, classes),
        )

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        x = points.transpose(1, 2)
        x = self.low(torch.bmm(self.turn_points(x), x))
        turn = self.turn_features(x)
        x = self.high(torch.bmm(turn, x))
        return self.head(x.max(dim=2).values), turn
