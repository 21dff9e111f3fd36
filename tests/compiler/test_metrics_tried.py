"""Metrics are tried when a spec is compiled, and take no memory for that."""

from __future__ import annotations

import pytest
import torch

import compiler
from compiler.training.calls import metrics
from compiler.training.metric import MOST_NUMBERS

SPEC = """
spec: 1
inputs: {{x: "float32[batch, 3]"}}
model: [Linear(2)]
train:
  data: {{file: nowhere.npz, x: points, y: labels, test: 0.2}}
  loss: cross_entropy(output, y)
  optimizer: SGD(lr=0.1)
  batch: 4
  epochs: 1
  metrics: {{m: {metric}}}
"""
ARGUMENTS = (
    {},
    {"num_classes": 3},
    {"task": "multiclass", "num_classes": 3},
    {"task": "binary", "thresholds": 5},
    {"num_labels": 3, "thresholds": [0.1, 0.5]},
    {"num_outputs": 2},
)


@pytest.mark.parametrize(
    ("metric", "numbers"),
    [
        ("PearsonCorrCoef(num_outputs=10**9)", "8,000,000,000"),
        ("ConfusionMatrix(task='multiclass', num_classes=10**6)", "1,000,000,000,000"),
    ],
)
def test_a_metric_that_would_keep_too_many_numbers_is_refused_in_its_place(metric: str, numbers: str) -> None:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(SPEC.format(metric=f'"{metric}"'))
    (found,) = caught.value.diagnostics
    assert (found.code, found.span and found.span.text) == ("bad-argument", metric)
    name = metric.partition("(")[0]
    assert found.message == f"`{name}` would keep {numbers} numbers, more than {MOST_NUMBERS:,}"


def made(name: str, arguments: dict[str, object], device: str) -> str:
    try:
        with torch.device(device):
            metrics().targets[name](**arguments)
    except (ValueError, TypeError, RuntimeError, ModuleNotFoundError) as error:
        return f"{type(error).__name__}: {error}"
    return "made"


@pytest.mark.filterwarnings("ignore")
def test_without_memory_the_same_metrics_are_made_as_with_it() -> None:
    names = [
        name
        for name in sorted(metrics().targets)
        if metrics().targets[name].__module__.split(".")[1] in HOMES
    ]
    found = {(name, at): made(name, each, "cpu") for name in names for at, each in enumerate(ARGUMENTS)}
    assert sum(each == "made" for each in found.values()) > 100
    assert {key: made(key[0], ARGUMENTS[key[1]], "meta") for key in found} == found


HOMES = ("classification", "regression", "aggregation", "retrieval", "nominal", "clustering")
"""The parts of torchmetrics that load no networks."""
