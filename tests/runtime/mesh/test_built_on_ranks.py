"""Models on a mesh: the same bits at the start, and the same training, as in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import compiler
import runtime
from runtime.named_tensors import named_tensors
from runtime.sharded import gathered, held_windows, local, orders_of
from runtime.windows import cut
from tests.runtime.mesh.ranks import on_ranks

ZOO = Path(__file__).parents[3] / "specs/zoo"
GPT2 = """
mesh:
  axes: {dp: 2, tp: 2}
  shard: dp
  units: ["h.*"]
  split:
    - Attention.qkv: split('(three h d) ...', h, three=3, h=heads)
    - Attention.proj: rowwise
    - MLP.up: colwise
    - MLP.down: rowwise
    - wte: rowwise
    - head: colwise
  local: {Attention.heads: heads // tp}
  recompute: ["h.*"]
"""
LLAMA = """
mesh:
  axes: {dp: 2, tp: 2}
  shard: dp
  units: ["layers.*"]
  split:
    - "Attention.{q_proj,k_proj,v_proj}": colwise
    - Attention.o_proj: rowwise
    - "GatedMLP.{gate_proj,up_proj}": colwise
    - GatedMLP.down_proj: rowwise
    - embed_tokens: rowwise
    - lm_head: colwise
"""
DTYPE = "\nplacement:\n  - /: {dtype: float64}\n"
SPECS = {
    "gpt2": GPT2 + DTYPE,
    "llama": LLAMA + DTYPE,
    "replicated": LLAMA.replace("shard: dp", "replicate: dp") + DTYPE,
}
STEPS = 4


def compiled(name: str) -> compiler.Artifact:
    file = "gpt2.yaml" if name == "gpt2" else "llama.yaml"
    text = (ZOO / file).read_text().partition("\nmesh:")[0] + SPECS[name]
    imports = {"blocks/decoder.yaml": (ZOO / "blocks/decoder.yaml").read_text()}
    return compiler.compile_text(text, name=file, preset="tiny", imports=imports)


def batches(vocabulary: int = 100) -> torch.Tensor:
    return torch.randint(vocabulary, (STEPS, 4, 9), generator=torch.Generator().manual_seed(1))


def trained(model: nn.Module, shares: int = 1, share: int = 0) -> list[torch.Tensor]:
    """Return the losses of some steps over this share of each batch."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for batch in batches():
        tokens = batch.chunk(shares)[share]
        logits = model(tokens[:, :-1])
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
    return losses


def on_one_rank(name: str, sizes: dict[str, int], folder: Path) -> dict[str, Any]:
    """Return what this rank sees of a model on a mesh, beside the same model whole."""
    artifact = compiled(name)
    with pytest.raises(ValueError, match=r"the mesh dp=8, tp=1 has 8 ranks"):
        runtime.build_on_mesh(artifact, sizes={"dp": 8, "tp": 1}, device="cpu")
    seed = min(1, torch.distributed.get_rank())
    with pytest.raises(ValueError, match=r"ranks \[1.*\] have another spec, mesh or seed than rank 0"):
        runtime.build_on_mesh(artifact, seed=seed, sizes=sizes, device="cpu")
    model, whole = (
        runtime.build_on_mesh(artifact, seed=3, sizes=sizes, device="cpu"),
        runtime.build(artifact, seed=3),
    )
    orders = orders_of(model)
    state = dict(named_tensors(model))
    held = sum(local(tensor).numel() for tensor in dict.fromkeys(model.parameters()))
    for row in artifact.plan.rows:
        tensor, order = state[row.name], orders.get(row.name)
        parts = [cut(dict(named_tensors(whole))[row.name], window) for window in held_windows(tensor, order)]
        assert torch.equal(local(tensor), torch.cat(parts) if len(parts) > 1 else parts[0]), row.name
        assert all(state[other] is tensor for other in row.names)
    shares = sizes.get("dp", 2)
    share = torch.distributed.get_rank() // sizes.get("tp", 2)
    digest = runtime.save(model, folder / "start.safetensors")
    other = runtime.build_on_mesh(artifact, seed=4, sizes=sizes, device="cpu")
    runtime.load_into(other, folder / "start.safetensors")
    loaded = dict(named_tensors(other))
    assert all(torch.equal(local(loaded[row.name]), local(state[row.name])) for row in artifact.plan.rows)
    losses = torch.stack(trained(model, shares, share))
    torch.distributed.all_reduce(losses)
    final = {
        row.name: gathered(dict(named_tensors(model))[row.name], orders.get(row.name))
        for row in artifact.plan.rows
    }
    mean = losses / torch.distributed.get_world_size()
    arrays = {name: tensor.detach().numpy() for name, tensor in final.items()}
    return {"held": held, "digest": digest, "losses": mean.numpy(), "final": arrays}


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("gpt2", {"dp": 2, "tp": 2}), ("llama", {"dp": 1, "tp": 2}), ("replicated", {"dp": 2, "tp": 1})],
)
def test_a_model_on_a_mesh_is_that_of_one_process(name: str, sizes: dict[str, int], tmp_path: Path) -> None:
    artifact = compiled(name)
    whole = runtime.build(artifact, seed=3)
    digest = runtime.save(whole, tmp_path / "whole.safetensors")
    losses = torch.stack(trained(whole))
    ranks = tmp_path / "ranks"
    ranks.mkdir()
    elements = sum(row.elements for row in artifact.plan.parameters)
    for found in on_ranks(sizes["dp"] * sizes["tp"], ranks, on_one_rank, name, sizes, tmp_path):
        assert found["digest"] == digest
        assert found["held"] < elements * 1.15 / (1 if name == "replicated" else sizes["dp"] * sizes["tp"])
        assert torch.allclose(torch.from_numpy(found["losses"]), losses, rtol=0, atol=1e-12)
        for key, value in found["final"].items():
            assert torch.allclose(
                torch.from_numpy(value), dict(named_tensors(whole))[key], rtol=0, atol=1e-10
            ), key
    assert (tmp_path / "start.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
