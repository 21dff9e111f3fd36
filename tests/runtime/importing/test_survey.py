"""A survey of a library: what came of each model, whatever its process ended with, and the table of it all."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from runtime.importing.survey import trials
from runtime.importing.survey.models import sampled
from runtime.importing.survey.report import BEGIN, END, put_into, reason, report
from runtime.importing.survey.trial import outcome
from runtime.importing.survey.trials import Limits, Outcome, outcomes, survey

LIBRARIES = Path(sys.prefix) / "libraries"
"""`make test` puts timm and torchvision there."""
QUICK = (
    *("timm:test_byobnet", "timm:test_convnext", "timm:test_convnext2", "timm:test_efficientnet"),
    *("timm:test_mambaout", "timm:test_nfnet", "timm:test_resnet", "timm:test_vit", "timm:test_vit2"),
    *("timm:test_vit4", "torchvision:resnet18"),
)

LIBRARY = {
    "timm/__init__.py": """\
        import os
        from timm.models.nets import Net, Norm, Told

        def make(name):
            if name == "killed":
                os._exit(3)
            while name == "slow":
                pass
            if name == "large":
                import torch
                torch.zeros(10**12, device="cpu")
            return {"told": Told, "norm": Norm}.get(name, Net)()

        def list_models():
            return ["killed", "large", "net", "norm", "slow", "told"]

        def is_model(name):
            return name in list_models()

        def create_model(name, pretrained):
            model = make(name)
            model.pretrained_cfg = {"input_size": (8,)}
            return model
        """,
    "timm/models/__init__.py": "",
    "timm/layers/__init__.py": "",
    "timm/models/nets.py": '''\
        """A library that is not there."""
        from torch import nn


        class Base(nn.Module):
            """It has a docstring."""

            def __init__(self):
                super().__init__()

                # and a comment
                self.linear = layer()


        def layer():
            return nn.Linear(8, 4)


        class Net(Base):
            def forward(self, x):
                return self.linear(x).relu()

            def never(self):
                return 1


        class Told(Net):
            def forward(self, x):
                return self.linear(x).relu().sum().item()


        class Norm(Net):
            def forward(self, x):
                return self.linear(x).to_sparse().to_dense()
        ''',
}


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a library of models where a process finds it before all others."""
    for name, text in LIBRARY.items():
        path = tmp_path / "libraries" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = text.splitlines()
        margin = len(lines[0]) - len(lines[0].lstrip()) if lines else 0
        path.write_text("\n".join(line[margin:] for line in lines))
    seen(monkeypatch, tmp_path / "libraries")


def seen(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    root = Path(__file__).parents[3]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (*folders, root))))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_each_model_is_one_outcome_whatever_its_process_ends_with(library: None, tmp_path: Path) -> None:
    names = ["net", "told", "norm", "killed", "large"]
    found = survey([f"timm:{each}" for each in names], tmp_path / "timm.jsonl", Limits(), jobs=2)
    assert {each["source"][5:]: each["status"] for each in found} == {
        "net": "proven",
        "told": "refused",
        "norm": "refused",
        "killed": "failed",
        "large": "too large",
    }
    net, told = found[0], found[1]
    assert (net["code_lines"], net["run_lines"]) == (11, 7)
    assert told["where"].endswith("nets.py:29")
    assert told["code"].startswith("import-")


def test_what_takes_too_long_is_ended(library: None) -> None:
    found = trials.tried("timm:slow", Limits(seconds=20))
    assert (found["status"], found["reason"]) == ("too slow", "more than 20 s")


def test_a_large_model_is_imported_without_values(library: None) -> None:
    found = trials.tried("timm:net", Limits(parameters=10))
    assert (found["status"], found["parameters"]) == ("imported", 36)


def test_a_survey_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = tmp_path / "timm.jsonl"
    results.write_text('{"source": "timm:a", "status": "proven"}\n{"source": "timm:b", "st')
    asked: list[str] = []

    def tried(source: str, limits: Limits, jobs: int = 1) -> Outcome:
        asked.append(source)
        return {"source": source, "status": "refused"}

    monkeypatch.setattr(trials, "tried", tried)
    found = survey(["timm:a", "timm:b"], results, Limits())
    assert asked == ["timm:b"]
    assert [each["status"] for each in found] == ["proven", "refused"]
    assert [each["source"] for each in outcomes(results)] == ["timm:a", "timm:b"]


def test_a_sample_is_that_of_its_seed() -> None:
    names = [f"timm:{number}" for number in range(50)]
    assert sampled(names, 5, seed=1) == sampled(names, 5, seed=1) != sampled(names, 5, seed=2)
    assert sampled(names, 100, seed=1) == names


FOUND: Sequence[Outcome] = (
    {
        **{"source": "timm:a", "status": "proven", "lines": 30, "code_lines": 100, "run_lines": 60},
        "seconds": 2.0,
    },
    {
        **{"source": "timm:b", "status": "imported", "lines": 50, "code_lines": 100, "run_lines": 100},
        "seconds": 4.0,
    },
    {
        **{"source": "timm:c", "status": "refused", "code": "import-operation"},
        **{"reason": "no operation `torch.x`", "where": "/a/site-packages/timm/models/c.py:7"},
    },
    {
        **{"source": "timm:d", "status": "differs", "code": "import-differs"},
        "reason": "outputs lie 1.5e-03 apart (inputs 1)",
    },
    {
        **{"source": "timm:e", "status": "differs", "code": "import-differs"},
        "reason": "outputs lie 2e-01 apart (inputs 2)",
    },
)


def test_the_table_says_how_many_and_why_not() -> None:
    first, reasons = report({"timm 1.0": FOUND}, {"timm 1.0": 9}).split("\n\n")
    assert first.splitlines()[2] == (
        "| timm 1.0 | 5 of 9, at random | 1 | 1 | 1 | 2 | 0 | 0 | 0 | 40 | 100 | 0.40 | 0.50 | 3.0 |"
    )
    assert reasons.splitlines()[2:] == [
        "| import-differs: outputs lie N apart (inputs N) | 2 | `timm:d` |  |",
        "| import-operation: no operation `torch.x` | 1 | `timm:c` | `timm/models/c.py:7` |",
    ]
    assert reason(FOUND[3]) == reason(FOUND[4])


def test_the_table_takes_its_place_in_a_document(tmp_path: Path) -> None:
    document = tmp_path / "import.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    put_into(document, "new\n")
    assert document.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    document.write_text("nothing")
    with pytest.raises(ValueError, match="no place"):
        put_into(document, "new\n")


@pytest.mark.parametrize("family", ["bart", "deepseek_v3", "swin"])
def test_families_of_transformers_are_imported_and_proven(family: str) -> None:
    pytest.importorskip("transformers")
    found = outcome(f"transformers:{family}")
    assert found["status"] == "proven", json.dumps(found)
    assert 0 < found["lines"] < found["code_lines"]


@pytest.mark.parametrize("source", QUICK)
def test_models_of_libraries_are_imported_and_proven(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = source.partition(":")[0]
    if not (LIBRARIES / name).is_dir():
        pytest.skip(f"{name} is not in {LIBRARIES}: `make test` installs it")
    seen(monkeypatch, LIBRARIES)
    found = trials.tried(source, Limits(seconds=600))
    assert found["status"] == "proven", json.dumps(found)
