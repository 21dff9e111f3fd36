"""Example sizes of open dimensions: numbers, and expressions over the variables of a spec."""

from __future__ import annotations

import pytest

import compiler
from compiler import Artifact, SpecError


def made(dims: str, preset: str | None = None) -> Artifact:
    text = f"""
spec: 1
vars: {{side: 8, heads: 2}}
presets: {{tiny: {{side: 4}}}}
inputs: {{image: "float[batch, height, width]"}}
dims: {dims}
model: [ReLU]
"""
    return compiler.compile_text(text, preset=preset)


@pytest.mark.parametrize(("preset", "shape"), [(None, (2, 8, 20)), ("tiny", (2, 4, 10))])
def test_sizes_follow_variables_and_presets(preset: str | None, shape: tuple[int, ...]) -> None:
    artifact = made("{height: side, width: side * 5 // heads}", preset)
    assert artifact.inferred.inputs["image"].shape == shape


@pytest.mark.parametrize(
    ("size", "code"),
    [
        ("side - 8", "bad-size"),
        ("side / 2", "bad-size"),
        ("2.5", "bad-size"),
        ("true", "bad-size"),
        ("2 ** 40", "bad-size"),
        ("sid", "unknown-name"),
        ("height", "unknown-name"),
        ("[side]", "wrong-type"),
    ],
)
def test_refused_where_it_stands(size: str, code: str) -> None:
    with pytest.raises(SpecError) as caught:
        made(f"{{width: {size}}}")
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.span.text) == (code, size)
