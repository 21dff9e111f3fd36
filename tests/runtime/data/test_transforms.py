"""Transforms of items: what they do, what they draw, and where they are refused."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

import compiler
from compiler.training.source import Loading
from runtime.train import train
from runtime.training.data import Splits
from runtime.training.items import training_batches
from runtime.training.transforms import Transformed
from spec_schema.diagnostics import SpecError
from tests.runtime.data.sources import IMAGES, SPEC, everything, opened, picture, points, refused, write_all

LONG = SPEC.replace("data: {DATA}", "data:\n    file: t.npz\n    x: points\n    y: kind\n    MORE")
NOISE = """transform: |
      if training:
        x = x + randn_like(x)
      return {'x': x / 10}"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_all(tmp_path)
    return tmp_path


def made(folder: Path, more: str, seed: int = 0) -> Splits:
    return opened(folder, "", LONG.replace("MORE", more), seed=seed)


def refusal(folder: Path, program: str) -> tuple[str, str, str]:
    more = "transform: |\n      " + program.replace("\n", "\n      ")
    found = refused(folder, "", LONG.replace("MORE", more))
    assert found.span is not None
    return found.code, found.message, found.span.text


def epoch_of(splits: Splits, epoch: int, batch: int = 5, workers: int = 0) -> torch.Tensor:
    """Return the items of an epoch."""
    loaded = training_batches(splits.train, batch, 0, lambda: epoch, Loading(workers))
    return torch.cat([each["x"] for each in loaded])


def test_a_transform_is_the_function_that_one_would_write(folder: Path) -> None:
    more = "transform: |\n      x = (x - 2) / 3\n      return {'x': x.flip(0), 'y': y + 1}"
    splits = made(folder, more)
    batch = splits.train[torch.arange(12)]
    assert torch.equal(batch["x"], ((torch.from_numpy(points()) - 2) / 3).flip(1))
    assert batch["y"].tolist() == [n % 3 + 1 for n in range(12)]


def test_what_is_for_training_alone_is_not_done_to_what_is_held_back(folder: Path) -> None:
    splits = made(folder, f"test: 0.5\n    validation: 0.2\n    {NOISE}")
    for held in (splits.test, splits.validation):
        assert held is not None
        assert torch.equal(
            (held[held.in_order()]["x"] * 10).round() % 3, torch.tensor([[0.0, 1, 2]] * len(held))
        )
    drawn = splits.train[splits.train.in_order()]["x"] * 10
    assert not torch.equal(drawn.round(), drawn)


def test_an_item_draws_by_seed_epoch_and_number(folder: Path) -> None:
    splits = made(folder, f"shuffle: false\n    {NOISE}")
    first = epoch_of(splits, 0)
    assert torch.equal(first, epoch_of(splits, 0, batch=3))
    assert torch.equal(first, epoch_of(splits, 0, workers=2))
    assert torch.equal(epoch_of(splits, 1), epoch_of(splits, 1, batch=12, workers=3))
    assert not torch.equal(first, epoch_of(splits, 1))
    assert not torch.equal(first, epoch_of(made(folder, f"shuffle: false\n    {NOISE}", seed=1), 0))
    noise = first * 10 - torch.from_numpy(points())
    assert len(noise[:, 0].unique()) == 12


def test_an_item_that_is_drawn_twice_draws_twice(folder: Path) -> None:
    often = np.array([0.0] * 11 + [1.0])
    np.savez(folder / "t.npz", points=points(), kind=np.arange(12) % 3, often=often)
    drawn = epoch_of(made(folder, f"weights: often\n    {NOISE}"), 0)
    assert len(drawn[:, 0].unique()) == 12


def test_a_transform_leaves_no_trace_in_the_random_numbers_of_layers(folder: Path) -> None:
    splits = made(folder, NOISE)
    torch.manual_seed(3)
    splits.train[torch.arange(4)]
    drawn = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(3), drawn)


def test_a_transform_reaches_another_process(folder: Path) -> None:
    train = made(folder, NOISE).train
    assert isinstance(train, Transformed)
    other = copy.deepcopy(train)  # by what a pickle holds
    assert torch.equal(other[torch.arange(3)]["x"], train[torch.arange(3)]["x"])


def test_a_training_with_a_transform_is_resumed_exactly(folder: Path) -> None:
    text = LONG.replace("MORE", NOISE).replace("epochs: 1", "epochs: 4").replace("Linear(2)", "Linear(3)")
    (folder / "spec.yaml").write_text(text)
    artifact = compiler.compile(folder / "spec.yaml")
    whole = train(artifact, out=folder / "whole", progress=False)
    half = train(artifact, out=folder / "half", progress=False, epochs=2)
    again = train(artifact, out=folder / "half", progress=False, epochs=4, resume=half.checkpoint)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name])


def test_a_text_has_transforms_too(folder: Path) -> None:
    (folder / "t.txt").write_text("abc" * 20)
    spec = SPEC.replace("float32[batch, 3]", "int64[batch, time]").replace(
        "[Linear(2)]", "['Embedding(9, 9)']"
    )
    spec = spec.replace("output, y", "output.mT, y").replace(
        "data: {DATA}",
        "data:\n    text: t.txt\n    context: 6\n    x: characters\n    y: next_characters\n    test: 0.3\n"
        "    transform: \"{'x': where(rand_like(x, dtype=float32) < 0.5, full_like(x, 8), x) if training else x}\"",
    )
    splits = opened(folder, "", spec)
    assert 8 in splits.train[splits.train.in_order()]["x"]
    assert splits.test is not None
    assert 8 not in splits.test[splits.test.in_order()]["x"]


# What is refused.


def test_a_name_that_means_nothing(folder: Path) -> None:
    assert refusal(folder, "return {'x': z}") == ("unknown-name", "nothing here is named `z`", "z")
    assert refusal(folder, "return {'x': output}")[0] == "unknown-name"


def test_what_is_no_field(folder: Path) -> None:
    assert refusal(folder, "return {'z': x}") == ("missing-field", "the batch has no field `z`", "'z'")
    assert refusal(folder, "x = x + 1\nreturn x")[:2] == (
        "bad-transform",
        "a transform returns fields of the batch by their names",
    )


def test_an_operation_that_refuses_the_first_item(folder: Path) -> None:
    code, _, text = refusal(folder, "y = x.reshape(2, 2)\nreturn {'x': x}")
    assert (code, text) == ("operation-failed", "x.reshape(2, 2)")


def test_an_operation_that_refuses_a_later_item(folder: Path) -> None:
    picture(1, 6, 7).save(folder / "photos" / "cat" / "z.png")
    data = "folder: photos, x: image, y: label, transform: \"{'x': x.reshape(3, 4, 5)}\""
    found = refused(folder, data, IMAGES)
    assert found.code == "transform-failed"
    assert found.message == "the transform failed for item 4: 126 elements do not fit into [3, 4, 5]"
    assert found.span is not None
    assert found.span.text == "{'x': x.reshape(3, 4, 5)}"


def test_images_of_different_sizes_are_made_equal(folder: Path) -> None:
    picture(1, 6, 7).save(folder / "photos" / "cat" / "z.png")
    data = "folder: photos, x: image, y: label, transform: \"{'x': x[:, :4, :5]}\""
    batch = everything(opened(folder, data, IMAGES))
    assert batch["x"].shape == (13, 3, 4, 5)


def test_a_transform_that_gives_the_model_something_else(folder: Path) -> None:
    assert refusal(folder, "return {'x': x[:2]}")[0] == "data-shape"
    assert refusal(folder, "return {'x': x.double()}")[0] == "data-shape"


def test_a_transform_that_hides_the_mode() -> None:
    text = LONG.replace("MORE", "transform: |\n      training = x\n      return {'x': x}")
    with pytest.raises(SpecError) as caught:
        compiler.compile_text(text)
    assert [each.code for each in caught.value.diagnostics] == ["hidden-layer"]


def test_the_way_out_of_a_wrong_dtype_is_one(folder: Path) -> None:
    np.savez(folder / "t.npz", points=points().astype(float), kind=np.arange(12) % 2)
    found = refused(folder, "file: t.npz, x: points, y: kind")
    assert found.help is not None
    way_out = found.help.split("`")[1]
    assert way_out == "transform: \"{'x': x.float()}\""
    batch = everything(opened(folder, f"file: t.npz, x: points, y: kind, {way_out}"))
    assert torch.equal(batch["x"], torch.from_numpy(points()))
