"""Saving, loading and comparing models whose tensors lie on several ranks, or in a wrapper of torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

import compiler
import runtime
from runtime.sharded import held_windows, local
from runtime.windows import cut
from tests.runtime.mesh.ranks import on_ranks

GPT2 = Path(__file__).parents[3] / "specs/zoo/gpt2.yaml"


def built(seed: int = 1) -> nn.Module:
    return runtime.build(compiler.compile(GPT2, preset="tiny"), seed=seed)


def sharded(seed: int = 1) -> nn.Module:
    model, mesh = built(seed), init_device_mesh("cpu", (2,))
    for block in model.get_submodule("h"):  # type: ignore[attr-defined]
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def same_as(model: nn.Module, other: nn.Module) -> bool:
    """Return whether this rank's parts are those of a whole model."""
    held = dict(model.named_parameters(remove_duplicate=False))
    assert any(isinstance(tensor, DTensor) for tensor in held.values())
    return all(
        torch.equal(local(tensor), cut(other.get_parameter(name), held_windows(tensor)[0]))
        for name, tensor in held.items()
    )


def save_and_load(folder: Path) -> dict[str, Any]:
    model = sharded()
    found: dict[str, Any] = {"digest": runtime.save(model, folder / "sharded.safetensors")}
    other = sharded(seed=2)
    found["before"] = same_as(other, built())
    runtime.load_into(other, folder / "sharded.safetensors")
    found["after"] = same_as(other, built())
    found["tied"] = other.get_parameter("head.weight") is other.get_parameter("wte.weight")
    with pytest.raises(OSError, match=r"rank 0|sharded.safetensors"):
        runtime.save(model, folder / "sharded.safetensors" / "below a file")
    wrapped = DistributedDataParallel(built())
    found["wrapped"] = runtime.save(wrapped, folder / f"wrapped-{torch.distributed.get_rank()}.safetensors")
    runtime.load_into(wrapped, folder / "sharded.safetensors")
    with torch.no_grad():
        model.get_parameter("head.weight").add_(1)
    found["changed"] = runtime.save(model, folder / "changed.safetensors")
    return found


def test_a_sharded_model_is_saved_as_a_whole_one_and_loaded_again(tmp_path: Path) -> None:
    ranks = tmp_path / "ranks"
    ranks.mkdir()
    digest = runtime.save(built(), tmp_path / "whole.safetensors")
    for found in on_ranks(2, ranks, save_and_load, tmp_path):
        assert found["digest"] == found["wrapped"] == digest
        assert found["changed"] != digest
        assert (found["before"], found["after"], found["tied"]) == (False, True, True)
    assert (tmp_path / "sharded.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
