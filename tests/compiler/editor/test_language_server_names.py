"""Definitions, references, rename, outline and formatting, end to end."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pytest_lsp import LanguageClient

from tests.compiler.editor.conftest import T5, Editor, applied, editor

pytestmark = pytest.mark.asyncio(loop_scope="module")
ATTENTION = T5.parent / "blocks/attention.yaml"


def texts(here: Editor, found: object) -> list[str]:
    """Return what stands at each place of an answer, with its line, as `12 width`."""
    assert isinstance(found, list | tuple)
    told = []
    for each in found:
        lines = here.texts.get(each.uri, "").split("\n")
        place = each.range
        told.append(
            f"{place.start.line + 1} {lines[place.start.line][place.start.character : place.end.character]}"
        )
    return told


async def defined(here: Editor, uri: str, behind: str) -> object:
    return await here.client.text_document_definition_async(types.DefinitionParams(**here.at(uri, behind)))


@pytest.mark.parametrize(
    ("behind", "declared"),
    [
        ("q: Linear(heads * head", "12 head_dim"),  # a variable
        ("      bucket: Bucke", "31 Buckets"),  # a block
        ("return o(attend(q", "44 q"),  # a layer, in a program
        ("bucket: Buckets(caus", "41 causal"),  # an argument
        ("  - q.weight: normal(std=(dim", "9 dim"),
        ("int64[batch, ti", "28 time"),  # a dimension
        ("forward(x, memory, seen): |\n      if first:\n        se", "51 seen"),  # an input
        ("x = decoder(targ", "27 targets"),  # an input of the model
        ("embedding: [/sha", "103 shared"),  # a layer, in a selector
    ],
)
async def test_definitions_are_found(client: LanguageClient, behind: str, declared: str) -> None:
    here = editor(client)
    uri = here.open(T5, T5.read_text())
    assert texts(here, await defined(here, uri, behind))[:1] == [declared]
    here.type(uri, "lm_head: Linear(vocab", "lm_head: [Linear(vocab")  # which cannot be read
    assert texts(here, await defined(here, uri, behind))[:1] == [declared]
    here.close(uri)


async def test_definitions_and_references_go_across_imports(client: LanguageClient) -> None:
    here = editor(client)
    uri, other = here.open(T5, T5.read_text()), here.open(ATTENTION, ATTENTION.read_text())
    for behind in ("attend: Att", "blocks/attention.yaml: [Att"):
        (found,) = await defined(here, uri, behind)  # type: ignore[misc]
        assert found.uri == other
        assert texts(here, [found]) == ["4 Attend"]
    (file,) = await defined(here, uri, "  blocks/atten")  # type: ignore[misc]
    assert file.uri == other
    context = types.ReferenceContext(include_declaration=True)
    found = await client.text_document_references_async(
        types.ReferenceParams(context=context, **here.at(other, "  Att"))
    )
    assert found is not None
    assert [each.uri for each in found].count(other) == 1
    assert texts(here, [each for each in found if each.uri == uri]) == ["6 Attend", "50 Attend"]
    assert {Path(each.uri).name for each in found} > {"bert.yaml", "t5.yaml"}
    here.close(uri)
    here.close(other)


async def test_references_of_a_layer_are_in_programs_and_selectors(client: LanguageClient) -> None:
    here = editor(client)
    uri = here.open(T5, T5.read_text())
    context = types.ReferenceContext(include_declaration=False)
    found = await client.text_document_references_async(
        types.ReferenceParams(context=context, **here.at(uri, "    lm_he"))
    )
    assert texts(here, found) == ["111 lm_head", "114 lm_head", "120 lm_head"]
    here.close(uri)


async def renamed(here: Editor, uri: str, behind: str, new: str) -> str:
    edit = await here.client.text_document_rename_async(
        types.RenameParams(new_name=new, **here.at(uri, behind))
    )
    assert edit is not None
    assert edit.changes is not None
    return applied(here.texts[uri], [*edit.changes[uri]])


async def test_rename_goes_through_all_uses(client: LanguageClient) -> None:
    here = editor(client)
    text = T5.read_text()
    uri = here.open(T5, text)
    where = await client.text_document_prepare_rename_async(
        types.PrepareRenameParams(**here.at(uri, "    lm_he"))
    )
    assert isinstance(where, types.Range)
    assert await renamed(here, uri, "    lm_he", "head") == text.replace("lm_head", "head")
    assert await renamed(here, uri, "repeat: dep", "blocks_of_it") == text.replace("depth", "blocks_of_it")
    with pytest.raises(JsonRpcException, match="`encoder` is used already"):
        await renamed(here, uri, "    lm_he", "encoder")
    here.type(uri, "lm_head: Linear(", "lm_head: Linaer(")
    with pytest.raises(
        JsonRpcException, match="the spec does not compile: there is no layer or block `Linaer`"
    ):
        await renamed(here, uri, "    lm_he", "head")
    here.close(uri)


async def test_a_block_is_renamed_in_the_specs_that_import_it(client: LanguageClient, tmp_path: Path) -> None:
    here = editor(client)
    (tmp_path / "blocks.yaml").write_text("spec: 1\nblocks:\n  Twice(size): [Linear(size), Linear(size)]\n")
    head = "spec: 1\nimport: {blocks.yaml: [Twice]}\ninputs: {x: 'float32[n, 4]'}\n"
    head += "blocks: {Taken: [ReLU]}\n"
    text = f"{head}model: [Twice(8), {{a: Twice(size=2)}}]\ninit:\n  - Twice.0.weight: zeros\n"
    (tmp_path / "main.yaml").write_text(text)
    other = text.replace("[Twice]", "[{Twice: Pair}]").replace(
        "model: [Twice(8), {a: Twice(", "model: [{a: Pair("
    )
    (tmp_path / "other.yaml").write_text(other.replace("- Twice", "- Pair"))
    blocks = here.open(tmp_path / "blocks.yaml", (tmp_path / "blocks.yaml").read_text())
    edit = await client.text_document_rename_async(
        types.RenameParams(new_name="Both", **here.at(blocks, "  Twi"))
    )
    assert edit is not None
    assert edit.changes is not None
    changed = {
        Path(uri).name: applied((tmp_path / Path(uri).name).read_text(), [*edits])
        for uri, edits in edit.changes.items()
    }
    assert changed == {
        "blocks.yaml": "spec: 1\nblocks:\n  Both(size): [Linear(size), Linear(size)]\n",
        "main.yaml": text.replace("Twice", "Both"),
        "other.yaml": (tmp_path / "other.yaml").read_text().replace("Twice: Pair", "Both: Pair"),
    }
    with pytest.raises(JsonRpcException, match=r"main\.yaml, which imports it, would mean something else"):
        await client.text_document_rename_async(
            types.RenameParams(new_name="Taken", **here.at(blocks, "  Twi"))
        )
    here.close(blocks)


def names(symbols: object) -> dict[str, object]:
    assert isinstance(symbols, list | tuple)
    return {each.name: names(each.children or ()) for each in symbols}


async def test_the_outline_has_sections_blocks_and_layers(client: LanguageClient) -> None:
    here = editor(client)
    uri = here.open(T5, T5.read_text())

    async def told() -> dict[str, object]:
        document = types.TextDocumentIdentifier(uri)
        return names(await client.text_document_document_symbol_async(types.DocumentSymbolParams(document)))

    found = await told()
    assert [*found][:5] == ["spec", "name", "import", "vars", "presets"]
    blocks = found["blocks"]
    assert isinstance(blocks, dict)
    assert [*blocks["FeedForward"]["layers"]] == ["DenseReluDense", "layer_norm", "dropout"]
    assert [*found["model"]["layers"]] == ["shared", "encoder", "decoder", "lm_head"]  # type: ignore[index]
    here.type(uri, "lm_head: Linear(", "lm_head: [Linear(")  # which cannot be read
    broken = await told()
    assert broken["blocks"] == blocks
    here.close(uri)


async def test_formatting_is_the_canonical_form(client: LanguageClient) -> None:
    here = editor(client)
    uri = here.open(T5, T5.read_text())
    options = types.FormattingOptions(tab_size=2, insert_spaces=True)

    async def formatted() -> str:
        document = types.TextDocumentIdentifier(uri)
        edits = await client.text_document_formatting_async(types.DocumentFormattingParams(document, options))
        return applied(here.texts[uri], list(edits or ()))

    here.type(uri, "repeat: depth, of: block(index == 0)", "of:   block(index == 0), repeat: depth")
    assert await formatted() == T5.read_text()
    here.type(uri, "lm_head: Linear(", "lm_head: [Linear(")
    assert await formatted() == here.texts[uri]
    here.close(uri)
