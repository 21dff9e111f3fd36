"""A mutator that knows the section `train`: it gives its keys values that are nearly right, and ones that mean harm."""

from __future__ import annotations

from random import Random
from typing import Any

from compiler.training.groups import REST

SECTION: dict[str, tuple[Any, ...]] = {
    "optimizer": (
        *("AdamX", "SGD", "LBFGS", "Muon(lr=0.1)", "AdamW(lr=-1)", "AdamW(lr='1')", "AdamW(params=[1])"),
        *("SGD(lr=1e400)", "AdamW(lr=index)", "torch.optim.SGD", "AdamW(**{})", "AdamW(lr=[1, 2])", {}, []),
        *({REST: "SGD"}, {"weight": "SGD", REST: "AdamW"}, {"/": "SGD", "**": "AdamW"}, {"nobody": "SGD"}),
        {"{": "SGD", "": "AdamW"},
    ),
    "groups": (
        *({"bias": {"weight_decay": 0}}, {"bias": {"lr": "lr * 0.5 ** index"}}, {"bias": {"lr": "1 / 0"}}),
        *(
            {"**": {"params": 1}},
            {"/": {"lr": 1}, "bias": {"lr": 2}},
            {"bias": {}},
            {"bias": []},
            {"{": {"lr": 1}},
        ),
        *(
            {"bias": {"lr": "9 ** 9 ** 9"}},
            {"bias": {"betas": "lr"}},
            {"nobody": {"lr": 1}},
            {"bias": {"": 1}},
        ),
    ),
    "schedule": (
        *("StepLR", "StepLR(step_size=0)", "OneCycleLR(max_lr='x')", "LambdaLR(lr_lambda=len)", "LinearLR"),
        *("SequentialLR([LinearLR, SequentialLR([], milestones=[])], milestones=[1])", "StepLR(optimizer=1)"),
        "ChainedScheduler([StepLR(step_size=1)] * 10 ** 6)",
    ),
    "clip": (0, -1, "1 / 0", {"norm": 1, "value": 1}, {"value": "nan"}, {}, {"norm": True}, [1]),
    "ema": (0, 1, 2, -0.5, "0.9 ** 0.5", "index", True, "'x'", [0.9]),
    "accumulate": (0, -1, 2**40, 1.5, True, "2 * 2", "'2'"),
    "warmup": (0, -1, 2**40, 0.5, "10 ** 10 ** 10"),
    "batch": (0, -1, 2**40, 1.5, True, "len('x')", "batch"),
    "epochs": (0, -1, 2**63, "1 if True else 2", None),
    "steps": (0, 1, 2**63, "epochs"),
    "monitor": (
        *(
            "validation_loss",
            "loss",
            "test_loss",
            "validation_",
            {"metric": "validation_loss", "mode": "most"},
        ),
        *({"metric": "validation_loss"}, {"mode": "max"}, "", []),
    ),
    "early_stopping": ({}, {"patience": 0}, {"patience": 1.5}, {"patience": 1, "min_delta": -1}, 5, [5]),
    "precision": ("16", "bf16-true", "64-true", 32, "transformer-engine", ""),
    "metrics": (
        *(
            {"loss": "Accuracy"},
            {"m": "Accuracy(task='multiclass')"},
            {"m": "PearsonCorrCoef(num_outputs=10**9)"},
        ),
        *({"m": {"metric": "MeanMetric", "of": []}}, {"m": {"metric": "MeanMetric", "of": ["output"] * 99}}),
        *({"m": "MetricCollection([])"}, {"m": "CatMetric"}, {"validation_loss": "MeanMetric"}, ["Accuracy"]),
    ),
    "watch": (["**"], ["nobody"], "weight", [{}], ["{"], [""]),
    "loss": (
        "output",
        "loss",
        "return output",
        "output.backward()",
        "mse_loss(output, output)",
        "while True: output",
    ),
}
"""Keys of the section, with values for them."""
DATA: dict[str, tuple[Any, ...]] = {
    "test": (
        0,
        1,
        -0.5,
        0.9,
        "1 / 3",
        {"file": "other.npz"},
        {"file": "a", "folder": "b"},
        {},
        {"text": "x"},
    ),
    "validation": (0.5, 1, "nan", {"folder": "../.."}, {"dataset": "Data()"}, []),
    "stratify": ("output", "", "a.b", ["a", "b"], 1),
    "group": ("labels", None, {}, "ｇ"),
    "weights": ("labels", 1, [], "output"),
    "workers": (0, 64, 65, -1, 1.5, "10 ** 9", True),
    "shuffle": (False, "no", 0, None),
    "context": (0, 1, -1, 2**40, "x"),
    "transform": (
        *(
            "x",
            "return {}",
            "return x",
            "return {'x': x, 'x': x}",
            "return {x: 1}",
            "training = 1\nreturn {}",
        ),
        "for i in range(10 ** 9):\n  x = i\nreturn {'x': x}",
    ),
    **dict.fromkeys(
        ("file", "folder", "text", "dataset"), ("../../etc/passwd", "/dev/zero", "", ".", "a\x00b", 1)
    ),
    **dict.fromkeys(("output", "self", "class", "x"), ("a", ["a", "b"], [], {}, 1, ["a"] * 1000)),
}
"""Keys of its data, with values for them."""


def retrain(draw: Random, parent: Any, key: Any) -> None:
    """Give the section `train`, if this is one or beside one, other values, and take a key away now and then."""
    section = parent.get("train", parent) if isinstance(parent, dict) else None
    if not isinstance(section, dict) or not {"loss", "optimizer"} & section.keys():
        return
    for _ in range(draw.choice([1, 1, 2, 4])):
        data = section.get("data")
        if isinstance(data, dict) and draw.random() < 0.4:
            _change(draw, data, DATA)
        else:
            _change(draw, section, SECTION)


def _change(draw: Random, found: dict[Any, Any], known: dict[str, tuple[Any, ...]]) -> None:
    name = draw.choice([*known])
    if draw.random() < 0.2:
        found.pop(name, None)
    else:
        found[name] = draw.choice(known[name])
