"""Hints for recurrence and attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from compiler.catalogue.hints import Hints, Recipe
from runtime.testing.torch_layers.upstream import issue, pull

BROKEN_GRAPH = f"torch.compile breaks the graph at it ({issue(149909)})"
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
        arguments={"num_layers": [1, 2], "dropout": [0.0, 0.5], **arguments},
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

WITHOUT_VALUES = ("shapes", "initialisation", "freeze", "spec", "export", "compile")
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
    reason = f"it asks whether the numbers of `{mask}` are causal ({pull(91171)})"
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
            **{f"num_{part}_layers": [1] for part in ("encoder", "decoder")},
        },
        exceptions=looks_at("tgt_mask"),
    ),
}
