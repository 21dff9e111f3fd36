"""`diff`: what a reviewer is told of two specs, and the exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import compiler
import runtime
from compiler.cli.diff.tensor_names import TensorNames
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.reader import read_text
from tests.compiler.cli.conftest import MLP, Call

ZOO = Path("specs/zoo")
FEW = 25
WIDTH = 80

BERT = (
    ZOO / "bert.yaml",
    ZOO / "distilbert.yaml",
    "--preset",
    "tiny",
    "--set-a",
    "depth=12",
    "--set-b",
    "depth=6",
)
GPT2 = (ZOO / "gpt2.yaml", "--preset", "tiny", "--set-a", "depth=6", "--set-b", "depth=12")
RESNET = (ZOO / "resnet.yaml", "--preset-b", "resnext50", "--set", "size=64")


def changed(mlp: Path, *replaced: tuple[str, str]) -> Path:
    """Write another spec beside one."""
    text = MLP
    for old, new in replaced:
        assert old in text
        text = text.replace(old, new)
    path = mlp.with_name("other.yaml")
    path.write_text(text)
    return path


@pytest.mark.parametrize("arguments", [BERT, GPT2, RESNET], ids=["bert", "gpt2", "resnet"])
def test_large_changes_are_told_in_few_lines(cli: Call, arguments: tuple[str | Path, ...]) -> None:
    result = cli("diff", *arguments, width=WIDTH)
    lines = result.stdout.splitlines()
    assert result.exit_code == 1
    assert len(lines) <= FEW
    assert max(map(len, lines)) <= WIDTH


def test_copies_of_a_repeat_that_are_new_are_one_line(cli: Call) -> None:
    text = cli("diff", *GPT2).stdout
    assert "\nvars        depth 6 → 12\n" in text
    assert "\nadded       h.6 … 11  6 × Block, 12,704 parameters each\n" in text
    assert "~ init normal(std=0.02 / sqrt(2 * depth)) with depth 6 → 12  12" in text
    assert "weights     76 of 148 tensors load, 72 are new" in text


def test_what_the_spec_writes_is_told_before_what_follows(cli: Call) -> None:
    text = cli("diff", *RESNET, width=200).stdout
    assert "Bottleneck.conv2      16 × Conv2d out_channels 64 → 128 … 512 → 1024, groups 1 → 32" in text
    assert "Bottleneck.conv3      16 × Conv2d in_channels 64 → 128 … 512 → 1024, inferred" in text
    assert "vars        groups 1 → 32; group_width base → 4" in text


def test_renamed_layers_are_found_by_structure_shape_and_place(cli: Call) -> None:
    text = cli("diff", *BERT, "--all").stdout
    assert "bert → distilbert; Bert.encoder → DistilBert.transformer" in text
    assert "Attention.self.{query,key,value} → {q_lin,k_lin,v_lin}" in text
    assert "Encoder.layer.6 … 11              6 × Layer" in text
    assert "blocks      Bert → DistilBert" in text
    assert "+ return output_layer_norm(ffn(x) + x)" in text
    assert "inputs      - segments: int64[batch, time]" in text


# --- exit status ----------------------------------------------------------------------------------------


def test_a_spec_is_the_same_as_itself(cli: Call, mlp: Path) -> None:
    result = cli("diff", mlp, mlp)
    assert (result.exit_code, result.stdout) == (0, f"{mlp}: the same model\n")


def test_another_spelling_is_the_same_model(cli: Call, mlp: Path) -> None:
    other = mlp.with_name("mlp.json")
    other.write_text(json.dumps(compiler.compile(mlp).canonical["spec"]))
    assert cli("diff", mlp, other).exit_code == 0
    comment = changed(
        mlp, ("spec: 1\n", "# a comment\nspec: 1\n"), ("  - Linear.weight", "  - 'Linear.weight'")
    )
    assert cli("diff", mlp, comment).exit_code == 0


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("hidden: 8", "hidden: 16", "hidden 8 → 16"),
        ("Linear(width)", "Linear(width, bias=False)", "Block.0  2 × Linear bias none → False"),
        ("    - ReLU", "    - GELU", "ReLU → GELU"),
        ("    - ReLU", "    - Identity", "ReLU → Identity"),
        ("return head(body(x))", "return head(body(x)).relu()", "+ return head(body(x)).relu()"),
        ("return head(body(x))", "return head(body(x) + body(x))", "- return head(body(x))"),
        ("std=0.02", "std=0.05", "~ init Linear.weight: normal(std=0.02) → normal(std=0.05)  2"),
        ("freeze: [head.bias]", "freeze: [head]", "+ freeze head"),
        ("freeze: [head.bias]\n", "", "- freeze head.bias  head.bias"),
        ("float32[batch, 4]", "float32[batch, time, 4]", "x: float32[batch, 4] → float32[batch, time, 4]"),
        ("wide: {hidden: 16}", "wide: {hidden: 32}", "wide.hidden 16 → 32"),
        ("name: mlp", "name: mlp2", "mlp → mlp2"),
    ],
)
def test_each_change_is_told_and_is_a_difference(cli: Call, mlp: Path, old: str, new: str, told: str) -> None:
    result = cli("diff", mlp, changed(mlp, (old, new)), width=120)
    assert result.exit_code == 1, result.stdout
    assert told in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("h.0.a.w", "h.1.a.w"), "2 tensors: h.[0-1].a.w"),
        (("h.0.a.w", "h.1.a.w", "h.2.a.w"), "3 tensors: h.*.a.w"),
        (("h.0.0.w", "h.0.2.w", "h.1.0.w", "h.1.2.w"), "4 tensors: h.*.{0,2}.w"),
        (("h.0.0.w", "h.1.1.w"), "2 tensors: h.0.0.w, h.1.1.w"),
        (("h.2.a.w", "head"), "2 tensors: h.2.a.w, head"),
        (("gone.0", "gone.1"), "2 tensors: gone.*"),
        (("head",), "head"),
    ],
)
def test_tensors_are_told_by_a_pattern_that_names_no_others(names: tuple[str, ...], words: str) -> None:
    every = ["head", *(f"h.{n}.a.w" for n in range(3)), *(f"h.{n}.{m}.w" for n in range(2) for m in range(3))]
    assert TensorNames(every).words(names) == words


def test_a_rule_without_an_effect_is_said_to_have_none(cli: Call, mlp: Path) -> None:
    other = changed(mlp, ("freeze: [head.bias]", "freeze: [head.bias, /head.bias]"))
    assert "+ freeze /head.bias  head.bias, to no effect" in cli("diff", mlp, other).stdout


def test_trouble_is_told_in_a_line_and_has_a_status_of_its_own(cli: Call, mlp: Path, broken: Path) -> None:
    result = cli("diff", mlp, broken)
    assert result.exit_code == 2
    assert "error[unknown-layer]" in result.stderr
    missing = cli("diff", mlp, mlp.with_name("mlq.yaml"))
    assert missing.exit_code == 2
    assert f"there is no file `{mlp.with_name('mlq.yaml')}`" in missing.stderr
    for arguments in [(mlp,), (mlp, mlp, mlp)]:
        assert cli("diff", *arguments).exit_code == 2
    result = cli("diff", mlp, mlp, "--set-b", "hiden=3")
    assert (result.exit_code, result.stdout) == (2, "")


# --- forms ----------------------------------------------------------------------------------------------


def test_json_has_everything_unfolded(cli: Call) -> None:
    found = json.loads(cli("diff", *GPT2, "--json").stdout)
    assert found["same"] is False
    assert [each["after"] for each in found["layers"]] == [f"h.{at}" for at in range(6, 12)]
    assert {each["kind"] for each in found["layers"]} == {"added"}
    assert found["before"]["parameters"] < found["after"]["parameters"]
    assert len(found["tensors"]["added"]) == len(found["weights"]["left"]) == 72
    assert found["values"] == [{"section": "vars", "key": "depth", "before": "6", "after": "12"}]
    assert found["weights"]["proven"] is True


def test_markdown_is_a_table_lists_and_code(cli: Call, mlp: Path) -> None:
    other = changed(mlp, ("return head(body(x))", "return head(body(x) * 2)"), ("hidden: 8", "hidden: 12"))
    lines = cli("diff", mlp, other, "--markdown").stdout.splitlines()
    assert lines[0] == f"### {mlp} → {other}".replace("_", "\\_") or lines[0].startswith("### ")
    assert lines[2:4] == ["| | |", "|---|---|"]
    assert "```diff" in lines
    assert "+ return head(body(x) * 2)" in lines
    assert "```yaml" in lines
    assert any(line.startswith("* Block.0: 2 × Linear out_features 8 → 12") for line in lines)


@pytest.mark.parametrize(
    ("option", "value", "place"),
    [
        ("--set-b", "dep=3", " --> --set-b dep:1:1\n"),
        ("--set-a", "dep=3", " --> --set-a dep:1:1\n"),
        ("--set", "dep=3", " --> --set dep:1:1\n"),
        ("--preset-b", "wid", " --> --preset-b:1:1\n"),
        ("--preset", "wid", " --> --preset:1:1\n"),
    ],
)
def test_a_wrong_value_is_found_in_the_option_that_gives_it(
    cli: Call, mlp: Path, option: str, value: str, place: str
) -> None:
    result = cli("diff", mlp, mlp, option, value)
    assert result.exit_code == 2
    assert place in result.stderr


def test_a_setting_without_a_value(cli: Call, mlp: Path) -> None:
    result = cli("diff", mlp, "--set-b", "deep")
    assert result.exit_code == 2
    assert result.stderr == "error: `--set-b deep` gives no value\n  help: write `--set-b key=value`\n"


# --- weights --------------------------------------------------------------------------------------------


def test_the_rule_is_pasted_and_loads_what_it_says(cli: Call, mlp: Path) -> None:
    other = changed(mlp, ("head", "top"), ("Linear(width)\n", "linear: Linear(width)\n"))
    rule = cli("diff", mlp, other, "--rule").stdout
    assert "path" not in rule
    pasted = mlp.with_name("pasted.yaml")
    pasted.write_text(other.read_text().replace("freeze:", f"{rule}freeze:"))
    model = runtime.build(compiler.compile(mlp), seed=3, device="cpu")
    runtime.save(model, mlp.with_suffix(".safetensors"))
    loaded = runtime.build(compiler.compile(pasted), device="cpu")
    names = ["body.0.linear", "body.1.linear", "top"]
    assert list(loaded.state_dict()) == [f"{name}.{part}" for name in names for part in ("weight", "bias")]
    for ours, theirs in zip(loaded.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("items", "margin"),
    [
        ("init:\n- head.bias: zeros\n", ""),
        ("init:\n    - head.bias: zeros\n", "    "),
        ("init: [{head.bias: zeros}]\n", "  "),
        ("", "  "),
    ],
)
def test_the_rule_is_indented_as_the_items_that_it_stands_below(
    cli: Call, mlp: Path, items: str, margin: str
) -> None:
    old = "init:\n  - Linear.weight: normal(std=0.02)\n  - head.weight: ones\n"
    other = changed(mlp, ("head", "top")) if not items else changed(mlp, (old, items))
    if not items:
        other.write_text(other.read_text().replace(old.replace("head", "top"), ""))
    rule = cli("diff", mlp, other, "--rule").stdout
    assert rule.startswith(f"{margin}- ")
    if items.startswith("init:\n") or not items:
        head = "" if items else "init:\n"
        other.write_text(other.read_text().replace("freeze:", f"{head}{rule}freeze:"))
        assert cli("check", other).exit_code == 0


def test_every_second_layer_of_bert_loads_into_distilbert(cli: Call, tmp_path: Path) -> None:
    """The layers are named by a map; all values are those of the layers that are meant."""
    bert = compiler.compile(ZOO / "bert.yaml", preset="tiny", set={"depth": 4})
    model = runtime.build(bert, seed=5, device="cpu")
    runtime.save(model, tmp_path / "bert.safetensors")
    layers = "transformer.layer.{i} = encoder.layer.{2 * i}"
    sides = (tmp_path / "bert.safetensors", ZOO / "distilbert.yaml", "--preset-b", "tiny")
    rule = cli("diff", *sides, "--map", layers, "--rule").stdout
    items = read_text(rule, "rule", DEFAULT_LIMITS)
    student = runtime.build(with_rule(rule), device="cpu", folder=tmp_path)
    assert len(items) == 1
    theirs, ours = model.state_dict(), student.state_dict()
    for at in range(2):
        old, new = f"bert.encoder.layer.{2 * at}", f"distilbert.transformer.layer.{at}"
        for one, other in LAYER.items():
            for tensor in ("weight", "bias"):
                assert torch.equal(ours[f"{new}.{other}.{tensor}"], theirs[f"{old}.{one}.{tensor}"])
    for one, other in AROUND.items():
        assert torch.equal(ours[other], theirs[one])
    assert len(ours) == 2 * 2 * len(LAYER) + len(AROUND)


LAYER = {
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}
AROUND = {
    **{
        f"bert.embeddings.{name}": f"distilbert.embeddings.{name}"
        for name in (
            "word_embeddings.weight",
            "position_embeddings.weight",
            "LayerNorm.weight",
            "LayerNorm.bias",
        )
    },
    "cls.predictions.transform.dense.weight": "vocab_transform.weight",
    "cls.predictions.transform.dense.bias": "vocab_transform.bias",
    "cls.predictions.transform.LayerNorm.weight": "vocab_layer_norm.weight",
    "cls.predictions.transform.LayerNorm.bias": "vocab_layer_norm.bias",
    "cls.predictions.decoder.weight": "vocab_projector.weight",
    "cls.predictions.decoder.bias": "vocab_projector.bias",
}


def with_rule(rule: str) -> compiler.Artifact:
    """Compile DistilBERT with a rule below its own."""
    text = (ZOO / "distilbert.yaml").read_text() + rule
    imports = {
        f"blocks/{name}.yaml": (ZOO / f"blocks/{name}.yaml").read_text() for name in ("attention", "bert")
    }
    return compiler.compile_text(text, name="distilbert.yaml", preset="tiny", imports=imports)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("body.{i}", "`body.{i}` is no map"),
        ("body.{i} = body.{i + 5}", "no module of the first model is `body.5`, for `body.0`"),
        ("bdy.{i} = body.{i}", "no module of the second model is `bdy.{i}`"),
        ("body.{i} = body.0", "the maps give `body.0` two partners"),
        ("{i}.{j} = {i}.{j + 1}", "has one name alone in braces"),
        ("0 = body.0", "`0` is in several places"),
        ("body.{i} = body.{i + k}", "k"),
    ],
)
def test_a_map_that_cannot_be_followed_is_one_line(cli: Call, mlp: Path, given: str, message: str) -> None:
    result = cli("diff", mlp, mlp, "--map", given)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_an_index_of_a_map_is_a_whole_number(cli: Call, mlp: Path) -> None:
    result = cli("diff", mlp, mlp, "--map", "body.{i} = body.{i / 2}")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: `body.{i} = body.{i / 2}`: `i / 2` is 0.0 at i = 0\n"
        "  help: an index must be a whole number: divide by `//`\n"
    )


def test_a_map_of_which_nothing_loads_is_noted(cli: Call, mlp: Path) -> None:
    other = changed(mlp, ("head: Linear(2)", "head: Linear(3)"))
    maps = ("--map", "head=head", "--map", "body.0 = body.0")
    result = cli("diff", mlp, other, "--rule", *maps)
    assert result.exit_code == 1
    assert result.stderr == "note: the map `head = head` loads nothing: shapes differ\n"
    assert "- /body:" in result.stdout


def test_a_saved_model_is_compared_by_the_spec_in_it(cli: Call, mlp: Path) -> None:
    saved = mlp.with_name("saved.safetensors")
    runtime.save(runtime.build(compiler.compile(mlp), device="cpu"), saved)
    assert cli("diff", mlp, saved).exit_code == 0
    result = cli("diff", saved, changed(mlp, ("deep: 2", "deep: 3")), "--rule")
    assert result.exit_code == 1
    assert f"checkpoint: {saved}" in result.stdout
