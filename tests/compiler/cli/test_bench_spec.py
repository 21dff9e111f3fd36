"""`bench SPEC`: what it times, what it says, and what it makes of references that are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import compiler
from compiler.cli.bench_spec import Bench, print_bench
from runtime.bench_model import Measured
from tests.compiler.cli.conftest import MLP, Call

QUICK = ("--devices", "cpu", "--seconds", "0.001")
TWIN = """\
from torch import nn


class Block(nn.Sequential):
    def __init__(self) -> None:
        super().__init__()
        self.add_module("0", nn.Linear(self.width(), 8))
        self.add_module("1", nn.ReLU())

    def width(self):
        return 8


class First(Block):
    def width(self):
        return 4


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(First(), Block())
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.body(x))


class Twice(Net):
    def forward(self, x):
        return 2 * super().forward(x)


class Narrow(Net):
    def forward(self, x):
        return super().forward(x)[:, :1]


class Pair(Net):
    def forward(self, x):
        return super().forward(x), x


class Final(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(First(), Block(), nn.Linear(8, 2))


class Strict(Net):
    def forward(self, x):
        if len(x) == 8:
            raise ValueError("eight are too many")
        return super().forward(x)


def make():
    return Net()


def number():
    return 3


def fails():
    raise KeyError("no")


def leaves():
    raise SystemExit(0)


def wide(width):
    return Net()


CONSTANT = 3
"""


def line_of(part: str) -> int:
    return TWIN[: TWIN.index(part)].count("\n") + 1


@pytest.fixture
def twin(tmp_path: Path) -> Path:
    path = tmp_path / "twin.py"
    path.write_text(TWIN)
    return path


def test_a_row_for_each_batch(cli: Call, mlp: Path) -> None:
    result = cli("bench", mlp, "--batch", "8,1,8", *QUICK)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["batch", "device", "latency", "quartiles", "per", "second", "memory"]
    assert [line.split()[:2] for line in lines[2:4]] == [["1", "cpu"], ["8", "cpu"]]
    assert lines[5] == "Mlp, one forward of random inputs, evaluating: x: float32[batch, 4]."
    assert lines[6].startswith("The CPU ran with ")
    assert lines[7] == "There is no accelerator among the devices: nothing to compare the CPU with."
    assert max(map(len, lines)) <= 80


def test_json_has_what_was_measured(cli: Call, mlp: Path) -> None:
    found = json.loads(cli("bench", mlp, "--batch", "1,8", *QUICK, "--format", "json").stdout)
    first, second = found["timings"]
    assert [first["batch"], second["batch"]] == [1, 8]
    for row in (first, second):
        assert row["device"] == "cpu"
        assert 0 < row["quartiles"][0] <= row["seconds"] <= row["quartiles"][1]
        assert row["per_second"] == pytest.approx(row["batch"] / row["seconds"])
    parameters = 4 * (4 * 8 + 8 + 8 * 8 + 8 + 8 * 2 + 2)
    assert second["bytes"] - first["bytes"] == 7 * (first["bytes"] - parameters)
    assert "reference" not in found


def test_a_short_line_for_each(cli: Call, mlp: Path) -> None:
    result = cli("bench", mlp, "--batch", "1", *QUICK, "--format", "short")
    assert result.stdout.startswith("batch 1 cpu ")


def test_values_of_variables_count(cli: Call, mlp: Path) -> None:
    small, large = (
        json.loads(
            cli("bench", mlp, "--batch", "1", *QUICK, "--format", "json", "--set", f"hidden={n}").stdout
        )
        for n in (8, 800)
    )
    assert large["timings"][0]["bytes"] > 100 * small["timings"][0]["bytes"]


def test_a_saved_model_is_timed_too(cli: Call, mlp: Path, tmp_path: Path) -> None:
    import runtime

    path = tmp_path / "mlp.safetensors"
    runtime.save(runtime.build(compiler.compile(mlp), device="cpu"), path)
    result = cli("bench", path, "--batch", "2", *QUICK)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[2].split()[:2] == ["2", "cpu"]


def test_without_an_open_dimension_there_is_one_row(cli: Call, tmp_path: Path) -> None:
    path = tmp_path / "fixed.yaml"
    path.write_text('spec: 1\ninputs: {x: "float32[4, 20]"}\nmodel: [Linear(3)]\n')
    lines = cli("bench", path, *QUICK).stdout.splitlines()
    assert lines[2].split()[:2] == ["–", "cpu"]
    assert lines[3] == ""
    refused = cli("bench", path, "--batch", "2", *QUICK)
    assert refused.exit_code == 2
    assert refused.stderr.startswith("error: `--batch` sets an open dimension that comes first in an input")


def test_other_open_dimensions_have_their_example_sizes(cli: Call, tmp_path: Path) -> None:
    path = tmp_path / "text.yaml"
    path.write_text(
        'spec: 1\ninputs: {tokens: "int64[batch, time]"}\ndims: {time: 9}\nmodel: ["Embedding(7, 4)"]\n'
    )
    result = cli("bench", path, "--batch", "2", *QUICK)
    assert "evaluating: tokens: int64[batch, time] at time 9." in " ".join(result.stdout.split())


def test_a_model_that_fails_at_a_batch_says_at_which(cli: Call, tmp_path: Path) -> None:
    layer = tmp_path / "odd.py"
    layer.write_text(
        "from torch import nn\n\n\nclass Odd(nn.Module):\n    def forward(self, x):\n"
        "        if not x.is_meta and len(x) == 8:\n            raise RuntimeError('no eight')\n        return x\n"
    )
    path = tmp_path / "odd.yaml"
    path.write_text('spec: 1\nrequires: [odd]\ninputs: {x: "float32[batch, 4]"}\nmodel: [Odd]\n')
    result = cli("bench", path, "--plugin", f"{layer}:Odd", "--batch", "1,8", *QUICK)
    problem = "error: the model fails on random inputs: RuntimeError: no eight"
    assert (result.exit_code, result.stderr) == (1, f"{problem}\n  note: on cpu, at batch 8\n")


# --- beside a reference ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["make", "Net"])
def test_a_reference_is_timed_in_turns(cli: Call, mlp: Path, twin: Path, name: str) -> None:
    result = cli("bench", mlp, "--batch", "1,8", *QUICK, "--reference", f"{twin}:{name}")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].endswith("by hand")
    assert all(line.endswith(")") and "–" in line for line in lines[2:4])
    assert "which has the same values and returns the same." in " ".join(result.stdout.split())
    assert max(map(len, lines[:4])) <= 80


def test_a_reference_is_run_with_all_rights_and_that_is_said(cli: Call, mlp: Path, twin: Path) -> None:
    result = cli("bench", mlp, "--batch", "1", *QUICK, "--reference", f"{twin}:make")
    assert result.stderr == f"note: {twin} is run with all rights that you have\n"
    assert "with all rights" in " ".join(cli("bench", "--help").stdout.replace("│", "").split())


def test_json_has_the_ratio(cli: Call, mlp: Path, twin: Path) -> None:
    arguments = ("--batch", "1", *QUICK, "--reference", f"{twin}:make", "--format", "json")
    found = json.loads(cli("bench", mlp, *arguments).stdout)
    assert found["reference"] == {"from": f"{twin}:make", "same_values": True, "reason": None}
    beside = found["timings"][0]["by_hand"]
    assert 0 < beside["quartiles"][0] <= beside["ratio"] <= beside["quartiles"][1]


def test_other_names_are_a_remark(cli: Call, mlp: Path, twin: Path) -> None:
    result = cli("bench", mlp, "--batch", "1", *QUICK, "--reference", f"{twin}:Final")
    assert result.exit_code == 0, result.stderr
    said = " ".join(result.stdout.split())
    assert "could not be tried, only the shapes: `body.0.0.weight` is only in the model." in said


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Twice", "`Twice` of TWIN is another model: the output differs by up to"),
        (
            "Narrow",
            "`Narrow` of TWIN is another model: the output is float32[2, 2], and that of the reference float32[2, 1]",
        ),
        ("Pair", "`Pair` of TWIN is another model: the model returns 1 value, and the reference 2 values"),
        (
            "Strict",
            f"TWIN:{line_of('eight are')}: the reference fails on cpu, at batch 8: ValueError: eight are too many",
        ),
        ("number", "`number` of TWIN returns int, and no torch.nn.Module"),
        ("fails", f"TWIN:{line_of('KeyError')}: the reference fails: KeyError: 'no'"),
        ("leaves", f"TWIN:{line_of('SystemExit')}: the reference fails: SystemExit: 0"),
        (
            "wide",
            "TWIN: the reference fails: TypeError: wide() missing 1 required positional argument: 'width'",
        ),
        ("mak", "TWIN has no function `mak`; did you mean `make`?"),
        ("CONSTANT", "TWIN has no function `CONSTANT`"),
    ],
)
def test_a_reference_that_is_wrong(cli: Call, mlp: Path, twin: Path, name: str, message: str) -> None:
    result = cli("bench", mlp, "--batch", "1,8", *QUICK, "--reference", f"{twin}:{name}")
    _, problem, *notes = result.stderr.splitlines()
    assert problem.startswith("error: " + message.replace("TWIN", str(twin)))
    assert (result.exit_code, result.stdout) == (1, "")
    assert all(note.startswith("  note: ") for note in notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def make(:\n", "FILE:1: the reference fails: SyntaxError: invalid syntax"),
        ("\nimport nothing_there\n", "FILE:2: the reference fails: ModuleNotFoundError: "),
    ],
)
def test_a_file_that_cannot_be_run(cli: Call, mlp: Path, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(text)
    result = cli("bench", mlp, *QUICK, "--reference", f"{path}:make")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[1].startswith("error: " + message.replace("FILE", str(path)))


def test_a_twin_that_differs_only_where_values_are_zero_at_first(
    cli: Call, twin: Path, tmp_path: Path
) -> None:
    path = tmp_path / "zeros.yaml"
    path.write_text(MLP.replace("head.weight: ones", "head: zeros"))
    result = cli("bench", path, "--batch", "1", *QUICK, "--reference", f"{twin}:Twice")
    assert "is another model: the output differs" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--devices", "cpu,cuda:7"], "error: there is no device `cuda:7` here, only "),
        (["--devices", "meta"], "error: the device `meta` computes nothing that could be timed"),
        (["--batch", "0"], "error: `--batch 0` is no list of sizes"),
        (["--batch", "1,,8"], "error: `--batch 1,,8` is no list of sizes"),
        (["--reference", "none.py:make"], "error: there is no file `none.py`"),
        (["--reference", "make"], "error: `--reference make` names no function of a Python file"),
    ],
)
def test_wrong_usage_is_one_line(cli: Call, mlp: Path, arguments: list[str], message: str) -> None:
    result = cli("bench", mlp, *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(message)


@pytest.mark.parametrize("option", ["batch", "reference", "set", "preset", "plugin"])
def test_what_is_for_a_spec_needs_one(cli: Call, option: str) -> None:
    result = cli("bench", f"--{option}", "1")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: `--{option}` is for a spec, and none is named\n")


# --- accelerators ---------------------------------------------------------------------------------------


def test_the_batch_is_told_from_which_an_accelerator_wins(
    mlp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times = {1: (1e-5, 5e-5), 8: (2e-5, 5e-5), 64: (1e-3, 6e-5)}
    measured = [
        Measured(device, batch, (seconds,) * 5, 10 * 2**20)
        for batch, both in times.items()
        for device, seconds in zip(("cpu", "cuda:0"), both, strict=True)
    ]
    artifact = compiler.compile(mlp)
    print_bench(Bench(artifact, ["cpu", "cuda:0"], 0, measured, None, None))
    assert capsys.readouterr().out.splitlines()[-1] == "cuda:0 is faster than the CPU from batch 64 on."
    print_bench(Bench(artifact, ["cpu", "cuda:0"], 0, measured[:4], None, None))
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "cuda:0 is not faster than the CPU, up to batch 8."
