"""What first values take is found before they are computed: builds and loads are bounded, but for whoever says so."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import compiler
import runtime
from compiler.artifact import Artifact
from compiler.infer.on_meta import meta_device
from runtime import work
from runtime.cost import CALL, Cost
from runtime.files import sealed
from runtime.files.header import FileError

HEAD = 'spec: 1\ninputs: {x: "float[batch, 8]"}\n'
N = 100

Calls = Callable[[], Tensor]
SQUARES: dict[str, Calls] = {
    "made": lambda: torch.ones(N, N),
    "read": lambda: torch.ones(1).expand(N, N).sum(),
    "many small ones": lambda: torch.stack([torch.ones(N) for _ in range(N)]),
    "an outer product": lambda: torch.ones(N, 1) * torch.ones(N),
    "windows": lambda: F.avg_pool1d(torch.ones(1, 2 * N), N, 1),
    "the largest in windows": lambda: F.max_pool1d(torch.ones(1, 2 * N), N, 1),
    "a polynomial": lambda: torch.special.hermite_polynomial_h(torch.ones(N), N),
    "a comparison of all": lambda: torch.ones(N) == torch.ones(N, 1),
}
CUBES: dict[str, Calls] = {
    "a product": lambda: torch.ones(N, N) @ torch.ones(N, N),
    "a convolution": lambda: F.conv1d(torch.ones(1, N, 2 * N), torch.ones(N, N, N)),
    "an inverse": lambda: torch.linalg.inv(torch.eye(N)),
    "a decomposition": lambda: torch.linalg.svd(torch.eye(N))[1],
    "an exponential": lambda: torch.matrix_exp(torch.eye(N)),
    "distances": lambda: torch.cdist(torch.ones(N, N), torch.ones(N, N), p=3.0),
    "a bilinear form": lambda: F.bilinear(torch.ones(1, N), torch.ones(1, N), torch.ones(N, N, N)),
    "a table of products": lambda: torch.einsum("ij,jk,kl->il", *[torch.ones(N, N)] * 3),
}


def cost(function: Calls) -> Cost:
    with meta_device(torch.float32, all_steps=True), Cost() as found:
        function()
    return found


@pytest.mark.parametrize("name", [*SQUARES, *CUBES])
def test_steps_grow_with_the_work(name: str) -> None:
    least = N**2 if name in SQUARES else N**3 // 16
    assert cost({**SQUARES, **CUBES}[name]).steps >= least


@pytest.mark.parametrize("name", [*SQUARES, *CUBES])
def test_an_estimate_is_what_a_real_run_takes(name: str) -> None:
    function = {**SQUARES, **CUBES}[name]
    with torch.no_grad(), Cost() as real:
        function()
    assert cost(function).steps >= real.steps / 4
    assert cost(function).bytes >= real.bytes / 4


def test_a_view_takes_nothing() -> None:
    found = cost(lambda: torch.ones(1).expand(10**12).reshape(10**6, 10**6).T)
    assert found.steps < 10 * CALL
    assert found.bytes < 10


def test_what_is_let_go_is_held_no_longer() -> None:
    def loop() -> Tensor:
        x = torch.ones(N, N)
        for _ in range(50):
            x = x + 1
        return x

    assert 2 * 4 * N**2 <= cost(loop).bytes <= 4 * 4 * N**2
    assert cost(loop).steps >= 50 * N**2
    assert cost(lambda: torch.stack([torch.ones(N) for _ in range(N)])).bytes >= 2 * 4 * N**2


def computed(value: str, **more: bool) -> Artifact:
    buffer = json.dumps({"value": value, **more})
    return compiler.compile_text(
        f"{HEAD}model: {{buffers: {{b: {buffer}}}, forward: 'return x + b.sum()'}}\n"
    )


VALUES = {
    "elements": "ones(1000, 1000).exp()",
    "a loop": "stack([ones(8).exp() for i in range(200)])",
    "a view that is read": "ones(1).expand(1000000).sum()",
    "a function of matrices": "linalg.inv(eye(128))",
}
LIMIT = 1_000_000


def refused(what: Callable[[], Any]) -> compiler.Diagnostic:
    with pytest.raises(compiler.SpecError) as caught:
        what()
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert found.help is not None
    assert "`allow_large=True`" in found.help
    return found


@pytest.mark.parametrize("name", VALUES)
def test_a_build_and_a_load_take_so_many_steps(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, path = computed(VALUES[name], persistent=False), tmp_path / "model.safetensors"
    runtime.save(runtime.build(artifact), path)
    runtime.load(path)
    monkeypatch.setattr(work, "STEPS", LIMIT)
    for what in (
        lambda: runtime.build(artifact),
        lambda: runtime.initial_values(artifact),
        lambda: runtime.load(path),
    ):
        found = refused(what)
        assert found.code == "too-much-work"
        assert found.message.startswith("the values of `b` take ")
        assert found.notes == (f"the limit is {LIMIT:,}: each makes or reads an element",)
    for made in (runtime.build(artifact, allow_large=True), runtime.load(path, allow_large=True)):
        assert made(torch.zeros(1, 8)).shape == (1, 8)


def test_a_saved_buffer_is_not_computed_by_a_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    runtime.save(runtime.build(computed(VALUES["elements"])), path)
    monkeypatch.setattr(work, "STEPS", LIMIT)
    runtime.load(path)


def test_the_work_of_all_values_is_one_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    block = "blocks: {B: {buffers: {b: {value: 'ones(100, 100)'}}, forward: 'return x + b.sum()'}}\n"
    monkeypatch.setattr(work, "STEPS", 10 * (CALL + N**2))
    runtime.build(compiler.compile_text(f"{HEAD}{block}model: [{{repeat: 10, of: B}}]\n"))
    refused(lambda: runtime.build(compiler.compile_text(f"{HEAD}{block}model: [{{repeat: 11, of: B}}]\n")))


def test_what_is_drawn_is_bounded_by_the_memory_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "STEPS", LIMIT)
    rule = "init: [Linear.weight: '{}']\n"
    wide = f"{HEAD}model: [Linear(200000)]\n"
    runtime.build(compiler.compile_text(f"{wide}{rule.format('normal(std=0.1) * 2')}"))
    found = refused(
        lambda: runtime.build(compiler.compile_text(f"{wide}{rule.format(' + '.join(['ones'] * 30))}"))
    )
    assert found.code == "too-much-work"


PASSING = "ones(1000, 1000).exp().sum() + zeros(8)"


def test_what_is_held_while_values_are_computed_fits_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, path = computed(PASSING, persistent=False), tmp_path / "model.safetensors"
    runtime.save(runtime.build(artifact), path)
    monkeypatch.setattr(work, "available_memory", lambda: 4_000_000)
    for what in (lambda: runtime.build(artifact), lambda: runtime.load(path)):
        assert refused(what).code == "too-large-to-build"
    runtime.load(path, allow_large=True)


def test_unsaved_buffers_fit_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    runtime.save(runtime.build(computed("zeros(1000)", persistent=False)), path)
    monkeypatch.setattr(sys.modules["runtime.build"], "available_memory", lambda: 4_000)
    assert refused(lambda: runtime.load(path)).code == "too-large-to-build"
    runtime.load(path, allow_large=True)


# Files.


def test_a_file_fits_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    model = runtime.build(compiler.compile_text(f"{HEAD}model: [Linear(100)]\n"))
    runtime.save(model, path)
    runtime.save_tensors(torch.ones(1000), tmp_path / "tensors")
    monkeypatch.setattr(sealed, "available_memory", lambda: 3_000)
    for reader in (
        runtime.load,
        lambda path, **more: runtime.load_into(model, path, **more),
        lambda path, **more: runtime.load_tensors(tmp_path / "tensors", **more),
    ):
        with pytest.raises(FileError, match=r"GiB is the limit here, or give `--allow-large`"):
            reader(path)
        reader(path, allow_large=True)
    sealed.read_file(path, values=False)


def test_a_file_of_holes_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tensors"
    runtime.save_tensors(torch.zeros(100_000), path)
    runtime.load_tensors(path)
    data = path.read_bytes()
    with path.open("wb") as stream:
        stream.write(data[:1000])
        stream.truncate(len(data))
    monkeypatch.setattr(sealed, "LARGE", 100_000)
    for values in (True, False):
        with pytest.raises(FileError, match="the rest are holes"):
            sealed.read_file(path, values=values)
    assert torch.equal(runtime.load_tensors(path, allow_large=True), torch.zeros(100_000))  # type: ignore[arg-type]
