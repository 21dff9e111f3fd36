"""Hover: what stands at a place, its shapes, and who decided its parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lsprotocol.types import Hover, MarkupContent, MarkupKind, Position

from compiler.editor.analysis import Analysis
from compiler.editor.catalogue import initializer_page, method_page, page
from compiler.editor.document import Document, shifted
from compiler.editor.hints import shapes
from compiler.editor.keys import KEYS
from compiler.editor.markdown import code, prose
from compiler.editor.reading import Spot, spot_at
from compiler.editor.recording import Bound, Seen
from compiler.editor.scope import Name, dimensions, names_seen, table, word_at, written
from compiler.infer.states import BlockState, Leaf
from compiler.infer.values import show
from compiler.program import Definition, LayerNode, ModuleBody, ParallelBody, Splice
from compiler.rewriting.uses import MODEL
from compiler.rules.plan import PlanRow
from compiler.rules.provenance import Provenance
from spec_schema.codes import codes
from spec_schema.codes import page as code_page
from spec_schema.diagnostics import SpecError
from spec_schema.keys import block_name, split_key
from spec_schema.scalars import shorten
from spec_schema.selectors import parse_selector
from spec_schema.source import Span

_CODE = ("code", "variable", "signature", "selector", "template")
MOST_ROWS = 8
"""Tensors that are listed of one layer."""


def hover(document: Document, position: Position) -> Hover | None:
    """Return what is known of what stands at a place."""
    offset = document.places.offset(position)
    spot = spot_at(document.text, offset, document.name)
    if spot is None:
        return None
    word, start = word_at(spot.use.scalar.text, spot.at)
    found = _best(document)
    back = shifted(offset, document.text, found.text) if found is not None else None
    asked = Asked(document, spot, word, spot.use.scalar.text[:start], found, back)
    parts = [part for part in (*_wrong(document, offset), *_parts(asked)) if part]
    return Hover(MarkupContent(MarkupKind.Markdown, "\n\n".join(parts))) if parts else None


@dataclass(frozen=True)
class Asked:
    """A word of a spec, and what is known of a text in which it stands."""

    document: Document
    spot: Spot
    word: str
    before: str
    """What stands in front of the word, in its scalar."""
    found: Analysis | None
    back: int | None
    """Where the word is in the text of which something is known."""

    @property
    def block(self) -> str | None:
        """The block whose names are seen."""
        use = self.spot.use
        if use.path[:1] in (("inputs",), ("dims",)):
            return MODEL
        return block_name(use.scalar.text) if use.role == "signature" else use.block

    @property
    def name(self) -> Name | None:
        """What the word means in the spec."""
        root = self.document.read() or self.spot.root
        return names_seen(root, self.block).get(self.word) or dimensions(root).get(self.word)


def _parts(asked: Asked) -> Iterator[str | None]:
    """Yield what is known of a word, by what the scalar is that it stands in."""
    use, found = asked.spot.use, asked.found
    known = KEYS.get(use.kind, {}).get(block_name(use.scalar.text)) if asked.spot.is_key else None
    if use.role in ("name", "text") and known is not None:
        yield f"**{prose(use.scalar.text)}**: {known}"
    elif use.role == "layer":
        if found is not None:
            yield from _layer(found, _node(found, use.block, split_key(use.scalar.text)[0]))
    elif use.role in _CODE or asked.block == MODEL:
        yield from _in_code(asked)


def _in_code(asked: Asked) -> Iterator[str | None]:
    """Yield what is known of a word in a text that is read as Python, or in a selector."""
    is_selector = asked.spot.use.role == "selector"
    if is_selector:
        yield from _selected(asked)
    if asked.before.endswith("."):
        yield None if is_selector else method_page(asked.word)
        return
    found, back, name = asked.found, asked.back, asked.name
    bound = _bound(found, back, asked.word) if found is not None and back is not None else None
    if bound is not None and found is not None:
        yield _local(found, asked.word, bound)
        return
    if asked.spot.use.role == "code" and "init" in asked.spot.use.path and initializer_page(asked.word):
        yield initializer_page(asked.word)
    elif name is not None:
        yield from _named(asked.document, found, name, asked.block)
    elif asked.document.current is not None and asked.word:
        yield page(asked.word, asked.document.current.origin.plugins)
    if found is not None and back is not None:
        yield from _call_at(found, back)


def _selected(asked: Asked) -> Iterator[str]:
    """Yield the tensors that a selector of the whole spec names, up to a word of it."""
    found, use = asked.found, asked.spot.use
    if found is None or found.plan is None or found.inferred is None or use.block is not None:
        return
    for text in (asked.before + asked.word, use.scalar.text):
        with suppress(SpecError):
            rows = found.plan.select(parse_selector(text, None))
            count = f"{len(rows):,} tensor{'' if len(rows) == 1 else 's'}"
            yield f"{code(text)} names {count}"
            yield from _table([(row, row.name) for row in rows], Provenance(found.inferred))
            return


def _wrong(document: Document, offset: int) -> Iterator[str]:
    """Yield what the codes mean of what is wrong at a place."""
    current = document.current
    for each in current.diagnostics if current is not None and current.text == document.text else ():
        span = each.span
        is_here = span is not None and span.file.name == document.name and span.start <= offset <= span.end
        if is_here and each.code in codes():
            title, about, why = [*code_page(each.code).split("\n\n", 3), "", ""][:3]
            yield f"**{title.removeprefix('# ')}**: {about}\n\n{why}"


def _best(document: Document) -> Analysis | None:
    """Return what is known of the text; where nothing of it runs, what is known of the last one that compiled."""
    return document.current if document.current and document.current.record.layers else document.good


def _named(document: Document, found: Analysis | None, name: Name, block: str | None) -> Iterator[str]:
    """Yield what a name of the spec means."""
    words = {
        "argument": f"an argument of {code(block or MODEL)}",
        "input": "an input",
        "dimension": "an open dimension",
    }
    if name.kind == "block":
        yield from (
            _block(found, name.name) if found is not None else (f"**{prose(name.written or name.name)}**",)
        )
        return
    if name.kind == "layer" and found is not None:
        yield f"**{prose(name.name)}**: {code(name.written)}"
        yield from _layer(found, _node(found, block, split_key(name.place.text)[0]))
        return
    about = words.get(name.kind, f"a {name.kind}")
    if name.kind == "input" and found is not None and (shape := _input(found, name.name, block)):
        yield f"**{prose(name.name)}**: {about} {code(shape)}"
        return
    value = _value(found, name, block)
    if name.kind == "dimension" and value:
        yield f"**{prose(name.name)}**: {about}, {code(value)} at the example"
        return
    yield f"**{prose(name.name)}**: {about}" + (f" = {code(value)}" if value else f", {code(name.written)}")
    presets = table(document.root, "presets") if document.root is not None else None
    for preset, values in presets.items() if presets is not None and name.kind == "variable" else ():
        if isinstance(values, dict) and name.name in values:
            yield f"{code(written(values[name.name]))} in the preset {code(preset)}"


def _input(found: Analysis, name: str, block: str | None) -> str | None:
    """Return the shape of an input of a block, in its first call."""
    definition = _definition(found, block)
    names = [each.name for each in definition.inputs] if definition is not None else []
    seen = [record.blocks.get(id(definition)) for record in (found.record, found.scaled)]
    at = names.index(name) if name in names else len(names)
    given = [each.inputs[at] if each is not None and at < len(each.inputs) else None for each in seen]
    return found.naming.text(*given)


def _value(found: Analysis | None, name: Name, block: str | None) -> str | None:
    """Return the value of a name: that of an argument in the first instance of its block."""
    if found is None or found.program is None:
        return None
    if name.kind == "dimension":
        size = found.program.sizes.get(name.name)
        return None if size is None else f"{size}"
    if name.kind == "variable":
        known = found.program.variables
        return shorten(show(known[name.name])) if name.name in known else None
    definition = _definition(found, block)
    seen = found.record.blocks.get(id(definition)) if definition is not None else None
    values = seen.state.values if seen is not None and isinstance(seen.state, BlockState) else {}
    return shorten(show(values[name.name])) if name.name in values else None


def _definition(found: Analysis, block: str | None) -> Definition | None:
    if found.program is None or block is None:
        return None
    return found.program.model if block == "model" else found.program.scope.blocks.get(block)


def _node(found: Analysis, block: str | None, key: str) -> LayerNode | Splice | None:
    """Return the node of a layer of a block."""
    definition = _definition(found, block)
    body = definition.body if definition is not None else None
    if isinstance(body, ModuleBody):
        return body.layers.get(key)
    items = body.branches if isinstance(body, ParallelBody) else getattr(body, "items", ())
    return next((item.node for item in items if item.name == key), None)


def _layer(found: Analysis, node: LayerNode | Splice | None) -> Iterator[str]:
    """Yield the shapes of a layer, and its parameters."""
    seen = found.record.layers.get(id(node)) if node is not None else None
    if seen is None:
        return
    if isinstance(seen.state, Leaf):
        yield f"**{seen.state.layer.name}**"
    yield from _seen(found, seen, found.scaled.layers.get(id(node)))


def _block(found: Analysis | None, name: str) -> Iterator[str]:
    definition = _definition(found, name) if found is not None else None
    if definition is None or found is None:
        return
    arguments = ", ".join(
        each.name if each.default is None else f"{each.name}={each.default}" for each in definition.parameters
    )
    yield f"```python\n{name}({arguments})\n```" if arguments else f"```python\n{name}\n```"
    if definition.doc:
        yield prose(definition.doc)
    seen = found.record.blocks.get(id(definition))
    if seen is not None:
        yield from _flow(found, seen, found.scaled.blocks.get(id(definition)))


def _flow(found: Analysis, seen: Seen, other: Seen | None) -> Iterator[str]:
    """Yield what a layer gets and returns."""
    given = [*shapes(found, seen.inputs, other.inputs if other else ())]
    taken = ", ".join(map(code, given)) or "nothing"
    returned = shapes(found, seen.outputs, other.outputs if other else ())
    if returned:
        more = f", elsewhere {', '.join(map(code, returned[1:]))}" if returned[1:] else ""
        yield f"{taken} → {code(returned[0])}{more}"


def _seen(found: Analysis, seen: Seen, other: Seen | None) -> Iterator[str]:
    """Yield what a layer gets and returns, and its parameters."""
    yield from _flow(found, seen, other)
    if isinstance(seen.state, Leaf) and seen.state.inferred:
        sizes = ", ".join(code(f"{name} = {show(value)}") for name, value in seen.state.inferred.items())
        yield f"{sizes}, inferred"
    if found.plan is not None and found.inferred is not None and seen.path:
        yield from _tensors(found.plan.rows, seen.path, Provenance(found.inferred))


def _tensors(rows: Sequence[PlanRow], path: str, origins: Provenance) -> Iterator[str]:
    """Yield the parameters and buffers of a layer, with who decided their values, shapes and more."""
    inside = [(row, name) for row in rows for name in row.names if name.startswith(f"{path}.")]
    if not inside:
        return
    count = sum(row.elements for row, _ in inside if row.kind == "parameter")
    yield f"{count:,} parameters in {code(path)}"
    yield from _table([(row, name.removeprefix(f"{path}.")) for row, name in inside], origins)


def _table(rows: Sequence[tuple[PlanRow, str]], origins: Provenance) -> Iterator[str]:
    """Yield a table of tensors, each with the name that it has there."""
    lines = [_tensor(row, name, origins) for row, name in rows[:MOST_ROWS]]
    more = [f"| and {len(rows) - MOST_ROWS} more | | |"] if len(rows) > MOST_ROWS else []
    if lines:
        yield "\n".join(["| tensor | shape | decided by |", "|---|---|---|", *lines, *more])


def _tensor(row: PlanRow, name: str, origins: Provenance) -> str:
    won = [each for each in row.decisions if each.won]
    decided = [
        f"{each.section} {code(each.text)}"
        + (f" ({prose(where(each.place))})" if each.place else ", PyTorch's default")
        for each in won
    ]
    sizes = [f"{size.value}: {size.origins[0].text}" for size in origins.stored_sizes(row) if size.origins]
    facts = [*decided, *([] if row.trainable or row.kind == "buffer" else ["frozen"])]
    others = [f"is also {code(other)}" for other in row.names if not other.endswith(name)][:1]
    shape = " ".join(map(code, filter(None, (str(list(row.shape)), "; ".join(sizes)))))
    return f"| {code(name)} | {shape} | {'; '.join([*facts, *others])} |"


def where(place: Span) -> str:
    """Return `file:line`, without the folder."""
    return f"{Path(place.file.name).name}:{place.line}"


def _bound(found: Analysis, at: int, word: str) -> Bound | None:
    """Return the value that a name has in a program at a place: where it was bound last before."""
    last = None
    for each in found.record.bound.values():
        program, span = each.source.scalar.span, each.source.span(each.target)
        is_there = program.file.name == found.origin.name and program.start <= at <= program.end
        if is_there and each.target.id == word and span.start <= at:
            last = each
    return last


def _local(found: Analysis, word: str, bound: Bound) -> str:
    other = found.scaled.bound.get(id(bound.target))
    texts = shapes(found, bound.values, other.values if other else ())
    return f"**{prose(word)}**: " + (", elsewhere ".join(map(code, texts)) or "a value")


def _call_at(found: Analysis, at: int) -> Iterator[str]:
    """Yield what is known of the layer whose name stands at a place."""
    for number, seen in found.record.layers.items():
        target = getattr(seen.node, "target_span", None)
        if target is not None and target.file.name == found.origin.name and target.start <= at <= target.end:
            yield from _seen(found, seen, found.scaled.layers.get(number))
            return
