"""What a diagnostic says: where it is, in the user's own words, and how to mend it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import compiler
import runtime
from compiler import Artifact, SpecError
from compiler.cli import check as check_command
from compiler.cli.outcome import Status, guarded
from compiler.pipeline import compile_canonical
from spec_schema.diagnostics import Diagnostic

INPUTS = 'inputs: {x: "float[batch, 4]"}'


def made(model: str, inputs: str = INPUTS, more: str = "", **options: object) -> Artifact:
    return compiler.compile_text(f"spec: 1\n{inputs}\n{more}\nmodel:\n{model}\n", **options)  # type: ignore[arg-type]


def refused(model: str, inputs: str = INPUTS, more: str = "", **options: object) -> Diagnostic:
    with pytest.raises(SpecError) as caught:
        made(model, inputs, more, **options)
    (problem,) = caught.value.diagnostics
    assert "object at 0x" not in f"{problem}"
    return problem


def program(body: str, layers: str = "l: Linear(4)") -> str:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return f"  layers: {{{layers}}}\n  forward: |\n{lines}"


# --- layers in programs ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "written"),
    [
        ("x + l", "l"),
        ("l * 2", "l"),
        ("-l", "l"),
        ("relu(l)", "l"),
        ("cat([x, l])", "l"),
        ("x.matmul(l)", "l"),
        ("x + h[0]", "h[0]"),
    ],
)
def test_a_layer_is_no_value(expression: str, written: str) -> None:
    problem = refused(program(f"return {expression}", 'l: Linear(4), h: {repeat: 2, of: "Linear(4)"}'))
    assert (problem.code, problem.span and problem.span.text) == ("not-a-value", written)
    assert problem.message == f"`{written.replace('[0]', '.0')}` is a layer, not a value"
    assert problem.help == f"call it: `{written}(...)`"


@pytest.mark.parametrize(
    "kind", ["layers: {x: Linear(4)}", 'buffers: {x: "float[4]"}', 'parameters: {x: "float[4]"}']
)
def test_an_input_that_hides_what_the_block_has(kind: str) -> None:
    problem = refused(f"  {kind}\n  forward: return relu(x)\n  init: [x: ones]")
    assert problem.code == "hidden-layer"
    assert problem.message.startswith("the input `x` hides the ")


def test_an_input_of_a_block_that_hides_a_layer() -> None:
    block = "blocks:\n  A:\n    layers: {skip: Linear(4)}\n    forward(x, skip): return x + skip"
    problem = refused("  layers: {a: A}\n  forward: return a(x, x)", more=block)
    assert (problem.code, problem.span and problem.span.text) == ("hidden-layer", "skip")
    assert [label.text for label in problem.labels] == ["the layer"]


def test_layers_in_their_order_take_an_input_of_the_same_name() -> None:
    assert "self.x(x)" in made("  layers: {x: Linear(4)}").source


BLOCK = "blocks:\n  Block(n):\n    layers: {l: Linear(n)}\n    forward: return x + l(x)"
ROW = "h: {repeat: 2, of: Block(3)}"
ROWS = 'h: {repeat: 2, of: {repeat: 3, of: "Block(3 if index == 2 else 4)"}}'


@pytest.mark.parametrize(
    ("layers", "body", "path"),
    [
        (ROW, "for layer in h:\n  x = layer(x)\nreturn x", "h.0"),
        (ROW, "return h[1](x)", "h.1"),
        (ROW, "for at, layer in enumerate(h[1:]):\n  x = layer(x)\nreturn x", "h.1"),
        (ROW, "return h(x)", "h.0"),
        (ROWS, "for row in h:\n  for layer in row:\n    x = layer(x)\nreturn x", "h.0.2"),
        (ROWS, "for row in h:\n  x = row(x)\nreturn x", "h.0.2"),
        (ROWS, "return h[1][2](x)", "h.1.2"),
    ],
)
def test_a_path_names_the_list_that_a_program_goes_over(layers: str, body: str, path: str) -> None:
    problem = refused(program(body, layers), more=BLOCK)
    (note,) = problem.notes
    assert note.startswith(f"in {path}, a Block(n=3) from line ")


def test_an_item_is_named_with_its_list() -> None:
    problem = refused(program("return h[1](x, x)", "h: {repeat: 2, of: [Linear(4), ReLU]}"))
    assert problem.message == "`h.1` is a sequence, and takes one input"
    assert problem.help == "call its items: `for layer in h[1]: x = layer(x, ...)`"


# --- words ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "python"),
    [
        ("true", "True"),
        ("false", "False"),
        ("null", "None"),
        ("none", "None"),
        ("FALSE", "False"),
        ("Null", "None"),
    ],
)
def test_words_of_other_languages(word: str, python: str) -> None:
    help = f"expressions are written as in Python: `{python}`"
    for model in (f"  - Linear(3, bias={word})", f"  forward: return x.sum(dim=1, keepdim={word})"):
        problem = refused(model)
        assert (problem.code, problem.span and problem.span.text, problem.help) == (
            "unknown-name",
            word,
            help,
        )


@pytest.mark.parametrize(
    ("call", "way"),
    [
        ("weight_norm(Conv1d(3, 3))", "`parametrize: [{Linear.weight: weight_norm}]`"),
        ("utils.spectral_norm(Linear(3))", "`parametrize: [{Linear.weight: spectral_norm}]`"),
        ("orthogonal(Linear(3))", "`parametrize: [{Linear.weight: orthogonal}]`"),
    ],
)
def test_what_changes_a_layer_is_a_rule(call: str, way: str) -> None:
    problem = refused(f"  - {call}")
    name = call.partition("(")[0].removeprefix("utils.")
    assert problem.message == f"`{name}` changes a layer, and is none"
    assert way in (problem.help or "")


@pytest.mark.parametrize(
    "body", ["return weight_norm(l)(x)", "return weight_norm(l, dim=1)", "l2 = weight_norm(l)\nreturn x"]
)
def test_what_changes_a_layer_in_a_program(body: str) -> None:
    problem = refused(program(body))
    assert problem.message == "`weight_norm` changes a layer, and is none"
    assert "parametrize" in (problem.help or "")


@pytest.mark.parametrize(
    ("model", "layer", "help"),
    [
        ("relu(Linear(4))", "Linear(4)", '`["Linear(4)", "relu()"]`'),
        ("leaky_relu(Linear(4), 0.1)", "Linear(4)", '`["Linear(4)", "leaky_relu(...)"]`'),
        ("softmax(dim=Linear)", "dim=Linear", ""),
        ("cat([Linear(4)])", "[Linear(4)]", ""),
    ],
)
def test_an_operation_takes_no_layer(model: str, layer: str, help: str) -> None:
    problem = refused(f'  - "{model}"')
    assert problem.code == "not-a-value"
    assert problem.message.endswith(f" is a layer, and `{model.partition('(')[0]}` takes values")
    assert help in (problem.help or "")


def test_what_a_call_gives_is_no_layer() -> None:
    problem = refused(program("return l(x)(x)"))
    assert problem.help == "what a call gives is a value: a layer has a name under `layers:`"


@pytest.mark.parametrize("value", ["mults[-1]", "'mults[-1]'", '"mults[-1]"'])
def test_a_key_of_a_layer_that_is_meant_as_a_value(value: str) -> None:
    more = "vars: {mults: [1, 2]}"
    problem = refused(f"  - layer: Linear\n    out_features: {value}", more=more)
    assert (
        problem.help
        == 'a key of a layer holds a text as it stands: for a value write `out_features: "${mults[-1]}"`'
    )
    assert made('  - layer: Linear\n    out_features: "${mults[-1]}"', more=more).plan.rows[0].shape == (2, 4)
    assert refused("  - layer: Linear\n    out_features: maybe one").help is None


def test_another_name_for_the_number_of_a_copy() -> None:
    problem = refused('  - {repeat: 3, as: i, of: "Linear(i + 1)"}')
    assert problem.help == "the number of a copy is `index`; under another name: `repeat: range(3)`"
    rows = made('  - {repeat: range(3), as: i, of: "Linear(i + 1)"}').plan.rows
    assert [row.shape for row in rows[1::2]] == [(1,), (2,), (3,)]


def test_copies_of_several_classes() -> None:
    block = "blocks:\n  A(act): [Linear(4), act]"
    problem = refused('  - {repeat: 3, of: "A(ReLU if index == 0 else Tanh)"}', more=block)
    assert problem.help
    assert "{if: index == 0, then: ..., else: ...}" in problem.help
    source = made("  - {repeat: 3, of: {if: index == 0, then: A(ReLU), else: A(Tanh)}}", more=block).source
    assert "A(act=nn.ReLU) if index == 0 else A(act=nn.Tanh)" in source


def test_sizes_of_keys_and_values() -> None:
    inputs = 'inputs: {x: "float[batch, 5, 8]", m: "float[batch, 3, 6]"}'
    model = program("return a(x, m, m)[0]", "a: 'MultiheadAttention(num_heads=2, batch_first=TrueSIZES)'")
    problem = refused(model.replace("SIZES", ""), inputs)
    assert problem.help == "its other inputs have sizes of their own: write `kdim=6, vdim=6`"
    assert made(model.replace("SIZES", ", kdim=6, vdim=6"), inputs)


@pytest.mark.parametrize(
    ("expression", "way", "mended"),
    [
        ("where(x > 0)", "`where(condition, a, b)`", "where(x > 0, x, 0.0)"),
        ("nonzero(x > 0)", "`nonzero_static(x > 0, size=8)`", "nonzero_static(x > 0, size=8)"),
        ("argwhere(x > 0)", "`nonzero_static(x > 0, size=8)`", "nonzero_static(x > 0, size=8)"),
        ("(x > 0).nonzero()", "`nonzero_static(x > 0, size=8)`", "nonzero_static(x > 0, size=8)"),
        ("x[x > 0]", "`where(mask, x, 0.0)`", "where(x > 0, x, 0.0)"),
        ("masked_select(x, x > 0)", "`where(mask, x, 0.0)`", "where(x > 0, x, 0.0)"),
    ],
)
def test_what_has_a_fixed_size_instead(expression: str, way: str, mended: str) -> None:
    model = "  buffers: {places: {value: 'VALUE'}}\n  forward: return x * places.sum()"
    problem = refused(model.replace("VALUE", re.sub(r"\bx\b", "eye(3)", expression)))
    assert problem.message.endswith("the size of its result would depend on data")
    assert way in (problem.help or "")
    assert made(model.replace("VALUE", re.sub(r"\bx\b", "eye(3)", mended)))


def test_where_with_two_arguments_is_told_its_third() -> None:
    problem = refused("  forward: return where(x > 0, x)")
    assert (problem.help or "").startswith("`where(condition, a, b)` chooses between values")


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("bincount(x.long()[0])", "`bincount` refuses this: the size of its result would depend on data"),
        ("where(x > 0, x)", "`where` refuses this: it takes other arguments than (a tensor, a tensor)"),
        ("clamp(x, 'a')", "`clamp` refuses this: it takes other arguments than (a tensor, a text)"),
        ("corrcoef(x)", "`corrcoef` refuses this: torch cannot tell the shape of its result without values"),
    ],
)
def test_no_message_shows_how_shapes_are_found(expression: str, message: str) -> None:
    assert refused(f"  forward: return {expression}").message == message


# --- what is quoted -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "value"),
    [
        ("[Linear(4), Linear(mults[-1])]", "Linear(mults[-1])"),
        ("[Linear(mults[-1] + mults[0]), ReLU]", "Linear(mults[-1] + mults[0])"),
        ("[{repeat: mults[0], of: ReLU}]", "mults[0]"),
        ("[{repeat: 2, of: Conv2d(8, mults[-1])}]", "Conv2d(8, mults[-1])"),
        ("[a: Linear(mults[-1])]", "Linear(mults[-1])"),
    ],
)
def test_the_whole_value_is_quoted(model: str, value: str) -> None:
    with pytest.raises(SpecError) as caught:
        compiler.compile_text(f"spec: 1\n{INPUTS}\nvars: {{mults: [1, 2]}}\nmodel: {model}\n")
    assert [each.help for each in caught.value.diagnostics] == [f'quote it: "{value}"']
    mended = model.replace(value, f'"{value}"').replace("Conv2d(8, ", "Linear(")
    assert compiler.compile_text(f"spec: 1\n{INPUTS}\nvars: {{mults: [1, 2]}}\nmodel: {mended}\n")


@pytest.mark.parametrize(
    ("more", "value"),
    [
        ("model: [{if: mults[-1] > 2, then: ReLU}, Linear(4)]", "mults[-1] > 2"),
        ("model: [{if: mults[-1] % 2 and mults[0], then: ReLU}, Linear(4)]", "mults[-1] % 2 and mults[0]"),
        ("model: [h: [Linear(4)]]\ninit: [{h[-1].bias: ones}]", "h[-1].bias"),
        ("model: [h: [Linear(4)]]\nplacement: [{h[0]: {device: cpu}}]", "h[0]"),
        ("model: [{if: 1 in [1, 2], then: ReLU}, Linear(4)]", "1 in [1, 2]"),
        ("model: [a: Linear(4), b: Linear(4)]\nfreeze: [{a,b}.bias]", "{a,b}.bias"),
        ("model: [a: Linear(4), b: Linear(4)]\ninit: [{{a,b}.bias: ones}]", "{a,b}.bias"),
    ],
)
def test_what_is_quoted_is_the_key_or_the_value(more: str, value: str) -> None:
    head = f"spec: 1\n{INPUTS}\nvars: {{mults: [1, 2]}}\n"
    with pytest.raises(SpecError) as caught:
        compiler.compile_text(head + more + "\n")
    assert [each.help for each in caught.value.diagnostics] == [f'quote it: "{value}"']
    assert compiler.compile_text(head + more.replace(value, f'"{value}"') + "\n")


@pytest.mark.parametrize(
    ("written", "help"),
    [
        ("tanh", "\"'tanh'\""),
        ("'tanh'", "\"'tanh'\""),
        ('"tanh"', "\"'tanh'\""),
        ("'tanh if n > 2 else 0'", '"tanh"'),
        ('"tanh if n > 2 else 0"', "'tanh'"),
    ],
)
def test_a_text_is_quoted_otherwise_than_it_was(written: str, help: str) -> None:
    problem = refused("  - ReLU", more=f"vars: {{n: 3, act: {written}}}")
    assert problem.help == f"declare it under `vars:`, or put a text in quotes: `{help}`"
    mended = help if written.strip("'\"") == "tanh" else written.replace("tanh", help)
    assert made("  - ReLU", more=f"vars: {{n: 3, act: {mended}}}").program.scope.variables["act"] == "tanh"


VARIABLES = "vars: {other: \"'none'\", n: 3, act: \"'tanh'\"}"


@pytest.mark.parametrize(
    "given", ["none", "'none'", '"none"', "\"'none'\"", "other", "\"'none' if n > 2 else other\""]
)
def test_a_bare_text_is_one_where_the_variable_is_one(given: str) -> None:
    artifact = made("  - GELU(approximate=act)", more=VARIABLES, set={"act": given})
    assert runtime.build(artifact)[0].approximate == "none"
    again = compile_canonical(artifact.canonical, name="again")
    assert again.source == artifact.source


def test_a_text_of_several_words_is_one() -> None:
    problem = refused("  - GELU(approximate=act)", more=VARIABLES, set={"act": "very leaky-relu"})
    assert problem.code in ("bad-argument", "shape-mismatch")


@pytest.mark.parametrize("word", ["sum", "max"])
def test_a_function_alone_is_a_text(word: str) -> None:
    assert made("  - ReLU", more=VARIABLES, set={"act": word}).program.scope.variables["act"] == word
    assert made("  - ReLU", more=VARIABLES, set={"act": "max(n, 2)"}).program.scope.variables["act"] == 3


@pytest.mark.parametrize("given", ["leaky", "'leaky'", '"leaky"'])
def test_a_bare_text_for_a_number_is_a_name(given: str) -> None:
    problem = refused("  - ReLU", more=VARIABLES, set={"n": given})
    assert problem.code == "unknown-name"
    assert problem.help == "declare it under `vars:`, or put a text in quotes: `\"'leaky'\"`"
    assert made("  - ReLU", more=VARIABLES, set={"n": "\"'leaky'\""}).program.scope.variables["n"] == "leaky"


# --- once -----------------------------------------------------------------------------------------------


def test_a_bug_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> int:
        raise RuntimeError("out of order")

    spec = tmp_path / "spec.yaml"
    spec.write_text(f"spec: 1\n{INPUTS}\nmodel: [ReLU]\n", encoding="utf-8")
    monkeypatch.setattr(check_command.Subject, "artifact", broken)
    assert guarded(lambda: check_command.check([spec]), debug=False) == Status.BUG
    assert capsys.readouterr().err.count("out of order") == 1


@pytest.mark.parametrize(
    ("call", "size", "refused"),
    [
        ("Conv2d(3, 16, 3)", "3, 8, 8", True),
        ("Conv2d(3, 16, kernel_size=3)", "3, 8, 8", False),
        ("Conv2d(16, 3, 1)", "3, 8, 8", False),
        ("Conv2d(3, 3)", "3, 8, 8", False),
        ("Conv2d(out_channels=3, kernel_size=3, stride=3)", "3, 8, 8", False),
        ("Conv2d(width, 3, 3)", "3, 8, 8", False),
        ("LSTM(8, 2)", "4, 8", True),
        ("LSTM(8)", "4, 8", False),
    ],
)
def test_numbers_that_are_whole_in_both_orders_are_refused(call: str, size: str, refused: bool) -> None:
    text = f'spec: 1\nvars: {{width: 3}}\ninputs: {{x: "float32[batch, {size}]"}}\nmodel:\n  - {call}\n'
    try:
        compiler.compile_text(text)
        codes = []
    except SpecError as error:
        codes = [each.code for each in error.diagnostics]
    assert (codes == ["inferred-argument"]) == refused, codes
    assert refused or not set(codes) & {"inferred-argument"}
