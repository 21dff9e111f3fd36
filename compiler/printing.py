"""What each stage of the pipeline has, as text: for people, and for tests that compare it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from compiler.artifact import Canonical
from compiler.program import (
    Argument,
    Call,
    CallBody,
    Choice,
    Definition,
    Inline,
    Item,
    LayerNode,
    ModuleBody,
    NameTemplate,
    ParallelBody,
    Repeat,
    ResidualBody,
    ResolvedProgram,
    Reuse,
    Splice,
    TensorEntry,
)
from compiler.program import Sequence as SequenceNode
from compiler.resolve.copies import INDEX
from compiler.resolve.values import text_of
from compiler.rule_records import InitRule, PlacementRule, Rules, SelectorRule, ShareGroup
from spec_schema.canonical import to_yaml
from spec_schema.grammar import Program

if TYPE_CHECKING:
    from compiler.infer.infer import Inferred
    from compiler.infer.states import BlockState, Leaf, State
    from compiler.rules.plan import Plan, PlanRow

INDENT = "  "


def print_document(bundle: Canonical) -> str:
    """Return the canonical document as YAML, and below it each document that it imports."""
    imported = [f"# imported: {path}\n{to_yaml(document)}" for path, document in bundle["imports"].items()]
    return "\n".join([to_yaml(bundle["spec"]), *imported])


# --- the resolved program -------------------------------------------------------------------------------


def print_program(program: ResolvedProgram) -> str:
    """Return the inputs, the variables, and every block with its nodes and rules."""
    inputs = [f"input {entry.name}: {entry.type}" for entry in program.inputs]
    sizes = [f"size {name} = {size}" for name, size in program.sizes.items()]
    variables = [f"var {name} = {value!r}" for name, value in program.scope.variables.items()]
    parts = ["\n".join([f"program {program.name}", *inputs, *sizes, *variables])]
    parts += ["\n".join(_definition("block", block)) for block in program.scope.blocks.values()]
    parts.append("\n".join(_definition("model", program.model)))
    return "\n\n".join(parts) + "\n"


def _definition(kind: str, definition: Definition) -> Iterator[str]:
    parameters = ", ".join(
        each.name if each.default is None else f"{each.name}={each.default}" for each in definition.parameters
    )
    signature = f"({parameters})" if parameters else ""
    yield f"{kind} {definition.name}{signature}  # {definition.span.where}"
    yield from _indented(_inside(definition))


def _inside(definition: Definition) -> Iterator[str]:
    for name, tree in definition.variables.items():
        yield f"var {name} = {text_of(tree)}"
    match definition.body:
        case ModuleBody() as body:
            yield from _module(body, [entry.name for entry in definition.inputs])
        case ParallelBody(branches=branches, combine=combine):
            yield f"parallel, combined by {print_call(combine)}"
            yield from _indented(_items(branches))
        case ResidualBody(items=items, combine=combine):
            yield f"residual, combined by {print_call(combine) if combine else '+'}"
            yield from _indented(_items(items))
        case CallBody(call=call):
            yield f"{call.kind} {print_call(call)}"
        case body:
            yield from _items(body.items)
    yield from _rules(definition.rules)


def _module(body: ModuleBody, inputs: Sequence[str]) -> Iterator[str]:
    for name, node in body.layers.items():
        alias = f" as {body.aliases[name]}" if name in body.aliases else ""
        yield from _node(f"{name}{alias}: " if name else "extends ", node)
    for entry in body.tensors.values():
        yield print_tensor(entry)
    if body.program is not None:
        yield f"forward({', '.join(inputs)}):"
        yield from _indented(_program(body.program))


def print_tensor(entry: TensorEntry) -> str:
    """Return a parameter or buffer of a block as a line."""
    text = f"{entry.kind} {entry.name}"
    if entry.type is not None:
        text += f": {entry.type}"
    if isinstance(entry.value, Program):
        text += f" = {'; '.join(_program(entry.value))}"
    elif entry.value is not None:
        text += f" = {entry.value}"
    elif entry.init is not None:
        text += f", init {entry.init}"
    text += "" if entry.persistent else ", not saved"
    return f"{text}, updated" if entry.updated else text


def _program(program: Program) -> list[str]:
    return [line for statement in program.body for line in ast.unparse(statement).splitlines()]


def _items(items: Iterable[Item]) -> Iterator[str]:
    for item in items:
        name = item.name or (_template(item.label) if item.label else None)
        yield from _node(f"- {name}: " if name else "- ", item.node)


def _node(start: str, node: LayerNode | Splice) -> Iterator[str]:
    match node:
        case Call():
            yield f"{start}{node.kind} {print_call(node)}"
        case Reuse():
            yield f"{start}again {node.name}"
        case SequenceNode() | Splice():
            yield f"{start}{'splice' if isinstance(node, Splice) else 'sequence'}"
            yield from _indented(_items(node.items))
        case Repeat():
            over = text_of(node.over) + (f" as {', '.join(node.names)}" if node.names else "")
            over += f", index {node.index}" if node.index != INDEX else ""
            over += "".join(f", {r.name} from {text_of(r.first)} by {text_of(r.after)}" for r in node.running)
            label = f", named {_template(node.label)}" if node.label else ""
            yield f"{start}repeat {over}{label}"
            yield from _indented(_node("", node.of))
        case Choice():
            yield f"{start}if {node.condition}"
            yield from _indented(_node("then ", node.then))
            if node.otherwise is not None:
                yield from _indented(_node("else ", node.otherwise))
        case Inline():
            yield f"{start}in place"
            yield from _indented(_inside(node.definition))


def print_call(call: Call) -> str:
    """Return a call with its arguments as they are written."""
    return f"{call.target}({', '.join(map(_argument, call.arguments))})" if call.arguments else call.target


def _argument(argument: Argument) -> str:
    return f"{argument.name}={text_of(argument.value)}" if argument.name else text_of(argument.value)


def _template(label: NameTemplate) -> str:
    return "".join(part if isinstance(part, str) else f"{{{part}}}" for part in label.parts)


def _rules(rules: Rules) -> Iterator[str]:
    for group in rules.share:
        members = ", ".join(each.selector.text for each in group.selectors)
        yield f"share {group.name}: {members}{_end(group)}"
    for init in rules.init:
        yield f"init {init.selector.text}: {init.value}{_end(init)}"
    for frozen in rules.freeze:
        yield f"freeze {frozen.selector.text}{_end(frozen)}"
    for placed in rules.placement:
        target = " ".join(filter(None, (placed.device, placed.dtype)))
        yield f"placement {placed.selector.text}: {target}{_end(placed)}"


def _end(rule: InitRule | ShareGroup | SelectorRule | PlacementRule) -> str:
    condition = f" if {rule.condition}" if rule.condition is not None else ""
    return f"{condition}  # {rule.span.where}"


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (INDENT + line for line in lines)


# --- shapes ---------------------------------------------------------------------------------------------


def print_inferred(inferred: Inferred) -> str:
    """Return every layer with its arguments, those that were inferred apart, and with its shapes."""
    return "\n".join(_state("", inferred.root)) + "\n"


def _state(path: str, state: State) -> Iterator[str]:
    from compiler.infer.states import BlockState, Chain, Leaf, Operation, base_of, joined, used_children

    start = f"{path}: " if path else ""
    children: Iterable[tuple[str, State]] = ()
    match state:
        case Leaf():
            yield start + _leaf(state)
        case Operation():
            yield f"{start}{state.name}({_arguments(state.keywords, state.positional)})"
        case Chain():
            yield f"{start}sequence of {len(state.states)}"
            children = zip(state.names, state.states, strict=True)
        case BlockState():
            yield start + _block(state)
            children = used_children(state)
        case _:
            yield f"{start}identity"
    for name, child in children:
        if child is base_of(state):
            yield f"{path}  extends {_leaf(child)}"
        else:
            yield from _state(joined(path, name), child)


def _leaf(leaf: Leaf) -> str:
    text = f"{leaf.layer.name}({_arguments(leaf.values)})"
    if leaf.inferred:
        text += f"  inferred: {_arguments(leaf.inferred)}"
    if leaf.module is None:
        return f"{text}  never called"
    tensors = [*leaf.module.named_parameters(), *leaf.module.named_buffers()]
    return "  ".join([text, *(f"{name}{list(tensor.shape)}" for name, tensor in tensors)])


def _block(state: BlockState) -> str:
    from compiler.infer.values import show

    inputs = ", ".join(f"{name}: {show(value)}" for name, value in state.inputs.items())
    tensors = "".join(f"  {name}{list(tensor.shape)}" for name, tensor in state.tensors.items())
    flow = f"  ({inputs}) -> {show(state.output)}" if state.called else "  never called"
    return f"{state.definition.name}({_arguments(state.arguments)}){flow}{tensors}"


def _arguments(keywords: Mapping[str, object], positional: Sequence[object] = ()) -> str:
    from compiler.infer.values import show

    return ", ".join([*map(show, positional), *(f"{name}={show(value)}" for name, value in keywords.items())])


# --- the plan -------------------------------------------------------------------------------------------


def print_plan(plan: Plan) -> str:
    """Return the plan as a table: a line for each tensor, in the order of the state dict."""
    header = ("name", "kind", "tensor", "device", "initialisation", "decided by")
    lines = [header, *map(_plan_row, plan.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    shared = [f"shared: {' = '.join(row.names)}" for row in plan.rows if len(row.names) > 1]
    frozen = [f"kept in evaluation mode: {name}" for name in plan.frozen_modules]
    return "\n".join([*table, *shared, *frozen]) + "\n"


def _plan_row(row: PlanRow) -> tuple[str, ...]:
    kind = row.kind if row.kind == "buffer" or row.trainable else "frozen"
    tensor = f"{str(row.dtype).removeprefix('torch.')}{list(row.shape)}"
    made = row.stands_for.plain.initialisation if row.stands_for else row.initialisation
    decided = next((d.where() for d in row.decisions if d.section in ("init", "value") and d.won), "")
    return (
        row.name,
        kind,
        tensor,
        row.device,
        made.text if made else "",
        decided,
    )
