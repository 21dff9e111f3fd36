"""Models of transformers: made of a configuration, and what their `forward` takes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from spec_schema.diagnostics import refuse

LENGTH = 16
"""Tokens of an example, where no window asks for more."""
MOST_FRAMES = 400
LOOPED = frozenset({"mamba", "falcon_mamba", "jamba"})
"""Models that go through their tokens in a loop of Python, whose program holds for one length."""


def model_of(library: Any, name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Return the model that a folder or file says, in its class if it names one, and without a cache."""
    path = Path(name)
    if not path.is_file() and not (path / "config.json").is_file():
        raise refuse("import-source", f"there is no configuration in `{path}`", None)
    config = library.AutoConfig.from_pretrained(str(path), **arguments)
    for each in _configurations(config):
        if getattr(each, "use_cache", False):
            each.use_cache = False  # what it keeps between calls is no part of a program
        each._experts_implementation = "batched_mm"  # the way in which no data decide a size
    named = (getattr(library, each, None) for each in getattr(config, "architectures", None) or ())
    cls = next((each for each in named if each is not None), None)
    made: nn.Module = cls(config) if cls is not None else library.AutoModel.from_config(config)
    return made.eval()


def _configurations(config: Any) -> Iterator[Any]:
    yield config
    for name in getattr(config, "sub_configs", ()):
        inner = getattr(config, name, None)
        if inner is not None:
            yield from _configurations(inner)


def inputs_of_model(model: Any) -> tuple[dict[str, str], dict[str, int]]:
    """Return the types of the inputs that a model cannot do without, and example sizes."""
    config = model.config
    takes = inspect.signature(model.forward).parameters
    found: dict[str, str] = {}
    main = getattr(model, "main_input_name", "input_ids")
    for name in ("input_ids", "pixel_values", "input_values", "input_features"):
        if name in takes and (name == main or (takes[name].default is None and _is_joint(config, name))):
            found[name] = _type(name, config)
    if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in takes:
        found["decoder_input_ids"] = "int64[batch, target_length]"
    sizes = {"batch": 2, "length": _length(config), "target_length": 7, "samples": _samples(config)}
    written = " ".join(found.values())
    return found, {
        name: size for name, size in sizes.items() if f"{name}]" in written or f"{name}," in written
    }


def _is_joint(config: Any, name: str) -> bool:
    """Return whether a model of two towers is given this too."""
    part = {"input_ids": "text_config", "pixel_values": "vision_config"}.get(name, "audio_config")
    return getattr(config, part, None) is not None


def _type(name: str, config: Any) -> str:
    if name == "input_ids":
        return f"int64[batch, {LENGTH if config.model_type in LOOPED else 'length'}]"
    if name == "pixel_values":
        part = getattr(config, "vision_config", None) or config
        height, width = _pair(getattr(part, "image_size", None) or 64)
        steps = f"{part.num_frames}, " if hasattr(part, "num_frames") else ""
        return f"float32[batch, {steps}{getattr(part, 'num_channels', 3)}, {height}, {width}]"
    if name == "input_values":
        if hasattr(config, "num_mel_bins"):
            return f"float32[batch, {config.max_length}, {config.num_mel_bins}]"
        return "float32[batch, samples]"
    windows = 2 * config.max_source_positions if hasattr(config, "max_source_positions") else MOST_FRAMES
    return f"float32[batch, {config.num_mel_bins}, {windows}]"


def _pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)[-2:]


def _length(config: Any) -> int:
    """Return a length at which a window of the attention is seen to be one."""
    part = getattr(config, "text_config", None) or config
    window = getattr(part, "sliding_window", None) or getattr(part, "local_attention", None) or 0
    most = getattr(part, "max_position_embeddings", None) or LENGTH
    wanted = max(LENGTH, window + 8) if isinstance(window, int) and window <= 512 else LENGTH
    return min(wanted, most - 1) if isinstance(most, int) else wanted


def _samples(config: Any) -> int:
    strides = 1
    for each in getattr(config, "conv_stride", ()) or ():
        strides *= each
    return max(400, 24 * strides)
