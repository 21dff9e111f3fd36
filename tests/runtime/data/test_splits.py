"""How the items of a training are split: by share, by class, by group, or into places of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from runtime.training.data import Splits
from runtime.training.splitting import by_share, grouped, stratified
from tests.runtime.data.sources import SPEC, opened, refused, write_csv, write_images, write_saved

TEXT = SPEC.replace("float32[batch, 3]", "int64[batch, time]").replace("[Linear(2)]", "['Embedding(9, 9)']")
TEXT = TEXT.replace("output, y", "output.mT, y")
CSV = "file: t.csv, x: [a, b, c], y: kind"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = [f"{n},0,0,{int(n % 10 == 0)},patient{n // 7}" for n in range(100)]
    write_csv(tmp_path / "t.csv", ["a,b,c,kind,patient", *lines])
    write_csv(tmp_path / "other.csv", ["a,b,c,kind", "500,0,0,1", "501,0,0,0"])
    return tmp_path


def rows(splits: Splits) -> dict[str, list[int]]:
    """Return the numbers of the rows of each split."""
    parts = {"train": splits.train, "test": splits.test, "validation": splits.validation}
    found = {name: part[part.in_order()]["x"][:, 0].int().tolist() for name, part in parts.items() if part}
    return {name: sorted(part) for name, part in found.items()}


def test_shares_are_apart_and_leave_nothing_out(folder: Path) -> None:
    found = rows(opened(folder, f"{CSV}, test: 0.2, validation: 0.1"))
    assert {name: len(part) for name, part in found.items()} == {"train": 70, "test": 20, "validation": 10}
    assert sorted(row for part in found.values() for row in part) == list(range(100))


def test_the_split_is_the_same_for_every_seed_and_as_it_was(folder: Path) -> None:
    first = rows(opened(folder, f"{CSV}, test: 0.2", seed=1))
    assert first == rows(opened(folder, f"{CSV}, test: 0.2", seed=2))
    assert first["test"] == sorted(np.random.RandomState(0).permutation(100)[:20].tolist())
    assert first["test"] == rows(opened(folder, f"{CSV}, test: 0.2, validation: 0.3"))["test"]


def test_a_stratified_split_has_its_share_of_each_class(folder: Path) -> None:
    found = rows(opened(folder, f"{CSV}, test: 0.2, validation: 0.1, stratify: kind"))
    assert sum(n % 10 == 0 for n in found["test"]) == 2
    assert sum(n % 10 == 0 for n in found["validation"]) == 1
    assert (len(found["test"]), len(found["validation"])) == (20, 10)


@pytest.mark.parametrize("limit", [10_000, 1])
def test_a_group_is_in_one_split(folder: Path, limit: int) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    table = pyarrow.csv.read_csv(folder / "t.csv")
    for name in "abc":
        table = table.set_column(table.column_names.index(name), name, table.column(name).cast("float"))
    pyarrow.parquet.write_table(table, folder / "t.parquet", row_group_size=9)
    data = "file: t.parquet, x: [a, b, c], y: kind, test: 0.2, validation: 0.2, group: patient"
    found = rows(opened(folder, data, limit=limit))
    groups = {name: {n // 7 for n in part} for name, part in found.items()}
    assert sum(map(len, groups.values())) == 15
    assert 10 <= len(found["test"]) <= 30
    assert 10 <= len(found["validation"]) <= 30


@pytest.mark.parametrize("draw", range(40))
def test_groups_of_any_size_are_whole_and_shares_are_met_about(draw: int) -> None:
    draws = np.random.RandomState(draw)
    values = draws.randint(0, draws.randint(3, 40), draws.randint(20, 300))
    shares = (0.2, 0.1)
    parts = [set(values[part]) for part in grouped(values, shares)]
    assert sum(map(len, parts)) == len(set(values))
    largest = np.unique(values, return_counts=True)[1].max()
    for part, share in zip(grouped(values, shares), shares, strict=False):
        assert abs(len(part) - share * len(values)) <= largest


def test_nothing_is_in_two_parts() -> None:
    values = np.array(["a"] * 5 + ["b"] * 30)
    for parts in (by_share(35, (0.3, 0.2)), stratified(values, (0.3, 0.2))):
        assert sorted(torch.cat(parts).tolist()) == list(range(35))


# Places of their own.


def test_a_split_from_a_file_of_its_own(folder: Path) -> None:
    found = rows(opened(folder, f"{CSV}, test: {{file: other.csv}}, validation: 0.1"))
    assert found["test"] == [500, 501]
    assert (len(found["train"]), len(found["validation"])) == (90, 10)
    found = rows(opened(folder, f"{CSV}, test: {{file: other.csv}}, validation: {{file: t.csv}}"))
    assert len(found["train"]) == len(found["validation"]) == 100


def test_texts_of_another_file_have_the_numbers_of_those_that_are_trained_on(folder: Path) -> None:
    write_csv(folder / "t.csv", ["a,b,c,kind", "1,2,3,cow", "1,2,3,ant", "1,2,3,bee"])
    write_csv(folder / "other.csv", ["a,b,c,kind", "1,2,3,cow", "1,2,3,bee"])
    test = opened(folder, f"{CSV}, test: {{file: other.csv}}").test
    assert test is not None
    assert test[torch.arange(2)]["y"].tolist() == [2, 1]
    write_csv(folder / "other.csv", ["a,b,c,kind", "1,2,3,yak"])
    found = refused(folder, f"{CSV}, test: {{file: other.csv}}")
    assert found.message == "`kind` is 'yak' in a row, and in none that is trained on"


def test_folders_of_their_own(folder: Path) -> None:
    write_images(folder / "train", ("ant", "bee", "cow"))
    write_images(folder / "test", ("bee", "cow"))
    spec = SPEC.replace("float32[batch, 3]", "uint8[batch, 3, 4, 5]").replace(
        "[Linear(2)]", "{layers: {last: Linear(3)}, forward: 'return last(x.float().flatten(1))'}"
    )
    test = opened(folder, "folder: train, test: {folder: test}, x: image, y: label", spec).test
    assert test is not None
    assert set(test[test.in_order()]["y"].tolist()) == {1, 2}
    write_saved(folder / "saved" / "train")
    write_saved(folder / "saved" / "test", parts=3)
    data = "folder: saved/train, test: {folder: saved/test}, x: points, y: kind"
    assert len(opened(folder, data).test or []) == 12


def test_a_text_of_its_own(folder: Path) -> None:
    (folder / "a.txt").write_text("abcd" * 9)
    (folder / "b.txt").write_text("dcba" * 3)
    data = "text: a.txt, context: 2, x: characters, y: next_characters, test: {text: b.txt}"
    splits = opened(folder, data, TEXT)
    assert splits.test is not None
    assert splits.test[torch.tensor([0])]["x"].tolist() == [[3, 2]]
    (folder / "b.txt").write_text("dcbax" * 3)
    assert "has the character 'x'" in refused(folder, data, TEXT).message


def test_an_array_of_groups_that_is_not_there(folder: Path) -> None:
    found = refused(folder, f"{CSV}, test: 0.2, group: patients")
    assert (found.code, found.help) == ("unknown-array", "did you mean `patient`?")


def test_a_group_that_is_all_of_the_data(folder: Path) -> None:
    found = refused(folder, f"{CSV}, test: 0.2, group: b")
    assert (found.code, found.message) == ("too-little-data", "a split of the data would be empty")
