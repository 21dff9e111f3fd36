"""The emitted file alone has the first values of the spec: no tensor is left unwritten, and each has its law.

Memory that nobody wrote is NaN here. What is computed equals what is built, bit by bit; what is drawn has the same
law, over all models together: `drawn.py` says how surely.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import compiler
import runtime
from compiler.artifact import Artifact
from compiler.rules.initialisation import draws, reads_checkpoint
from compiler.rules.plan import PlanRow
from runtime.testing.strategies.specs import specs
from runtime.testing.strategies.tensors import Draw, pick
from spec_schema.canonical import to_yaml
from tests.emitted_file import class_of
from tests.properties.comparison import state
from tests.properties.drawn import Law, Pool
from tests.specs.test_every_spec import SPECS, needs_checkpoint, plugins
from tests.specs.test_every_spec import artifact as artifact_of

pytestmark = pytest.mark.usefixtures("one_thread")

BY_SHAPE = ("xavier", "kaiming", "orthogonal", "sparse")
"""What has another law for another shape."""
UNLIKE = 4
"""So many random elements are in no two tensors the same."""


@st.composite
def ruled(draw: Draw) -> Artifact:
    """Draw a spec with more rules: for single tensors, which instances of a block then differ in, and for types."""
    document = draw(specs())
    artifact = compiler.compile_text(to_yaml(document))
    rows = [row for row in artifact.plan.parameters if len(row.names) == 1 and row.dtype.is_floating_point]
    more = [_rule(draw, pick(draw, *rows)) for _ in range(draw(st.integers(0, 3)) if rows else 0)]
    if not more:
        return artifact
    try:
        return compiler.compile_text(to_yaml({**document, "init": [*document.get("init", []), *more]}))
    except compiler.SpecError:  # a rule for a type fits no other tensor of it, or one that is shared
        return artifact


def _rule(draw: Draw, row: PlanRow) -> dict[str, str]:
    """Draw a rule for one tensor, or for those of all layers of its type."""
    title = row.steps[-1].name
    kind = type(row.source.module).__name__
    selector = pick(
        draw, f"/{row.name}", f"{kind}.{title}" if row.source.module is not None else f"/{row.name}"
    )
    laws = ["normal(std=0.5)", "uniform(-3, -2)", "ones", "2 * uniform(1, 2)"]
    return {selector: pick(draw, *laws, *(["normal(4, fan_in ** -0.5)"] if len(row.shape) > 1 else []))}


def test_the_emitted_file_has_the_laws_of_its_spec() -> None:
    pool = Pool()

    @given(ruled())
    def look(artifact: Artifact) -> None:
        compare(artifact, pool)

    look()
    pool.check()


def compare(artifact: Artifact, pool: Pool) -> None:
    """Compare the first values of an artifact as they are built, and as its emitted file has them."""
    pool.models += 1
    torch.manual_seed(pool.models)
    model = runtime.build(artifact, device="cpu", seed=pool.models)
    built, alone = state(model), state(emitted(artifact))
    assert list(built) == list(alone)
    for row in artifact.plan.rows:
        values, expected = alone[row.name], built[row.name]
        assert written(values), f"`{row.name}` is left unwritten\n{artifact.source}"
        if row.copied is not None:
            assert torch.equal(values, alone[row.copied.name].to(row.dtype)), (
                f"`{row.name}` is no copy\n{artifact.source}"
            )
            assert torch.equal(expected, built[row.copied.name].to(row.dtype))
            continue
        if made_by_layer(row):
            continue
        if not is_random(row, artifact):
            assert torch.equal(values, expected), f"`{row.name}` is another one\n{artifact.source}"
        else:
            _compare_random(row, values, expected, pool)
    _check_copies(artifact, alone)


def _compare_random(row: PlanRow, values: Tensor, expected: Tensor, pool: Pool) -> None:
    if row.zero_rows:
        assert not values[list(row.zero_rows)].any(), f"{row.name} has padding that is not zero"
    kept = [number for number in range(row.shape[0]) if number not in row.zero_rows] if row.zero_rows else ...
    text = str(row.initialisation.expression) if row.initialisation else ""
    values, expected = values[kept].flatten(), expected[kept].flatten()
    if "orthogonal" in text:  # whose elements depend on each other
        if not row.zero_rows:
            _check_orthogonal(expected.view(row.shape), values.view(row.shape))
        values, expected = values[:1], expected[:1]
    for law in laws(row):
        pool.add(law, expected, values)


def laws(row: PlanRow) -> Iterator[Law]:
    """Yield what the values of a tensor are gathered by: their law, and the rule that gave it."""
    assert row.initialisation is not None
    text = row.initialisation.text
    names = tuple(sorted((name, str(value)) for name, value in row.initialisation.names.items()))
    shape = row.shape if any(each in text for each in BY_SHAPE) else ()
    law = text, names, row.dtype, shape
    rule = next(each.text for each in row.decisions if each.section == "init" and each.won)
    yield from (law, (*law, rule))


@contextmanager
def unwritten_is_nan() -> Iterator[None]:
    """Fill what `torch.empty` gives with NaN, or the largest number."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def emitted(artifact: Artifact) -> nn.Module:
    """Return the model of an emitted file."""
    cls = class_of(artifact.source, artifact.name)
    with unwritten_is_nan():
        model: nn.Module = cls()
    return model


def written(values: Tensor) -> bool:
    """Return whether all of a tensor was written. Truths that were not are the same as some that were."""
    if values.is_floating_point() or values.is_complex():
        return not bool(values.isnan().any())
    return values.dtype == torch.bool or not bool((values == torch.iinfo(values.dtype).max).any())


def made_by_layer(row: PlanRow) -> bool:
    """Return whether a tensor has no rule, and neither a formula: a layer of a plugin makes it."""
    return row.initialisation is None and row.source.entry is None


def is_random(row: PlanRow, artifact: Artifact) -> bool:
    made = row.initialisation
    if made is None:
        return False
    assert not reads_checkpoint(made.expression)
    return draws(made.expression, made.names, artifact.program.scope.plugins.initializers)


def _check_orthogonal(*matrices: Tensor) -> None:
    for matrix in matrices:
        flat = matrix.flatten(1)
        product = flat @ flat.mH if flat.shape[0] <= flat.shape[1] else flat.mH @ flat
        expected = torch.eye(len(product), dtype=product.dtype)
        torch.testing.assert_close(product / product[0, 0], expected, rtol=1e-4, atol=1e-4)


def _check_copies(artifact: Artifact, alone: dict[str, Tensor]) -> None:
    """Look for two tensors that were drawn once: a copy of a layer, or of its values."""
    seen: dict[tuple[float, ...], str] = {}
    for row in artifact.plan.rows:
        values = tuple(alone[row.name].flatten()[:UNLIKE].tolist())
        if is_random(row, artifact) and row.elements >= UNLIKE and len(set(values)) == UNLIKE:
            other = seen.setdefault(values, row.name)
            assert other == row.name, f"`{row.name}` has the values of `{other}`"


@pytest.mark.parametrize("folder", ["zoo", "course", "."])
def test_every_spec_of_the_project_has_its_laws(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool()
    for path in SPECS:
        if path.parent == Path("specs") / folder and not needs_checkpoint(path):
            for plugin in plugins(path):
                monkeypatch.syspath_prepend(str(Path(plugin).parent))
            compare(artifact_of(path), pool)
    assert pool.built
    pool.check()
