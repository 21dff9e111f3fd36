"""From the modules of a run to blocks: instances of one class that differ in numbers are one block with arguments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from compiler.catalogue.layers import layer_names
from runtime.importing.arguments import Arguments, attribute
from runtime.importing.expressions import Words
from runtime.importing.inputs import dtype_text
from runtime.importing.kinds import Kind, heights_of, joined, without_idle
from runtime.importing.layers import layer_call
from runtime.importing.leaves import (
    base_layer,
    is_container,
    is_leaf,
    is_list,
    is_sequence,
    kept_plugins,
    tensors_of_base,
)
from runtime.importing.naming import aliases_of
from runtime.importing.nodes import (
    Argument,
    ArgumentValue,
    Items,
    LayerCall,
    Node,
    Site,
    shape_of,
    unified,
    unified_some,
)
from runtime.importing.programs import Program, signature
from runtime.importing.records import Record
from runtime.importing.state import formula, model_dtype, tied_names
from runtime.importing.statements import program_text
from runtime.importing.untold import untold


@dataclass(frozen=True)
class TensorForm:
    """A parameter or buffer of a block."""

    dtype: str
    dimensions: tuple[ArgumentValue, ...]
    formula: str | None = None
    """What computes a buffer that is not saved."""
    updated: bool = False


@dataclass(eq=False)
class Block:
    """A block as it is written."""

    name: str
    arguments: list[Argument] = field(default_factory=list)
    """By their names; `value` is that of the first instance, `default` what the signature says."""
    extends: LayerCall | None = None
    vars: dict[str, ArgumentValue] = field(default_factory=dict)
    layers: dict[str, Node] = field(default_factory=dict)
    parameters: dict[str, TensorForm] = field(default_factory=dict)
    buffers: dict[str, TensorForm] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    program: str | None = None
    node: Node | None = None
    """What the block is, where it is one node: a list, or a layer."""


class Generaliser:
    """Makes the blocks of a model, from the innermost outwards."""

    def __init__(
        self, record: Record, programs: Mapping[nn.Module, Program], values: Mapping[str, Tensor]
    ) -> None:
        self.record, self.programs, self.values = record, programs, values
        self.paths = {each: name for name, each in record.root.named_modules()}
        self.blocks: dict[str, Block] = {}
        self.calls: dict[nn.Module, LayerCall] = {}
        self.saved: dict[str, None] = {}
        """Buffers that the module does not save, and the spec does."""
        self.untold = untold(record.root, programs)
        self.used = self._used_modules()
        self.dtype = model_dtype(record.root)
        self.read = {
            id(getattr(module.get_submodule(path.rpartition(".")[0]), path.rpartition(".")[2]))
            for module, program in programs.items()
            for path in program.states()
        }

    def _used_modules(self) -> set[nn.Module]:
        """Return what was called, what holds it, and what holds a tensor that was read."""
        reached = {*self.record.layer_inputs, *self.programs}
        for module, program in self.programs.items():
            for path in program.states():
                reached.add(module.get_submodule(path.rpartition(".")[0]))
        root = self.record.root
        for names in tied_names(root):
            holders = [root.get_submodule(name.rpartition(".")[0]) for name in names]
            if any(inner in reached for inner in holders):  # a rule of the model makes its own layers alone
                reached.update(each for each in holders if each in root.children())
        return {
            each for each in self.record.root.modules() if any(inner in reached for inner in each.modules())
        }

    def model(self) -> Block:
        """Return the root block; `blocks` are those that it is made of, the innermost first."""
        root = self.record.root
        for group in self._groups():
            self._define(group)
        block = Block(class_name(type(root)))
        if is_container(root) or self.record.is_layer(root):
            block.node = self.node(root)
            block.inputs = list(self.programs[root].inputs) if root in self.programs else []
        else:
            self._fill(block, [root])
        return block

    # --- groups ------------------------------------------------------------------------------------

    def _groups(self) -> Iterator[list[nn.Module]]:
        """Yield the instances of each block that is to be made, in an order in which what is inside is made before."""
        inner = [each for each in self.record.root.modules() if each is not self.record.root]
        order = [each for each in inner if each in self.used and not self._is_inside(each)]
        heights = heights_of(self.record.root, self._is_inside, self.record.is_layer)
        for height in sorted({heights[each] for each in order}):
            groups: dict[object, list[nn.Module]] = {}
            for each in (module for module in order if heights[module] == height):
                groups.setdefault(self._kind(each), []).append(each)
            yield from joined(list(groups.values()), self._as_kind)

    def _is_inside(self, module: nn.Module) -> bool:
        """Return whether a module is written where it stands, and is no block."""
        return self.record.is_layer(module) or is_container(module)

    def _kind(self, module: nn.Module) -> object:
        """Return what instances of one block have in common."""
        kind = self._as_kind(module)
        children = tuple((name, shape_of(node)) for name, node in kind.children.items())
        return (kind.cls, signature(kind.program) if kind.program else None, kind.tensors, children)

    def _as_kind(self, module: nn.Module) -> Kind:
        tensors = tuple((name, len(each.shape), each.dtype) for name, each in _tensors(module))
        return Kind(type(module), tensors, self.children(module), self.programs.get(module), is_list(module))

    def _define(self, instances: list[nn.Module]) -> None:
        block = Block(self._free_name(class_name(type(instances[0]))))
        self.blocks[block.name] = block
        words = self._fill(block, instances)
        block.arguments = words.arguments()
        for place, instance in enumerate(instances):
            self.calls[instance] = LayerCall(block.name, tuple(words.arguments(place)))

    def _free_name(self, name: str) -> str:
        free, count = name, 1
        taken = {
            *layer_names(),
            *(name for each in kept_plugins() for name in each.layers),
            class_name(type(self.record.root)),
        }
        while free in self.blocks or free in taken:
            count += 1
            free = f"{name}{count}"
        return free

    # --- one block ---------------------------------------------------------------------------------

    def node(self, module: nn.Module) -> Node:
        """Return what makes such a module, with its own numbers."""
        if self.record.is_layer(module):
            shapes = self.record.layer_inputs.get(module)
            return layer_call(module, None if module in self.untold else shapes)
        if is_container(module):
            return Items(tuple(self.children(module).items()))
        return self.calls[module]

    def children(self, module: nn.Module) -> dict[str, Node]:
        idle = self.record.idle
        found = {
            name: each
            for name, each in module._modules.items()
            if each is not None and each in self.used and each not in idle
        }
        if is_list(module) and found:
            found = self._without_holes(module, list(found)[-1])
        return {name: self.node(each) for name, each in found.items()}

    def _without_holes(self, module: nn.Module, last: str) -> dict[str, nn.Module]:
        """Return the items of a list up to the last one that is used: those between count, where they hold nothing."""
        items = list(module._modules.items())[: list(module._modules).index(last) + 1]
        return {
            name: each
            for name, each in items
            if each is not None and (each in self.used or (is_leaf(each) and not each.state_dict()))
        }

    def _fill(self, block: Block, instances: Sequence[nn.Module]) -> Arguments:
        """Fill a block with what its instances have in common, and return its arguments."""
        arguments = Arguments(instances)
        program = self.programs.get(instances[0])
        if program is not None and not is_sequence(instances[0]):
            arguments.derive(program)
        self._parts(Block(block.name), instances, arguments.collect, frozenset(arguments.derived))
        taken = {name for name, _ in instances[0].named_children()} | {
            name for name, _ in _tensors(instances[0])
        }
        functions = program.functions() if program is not None else set()
        aliases = aliases_of(instances[0]._modules, functions)
        arguments.choose_names({*taken, *arguments.derived, *aliases.values()})
        self._parts(block, instances, arguments.site)
        if block.node is not None:
            return arguments
        if is_list(instances[0]) and not block.parameters and (program is None or is_sequence(instances[0])):
            block.node = Items(tuple(block.layers.items()))
        elif program is not None:
            block.vars.update(arguments.constants(program))
            block.layers = {
                f"{name} as {aliases[name]}" if name in aliases else name: each
                for name, each in block.layers.items()
            }
            used = {*taken, *arguments.names(), *block.vars, *aliases.values()}
            reserved = frozenset({*used, "base" if block.extends else ""})
            literals = arguments.literals(self._programs(instances))
            items = self._loop_names(instances[0], program)
            words = Words(literals, arguments.attributes(program), items, aliases, reserved)
            block.inputs, block.program = program_text(program, words)
        return arguments

    def is_kept(self, module: nn.Module, name: str) -> bool:
        """Return whether a tensor is saved, or read by a program: what was computed and is neither has no use."""
        return name not in module._non_persistent_buffers_set or id(module._buffers[name]) in self.read

    def _loop_names(self, module: nn.Module, program: Program) -> dict[str, str]:
        """Return what the author calls the layers of the lists that a program loops over."""
        found = {}
        for call in program.calls:
            if call.target.form == "loop":
                first = next(iter(module.get_submodule(call.target.name).children()))
                found[call.target.name] = self.record.words.get(first, "layer")
        return found

    def _programs(self, instances: Sequence[nn.Module]) -> list[Program]:
        return [self.programs[each] for each in instances]

    def _parts(
        self, block: Block, instances: Sequence[nn.Module], site: Site, derived: frozenset[str] = frozenset()
    ) -> None:
        """Fill in all but the program, asking `site` about each value; it sees those of the program too."""
        children = [self.children(each) for each in instances]
        if base_layer(instances[0]) is not None:
            calls = [layer_call(each, self.record.layer_inputs.get(each)) for each in instances]
            block.extends = unified(calls, site, ())  # type: ignore[assignment]
        if is_list(instances[0]):
            lists: list[Node] = [Items(tuple(each.items())) for each in children]
            if len(set(map(shape_of, lists))) > 1:
                block.node = unified(lists, site, ())
                return
        for name in children[0]:
            found = without_idle([each.get(name) for each in children])
            block.layers[name] = unified_some(found, site, (name,))
        tensors = [dict(_tensors(each)) for each in instances]
        inherited = tensors_of_base(instances[0])
        own = self.programs.get(instances[0])
        updated = own.updated() if own is not None else set()
        for name in [
            each for each in tensors[0] if each not in inherited and self.is_kept(instances[0], each)
        ]:
            shapes = [tuple(each[name].shape) for each in tensors]
            dimensions = tuple(
                site((name, f"size{place}"), sizes) for place, sizes in enumerate(zip(*shapes, strict=True))
            )
            is_parameter = name in instances[0]._parameters
            dtype = dtype_text(tensors[0][name].dtype, self.dtype)
            form = TensorForm(dtype, dimensions, self._formula(instances, name), name in updated)
            (block.parameters if is_parameter else block.buffers)[name] = form
        if instances[0] in self.programs and not is_sequence(instances[0]):
            programs = self._programs(instances)
            for rows in zip(*(each.literals for each in programs), strict=True):
                site(("number",), tuple(each.number for each in rows))
            for name in programs[0].attributes():
                if name.partition("[")[0] in derived:
                    continue
                site(
                    (name.partition("[")[0],),
                    tuple(attribute(each, name.partition("[")[0]) for each in instances),
                )

    def _formula(self, instances: Sequence[nn.Module], name: str) -> str | None:
        """Return what computes a buffer that is not saved; where nobody knows, the spec saves it."""
        if name not in instances[0]._non_persistent_buffers_set:
            return None
        paths = [f"{self.paths[each]}.{name}".lstrip(".") for each in instances]
        formulas = {formula(self.values[each]) for each in paths}
        if len(formulas) == 1 and None not in formulas:
            return formulas.pop()
        self.saved.update(dict.fromkeys(paths))
        return None


def class_name(cls: type) -> str:
    """Return the name of a block for a class."""
    name = cls.__name__.strip("_")
    return name[:1].upper() + name[1:]


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the parameters and buffers that a module holds itself."""
    for name, each in (*module._parameters.items(), *module._buffers.items()):
        if each is not None:
            yield name, each
