"""Models as people write them: lists of skips, dicts of states, loops in Python."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def time_embedding(t: Tensor, dim: int) -> Tensor:
    half = dim // 2
    freqs = torch.exp(-math.log(10000.0) * torch.arange(half) / half)
    args = t[:, None].float() * freqs[None]
    return torch.cat([args.cos(), args.sin()], dim=-1)


class ResBlock(nn.Module):
    def __init__(self, in_ch: int, out_ch: int, time_dim: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(4, in_ch)
        self.conv1 = nn.Conv2d(in_ch, out_ch, 3, padding=1)
        self.emb = nn.Linear(time_dim, out_ch)
        self.norm2 = nn.GroupNorm(4, out_ch)
        self.conv2 = nn.Conv2d(out_ch, out_ch, 3, padding=1)
        self.skip = nn.Conv2d(in_ch, out_ch, 1) if in_ch != out_ch else nn.Identity()

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.emb(F.silu(emb))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + self.skip(x)


class UNet(nn.Module):
    """A denoiser: the way down fills a list, the way up empties it."""

    def __init__(self, base: int = 8, mults: tuple[int, ...] = (1, 2)) -> None:
        super().__init__()
        self.base = base
        self.time_mlp = nn.Sequential(nn.Linear(base, 4 * base), nn.SiLU(), nn.Linear(4 * base, 4 * base))
        self.stem = nn.Conv2d(3, base, 3, padding=1)
        self.downs = nn.ModuleList()
        self.ups = nn.ModuleList()
        ch, widths = base, [base]
        for mult in mults:
            self.downs.append(
                nn.ModuleDict(
                    {
                        "res": ResBlock(ch, base * mult, 4 * base),
                        "down": nn.Conv2d(base * mult, base * mult, 3, stride=2, padding=1),
                    }
                )
            )
            ch = base * mult
            widths += [ch]
        self.mid = ResBlock(ch, ch, 4 * base)
        for mult in reversed(mults):
            self.ups.append(ResBlock(ch + widths.pop(), base * mult, 4 * base))
            ch = base * mult
        self.out = nn.Conv2d(ch, 3, 3, padding=1)

    def forward(self, image: Tensor, t: Tensor) -> Tensor:
        emb = self.time_mlp(time_embedding(t, self.base))
        x = self.stem(image)
        skips: list[Tensor] = []
        for level in self.downs:
            x = level["res"](x, emb)
            skips.append(x)
            x = level["down"](x)
        x = self.mid(x, emb)
        for up in self.ups:
            skip = skips.pop()
            x = F.interpolate(x, size=skip.shape[-2:], mode="nearest")
            x = up(torch.cat([x, skip], dim=1), emb)
        return self.out(F.silu(x))


class MessagePassing(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.message = nn.Linear(2 * dim, dim)
        self.update = nn.GRUCell(dim, dim)

    def forward(self, x: Tensor, edges: Tensor, weights: Tensor) -> Tensor:
        src, dst = edges
        messages = F.relu(self.message(torch.cat([x[src], x[dst]], dim=-1))) * weights[:, None]
        total = torch.zeros_like(x).index_add(0, dst, messages)
        degree = torch.zeros(x.shape[0]).index_add_(0, dst, torch.ones_like(weights))
        return self.update(total / degree.clamp(min=1)[:, None], x)


class GraphNet(nn.Module):
    def __init__(self, dim: int = 8, steps: int = 3) -> None:
        super().__init__()
        self.embed = nn.Linear(5, dim)
        self.layers = nn.ModuleList(MessagePassing(dim) for _ in range(steps))
        self.readout = nn.Linear(dim, 2)

    def forward(self, nodes: Tensor, edges: Tensor, weights: Tensor) -> dict[str, Tensor]:
        x = self.embed(nodes).tanh()
        for layer in self.layers:
            x = x + layer(x, edges, weights)
        return {"nodes": self.readout(x), "graph": self.readout(x.mean(0, keepdim=True))}


class Attention(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.query = nn.Linear(hidden, hidden)
        self.energy = nn.Linear(hidden, 1)

    def forward(self, state: dict[str, Tensor], memory: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.energy(torch.tanh(self.query(state["h"])[:, None] + memory)).squeeze(-1)
        weights = scores.softmax(-1)
        return (weights[:, None] @ memory).squeeze(1), weights


class Translator(nn.Module):
    """A decoder steps through the target, and keeps its state in a dict."""

    def __init__(self, vocab: int = 11, hidden: int = 6) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab, hidden)
        self.encoder = nn.GRU(hidden, hidden, batch_first=True)
        self.attention = Attention(hidden)
        self.cell = nn.LSTMCell(2 * hidden, hidden)
        self.out = nn.Linear(2 * hidden, vocab)

    def forward(self, source: Tensor, target: Tensor) -> dict[str, Tensor]:
        memory, last = self.encoder(self.embed(source))
        state = {"h": last[0], "c": torch.zeros_like(last[0])}
        logits, attended = [], []
        for step in range(target.shape[1]):
            context, weights = self.attention(state, memory)
            token = self.embed(target[:, step])
            h, c = self.cell(torch.cat([token, context], dim=-1), (state["h"], state["c"]))
            state = {"h": h, "c": c}
            logits.append(self.out(torch.cat([h, context], dim=-1)))
            attended.append(weights)
        return {"logits": torch.stack(logits, dim=1), "attention": torch.stack(attended, dim=1)}
