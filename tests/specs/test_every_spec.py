"""Every spec of the project, put through what people do with a hand-written module."""

from __future__ import annotations

import ast
import copy
import re
import subprocess
import sys
import traceback
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime
from compiler import Artifact
from compiler.rules.plan import PlanRow
from runtime.samples import sample

ROOT = Path(__file__).parents[2]
SPECS = sorted(
    path.relative_to(ROOT)
    for path in (ROOT / "specs").rglob("*.yaml")
    if "\nmodel:" in path.read_text()  # a file without a model is a library of blocks
)


def plugins(path: Path) -> list[str]:
    """The plugin that a spec requires stands beside it."""
    text = (ROOT / path).read_text()
    folder = ROOT / path.parent / "plugins"
    return [str(each) for each in folder.glob("*.py") if f"requires: [{each.stem}]" in text]


@cache
def artifact(path: Path) -> Artifact:
    text = (ROOT / path).read_text()
    preset = "tiny" if "\n  tiny:" in text else None
    return compiler.compile(ROOT / path, preset=preset, plugins=plugins(path))


def needs_checkpoint(path: Path) -> bool:
    return re.search(r"\bcheckpoint[(:]", (ROOT / path).read_text()) is not None


def lacks_checkpoint(path: Path) -> bool:
    """Say whether a spec takes its first values from a file that is not shipped."""
    named = re.findall(r"[\w/.-]+\.safetensors", (ROOT / path).read_text())
    shipped = bool(named) and all((ROOT / path.parent / name).exists() for name in named)
    return needs_checkpoint(path) and not shipped


OPEN = {"height": 64, "width": 64}
"""Sizes of open dimensions other than the examples in the specs: those limit nothing, and large images take long."""


def sample_inputs(made: Artifact, seed: int = 0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    types = {entry.name: entry.type.dimensions for entry in made.program.inputs}
    inputs = []
    for entry in made.program.model.inputs:
        meta = made.inferred.inputs[entry.name]
        shape = [OPEN.get(str(part), size) for part, size in zip(types[entry.name], meta.shape, strict=True)]
        inputs.append(sample(torch.Size(shape), meta.dtype, 2, generator))
    return tuple(inputs)


def build(path: Path, seed: int = 0) -> nn.Module:
    made = artifact(path)
    if not lacks_checkpoint(path):
        return runtime.build(made, seed=seed, device="cpu").eval()
    from runtime.build import assemble
    from runtime.placement import settle

    generator = torch.Generator().manual_seed(seed)

    def drawn(row: PlanRow) -> Tensor:
        value = torch.randn(row.shape, generator=generator)
        return (value.abs() if row.kind == "buffer" else value).to(row.dtype)  # a variance is not negative

    return assemble(settle(made, "cpu"), drawn).eval()


def tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return [t for part in value.values() for t in tensors(part)]
    if isinstance(value, list | tuple):
        return [t for part in value for t in tensors(part)]
    return []


def run(model: Any, inputs: tuple[Tensor, ...]) -> Any:
    """Return what a model makes of its inputs. What it draws on the way is the same each time."""
    torch.manual_seed(0)
    return model(*inputs)


def assert_equal(first: Any, second: Any, exact: bool = True) -> None:
    pairs = list(zip(tensors(first), tensors(second), strict=True))
    assert pairs
    for a, b in pairs:
        if exact:
            assert torch.equal(a, b)
        else:
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def depends_on_data(made: Artifact) -> bool:
    """Say whether the emitted source has a loop or branch whose condition is a tensor."""
    return any(isinstance(node, ast.While) for node in ast.walk(made.tree))


def loops_over_a_size(made: Artifact) -> bool:
    """Say whether the emitted source goes through the steps of an input, however many there are."""
    loops = (node for node in ast.walk(made.tree) if isinstance(node, ast.For))
    return any(".shape" in ast.unparse(node.iter) for node in loops)


@pytest.mark.parametrize("path", SPECS, ids=str)
class TestEverySpec:
    def test_state_dict_goes_into_a_second_build(self, path: Path) -> None:
        first, second = build(path, 0), build(path, 1)
        second.load_state_dict(first.state_dict())
        inputs = sample_inputs(artifact(path))
        assert_equal(run(first, inputs), run(second, inputs))

    def test_deepcopy(self, path: Path) -> None:
        model = build(path)
        twin = copy.deepcopy(model)
        inputs = sample_inputs(artifact(path))
        assert_equal(run(model, inputs), run(twin, inputs))
        assert len(list(model.parameters())) == len(list(twin.parameters()))

    def test_stand_alone_file(self, path: Path, tmp_path: Path) -> None:
        made, model = artifact(path), build(path)
        file = tmp_path / "model.py"
        file.write_text(made.source)
        namespace: dict[str, Any] = {"__name__": "model"}
        for each in plugins(path):
            sys.path.insert(0, str(Path(each).parent))
        try:
            exec(compile(made.source, str(file), "exec"), namespace)
        finally:
            for _ in plugins(path):
                sys.path.pop(0)
        twin = namespace[made.name]()
        twin.load_state_dict(model.state_dict(), strict=True)
        inputs = sample_inputs(made)
        assert_equal(run(model, inputs), run(twin.eval(), inputs))

    def test_linter_and_formatter_leave_it_unchanged(self, path: Path, tmp_path: Path) -> None:
        file = tmp_path / "model.py"
        file.write_text(artifact(path).source)
        config = ["--config", str(ROOT / "pyproject.toml"), "--no-cache"]
        for command in (["check", *config], ["format", "--check", *config]):
            result = subprocess.run(
                [sys.executable, "-m", "ruff", *command, str(file)],
                capture_output=True,
                text=True,
                check=False,
            )
            assert result.returncode == 0, result.stdout + artifact(path).source

    def test_fx_symbolic_trace(self, path: Path) -> None:
        made = artifact(path)
        if depends_on_data(made):
            pytest.skip("a loop that depends on data has no static graph")
        if loops_over_a_size(made):
            pytest.skip("torch.fx traces without sizes, and cannot go through them")
        model, inputs = build(path), sample_inputs(made)
        assert_equal(run(model, inputs), run(torch.fx.symbolic_trace(model), inputs))

    def test_export_with_a_dynamic_batch(self, path: Path) -> None:
        made = artifact(path)
        if depends_on_data(made):
            pytest.skip("a loop that depends on data has no static graph")
        model, inputs = build(path), sample_inputs(made)
        types = {entry.name: entry.type for entry in made.program.inputs}
        dynamic = tuple(
            {
                at: torch.export.Dim.DYNAMIC
                for at, part in enumerate(types[entry.name].dimensions)
                if str(part) == "batch"
            }
            for entry in made.program.model.inputs
        )
        exported = torch.export.export(model, inputs, dynamic_shapes=dynamic)
        assert_equal(run(model, inputs), run(exported.module(), inputs), exact=False)

    def test_compile_fullgraph(self, path: Path) -> None:
        made = artifact(path)
        if depends_on_data(made):
            pytest.skip("a loop that depends on data has no static graph")
        model, inputs = build(path), sample_inputs(made)
        if any(isinstance(module, nn.RNNBase) for module in model.modules()):
            pytest.skip(
                "torch.compile refuses torch's own RNN, LSTM and GRU in a full graph, hand-written too"
            )
        torch._dynamo.reset()
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        assert_equal(run(model, inputs), run(compiled, inputs), exact=False)

    def test_a_saved_file_is_the_model(self, path: Path, tmp_path: Path) -> None:
        model = build(path)
        runtime.save(model, tmp_path / "model.safetensors")
        again = runtime.load(tmp_path / "model.safetensors", plugins=plugins(path)).eval()
        assert list(again.state_dict()) == list(model.state_dict())
        inputs = sample_inputs(artifact(path))
        assert_equal(run(model, inputs), run(again, inputs))


@pytest.mark.parametrize(
    ("path", "imports"),
    [
        ("specs/zoo/resnet.yaml", {"torch"}),
        ("specs/zoo/gpt2.yaml", {"einops", "torch"}),
    ],
)
def test_emitted_file_imports_torch_alone(path: str, imports: set[str]) -> None:
    tree = ast.parse(artifact(Path(path)).source)
    found = {str(node.module).split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    found |= {
        a.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names
    }
    assert found - {"collections", "math", "typing"} <= imports


def test_tracebacks_show_the_lines_of_the_emitted_source() -> None:
    model = build(Path("specs/zoo/resnet.yaml"))
    with pytest.raises(RuntimeError) as caught:
        model(torch.zeros(1, 5, 8, 8))
    text = "".join(traceback.format_exception(caught.value))
    assert "x = self.maxpool(torch.relu(self.bn1(self.conv1(image))))" in text


@pytest.mark.parametrize(
    ("path", "settings", "count"),
    [
        ("specs/zoo/gpt2.yaml", {}, 124_439_808),
        ("specs/zoo/resnet.yaml", {}, 25_557_032),
        ("specs/zoo/resnet.yaml", {"depths": [3, 4, 23, 3]}, 44_549_160),
    ],
)
def test_parameter_counts_are_the_published_ones(path: str, settings: dict[str, object], count: int) -> None:
    made = compiler.compile(ROOT / path, set=settings)
    assert sum(row.elements for row in made.plan.parameters) == count
