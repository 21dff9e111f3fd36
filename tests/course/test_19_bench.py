"""System 19: a large product and a small sum on each device, and where an accelerator begins to win."""

import json
import subprocess
import sys
import time

import pytest
import torch
from twins import ROOT, built, drawn

from compiler.cli.bench_devices import print_work, time_text
from runtime.bench import WORKS, Timing, Work, bench, measure, wins_from

PRODUCT, SUM = WORKS
accelerator = pytest.mark.skipif(
    not torch.accelerator.is_available(), reason="there is no accelerator on this computer"
)


def test_the_spec_computes_what_is_timed() -> None:
    large, small = drawn(256, 256), drawn(16)
    product, total = built("19_products_and_sums")(large, small)
    assert torch.equal(product, torch.mm(large, large))
    assert torch.equal(total, torch.sum(small))
    assert torch.equal(product, PRODUCT.run(large))
    assert torch.equal(total, SUM.run(small))


def test_there_is_a_large_product_and_a_small_sum() -> None:
    assert [work.name for work in WORKS] == ["matrix product", "sum"]
    assert PRODUCT.shape(max(PRODUCT.sizes)) == (2048, 2048)
    assert SUM.shape(min(SUM.sizes)) == (16,)


def test_a_timing_is_the_time_of_one_run() -> None:
    def sleep(x: torch.Tensor) -> torch.Tensor:
        time.sleep(0.02)
        return x

    seconds = measure(Work("sleep", (1,), lambda n: (n,), sleep), 1, "cpu", least=0.1)
    assert 0.02 <= seconds < 0.1


def test_every_work_is_timed_at_every_size_on_every_device() -> None:
    works = [Work("product", (2, 3), PRODUCT.shape, PRODUCT.run), Work("sum", (5,), SUM.shape, SUM.run)]
    seen: list[Timing] = []
    timings = bench(["cpu"], works, least=0.001, on_timing=seen.append)
    assert [(t.work, t.size, t.device) for t in timings] == [
        (works[0], 2, "cpu"),
        (works[0], 3, "cpu"),
        (works[1], 5, "cpu"),
    ]
    assert all(t.seconds > 0 for t in timings)
    assert seen == timings


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no device `cuda:77` here"):
        bench(["cuda:77"], least=0.001)


def timed(work: Work, **seconds: list[float]) -> list[Timing]:
    return [
        Timing(work, size, device, each)
        for device, row in seconds.items()
        for size, each in zip(work.sizes, row, strict=True)
    ]


@pytest.mark.parametrize(
    ("cpu", "gpu", "size"),
    [
        ([1, 2, 30, 400], [5, 5, 5, 5], 512),
        ([1, 2, 3, 4], [5, 5, 5, 5], None),
        ([6, 6, 6, 6], [5, 5, 5, 5], 32),
        ([6, 2, 6, 6], [5, 5, 5, 5], 512),  # at the smallest size it won by chance
        ([6, 6, 6, 5], [5, 5, 5, 5], None),
    ],
)
def test_where_an_accelerator_begins_to_win(cpu: list[float], gpu: list[float], size: int | None) -> None:
    assert wins_from(timed(PRODUCT, cpu=cpu, gpu=gpu), PRODUCT, "gpu") == size


def test_what_was_not_timed_cannot_win() -> None:
    with pytest.raises(ValueError, match="gpu and cpu were not timed"):
        wins_from(timed(PRODUCT, cpu=[1, 2, 3, 4]), PRODUCT, "gpu")


def test_the_table_says_who_wins_from_where_on(capsys: pytest.CaptureFixture[str]) -> None:
    timings = timed(PRODUCT, cpu=[1e-6, 2e-6, 3e-3, 4], gpu=[5e-5, 5e-5, 5e-5, 5e-5])
    print_work(PRODUCT, timings, ["cpu", "gpu"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["matrix", "product", "cpu", "gpu"]
    assert lines[2].split() == ["32", "×", "32", "1", "µs", "50", "µs"]
    assert lines[4].split() == ["512", "×", "512", "3", "ms", "50", "µs"]
    assert lines[6] == "gpu is faster than the CPU from 512 × 512 on."
    print_work(SUM, timed(SUM, cpu=[1, 1, 1, 1], gpu=[2, 2, 2, 2]), ["cpu", "gpu"])
    assert "gpu is not faster than the CPU" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.0, "2 s"), (0.0123, "12.3 ms"), (3.14159e-6, "3.14 µs"), (0.99999e-3, "1 ms"), (5e-9, "5 ns")],
)
def test_times_have_three_figures(seconds: float, text: str) -> None:
    assert time_text(seconds) == text


def run_bench(*arguments: str) -> str:
    command = [sys.executable, "-m", "compiler", "bench", "--seconds", "0.01", *arguments]
    return subprocess.check_output(command, cwd=ROOT, text=True)


def test_bench_prints_a_table_and_says_that_there_is_only_the_cpu() -> None:
    text = run_bench("--device", "cpu")
    assert "2,048 × 2,048" in text
    assert text.count("There is no accelerator among the devices: nothing to compare the CPU with.") == 2


@accelerator
def test_the_accelerator_is_waited_for() -> None:
    work = Work("product", (4096,), PRODUCT.shape, PRODUCT.run)
    operations = 2 * 4096**3
    assert (
        operations / measure(work, 4096, str(torch.accelerator.current_accelerator())) < 1e16
    )  # no device does more


@accelerator
def test_bench_says_where_the_accelerator_begins_to_win() -> None:
    found = json.loads(run_bench("--format", "json"))
    assert {row["device"] for row in found["timings"]} > {"cpu"}
    (first,) = found["faster_than_cpu_from"]["matrix product"].values()
    assert first is not None
