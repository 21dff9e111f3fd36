"""The language server, end to end: on a spec of the zoo, and on one that is broken."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsprotocol import types
from pytest_lsp import LanguageClient

from tests.compiler.editor.conftest import T5, Editor, applied, editor, position

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_diagnostics_follow_what_is_typed(client: LanguageClient) -> None:
    here = editor(client)
    uri = here.open(T5, T5.read_text())
    assert await here.diagnostics(uri) == []
    here.type(uri, "q: Linear(heads", "q: Linaer(heads")
    (found,) = await here.diagnostics(uri)
    assert found.code == "unknown-layer"
    assert found.message == "there is no layer or block `Linaer`\nhelp: did you mean `Linear`?"
    assert (found.range.start, found.range.end) == (types.Position(43, 9), types.Position(43, 15))
    fixes = await client.text_document_code_action_async(
        types.CodeActionParams(
            types.TextDocumentIdentifier(uri), found.range, types.CodeActionContext([found])
        )
    )
    assert fixes is not None
    (fix,) = fixes
    assert isinstance(fix, types.CodeAction)
    assert fix.edit is not None
    assert fix.edit.changes is not None
    assert applied(here.texts[uri], [*fix.edit.changes[uri]]) == T5.read_text()
    assert "There is no layer or block of this name." in await told(here, uri, "q: Lina")
    here.type(uri, "Linaer", "Linear")
    assert await here.diagnostics(uri) == []
    here.close(uri)


async def test_what_only_the_whole_compiler_finds_is_told_a_little_later(
    client: LanguageClient, tmp_path: Path
) -> None:
    here = editor(client)
    data = "data: {file: a.npz, x: x, y: y}, loss: 'mse_loss(output, y)', batch: 2, epochs: 1"
    text = (
        f"spec: 1\ninputs: {{x: 'float32[n, 4]'}}\nmodel: [Linear(3)]\ntrain: {{optimizer: AdamX, {data}}}\n"
    )
    uri = here.open(tmp_path / "trained.yaml", text)
    assert await here.diagnostics(uri) == []
    found = await client.wait_for_notification(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    assert [each.code for each in found.diagnostics] == ["unknown-optimizer"]
    here.type(uri, "Linear(3)", "Linear(33)")  # it stays where it is meanwhile, and moves along
    (moved,) = await here.diagnostics(uri)
    assert moved.range.start == position(here.texts[uri], here.texts[uri].index("AdamX"))
    here.type(uri, "AdamX", "Adam")
    assert await here.diagnostics(uri) == []
    here.close(uri)


async def test_what_is_wrong_in_an_imported_file_is_shown_there(
    client: LanguageClient, tmp_path: Path
) -> None:
    here = editor(client)
    blocks = tmp_path / "blocks.yaml"
    blocks.write_text("spec: 1\nblocks:\n  Twice: [Linear(4), Linaer(4)]\n")
    text = "spec: 1\nimport: {blocks.yaml: [Twice]}\ninputs: {x: 'float32[n, 4]'}\nmodel: Twice\n"
    main = here.open(tmp_path / "main.yaml", text)
    (found,) = await here.diagnostics(main, blocks.as_uri())
    assert found.range.start == types.Position(2, 21)
    uri = here.open(blocks, blocks.read_text())
    here.type(uri, "Linaer", "Linear")
    assert await here.diagnostics(main, uri) == []
    here.close(main)
    here.close(uri)


async def test_places_are_those_of_utf_16(client: LanguageClient, tmp_path: Path) -> None:
    """Also where an editor would like others better."""
    here = editor(client)
    text = "spec: 1\ninputs: {x: 'float32[n, 4]'}\nmodel: {doc: 𝛑é𝛑, layers: {a: ReLU}}\n"
    uri = here.open(tmp_path / "spec.yaml", text)
    here.type(uri, "ReLU", "Linaer(4)")
    (found,) = await here.diagnostics(uri)
    text = here.texts[uri]
    assert found.range.start == position(text, text.index("Linaer"))
    assert found.range.start.character == len("model: {doc: ....., layers: {a: ")
    assert client.diagnostics[uri]
    here.close(uri)


async def test_other_yaml_is_left_alone(client: LanguageClient, tmp_path: Path) -> None:
    here = editor(client)
    other = here.open(tmp_path / "compose.yaml", "services: {web: {image: nginx}}\nmodel: [Linaer]\n")
    uri = here.open(tmp_path / "spec.yaml", "spec: 1\nmodle: []\n")
    found = await here.diagnostics(uri)
    assert [each.code for each in found] == ["unknown-key"]
    assert not client.diagnostics.get(other)
    here.close(other)
    here.close(uri)


async def hints(here: Editor, uri: str) -> dict[str, str]:
    """Return the hints of a document, by the texts that they stand behind."""
    text = here.texts[uri]
    whole = types.Range(types.Position(0, 0), position(text, len(text)))
    found = await here.client.text_document_inlay_hint_async(
        types.InlayHintParams(types.TextDocumentIdentifier(uri), whole)
    )
    lines = text.split("\n")
    return {
        lines[each.position.line][: each.position.character].strip(): str(each.label).removeprefix("→ ")
        for each in found or ()
    }


async def test_hints_show_the_shape_behind_each_layer_and_statement(client: LanguageClient) -> None:
    here = editor(client)
    uri = here.open(T5, T5.read_text())
    found = await hints(here, uri)
    assert found["lm_head: Linear(vocab, bias=False)"] == "[batch, steps, 32128]"
    assert found["mask = rearrange(seen.bool(), 'b s -> b 1 1 s')"] == "bool[batch, 1, 1, time]"
    assert found["return lm_head(x * dim ** -0.5)"] == "[batch, steps, 32128]"
    assert found["q: Linear(heads * head_dim, bias=False)"] == "[batch, time, 512] …"
    layer = 'DenseReluDense: [{wi: "Linear(hidden, bias=False)"'
    assert found[layer] == "[batch, time, 2048] …"
    # What cannot be read keeps the hints of the last text that could, and moves them along.
    here.type(uri, "    lm_head: Linear(", "    more: Linear(3\n    lm_head: [Linear(")
    broken = await hints(here, uri)
    assert broken["mask = rearrange(seen.bool(), 'b s -> b 1 1 s')"] == "bool[batch, 1, 1, time]"
    # Where a model fails half way, hints lead up to the mistake.
    here.close(uri)
    text = "spec: 1\ninputs: {x: 'float32[n, 4]'}\nmodel:\n  - Linear(6)\n  - Linear(5, in_features=3)\n  - ReLU\n"
    uri = here.open(T5.parent / "fails.yaml", text)
    assert await hints(here, uri) == {"- Linear(6)": "[n, 6]"}
    here.close(uri)


async def test_a_spec_that_was_never_right_has_hints_too(client: LanguageClient) -> None:
    here = editor(client)
    text = T5.read_text().replace("q: Linear(heads", "q: Linaer(heads").replace("x = decoder(", "x = decodr(")
    uri = here.open(T5.parent / "never_right.yaml", text)
    assert len(await here.diagnostics(uri)) == 2
    found = await hints(here, uri)
    assert found["lm_head: Linear(vocab, bias=False)"] == "[batch, steps, 32128]"
    here.close(uri)


async def told(here: Editor, uri: str, behind: str) -> str:
    found = await here.client.text_document_hover_async(types.HoverParams(**here.at(uri, behind)))
    return found.contents.value if found and isinstance(found.contents, types.MarkupContent) else ""


async def test_hover_tells_shapes_parameters_and_who_decided(client: LanguageClient) -> None:
    here = editor(client)
    uri = here.open(T5, T5.read_text())
    layer = await told(here, uri, "      q: Lin")
    assert "Applies an affine linear transformation" in layer
    assert "`[batch, time, 512]` → `[batch, time, 512]`, elsewhere `[batch, steps, 512]`" in layer
    assert "512: out_features = heads * head_dim; 512: in_features, inferred" in layer
    assert "init `q.weight: normal(std=(dim * head_dim) ** (-0.5))` (t5\\.yaml\\:118)" in layer
    assert "`16` in the preset `t5_large`" in await told(here, uri, "  heads")
    assert "first values" in await told(here, uri, "\ninit")
    assert await told(here, uri, "int64[batch, tim") == "**time**: an open dimension, `16` at the example"
    assert (await told(here, uri, "encoder.embed_tokens.wei")).startswith(
        "`encoder.embed_tokens.weight` names 1 tensor\n"
    )
    one_of = await told(here, uri, '"{shared,embed')
    assert one_of.startswith("`{shared,embed_tokens,lm_head}.weight` names 1 tensor\n")
    assert "| and 10 more |" in await told(here, uri, "  - q.wei")
    assert "x.masked_fill(mask, value)" in await told(here, uri, ".masked")
    assert (
        await told(here, uri, "      dist")
        == "**distance**: `int64[time, time]`, elsewhere `int64[steps, steps]`"
    )
    assert "**x**: an input `[batch, time, 512]`" in await told(here, uri, "ahead = arange(x")
    assert "The bucket of the distance" in await told(here, uri, "bucket: Buck")
    here.type(uri, "lm_head: Linear(", "lm_head: Linaer(")
    assert "Applies an affine linear transformation" in await told(here, uri, "      q: Lin")
    here.close(uri)


async def offered(here: Editor, uri: str, behind: str) -> dict[str, types.CompletionItem]:
    found = await here.client.text_document_completion_async(types.CompletionParams(**here.at(uri, behind)))
    assert isinstance(found, list | tuple)
    return {each.label: each for each in found}


OFFERED = [
    # what is written, what is typed there instead up to the cursor, some of what is offered, and what is not
    ("dims: {", "ini", "\ndims: {", "doc placement train freeze", "vars model"),
    ("    layers:\n      q:", "    la", "\n    layers:\n      q:", "vars buffers forward", "layers model"),
    ("      q: Linear(heads * head_dim", "      q: Lin", " # ", "Linear Attention flatten attend", "normal_"),
    ("q: Linear(heads * head_dim", "q: Linear(dim, ", "", "bias= in_features= heads head_dim causal", "Linear"),
    ("q: Linear(heads * head_dim", "q: Linear(dim, ", "", "bias=", "out_features="),
    ("q: Linear(heads * head_dim", "q: Linear(bias=f(1, 2), ", "", "out_features=", "bias="),
    ("q: Linear(heads * head_dim", "q: Attention(", "", "causal= first= heads", "bias="),
    ("repeat: depth, of", "repeat: depth, ", ", of", "as index running name splice", "parallel of then"),
    ("repeat: depth", "repeat: dep", "", "depth heads index", "Linear"),
    ("y = layer_norm(x)\n", "y = x.resh", "\n", "reshape shape dtype", "Linear depth"),
    ("y = layer_norm(x)\n", "y = SelfAttention(", "\n", "memory= seen= x dropout softmax", "Linear"),
    ("y = layer_norm(x)\n", "y = SelfAttention.", "\n", "q k bucket", "reshape"),
    ("y = layer_norm(x)\n", "y = softmax(x, ", "\n", "dim= dtype= x", ""),
    ("y = layer_norm(x)\n", "ahead = x\n      ", "\n", "ahead x rate layer_norm arange pi training return", "Linear"),
    ("- q.weight: normal(", "- q.", ": normal(", "weight bias Linear Attention", "softmax"),
    ("normal(std=fan_in ** -0.5)", "no", "", "normal zeros copy dim", "Linear"),
    ("normal(std=fan_in ** -0.5)", "normal(0, ", "", "std=", "mean="),
    ("normal(std=fan_in ** -0.5)", "normal(", "", "std= mean= fan_in head_dim", "normal"),
    ("int64[batch, time]", "int64[batch, ", "]", "time steps dim", "int64"),
    ("int64[batch, time]", "in", "", "int64 float32 bool", "time"),
    ("blocks/attention.yaml: [Attend]", "blocks/attention.yaml: [", "]", "Attend", "Linear"),
    ("tiny: {vocab: 100", "tiny: {", "", "depth heads", "Linear"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "typed", "rest", "there", "absent"), OFFERED)
async def test_what_fits_is_offered(
    client: LanguageClient, old: str, typed: str, rest: str, there: str, absent: str
) -> None:
    here = editor(client)
    uri = here.open(T5, T5.read_text())
    before = here.texts[uri].partition(old)[0] + typed
    here.type(uri, old, f"{typed}{rest}")
    found = await offered(here, uri, before)
    assert set(there.split()) <= found.keys()
    assert not set(absent.split()) & found.keys()
    here.close(uri)


async def test_what_fits_is_offered_in_a_spec_that_cannot_be_read(
    client: LanguageClient, tmp_path: Path
) -> None:
    here = editor(client)
    text = (
        T5.read_text()
        .replace("  CrossLayer:", "  CrossLayer: [[")
        .replace("lm_head: Linear(", "lm_head: {Linear(")
    )
    uri = here.open(tmp_path / "broken.yaml", text.replace("y = layer_norm(x)", "y = la"))
    assert await here.diagnostics(uri)
    assert {"layer_norm", "SelfAttention", "dropout", "rate"} <= (await offered(here, uri, "y = la")).keys()
    here.close(uri)


async def test_a_spec_in_json_is_served_too(client: LanguageClient, tmp_path: Path) -> None:
    here = editor(client)
    text = '{"spec": 1, "inputs": {"x": "float32[n, 4]"},\n "model": ["Linear(8)", "Lin"]}\n'
    uri = here.open(tmp_path / "spec.json", text)
    (found,) = await here.diagnostics(uri)
    assert (found.code, found.range.start) == ("unknown-layer", types.Position(1, 25))
    assert "Linear" in await offered(here, uri, '"Lin')
    here.type(uri, '"Lin"', '"ReLU"')
    assert await hints(here, uri) == {
        '"model": ["Linear(8)"': "[n, 8]",
        '"model": ["Linear(8)", "ReLU"': "[n, 8]",
    }
    here.close(uri)


async def test_only_the_last_of_many_keys_is_looked_at(client: LanguageClient, tmp_path: Path) -> None:
    here = editor(client)
    uri = here.open(tmp_path / "typed.yaml", "spec: 1\ninputs: {x: 'float32[n, 4]'}\nmodel: [Linear(0)]\n")
    for size in range(1, 40):
        here.type(uri, f"Linear({size - 1})", f"Linear({size})")
    assert await hints(here, uri) == {"model: [Linear(39)": "[n, 39]"}
    here.close(uri)


async def test_an_offer_replaces_the_word_and_says_more_when_asked(client: LanguageClient) -> None:
    here = editor(client)
    uri = here.open(T5, T5.read_text())
    here.type(uri, "q: Linear(", "q: Lin(")
    item = (await offered(here, uri, "      q: Lin"))["Linear"]
    assert isinstance(item.text_edit, types.TextEdit)
    assert applied(here.texts[uri], [item.text_edit]) == T5.read_text()
    more = await client.completion_item_resolve_async(item)
    assert isinstance(more.documentation, types.MarkupContent)
    assert "Applies an affine linear transformation" in more.documentation.value
    here.close(uri)
