"""The section `mesh`: what a plan says of each layer and tensor. What is refused is in the pages of its codes."""

from __future__ import annotations

from pathlib import Path

import pytest

import compiler
from compiler.mesh.plan import Fused, MeshPlan
from spec_schema.diagnostics import SpecError

HEAD = """
spec: 1
vars: {ranks: 2, heads: 4}
inputs: {x: "float32[batch, time, 16]"}
blocks:
  Attention(heads):
    layers: {qkv: Linear(48), proj: Linear(16)}
    forward: |
      q, k, v = rearrange(qkv(x), 'b t (three h d) -> three b h t d', three=3, h=heads)
      y = scaled_dot_product_attention(q, k, v)
      return proj(rearrange(y, 'b h t d -> b t (h d)'))
  Part: {forward: return x * 2}
  MLP(width):
    layers: {up: Linear(width), part: Part, down: Linear(16)}
    forward: |
      y = up(x)
      if width > 8:
        y = part(y)
      return down(relu(y))
model:
  layers:
    h: {repeat: 3, of: [Attention(heads), MLP(32)]}
    head: Linear(6)
  forward: return head(h(x))
"""
SPLIT = """
  split:
    - Linear: colwise
    - "{proj,down}": rowwise
    - qkv: split('(three h d) ...', h, three=3, h=heads)
  local: {Attention.heads: heads // tp}
"""


def plan(mesh: str, **sizes: int) -> MeshPlan:
    found = compiler.compile_text(HEAD + "mesh:" + mesh).mesh_of(sizes)
    assert found is not None
    return found


def refused(mesh: str, **sizes: int) -> list[str]:
    with pytest.raises(SpecError) as error:
        plan(mesh, **sizes)
    return [found.code for found in error.value.diagnostics]


def test_axes_units_and_layers() -> None:
    found = plan(
        "\n  axes: {dp: 2 * ranks, tp: ranks}\n  shard: dp\n  units: ['h.*', head]\n  recompute: [MLP]"
        + SPLIT
    )
    assert (dict(found.axes), found.shard, found.replicate, found.tensor) == (
        {"dp": 4, "tp": 2},
        "dp",
        None,
        "tp",
    )
    assert found.size == 8
    assert list(found.units) == ["h.0", "h.1", "h.2", "head"]
    assert list(found.recompute) == ["h.0.1", "h.1.1", "h.2.1"]
    layer = found.layers["h.0.0.qkv"]
    assert (layer.style, layer.fused, layer.is_gathered) == ("colwise", Fused(3, 4, 4), False)
    assert found.layers["h.0.0.proj"].takes_part
    assert found.layers["head"].is_gathered
    assert {
        name: split.dim for name, split in found.tensors.items() if name.startswith(("h.1.1.", "head"))
    } == {
        "h.1.1.up.weight": 0,
        "h.1.1.up.bias": 0,
        "h.1.1.down.weight": 1,
        "h.1.1.down.bias": None,
        "head.weight": 0,
        "head.bias": 0,
    }
    assert found.local == {f"h.{at}.0": {"heads": 2} for at in range(3)}


def test_sizes_from_outside_are_checked_as_those_of_the_spec() -> None:
    mesh = "\n  axes: {dp: 2, tp: 1}\n  shard: dp" + SPLIT.replace("- Linear: ", "- '{qkv,up}': ")
    assert plan(mesh, tp=4).local["h.0.0"] == {"heads": 1}
    assert set(refused(mesh, tp=8)) == {"uneven-split"}
    assert refused(mesh, tq=8) == ["unknown-axis"]
    assert refused(mesh, tp=0) == ["bad-size"]
    with pytest.raises(SpecError, match="no section `mesh`"):
        compiler.compile_text(HEAD).mesh_of({"dp": 2})


def test_the_mesh_is_no_part_of_the_plan() -> None:
    """So that a file that was saved on one mesh is loaded on any other, or on none."""
    from runtime.manifest import plan_digest

    alone = compiler.compile_text(HEAD)
    meshed = compiler.compile_text(HEAD + "mesh: {axes: {dp: 2}, shard: dp}")
    assert plan_digest(alone.plan) == plan_digest(meshed.plan)
    assert alone.source == meshed.source
    assert alone.mesh is None


@pytest.mark.parametrize(
    ("ranks", "rows"),
    [(1, [*range(12)]), (2, [0, 1, 4, 5, 8, 9, 2, 3, 6, 7, 10, 11])],
)
def test_the_rows_of_a_fused_weight(ranks: int, rows: list[int]) -> None:
    assert Fused(3, 2, 2).order(ranks) == rows


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("return down(relu(up(x)))", None),
        ("return down(relu(up(x))), up(x)", "split-flow"),
        ("y = up(x)\n      return down(y * scale)", "split-flow"),
        ("return down(up(x)[..., :16].repeat(1, 1, 2))", "fused-columns"),
        ("return down(cat(up(x).split(16, -1), dim=-1))", "fused-columns"),
        ("return down(up(x)) + down(x.repeat(1, 1, 2))", None),
        ("return up(up2(x))", None),
        (
            "y = up(x)\n      for at in range(2):\n        y = relu(y) * scale\n      return down(y)",
            "split-flow",
        ),
    ],
)
def test_parts_are_followed_through_a_program(program: str, code: str | None) -> None:
    text = f"""
spec: 1
inputs: {{x: "float32[batch, time, 16]"}}
model:
  parameters: {{scale: {{tensor: "float32[32]", init: ones}}}}
  layers: {{up: Linear(32), up2: Linear(16), down: Linear(16)}}
  forward: |
      {program}
mesh:
  axes: {{tp: 2}}
  split:
    - up: colwise
    - {"up2: colwise" if "up2" in program else "down: rowwise"}
"""
    if code is None:
        compiler.compile_text(text)
        return
    with pytest.raises(SpecError) as error:
        compiler.compile_text(text)
    assert [found.code for found in error.value.diagnostics] == [code]
    assert all(found.span is not None and found.help for found in error.value.diagnostics)


def test_an_imported_file_keeps_its_mesh(tmp_path: Path) -> None:
    (tmp_path / "lib.yaml").write_text(HEAD + "mesh: {axes: {dp: 2}, shard: dp}")
    text = 'spec: 1\nimport: {lib.yaml: [MLP]}\ninputs: {x: "float32[2, 16]"}\nmodel: [MLP(16)]\n'
    (tmp_path / "main.yaml").write_text(text)
    assert compiler.compile(tmp_path / "main.yaml").mesh is None
