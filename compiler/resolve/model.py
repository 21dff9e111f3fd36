"""The model of a spec: its block, which has the inputs and the rules of the file."""

from __future__ import annotations

from dataclasses import replace

from compiler.load import Loaded
from compiler.program import BASE, Call, Definition, Input, Item, ModuleBody, Scope, SequenceBody
from compiler.resolve.definitions import BODY, DefinitionReader
from compiler.resolve.rules import read_rules
from compiler.rule_records import Rules
from spec_schema.diagnostics import Diagnostic
from spec_schema.document import Document
from spec_schema.layer_nodes import LongCall
from spec_schema.reader import Scalar


def read_model(loaded: Loaded, scope: Scope, problems: list[Diagnostic]) -> Definition | None:
    """Return the block of the model, or None after noting that the file has no model or no inputs."""
    document = loaded.document
    missing = _missing_key(document)
    if missing is not None:
        problems.append(missing)
        return None
    assert document.model is not None
    names = tuple(Input(name, None, text.span) for name, text in document.inputs.items())
    title = f"{loaded.title}Model" if loaded.title in scope.block_names else loaded.title
    reader = DefinitionReader(title, (), scope, document.at("model"), names)
    block = _as_node(reader.read(document.model), document.model)
    problems.extend(reader.problems)
    rules = _rules(block, document, scope, problems)
    problems.extend(_input_problems(block, names))
    doc = document.doc.text if document.doc else block.doc
    scope.model = replace(block, parameters=(), rules=rules, scope=scope, span=document.at("model"), doc=doc)
    return scope.model


def _as_node(block: Definition, written: BODY) -> Definition:
    """Return a model that is written as one call as the node itself, which has no key in it."""
    match block.body:
        case SequenceBody(items=[Item(node=Call(kind="layer" | "block" | "recipe") as node)]) if isinstance(
            written, Scalar | LongCall
        ):
            return replace(block, body=ModuleBody({BASE: node}, {BASE: node.span}, {}, None))
    return block


def _missing_key(document: Document) -> Diagnostic | None:
    """Return the diagnostic of a file without a model or without inputs, None if it has both."""
    top = document.at("spec")
    if document.model is None:
        note = "a spec without a model can only be imported"
        return Diagnostic("missing-key", "the key `model` is missing", top, notes=(note,))
    if not document.inputs:
        help = 'declare each input: `inputs: {x: "float[batch, 20]"}`'
        return Diagnostic("missing-key", "the key `inputs` is missing", top, help=help)
    return None


def _rules(block: Definition, document: Document, scope: Scope, problems: list[Diagnostic]) -> Rules:
    """Return the rules of the block of the model, with those of the file behind them."""
    own = read_rules(document, scope, problems, block.variables)
    return Rules(
        (*block.rules.init, *own.init),
        (*block.rules.share, *own.share),
        (*block.rules.freeze, *own.freeze),
        own.placement,
        own.parametrize,
    )


def _input_problems(model: Definition, inputs: tuple[Input, ...]) -> list[Diagnostic]:
    """Return the diagnostics of inputs that the body of the model does not take."""
    declared = {entry.name for entry in inputs}
    if isinstance(model.body, ModuleBody) and model.body.program is not None:
        return [
            Diagnostic(
                "unknown-input",
                f"the spec declares no input `{entry.name}`",
                entry.span,
                notes=(f"inputs: {', '.join(sorted(declared))}",),
            )
            for entry in model.inputs
            if entry.name not in declared
        ]
    if len(inputs) < 2 or (isinstance(model.body, ModuleBody) and BASE in model.body.layers):
        return []
    return [
        Diagnostic(
            "several-inputs",
            f"a sequence takes one input, and the spec declares {len(inputs)}",
            inputs[1].span,
            help="write the model as `layers:` and a `forward:` program",
        )
    ]
