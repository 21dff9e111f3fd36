"""Which device each tensor is on."""

from __future__ import annotations

import pytest

import compiler
from compiler.other_devices import place
from compiler.placement.memory import Need, needs
from compiler.rules.plan import Plan

SPEC = """
spec: 1
inputs: {x: "float[batch, 8]"}
blocks:
  Part(width):
    - Linear(width)
    - BatchNorm1d
model:
  layers:
    encoder: Part(16)
    decoder: Part(8)
    head: Linear(8, bias=False)
  forward: |
    return head(decoder(encoder(x)))
"""


def plan(placement: str, more: str = "") -> Plan:
    return compiler.compile_text(f"{SPEC}{more}placement: {placement}\n").plan


def devices(found: Plan) -> dict[str, str]:
    return {row.name: row.device for row in found.rows if row.name.endswith("weight")}


def test_each_part_has_its_device_and_the_later_rule_wins() -> None:
    found = plan("[{/: cpu}, {Part: 'cuda:0'}, {decoder: 'cuda:1'}]")
    assert devices(found) == {
        "encoder.0.weight": "cuda:0",
        "encoder.1.weight": "cuda:0",
        "decoder.0.weight": "cuda:1",
        "decoder.1.weight": "cuda:1",
        "head.weight": "cpu",
    }
    decisions = [d for d in found.by_name["decoder.1.running_mean"].decisions if d.section == "placement"]
    assert [(d.text, d.won) for d in decisions] == [
        ("/: cpu", False),
        ("Part: cuda:0", False),
        ("decoder: cuda:1", True),
    ]


def test_what_no_rule_names_is_on_auto() -> None:
    assert devices(plan("[{decoder: cpu}]"))["encoder.0.weight"] == "auto"


def test_a_device_has_one_name() -> None:
    assert set(devices(plan("[{/: cuda}, {head: 'cuda:0'}]")).values()) == {"cuda:0"}


def test_a_dtype_alone_places_nothing() -> None:
    found = plan("[{/: {dtype: float64}}, {/: 'cuda:1'}, {/: {dtype: float32}}]")
    assert set(devices(found).values()) == {"cuda:1"}


def test_a_tie_goes_where_a_rule_puts_one_of_its_names() -> None:
    text = SPEC.replace("decoder: Part(8)", "decoder: Linear(8)").replace(
        "encoder: Part(16)", "encoder: Part(8)"
    )
    text += (
        "share: {tie: [decoder.weight, head.weight]}\nplacement: [{head: 'cuda:1'}, {decoder: 'cuda:1'}]\n"
    )
    found = compiler.compile_text(text.replace(", {decoder: 'cuda:1'}", ", {decoder.bias: 'cuda:1'}")).plan
    assert found.by_name["decoder.weight"].device == found.by_name["head.weight"].device == "cuda:1"


@pytest.mark.parametrize(
    ("placement", "more", "code", "message", "line", "labels"),
    [
        (
            "[{decoder: 'cuda:0'}, {head: 'cuda:1'}]",
            "share: {tie: [decoder.0.weight, head.weight]}\n",
            "share-conflict",
            "`decoder.0.weight` and `head.weight` are one tensor, on cuda:0 and on cuda:1",
            16,
            ["the rule of `decoder.0.weight`"],
        ),
        (
            "[{encoder: 'cuda:0'}, {encoder.0.bias: cpu}]",
            "",
            "device-mix",
            "the layer `encoder.0` would be on two devices: `encoder.0.weight` on cuda:0, "
            "`encoder.0.bias` on cpu",
            15,
            ["the rule of `encoder.0.weight`"],
        ),
        (
            "[{encoder.0.bias: cpu}]",
            "",
            "device-mix",
            "the layer `encoder.0` would be on two devices: `encoder.0.weight` on auto, "
            "`encoder.0.bias` on cpu",
            15,
            [],
        ),
        ("[{/: cpu}, {dekoder: cpu}]", "", "unused-rule", "this placement rule matches no parameter", 15, []),
    ],
)
def test_what_no_placement_may_say(
    placement: str, more: str, code: str, message: str, line: int, labels: list[str]
) -> None:
    text = SPEC.replace("encoder: Part(16)", "encoder: Part(8)") if more else SPEC
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(f"{text}{more}placement: {placement}\n")
    (found,) = caught.value.diagnostics
    assert (found.code, found.message) == (code, message)
    assert found.span is not None
    assert found.span.line == line
    assert [label.text for label in found.labels] == labels


def test_the_caller_places_after_the_spec() -> None:
    artifact = compiler.compile_text(f"{SPEC}placement: [{{/: cpu}}, {{head: 'cuda:1'}}]\n")
    placed = place(artifact, {"encoder": "cuda:2", "decoder.*": "cuda:3"})
    assert set(devices(placed.plan).values()) == {"cuda:1", "cuda:2", "cuda:3"}
    assert [d.text for d in placed.plan.by_name["encoder.0.bias"].decisions if d.section == "placement"] == [
        "/: cpu",
        "encoder: cuda:2",
    ]
    assert place(artifact, {"/": "cpu"}).source == compiler.compile_text(SPEC).source


@pytest.mark.parametrize(
    ("devices", "code", "place_", "help"),
    [
        ({"dekoder": "cpu"}, "unused-rule", "--device:1:1", "did you mean `decoder`?"),
        ({"decoder": "cpu", "a..b": "cpu"}, "bad-selector", "--device:1:1", "dotted components"),
        ({"decoder.0.bias": "cuda:1"}, "device-mix", "--device:1:16", "place the whole layer"),
    ],
)
def test_a_wrong_rule_of_the_caller_is_located(
    devices: dict[str, str], code: str, place_: str, help: str
) -> None:
    with pytest.raises(compiler.SpecError) as caught:
        place(compiler.compile_text(SPEC), devices)
    (found,) = caught.value.diagnostics
    assert (found.code, str(found.span)) == (code, place_)
    assert help in str(found.help)


def test_needs_are_those_of_the_tensors_on_each_device() -> None:
    found = plan("[{/: 'cuda:0'}, {decoder: cpu}]", "freeze: [head]\n")
    encoder, decoder, head = 8 * 16 + 16 + 32, 16 * 8 + 8 + 16, 8 * 8
    assert needs(found) == [
        Need("cuda:0", (encoder + head) * 4, 32 * 4 + 8, encoder * 4),
        Need("cpu", decoder * 4, 16 * 4 + 8, decoder * 4),
    ]
    assert needs(found)[1].total == decoder * 8 + 72
