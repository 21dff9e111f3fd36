"""The `train` section, checked without its data."""

import ast
import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import compiler
from compiler.training.calls import INFERRED_LENGTHS, metrics, optimizers, schedules
from compiler.training.monitor import EarlyStopping, Monitor
from compiler.training.objective import objective_functions, try_objective
from compiler.training.section import Clipping
from spec_schema.diagnostics import Diagnostic, SpecError

SPEC = """
spec: 1
name: digits
vars: {classes: 10, passes: 3}
inputs: {image: "float32[batch, 4]"}
model:
  - first: Linear(8)
  - ReLU
  - Linear(classes)
train:
  data: {file: nowhere.npz, image: images, label: labels, test: 0.2}
  loss: cross_entropy(output, label)
  optimizer: AdamW(lr=1e-3, weight_decay=0.01)
  schedule: CosineAnnealingLR
  batch: 2 * 32
  epochs: passes
  clip: 0.5
  precision: bf16-mixed
  metrics: {accuracy: "Accuracy(task='multiclass', num_classes=classes)"}
  watch: [Linear.weight, /first]
"""


def diagnostics(*changes: tuple[str, str], text: str = SPEC) -> tuple[Diagnostic, ...]:
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    with pytest.raises(SpecError) as caught:
        compiler.compile_text(text)
    return caught.value.diagnostics


def test_a_good_section_is_read_without_opening_its_data() -> None:
    training = compiler.compile_text(SPEC).training
    assert training is not None
    assert (training.batch, training.epochs, training.steps) == (64, 3, None)
    assert training.clip == Clipping("norm", 0.5)
    assert (training.optimizers[0].name, training.optimizers[0].arguments) == (
        "AdamW",
        {"lr": 1e-3, "weight_decay": 0.01},
    )
    assert training.schedule is not None
    assert (training.schedule.name, training.schedule.arguments) == ("CosineAnnealingLR", {})
    assert training.metrics[0].making.arguments == {"task": "multiclass", "num_classes": 10}
    assert training.metrics[0].of.reads == ("output", "label")
    assert training.watch == ("first.weight", "first.bias", "2.weight")
    assert training.precision == "bf16-mixed"
    assert training.data.fields["image"].array == "images"


COURSE = (
    SPEC.replace("test: 0.2", "test: 0.2, validation: 0.1")
    + """\
  monitor: validation_accuracy
  early_stopping: {patience: 2 * 3, min_delta: 0.01}
  accumulate: 4
  ema: 0.99
  warmup: 100
"""
)


def test_the_course_of_a_training_is_read() -> None:
    training = compiler.compile_text(COURSE.replace("clip: 0.5", "clip: {value: 0.5}")).training
    assert training is not None
    assert training.monitor == Monitor("validation_accuracy", "max")
    assert training.early_stopping == EarlyStopping(6, 0.01)
    assert (training.accumulate, training.ema, training.warmup) == (4, 0.99, 100)
    assert training.clip == Clipping("value", 0.5)
    assert training.data.validation == 0.1
    plain = compiler.compile_text(COURSE.replace("  monitor: validation_accuracy\n", "")).training
    assert plain is not None
    assert plain.monitor == Monitor("validation_loss", "min")


@pytest.mark.parametrize(
    ("old", "new", "code", "place", "hint"),
    [
        (", validation: 0.1", "", "no-validation-split", "monitor", "`validation: 0.1`"),
        ("validation_accuracy", "accuracy", "unknown-name", "accuracy", "`validation_accuracy`"),
        ("validation_accuracy", "validation_lose", "unknown-name", "validation_lose", "`validation_loss`"),
        ("validation_accuracy", "{metric: validation_loss, mode: low}", "bad-argument", "low", None),
        (
            "Accuracy(task='multiclass', num_classes=classes)",
            "CatMetric",
            "missing-key",
            "validation_accuracy",
            "mode: max",
        ),
        ("patience: 2 * 3", "patience: 0", "bad-size", "0", None),
        ("0.01}\n  acc", "-1}\n  acc", "bad-size", "-1", None),
        ("0.99", "1", "bad-size", "1", None),
        ("accumulate: 4", "accumulate: 0", "bad-size", "0", None),
        ("warmup: 100", "warmup: 1.5", "bad-size", "1.5", None),
        ("clip: 0.5", "clip: {value: -1}", "bad-size", "-1", None),
        ("clip: 0.5", "clip: {value: 1, norm: 1}", "conflicting-keys", "clip", None),
        ("clip: 0.5", "log: {tensorboard: 3}", "wrong-type", "3", None),
        ("clip: 0.5", "log: {csv: true}", "unknown-key", "csv", None),
        ("validation: 0.1", "validation: 0.8", "bad-size", "validation", None),
        ("validation: 0.1", "validation: 2", "bad-size", "2", None),
    ],
)
def test_what_is_wrong_in_the_course_is_refused(
    old: str, new: str, code: str, place: str, hint: str | None
) -> None:
    [found] = diagnostics((old, new), text=COURSE)
    assert (found.code, found.span.text if found.span else None) == (code, place)
    assert hint is None or hint in (found.help or "")


PROGRAM = """|
    scores = output / 2
    if classes > 5:
      scores = scores * 2
    return cross_entropy(scores, label)
"""


def test_a_loss_may_be_a_program() -> None:
    text = SPEC.replace("cross_entropy(output, label)\n", PROGRAM)
    made = compiler.compile_text(text)
    assert made.training is not None
    assert made.training.loss.reads == ("output", "label")
    assert made.training.metrics[0].of.reads == ("output", "label")
    context, loss, scope = made.inferred.context(), made.training.loss, made.program.scope
    output, label = torch.randn(4, 10), torch.arange(4)
    (tried,) = try_objective(context, loss, scope, {"output": output, "label": label})
    namespace: dict[str, Any] = {}
    exec(ast.unparse(objective_functions([loss], scope, context)), namespace)
    torch.testing.assert_close(namespace["loss"](output, label), tried)
    torch.testing.assert_close(namespace["loss"](output, label), F.cross_entropy(output, label))


@pytest.mark.parametrize(
    ("old", "new", "code", "place"),
    [
        ("scores * 2", "score * 2", "unknown-name", "score"),
        ("  return cross_entropy", "  if classes > 5:\n      return cross_entropy", "missing-return", None),
        ("cross_entropy(scores, label)", "scores", "loss-not-scalar", "return scores"),
        ("scores = output / 2", "output[0] = 2", "changed-in-place", "output[0]"),
    ],
)
def test_what_is_wrong_in_a_program_is_located(old: str, new: str, code: str, place: str | None) -> None:
    [found] = diagnostics(("cross_entropy(output, label)\n", PROGRAM), (old, new))
    assert found.code == code
    assert found.span is not None
    assert place is None or found.span.text == place


def test_a_spec_without_a_section_has_no_training() -> None:
    assert compiler.compile_text(SPEC[: SPEC.index("train:")]).training is None


@pytest.mark.parametrize(
    ("old", "new", "code", "place", "hint"),
    [
        ("output, label", "output, lable", "unknown-name", "lable", "`label`"),
        ("output, label)", "output, label, weigth=label)", "unknown-argument", "weigth", "`weight`"),
        ("cross_entropy", "cross_entropi", "unknown-operation", "cross_entropi", "`cross_entropy`"),
        ("output, label)", "output, label) + training", "unknown-name", "training", None),
        (
            "cross_entropy(output, label)",
            "mse_loss(output, image)",
            "shape-mismatch",
            "mse_loss(output, image)",
            None,
        ),
        (
            "cross_entropy(output, label)",
            "output.mean(dim=1)",
            "loss-not-scalar",
            "output.mean(dim=1)",
            "mean()",
        ),
        ("cross_entropy(output, label)", "output.argmax()", "loss-not-scalar", "output.argmax()", None),
        ("AdamW", "AdamV", "unknown-optimizer", "AdamV", "`AdamW`"),
        ("lr=1e-3", "learning_rate=1e-3", "unknown-argument", "learning_rate", None),
        ("weight_decay=", "weight_decai=", "unknown-argument", "weight_decai", "`weight_decay`"),
        ("lr=1e-3", "lr='fast'", "argument-type", "'fast'", None),
        ("AdamW(lr=1e-3, weight_decay=0.01)", "3 + 4", "not-a-call", "3 + 4", None),
        (
            "CosineAnnealingLR",
            "CosineAnealingLR",
            "unknown-schedule",
            "CosineAnealingLR",
            "`CosineAnnealingLR`",
        ),
        ("CosineAnnealingLR", "StepLR", "missing-argument", "StepLR", "step_size"),
        ("CosineAnnealingLR", "LambdaLR(3)", "unknown-schedule", "LambdaLR", None),
        ("num_classes", "num_clases", "unknown-argument", "num_clases", "`num_classes`"),
        (
            "num_classes=classes",
            "num_classes=-1",
            "bad-argument",
            "Accuracy(task='multiclass', num_classes=-1)",
            None,
        ),
        ("Accuracy", "Acuracy", "unknown-metric", "Acuracy", "`Accuracy`"),
        ("accuracy:", "test_loss:", "reserved-name", "test_loss", None),
        ("Linear.weight", "Linaer.weight", "unused-rule", "Linaer.weight", "`Linear.weight`"),
        ("2 * 32", "0", "bad-size", "0", None),
        ("2 * 32", "2.5", "bad-size", "2.5", None),
        ("epochs: passes", "epochs: pases", "unknown-name", "pases", "`passes`"),
        ("  epochs: passes\n", "", "missing-key", "batch", "epochs"),
        ("epochs: passes", "epochs: 1\n  steps: 1", "conflicting-keys", "steps", None),
        ("clip: 0.5", "clip: -1", "bad-size", "-1", None),
        ("bf16-mixed", "bf16-mixd", "unknown-precision", "bf16-mixd", "`bf16-mixed`"),
        ("image: images", "img: images", "missing-field", None, "`img`"),
        ("test: 0.2", "tst: 0.2", "wrong-type", "0.2", "`test`"),
        ("test: 0.2", "test: 2", "bad-size", "2", None),
        (", test: 0.2", "", "no-test-split", "accuracy", "test: 0.2"),
        ("file: nowhere", "fiel: nowhere", "missing-key", "fiel", "`file`"),
        ("file: nowhere.npz", "file: a.npz, text: b.txt", "conflicting-keys", "text", None),
        ("file: nowhere.npz", "dataset: mnist()", "unknown-dataset", "mnist", "--plugin"),
        ("label: labels", "label: labels, output: more", "reserved-name", "output", None),
        ("label: labels", "label: labels, context: 3", "unknown-key", "context", None),
        ("schedule:", "shedule:", "unknown-key", "shedule", "`schedule`"),
    ],
)
def test_a_wrong_section_is_refused_where_it_is_wrong(
    old: str, new: str, code: str, place: str | None, hint: str | None
) -> None:
    (found,) = diagnostics((old, new))
    assert found.code == code, found
    assert found.span is not None
    assert place is None or found.span.text == place
    assert hint is None or hint in (found.help or ""), found


def test_all_that_is_wrong_is_said_at_once() -> None:
    found = diagnostics(("AdamW", "AdamV"), ("2 * 32", "0"), ("Linear.weight", "Linaer"), ("task=", "tsk="))
    assert [each.code for each in found] == [
        "unknown-optimizer",
        "bad-size",
        "unknown-argument",
        "unused-rule",
    ]


def test_nothing_that_is_trained_is_an_error() -> None:
    (found,) = diagnostics(("train:", "freeze: [/]\ntrain:"))
    assert found.code == "nothing-to-train"


TEXT = """
spec: 1
inputs: {tokens: "int64[batch, time]"}
model:
  - Embedding(9, 4)
  - Linear(9)
train:
  data: {text: a.txt, context: 8, tokens: characters, target: next_characters}
  loss: cross_entropy(output.flatten(0, 1), target.flatten())
  optimizer: SGD
  batch: 2
  steps: 3
"""


def test_the_loss_on_text_is_tried_before_there_is_text() -> None:
    assert compiler.compile_text(TEXT).training is not None
    (found,) = diagnostics(("target.flatten()", "target"), text=TEXT)
    assert found.span is not None
    assert found.span.text.startswith("cross_entropy")
    (found,) = diagnostics(("next_characters", "next_character"), text=TEXT)
    assert (found.code, found.help) == ("unknown-array", "did you mean `next_characters`?")
    (found,) = diagnostics((", context: 8", ""), text=TEXT)
    assert found.code == "missing-key"


def test_a_metric_says_what_it_compares() -> None:
    text = SPEC.replace('metrics: {accuracy: "Acc', 'metrics: {accuracy: {metric: "Acc').replace(
        'num_classes=classes)"}', 'num_classes=classes)", of: [output.argmax(1), label]}}'
    )
    training = compiler.compile_text(text).training
    assert training is not None
    assert [str(each) for each in training.metrics[0].of.sources] == ["output.argmax(1)", "label"]
    (found,) = diagnostics(("argmax(1), label", "argmax(1), lbl"), text=text)
    assert found.code == "unknown-name"
    assert re.search("`output`, `image`, `label`", found.notes[0])


def test_a_saved_model_loads_although_its_plugin_for_data_is_away() -> None:
    from compiler.artifact import canonical
    from compiler.load import load
    from compiler.pipeline import TextFiles, compile_canonical

    text = SPEC.replace("file: nowhere.npz", "dataset: mnist()")
    bundle = canonical(load("spec.yaml", TextFiles({"spec.yaml": text})))
    artifact = compile_canonical(bundle, name="saved")
    with pytest.raises(SpecError, match="unknown-dataset"):
        _ = artifact.training


def test_the_tables_hold_what_the_libraries_have() -> None:
    assert {"SGD", "Adam", "AdamW", "LBFGS", "Muon", "RMSprop"} <= optimizers().targets.keys()
    assert {"Optimizer"}.isdisjoint(optimizers().targets)
    assert {"OneCycleLR", "SequentialLR", "ReduceLROnPlateau"} <= schedules().targets.keys()
    assert {name for name, _ in INFERRED_LENGTHS} <= schedules().targets.keys()
    assert {"Accuracy", "MulticlassAccuracy", "Perplexity", "R2Score"} <= metrics().targets.keys()
    assert {"Metric", "MinMaxMetric", "MetricTracker"}.isdisjoint(metrics().targets)
    assert not any("deprecated" in target.__module__ for target in metrics().targets.values())
