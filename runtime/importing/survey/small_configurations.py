"""Models of transformers in a size that a survey can prove: the configuration of each family, with small numbers."""

from __future__ import annotations

from typing import Any

SIZES: dict[str, object] = {
    **dict.fromkeys("hidden_size d_model n_embd embed_dim dim embedding_size projection_dim".split(), 32),
    **dict.fromkeys("encoder_hidden_size decoder_hidden_size text_embed_dim emb_dim hidden_dim".split(), 32),
    **dict.fromkeys("intermediate_size d_ff ffn_dim encoder_ffn_dim decoder_ffn_dim d_inner".split(), 64),
    **dict.fromkeys("dim_feedforward ffn_hidden_size n_inner decoder_intermediate_size".split(), 64),
    **dict.fromkeys("moe_intermediate_size shared_expert_intermediate_size hidden_dim_ffn".split(), 16),
    **dict.fromkeys("num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers".split(), 2),
    **dict.fromkeys("num_decoder_layers num_encoder_layers decoder_num_hidden_layers".split(), 2),
    **dict.fromkeys("num_attention_heads n_head n_heads num_heads encoder_attention_heads".split(), 4),
    **dict.fromkeys("decoder_attention_heads decoder_num_attention_heads num_key_value_heads".split(), 4),
    **dict.fromkeys("head_dim d_kv d_head attention_head_size qk_rope_head_dim qk_nope_head_dim".split(), 8),
    **dict.fromkeys("v_head_dim kv_lora_rank q_lora_rank rotary_dim".split(), 8),
    **dict.fromkeys("vocab_size n_token vocab_size_or_config_json_file".split(), 99),
    **dict.fromkeys("max_position_embeddings n_positions max_target_positions n_ctx max_len".split(), 64),
    **dict.fromkeys("num_experts num_local_experts n_routed_experts".split(), 4),
    **dict.fromkeys("num_experts_per_tok top_k topk moe_topk num_selected_experts".split(), 2),
    **{"max_source_positions": 20, "num_mel_bins": 16, "codevector_dim": 16, "proj_codevector_dim": 16},
    **{"classifier_proj_size": 16, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2},
    **{"window_size": 4, "chunk_size": 8, "state_size": 8, "image_size": 64, "n_group": 1, "topk_group": 1},
    **{"first_k_dense_replace": 1, "sliding_window": 8, "max_length": 64, "conv_stride": None},
}
"""What many configurations call their sizes, and how large they are in a survey."""
PARTS = ("text_config", "vision_config", "audio_config")
TOKENS = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id", "mask_token_id")
DECIDED = {
    "mask_time_prob": 0.0,
    **dict.fromkeys(("layerdrop", "encoder_layerdrop", "decoder_layerdrop"), 0.0),
}
"""What lets chance decide which layers run, or what is hidden from them by numpy: no spec can say that."""
WINDOWED = ("swin", "swinv2", "donut-swin", "swin2sr")
OWN: dict[str, dict[str, object]] = {
    **{each: {"attention_type": "original_full"} for each in ("big_bird", "bigbird_pegasus")},
    **{"bamba": {"mamba_n_heads": 8, "mamba_d_head": 8}, "granitemoehybrid": {"mamba_n_heads": 8}},
    **{"esm": {"vocab_size": 99, "pad_token_id": 1}, "hunyuan_v1_dense": {"head_dim": 8}},
    **{"gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 8}},
    **{"deepseek_v2": {"num_experts_per_tok": 2}},
    **{"lilt": {"hidden_size": 48}},
    **{"mamba2": {"num_heads": 8}},
    **{each: {"num_heads": [2, 4], "depths": [2, 2], "window_size": 4} for each in WINDOWED},
    **{"roc_bert": {"pronunciation_vocab_size": 99, "shape_vocab_size": 99}},
}
"""What a family needs beside that."""
FAMILIES = """
    albert altclip apertus arcee audio-spectrogram-transformer bamba bart beit bert bert-generation
    big_bird bigbird_pegasus biogpt bit bitnet blenderbot blenderbot-small blip bloom camembert
    canine chinese_clip clip clip_text_model clipseg codegen cohere cohere2 convbert convnext
    convnextv2 ctrl cvt data2vec-audio data2vec-text data2vec-vision deberta deberta-v2 deepseek_v2
    deepseek_v3 deit diffllama dinov2 dinov2_with_registers dinov3_convnext dinov3_vit distilbert
    donut-swin dpt electra ernie ernie4_5 ernie4_5_moe esm eurobert exaone4 falcon falcon_h1
    falcon_mamba flaubert flava flex_olmo fnet focalnet fsmt gemma gemma2 gemma3_text git glm glm4
    glm4_moe glpn gpt2 gpt_bigcode gpt_neo gpt_neox gpt_oss gptj granite granitemoe granitemoehybrid
    groupvit helium hgnet_v2 hiera hubert hunyuan_v1_dense ibert ijepa jais2 jamba jetmoe layoutlm
    led levit lfm2 lilt llama longformer longt5 m2m_100 mamba mamba2 marian mbart megatron-bert
    minimax mistral mixtral mobilebert mobilenet_v1 mobilenet_v2 mobilevit mobilevitv2 modernbert
    modernbert-decoder mpnet mpt mra mt5 nanochat nemotron_h nomic_bert nystromformer olmo olmo2
    olmo3 olmoe openai-gpt opt owlvit pegasus pegasus_x persimmon phi phi3 phimoe plbart poolformer
    prophetnet pvt pvt_v2 qwen2 qwen2_moe qwen3 qwen3_moe qwen3_next recurrent_gemma regnet rembert
    resnet roberta roberta-prelayernorm roc_bert roformer rwkv seed_oss segformer sew siglip
    siglip_vision_model smollm3 speech_to_text splinter squeezebert stablelm starcoder2 swiftformer
    swin swin2sr swinv2 switch_transformers t5 textnet timesformer umt5 unispeech unispeech-sat
    vaultgemma videomae vit vit_mae vit_msn vitdet vivit wav2vec2 wav2vec2-conformer wavlm whisper
    xglm xlm xlm-roberta xlm-roberta-xl xlstm yolos yoso
""".split()
"""The families that are surveyed: those that take nothing else than what `import` knows of, in sizes like these."""


def small_configuration(library: Any, family: str) -> dict[str, Any]:
    """Return the configuration of a family, in the form of its `config.json`."""
    default = library.AutoConfig.for_model(family)
    config = type(default)(**{**_sizes(default), **OWN.get(family, {})})
    for name, value in DECIDED.items():
        if hasattr(config, name):
            setattr(config, name, value)
    found: dict[str, Any] = config.to_dict()
    return found


def _sizes(config: Any) -> dict[str, Any]:
    """Return the sizes of a configuration, and of the configurations in it."""
    values = config.to_dict()
    made = {name: _size(name, each) for name, each in values.items() if _size(name, each) is not None}
    made |= {name: 3 for name, each in values.items() if name.endswith("_token_id") and _is_over(each, 98)}
    inner = {name: getattr(config, name, None) for name in getattr(config, "sub_configs", ())}
    parts = {name: {"model_type": each.model_type, **_sizes(each)} for name, each in inner.items() if each}
    return {**made, **parts}


def _size(name: str, value: object) -> object:
    return SIZES[name] if name in SIZES and _is_over(value, SIZES[name]) else None


def _is_over(value: object, most: object) -> bool:
    """Return whether a value is a number that is larger than another one."""
    return isinstance(value, int) and not isinstance(value, bool) and isinstance(most, int) and value > most
