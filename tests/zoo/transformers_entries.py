"""The entries of the zoo whose reference is `transformers`, built from configurations: nothing is downloaded."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.zoo import wav2vec2_entries as wav2vec2
from tests.zoo.parity import Entry

os.environ.setdefault("HF_HUB_OFFLINE", "1")
transformers = pytest.importorskip("transformers")
transformers.logging.set_verbosity_error()

Config = Mapping[str, Any]


def model(kind: str, head: str, config: Config, attention: str = "eager") -> nn.Module:
    cls = getattr(transformers, f"{kind}{head}")
    settings = with_attention(config, attention if cls._supports_sdpa else "eager")
    made = cls(getattr(transformers, f"{kind}Config")(**settings))
    assert isinstance(made, nn.Module)
    return made


def with_attention(config: Config, attention: str) -> dict[str, Any]:
    """Name the implementation of attention in a configuration, and in those inside it."""
    inner = {k: with_attention(v, attention) if isinstance(v, dict) else v for k, v in config.items()}
    return {**inner, "attn_implementation": attention}


def call(names: Sequence[str], fields: Sequence[str], reference: nn.Module, *inputs: Tensor) -> list[Tensor]:
    output = reference(**dict(zip(names, inputs, strict=True)))
    return [output[name] for name in fields]


def entry(
    spec: str,
    kind: str,
    head: str,
    small: Config,
    inputs: Callable[[], dict[str, Tensor]],
    full: Mapping[str, Config],
    fields: Sequence[str] = ("logits",),
    settings: Config | None = None,
) -> Entry:
    names = list(inputs())
    return Entry(
        spec,
        partial(model, kind, head, small),
        lambda: tuple(inputs().values()),
        partial(call, names, fields),
        {preset: partial(model, kind, head, config) for preset, config in full.items()},
        settings or {},
    )


def tokens(batch: int, time: int, below: int = 98) -> Tensor:
    return torch.randint(0, below, (batch, time), generator=torch.Generator().manual_seed(2))


def text() -> dict[str, Tensor]:
    return {"input_ids": tokens(2, 16)}


def padded() -> dict[str, Tensor]:
    seen = torch.ones(2, 16, dtype=torch.int64)
    seen[1, 11:] = 0
    return {"input_ids": tokens(2, 16) * seen, "attention_mask": seen}


def sentences() -> dict[str, Tensor]:
    words, seen = padded().values()
    segments = (torch.arange(16) > 7).long().expand(2, -1)
    return {"input_ids": words, "token_type_ids": segments, "attention_mask": seen}


def translation() -> dict[str, Tensor]:
    return {**padded(), "decoder_input_ids": tokens(2, 12)}


def image(batch: int = 2) -> dict[str, Tensor]:
    return {"pixel_values": torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(3))}


def image_and_texts() -> dict[str, Tensor]:
    texts = tokens(3, 12)
    for row, end in enumerate((5, 11, 3)):
        texts[row, end:] = 99
    return {**image(), "input_ids": texts}


def speech() -> dict[str, Tensor]:
    spectrogram = torch.randn(2, 10, 24, generator=torch.Generator().manual_seed(3))
    words = tokens(2, 12)
    words[1, 9:] = 98
    return {"input_features": spectrogram, "decoder_input_ids": words}


SIZES = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "intermediate_size",
)


def sizes(*values: int, **more: Any) -> dict[str, Any]:
    """Return `hidden_size`, `num_hidden_layers` and so on, in that order."""
    return {**dict(zip(SIZES, values, strict=False)), **more}


DECODER = sizes(
    32, 2, 4, 2, 48, vocab_size=100, pad_token_id=None, bos_token_id=0, eos_token_id=1, use_cache=False
)
ENCODER = {
    "vocab_size": 100,
    "max_position_embeddings": 32,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "hidden_size": 32,
}
SMALL_QWEN = {**DECODER, "rope_theta": 1e6}
FULL_QWEN = sizes(3584, 28, 28, 4, 18944, vocab_size=152064)
HALF_QWEN = sizes(896, 24, 14, 2, 4864, vocab_size=151936, tie_word_embeddings=True)
SMALL_T5 = {
    "vocab_size": 100,
    "d_model": 32,
    "d_kv": 6,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 12,
    "use_cache": False,
}
SMALL_CLIP = {
    "text_config": sizes(24, 3, 3, intermediate_size=96, vocab_size=100, max_position_embeddings=16)
    | {"eos_token_id": 99, "bos_token_id": 98},
    "vision_config": sizes(32, 2, 4, intermediate_size=128, image_size=32, patch_size=8),
    "projection_dim": 20,
}
LARGE_CLIP = {
    "text_config": sizes(768, 12, 12, intermediate_size=3072),
    "vision_config": sizes(1024, 24, 16, intermediate_size=4096, patch_size=14),
    "projection_dim": 768,
}
CLIP_OUTPUTS = ("logits_per_image", "logits_per_text", "text_embeds", "image_embeds")


def whisper(dim: int, depth: int, heads: int, **more: Any) -> dict[str, Any]:
    layers = {"encoder_layers": depth, "decoder_layers": depth, "use_cache": False}
    widths = {"encoder_ffn_dim": 4 * dim, "decoder_ffn_dim": 4 * dim}
    split = {"encoder_attention_heads": heads, "decoder_attention_heads": heads}
    return {"d_model": dim, **layers, **widths, **split, **more}


SMALL_WHISPER = whisper(32, 2, 4, vocab_size=100, num_mel_bins=10, max_source_positions=12) | {
    "max_target_positions": 16,
    "pad_token_id": 98,
    "bos_token_id": 98,
    "eos_token_id": 98,
    "decoder_start_token_id": 97,
    "begin_suppress_tokens": [],
}

SMALL_NEOX = {**DECODER, "intermediate_size": 128, "rotary_pct": 0.5}
SMALL_NEOX |= {"attention_dropout": 0.1, "hidden_dropout": 0.1}
FULL_NEOX = {"": {}, "pythia_12b": sizes(5120, 36, 40, intermediate_size=20480, vocab_size=50688)}
FULL_PHI = {"": {}, "phi4": sizes(5120, 40, 40, 10, 17920, vocab_size=100352)}
QWEN_EXPERTS = {"norm_topk_prob": True, "rope_theta": 1e6}
SMALL_EXPERTS = {
    **DECODER,
    **QWEN_EXPERTS,
    "head_dim": 12,
    "moe_intermediate_size": 24,
    "num_experts": 6,
    "num_experts_per_tok": 2,
    "experts_implementation": "eager",
}
FULL_EXPERTS = {
    "": sizes(2048, 48, 32, 4, head_dim=128, moe_intermediate_size=768, **QWEN_EXPERTS),
    "qwen3_235b": sizes(4096, 94, 64, 4, head_dim=128, moe_intermediate_size=1536, **QWEN_EXPERTS),
}
SMALL_DEEPSEEK = {
    **DECODER,
    "num_hidden_layers": 3,
    "num_key_value_heads": 4,
    "q_lora_rank": 20,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 10,
    "qk_rope_head_dim": 6,
    "v_head_dim": 12,
    "first_k_dense_replace": 1,
    "n_routed_experts": 12,
    "n_group": 4,
    "num_experts_per_tok": 3,
    "topk_group": 2,
    "moe_intermediate_size": 24,
    "experts_implementation": "eager",
}
KIMI = {"n_routed_experts": 384, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1}
FULL_DEEPSEEK = {"": {}, "kimi_k2": sizes(7168, 61, 64, 64, vocab_size=163840, **KIMI)}
SMALL_SEGFORMER = {
    "num_encoder_blocks": 2,
    "depths": [1, 2],
    "hidden_sizes": [8, 12],
    "num_attention_heads": [1, 3],
    "sr_ratios": [2, 1],
    "patch_sizes": [7, 3],
    "strides": [4, 2],
    "mlp_ratios": [4, 4],
    "decoder_hidden_size": 20,
    "drop_path_rate": 0.3,
    "num_labels": 10,
}
FULL_SEGFORMER = {
    "": {"num_labels": 150},
    "b5": {"depths": [3, 6, 40, 3], "hidden_sizes": [64, 128, 320, 512]}
    | {"decoder_hidden_size": 768, "num_labels": 150},
}

ENTRIES = [
    entry(
        "llama",
        "Llama",
        "ForCausalLM",
        {**DECODER, "rms_norm_eps": 1e-5},
        text,
        {
            "": {},
            "llama2_70b": sizes(8192, 80, 64, 8, 28672),
            "llama3_8b": sizes(4096, 32, 32, 8, 14336, vocab_size=128256),
        },
    ),
    entry(
        "mistral",
        "Mistral",
        "ForCausalLM",
        {**DECODER, "rms_norm_eps": 1e-5, "sliding_window": 5},
        text,
        {"": {}},
    ),
    entry("qwen2", "Qwen2", "ForCausalLM", SMALL_QWEN, text, {"": FULL_QWEN, "qwen2_0_5b": HALF_QWEN}),
    entry(
        "qwen2",
        "Qwen2",
        "ForCausalLM",
        {**SMALL_QWEN, "tie_word_embeddings": True},
        text,
        {},
        settings={"tied": True},
    ),
    entry(
        "gemma",
        "Gemma",
        "ForCausalLM",
        {**DECODER, "num_key_value_heads": 1, "head_dim": 12},
        text,
        {"": {}, "gemma_2b": sizes(2048, 18, 8, 1, 16384)},
    ),
    entry(
        "mixtral",
        "Mixtral",
        "ForCausalLM",
        {**DECODER, "intermediate_size": 24, "num_local_experts": 4, "experts_implementation": "eager"},
        text,
        {"": {}, "mixtral_8x22b": sizes(6144, 56, 48, 8, 16384, vocab_size=32768)},
    ),
    entry(
        "bert",
        "Bert",
        "ForPreTraining",
        {**ENCODER, "num_hidden_layers": 2},
        sentences,
        {"": {}, "bert_large": sizes(1024, 24, 16, intermediate_size=4096)},
        fields=("prediction_logits", "seq_relationship_logits"),
    ),
    entry(
        "distilbert",
        "DistilBert",
        "ForMaskedLM",
        {
            "vocab_size": 100,
            "dim": 32,
            "n_layers": 2,
            "n_heads": 4,
            "hidden_dim": 128,
            "max_position_embeddings": 32,
        },
        padded,
        {"": {}},
    ),
    entry(
        "albert",
        "Albert",
        "ForPreTraining",
        {**ENCODER, "num_hidden_layers": 3, "embedding_size": 16},
        sentences,
        {"": sizes(768, 12, 12, intermediate_size=3072), "albert_xxlarge": {}},
        fields=("prediction_logits", "sop_logits"),
    ),
    entry(
        "gpt2_transformers",
        "GPT2",
        "LMHeadModel",
        {
            "vocab_size": 100,
            "n_embd": 32,
            "n_layer": 2,
            "n_head": 4,
            "n_positions": 32,
            "bos_token_id": 0,
            "eos_token_id": 0,
        }
        | {"use_cache": False},
        text,
        {"": {}, "gpt2_xl": {"n_embd": 1600, "n_layer": 48, "n_head": 25}},
    ),
    entry(
        "t5",
        "T5",
        "ForConditionalGeneration",
        SMALL_T5,
        translation,
        {"": {}, "t5_11b": {"d_model": 1024, "num_layers": 24, "num_heads": 128, "d_kv": 128, "d_ff": 65536}},
    ),
    entry(
        "clip",
        "CLIP",
        "Model",
        SMALL_CLIP,
        image_and_texts,
        {"": {"text_config": {}, "vision_config": {}}, "vit_l_14": LARGE_CLIP},
        fields=CLIP_OUTPUTS,
    ),
    entry(
        "vit_transformers",
        "ViT",
        "ForImageClassification",
        sizes(32, 2, 4, intermediate_size=128, image_size=32, patch_size=8, num_labels=10),
        image,
        {"": {}, "vit_huge": sizes(1280, 32, 16, intermediate_size=5120, patch_size=14)},
    ),
    entry(
        "whisper",
        "Whisper",
        "ForConditionalGeneration",
        SMALL_WHISPER,
        speech,
        {"": {}, "whisper_large_v3": whisper(1280, 32, 20, num_mel_bins=128, vocab_size=51866)},
    ),
    entry(
        "mamba",
        "Mamba",
        "ForCausalLM",
        {
            "vocab_size": 100,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "state_size": 4,
            "conv_kernel": 3,
            "use_cache": False,
        },
        text,
        {"": {}, "mamba_2_8b": {"hidden_size": 2560, "num_hidden_layers": 64}},
    ),
    entry("phi3", "Phi3", "ForCausalLM", {**DECODER, "sliding_window": 5}, text, FULL_PHI),
    entry("qwen3_moe", "Qwen3Moe", "ForCausalLM", SMALL_EXPERTS, text, FULL_EXPERTS),
    entry("deepseek_v3", "DeepseekV3", "ForCausalLM", SMALL_DEEPSEEK, text, FULL_DEEPSEEK),
    entry("segformer", "Segformer", "ForSemanticSegmentation", SMALL_SEGFORMER, image, FULL_SEGFORMER),
    entry("gpt_neox", "GPTNeoX", "ForCausalLM", SMALL_NEOX, text, FULL_NEOX),
    entry(
        "gpt_neox",
        "GPTNeoX",
        "ForCausalLM",
        {**SMALL_NEOX, "use_parallel_residual": False},
        text,
        {},
        settings={"parallel": False},
    ),
    entry("wav2vec2", "Wav2Vec2", "ForCTC", wav2vec2.SMALL, wav2vec2.audio, wav2vec2.FULL),
    entry(
        "wav2vec2",
        "Wav2Vec2",
        "ForCTC",
        wav2vec2.SMALL_PRENORM,
        wav2vec2.audio,
        {},
        settings={"prenorm": True, "layer_drop": 0.5},
    ),
]
