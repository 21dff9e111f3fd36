"""The text of a spec: YAML in the style of those that people write."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from compiler.catalogue.layers import REQUIRED
from runtime.importing.blocks import Block, TensorForm
from runtime.importing.nodes import If, Items, LayerCall, Node, Repeat, Word, compressed, key_of
from runtime.importing.rows import Rows, rows_of
from spec_schema.canonical import reads_as_text

WIDTH = 116


@dataclass(frozen=True)
class Document:
    """All that a spec says."""

    name: str
    inputs: Mapping[str, str]
    dims: Mapping[str, int]
    blocks: Sequence[Block]
    model: Block
    share: Mapping[str, Sequence[str]] = field(default_factory=dict)
    freeze: Sequence[str] = ()
    parametrize: Mapping[str, str] = field(default_factory=dict)
    dtypes: Mapping[str, torch.dtype] = field(default_factory=dict)
    checkpoint: str | None = None
    requires: Sequence[str] = ()
    vars: Mapping[str, object] = field(default_factory=dict)
    originals: Mapping[str, str] = field(default_factory=dict)
    """What the module calls the inputs, by what the spec calls them."""


def written(document: Document) -> str:
    """Return the text of a spec."""
    lines = ["spec: 1", f"name: {document.name}"]
    if document.requires:
        lines.append(f"requires: {_flow([_quoted(each) for each in document.requires])}")
    if document.vars or document.model.vars:
        pairs = {**document.vars, **document.model.vars}
        lines += _mapping("vars", {name: _value_text(each) for name, each in pairs.items()})
    lines += ["inputs:", *(f"  {name}: {_scalar(each)}" for name, each in document.inputs.items())]
    if document.dims:
        lines += _mapping("dims", {name: str(each) for name, each in document.dims.items()})
    if document.blocks:
        lines += ["", "blocks:"]
        for number, block in enumerate(document.blocks):
            lines += [*([""] if number else []), *_indented(_block(block))]
    node = document.model.node
    body = _indented(_body(document.model, is_root=True))
    lines += ["", *(_entry("model", compressed(node)) if node is not None else ("model:", *body))]
    if document.share:
        lines += ["", "share:"]
        lines += [
            f"  {name}: {_flow([_quoted(each) for each in names])}" for name, names in document.share.items()
        ]
    if document.parametrize:
        rules = [f"  - {_quoted(name)}: {_scalar(rule)}" for name, rule in document.parametrize.items()]
        lines += ["", "parametrize:", *rules]
    if document.dtypes:
        names = {key: str(each).removeprefix("torch.") for key, each in document.dtypes.items()}
        rules = [f"  - {_quoted(key)}: {{dtype: {each}}}" for key, each in names.items()]
        lines += ["", "placement:", *rules]
    if document.checkpoint is not None:
        lines += ["", "init:", f"  - /: {_scalar(f'checkpoint({document.checkpoint!r})')}"]
    if document.freeze:
        lines += ["", f"freeze: {_flow([_quoted(each) for each in document.freeze])}"]
    return "\n".join(lines) + "\n"


def _block(block: Block) -> Iterator[str]:
    arguments = [
        each.name if each.default is REQUIRED else f"{each.name}={_argument_value(each.default)}"
        for each in block.arguments
    ]
    signature = f"{block.name}({', '.join(arguments)})" if arguments else block.name
    if block.node is not None:
        yield from _entry(_key(signature), compressed(block.node))
        return
    yield f"{_key(signature)}:"
    yield from _indented(_body(block, is_root=False))


def _body(block: Block, is_root: bool) -> Iterator[str]:
    if block.node is not None:
        yield from _node_lines(compressed(block.node))
        return
    if block.vars and not is_root:
        yield from _mapping("vars", {name: _value_text(each) for name, each in block.vars.items()})
    if block.extends is not None:
        yield f"extends: {_scalar(call_text(block.extends))}"
    for section in ("parameters", "buffers"):
        tensors: Mapping[str, TensorForm] = getattr(block, section)
        if tensors:
            yield f"{section}:"
            yield from _indented(f"{name}: {_tensor(each)}" for name, each in tensors.items())
    if block.layers:
        yield "layers:"
        for name, node in block.layers.items():
            yield from _indented(_entry(_key(name), compressed(node)))
    if block.program is not None:
        inputs = f"({', '.join(block.inputs)})" if not is_root and block.inputs != ["x"] else ""
        yield f"forward{inputs}: |"
        yield from _indented(block.program.rstrip("\n").split("\n"))


def _entry(key: str, node: Node) -> Iterator[str]:
    """Yield a node behind its key: on one line if it fits."""
    flow = _node_flow(node)
    if flow is None or len(key) + len(flow) + 2 > WIDTH - 20:
        rows = rows_of(node)
        shorter = _node_flow(rows) if rows != node else None
        flow = shorter if shorter is not None and len(key) + len(shorter) + 2 <= WIDTH - 4 else None
    if flow is not None:
        yield f"{key}: {flow}"
    else:
        yield f"{key}:"
        yield from _indented(_node_lines(node))


def _node_flow(node: Node | Rows) -> str | None:
    if isinstance(node, Rows):
        single = len(node.names) == 1
        rows = _flow([_argument_value(each[0] if single else each) for each in node.rows])
        names = node.names[0] if single else _flow(node.names)
        return f"{{repeat: {rows}, as: {names}, of: {_quoted_flow(node.of)}}}"
    if isinstance(node, LayerCall):
        return _scalar(call_text(node))
    if isinstance(node, Word):
        return node.name
    if isinstance(node, Repeat):
        inner = _node_flow(node.of)
        count = _argument_value(node.count)
        return f"{{repeat: {count}, of: {_quoted_flow(node.of)}}}" if inner is not None else None
    if isinstance(node, If):
        inner = _quoted_flow(node.then)
        return f"{{if: {_argument_value(node.condition)}, then: {inner}}}" if inner is not None else None
    if any(name for name, _ in node.items) or len(node.items) > 5:
        return None
    items = [_quoted_flow(each) for _, each in node.items]
    return None if None in items else _flow([each for each in items if each is not None])


def _quoted_flow(node: Node) -> str | None:
    if isinstance(node, LayerCall):
        text = call_text(node)
        return json.dumps(text) if any(mark in text for mark in ",[]{}") else text
    return _node_flow(node)


def _node_lines(node: Node) -> Iterator[str]:
    if isinstance(node, Items):
        for name, each in node.items:
            flow = _node_flow(each)
            start = f"- {_key(name)}:" if name else "-"
            if flow is not None:
                yield f"{start} {flow}"
            elif name:
                yield start
                yield from (f"    {line}" for line in _node_lines(each))
            else:
                first, *rest = _node_lines(each)
                yield f"- {first}"
                yield from _indented(rest)
    elif isinstance(node, Repeat):
        yield f"repeat: {_argument_value(node.count)}"
        yield from _entry("of", node.of)
    elif isinstance(node, If):
        yield f"if: {_argument_value(node.condition)}"
        yield from _entry("then", node.then)
    else:
        yield _node_flow(node) or ""


def call_text(call: LayerCall) -> str:
    """Return a call without the arguments that have their defaults."""
    texts, named = [], False
    for each in call.arguments:
        if each.default is not REQUIRED and key_of(each.default) == key_of(each.value):
            named = True
            continue
        text = _argument_value(each.value)
        positional = each.first and not named
        named = named or not positional
        texts.append(text if positional else f"{each.name}={text}")
    return f"{call.name}({', '.join(texts)})" if texts else call.name


def _argument_value(value: object) -> str:
    if isinstance(value, LayerCall):
        return call_text(value)
    if isinstance(value, Word):
        return value.name
    if isinstance(value, tuple):
        return f"[{', '.join(map(_argument_value, value))}]"
    if isinstance(value, float):
        return number_text(value)
    return repr(value)


def number_text(value: float) -> str:
    """Return a number as people write it: `1e-5`, not `1e-05`."""
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return re.sub(r"e([+-])0*", lambda found: "e-" if found.group(1) == "-" else "e", repr(value))


def _value_text(value: object) -> str:
    """Return a value of `vars`: texts have quotes of their own."""
    if isinstance(value, tuple):
        return _flow(list(map(_value_text, value)))
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, str):
        return json.dumps(repr(value))
    if isinstance(value, Word):
        return _quoted(value.name)
    return number_text(value) if isinstance(value, float) else str(value)


def _tensor(form: TensorForm) -> str:
    updated = ", updated: true" if form.updated else ""
    if form.formula is not None:
        return f"{{value: {json.dumps(form.formula)}, persistent: false{updated}}}"
    made = f"{form.dtype}[{', '.join(map(_argument_value, form.dimensions))}]"
    return f"{{tensor: {json.dumps(made)}{updated}}}" if updated else made


def _mapping(key: str, pairs: Mapping[str, str]) -> list[str]:
    """Return a mapping on one line, or on several where that is too long."""
    line = f"{key}: {{{', '.join(f'{name}: {each}' for name, each in pairs.items())}}}"
    if len(line) <= WIDTH:
        return [line]
    return [f"{key}:", *(f"  {name}: {each}" for name, each in pairs.items())]


def _flow(items: Sequence[str]) -> str:
    return f"[{', '.join(items)}]"


def _key(key: str) -> str:
    return key if reads_as_text(key) and "," not in key[:0] else json.dumps(key)


def _scalar(text: str) -> str:
    return text if reads_as_text(text) else json.dumps(text)


def _quoted(text: str) -> str:
    plain = reads_as_text(text) and not any(mark in text for mark in ",[]{}")
    return text if plain else json.dumps(text)


def _indented(lines: Iterator[str] | Sequence[str]) -> Iterator[str]:
    return (f"  {line}" if line else line for line in lines)
