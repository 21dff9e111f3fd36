from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attend(nn.Module):
    """Each head has its part of the queries. `mask` is true where a key is seen, or is added to scores."""

    def __init__(self, heads: int, rate: int = 0, causal: bool = False, scale: float | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.rate = rate
        self.causal = causal
        self.scale = scale

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        q = torch.unflatten(q, 2, (self.heads, -1)).transpose(1, 2)
        k = torch.unflatten(k, 2, (self.heads, -1)).transpose(1, 2)
        v = torch.unflatten(v, 2, (self.heads, -1)).transpose(1, 2)
        y = F.scaled_dot_product_attention(
            q, k, v, mask, self.rate if self.training else 0.0, is_causal=self.causal, scale=self.scale
        )
        return y.transpose(1, 2).flatten(2)


class Attention(nn.Module):
    def __init__(self, causal: bool = False, *, dim: int, heads: int) -> None:
        super().__init__()
        self.k_proj = nn.Linear(dim, dim, bias=False)
        self.v_proj = nn.Linear(dim, dim)
        self.q_proj = nn.Linear(dim, dim)
        self.out_proj = nn.Linear(dim, dim)
        self.attend = Attend(heads, causal=causal)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        x = self.out_proj(self.attend(self.q_proj(x), self.k_proj(memory), self.v_proj(memory)))
        return x


class EncoderLayer(nn.Module):
    def __init__(self, *, dim: int, heads: int, hidden: int, rate: float) -> None:
        super().__init__()
        self.self_attn = Attention(dim=dim, heads=heads)
        self.self_attn_layer_norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        self.final_layer_norm = nn.LayerNorm(dim)
        self.drop = nn.Dropout(rate)

    def forward(self, x: Tensor) -> Tensor:
        y = self.self_attn_layer_norm(x)
        x = x + self.drop(self.self_attn(y, y))
        x = x + self.drop(self.fc2(F.gelu(self.fc1(self.final_layer_norm(x)))))
        return x


class Encoder(nn.Module):
    def __init__(
        self, *, mels: int, frames: int, dim: int, depth: int, heads: int, hidden: int, rate: float
    ) -> None:
        super().__init__()
        self.frames = frames
        self.dim = dim
        self.conv1 = nn.Conv1d(mels, dim, 3, padding=1)
        self.conv2 = nn.Conv1d(dim, dim, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(frames, dim)
        self.drop = nn.Dropout(rate)
        self.layers = nn.Sequential(
            *[EncoderLayer(dim=dim, heads=heads, hidden=hidden, rate=rate) for _ in range(depth)]
        )
        self.layer_norm = nn.LayerNorm(dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        with torch.no_grad():
            self.embed_positions.weight.copy_(
                torch.sin(
                    torch.outer(
                        torch.arange(self.frames),
                        10000.0 ** -(torch.arange(self.dim) % (self.dim // 2) / (self.dim // 2 - 1)),
                    )
                    + torch.pi / 2 * (torch.arange(self.dim) >= self.dim // 2)
                )
            )

    def forward(self, spectrogram: Tensor) -> Tensor:
        x = F.gelu(self.conv2(F.gelu(self.conv1(spectrogram)))).mT
        output: Tensor = self.layer_norm(self.layers(self.drop(x + self.embed_positions.weight)))
        return output


class DecoderLayer(nn.Module):
    def __init__(self, *, dim: int, heads: int, hidden: int, rate: float) -> None:
        super().__init__()
        self.self_attn = Attention(causal=True, dim=dim, heads=heads)
        self.self_attn_layer_norm = nn.LayerNorm(dim)
        self.encoder_attn = Attention(dim=dim, heads=heads)
        self.encoder_attn_layer_norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        self.final_layer_norm = nn.LayerNorm(dim)
        self.drop = nn.Dropout(rate)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        y = self.self_attn_layer_norm(x)
        x = x + self.drop(self.self_attn(y, y))
        x = x + self.drop(self.encoder_attn(self.encoder_attn_layer_norm(x), memory))
        x = x + self.drop(self.fc2(F.gelu(self.fc1(self.final_layer_norm(x)))))
        return x


class Decoder(nn.Module):
    def __init__(
        self, *, vocab: int, context: int, dim: int, depth: int, heads: int, hidden: int, rate: float
    ) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab, dim, padding_idx=50256)
        self.embed_positions = nn.Embedding(context, dim)
        self.drop = nn.Dropout(rate)
        self.layers = nn.ModuleList(
            [DecoderLayer(dim=dim, heads=heads, hidden=hidden, rate=rate) for _ in range(depth)]
        )
        self.layer_norm = nn.LayerNorm(dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.embed_tokens.weight, std=0.02)
        nn.init.zeros_(self.embed_tokens.weight[50256])
        nn.init.normal_(self.embed_positions.weight, std=0.02)

    def forward(self, tokens: Tensor, memory: Tensor) -> Tensor:
        x = self.drop(
            self.embed_tokens(tokens)
            + self.embed_positions(torch.arange(tokens.shape[1], device=tokens.device))
        )
        for layer in self.layers:
            x = layer(x, memory)
        output: Tensor = self.layer_norm(x)
        return output


class Both(nn.Module):
    def __init__(
        self,
        *,
        mels: int,
        frames: int,
        vocab: int,
        context: int,
        dim: int,
        depth: int,
        heads: int,
        hidden: int,
        rate: float,
    ) -> None:
        super().__init__()
        self.encoder = Encoder(
            mels=mels, frames=frames, dim=dim, depth=depth, heads=heads, hidden=hidden, rate=rate
        )
        self.decoder = Decoder(
            vocab=vocab, context=context, dim=dim, depth=depth, heads=heads, hidden=hidden, rate=rate
        )

    def forward(self, spectrogram: Tensor, tokens: Tensor) -> Tensor:
        output: Tensor = self.decoder(tokens, self.encoder(spectrogram))
        return output


class Whisper(nn.Module):
    def __init__(
        self,
        mels: int = 80,
        frames: int = 1500,
        vocab: int = 51865,
        context: int = 448,
        dim: int = 384,
        depth: int = 4,
        heads: int = 6,
        rate: float = 0.0,
    ) -> None:
        super().__init__()
        hidden = 4 * dim
        self.model = Both(
            mels=mels,
            frames=frames,
            vocab=vocab,
            context=context,
            dim=dim,
            depth=depth,
            heads=heads,
            hidden=hidden,
            rate=rate,
        )
        self.proj_out = nn.Linear(dim, vocab, bias=False)
        self.proj_out.weight = self.model.decoder.embed_tokens.weight
        self.model.encoder.embed_positions.requires_grad_(False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for module in self.modules():
            if isinstance(module, (nn.Conv1d, nn.Linear)):
                nn.init.normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.zeros_(self.get_parameter("model.decoder.embed_tokens.weight")[50256])

    @classmethod
    def whisper_base(cls) -> Self:
        return cls(dim=512, depth=6, heads=8)

    @classmethod
    def whisper_small(cls) -> Self:
        return cls(dim=768, depth=12, heads=12)

    @classmethod
    def whisper_medium(cls) -> Self:
        return cls(dim=1024, depth=24, heads=16)

    @classmethod
    def whisper_large(cls) -> Self:
        return cls(dim=1280, depth=32, heads=20)

    @classmethod
    def whisper_large_v3(cls) -> Self:
        return cls(dim=1280, depth=32, heads=20, mels=128, vocab=51866)

    def forward(self, spectrogram: Tensor, tokens: Tensor) -> Tensor:
        output: Tensor = self.proj_out(self.model(spectrogram, tokens))
        return output
