"""From the modules of a run to blocks: instances of one class that differ in numbers are one block with arguments."""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from compiler.catalogue.layers import REQUIRED, layer_names
from runtime.importing.authors import word_for
from runtime.importing.layers import layer_call
from runtime.importing.leaves import base_layer, is_container, is_list, is_sequence, tensors_of_base
from runtime.importing.nodes import (
    Argument,
    ArgumentValue,
    Items,
    LayerCall,
    Node,
    Site,
    Word,
    key_of,
    shape_of,
    unified,
)
from runtime.importing.programs import Program, signature
from runtime.importing.records import Record
from runtime.importing.sizes import plain
from runtime.importing.state import tied_names
from runtime.importing.statements import Words, program_text, said


@dataclass(frozen=True)
class TensorForm:
    """A parameter or buffer of a block."""

    dtype: torch.dtype
    dimensions: tuple[ArgumentValue, ...]
    persistent: bool = True
    values: Tensor | None = field(default=None, compare=False)
    """Of a buffer that is not saved."""
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
        self.used = self._used_modules()

    def _used_modules(self) -> set[nn.Module]:
        """Return what was called, what holds it, and what holds a tensor that was read."""
        reached = {*self.record.layer_inputs, *self.programs}
        for module, program in self.programs.items():
            for path in program.states():
                reached.add(module.get_submodule(path.rpartition(".")[0]))
        root = self.record.root
        for names in tied_names(root):
            holders = [root.get_submodule(name.rpartition(".")[0]) for name in names]
            if any(inner in reached for inner in holders):
                reached.update(holders)
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
        heights: dict[nn.Module, int] = {}
        for each in reversed(list(self.record.root.modules())):
            inner = [heights[child] for child in each.children()]
            heights[each] = (
                0 if self.record.is_layer(each) else max(inner, default=0) + (not is_container(each))
            )
        order = [
            each for each in self.record.root.modules() if each in self.used and each is not self.record.root
        ]
        order = [each for each in order if not self.record.is_layer(each) and not is_container(each)]
        for height in sorted({heights[each] for each in order}):
            groups: dict[object, list[nn.Module]] = {}
            for each in (module for module in order if heights[module] == height):
                groups.setdefault(self._kind(each), []).append(each)
            yield from groups.values()

    def _kind(self, module: nn.Module) -> object:
        """Return what instances of one block have in common."""
        program = self.programs.get(module)
        tensors = tuple((name, len(each.shape), each.dtype) for name, each in _tensors(module))
        children = tuple((name, shape_of(node)) for name, node in self.children(module).items())
        return (type(module), signature(program) if program else None, tensors, children)

    def _define(self, instances: list[nn.Module]) -> None:
        block = Block(self._free_name(class_name(type(instances[0]))))
        self.blocks[block.name] = block
        words = self._fill(block, instances)
        block.arguments = words.arguments()
        for place, instance in enumerate(instances):
            self.calls[instance] = LayerCall(block.name, tuple(words.arguments(place)))

    def _free_name(self, name: str) -> str:
        free, count = name, 1
        while free in self.blocks or free in layer_names() or free == class_name(type(self.record.root)):
            count += 1
            free = f"{name}{count}"
        return free

    # --- one block ---------------------------------------------------------------------------------

    def node(self, module: nn.Module) -> Node:
        """Return what makes such a module, with its own numbers."""
        if self.record.is_layer(module):
            return layer_call(module, self.record.layer_inputs.get(module))
        if is_container(module):
            return Items(tuple(self.children(module).items()))
        return self.calls[module]

    def children(self, module: nn.Module) -> dict[str, Node]:
        idle = self.record.idle
        return {
            name: self.node(each)
            for name, each in module._modules.items()
            if each is not None and each in self.used and each not in idle
        }

    def _fill(self, block: Block, instances: Sequence[nn.Module]) -> Arguments:
        """Fill a block with what its instances have in common, and return its arguments."""
        arguments = Arguments(instances)
        self._parts(Block(block.name), instances, arguments.collect)
        taken = {name for name, _ in instances[0].named_children()} | {
            name for name, _ in _tensors(instances[0])
        }
        taken |= set(map(said, taken))
        arguments.choose_names(taken)
        self._parts(block, instances, arguments.site)
        program = self.programs.get(instances[0])
        if is_list(instances[0]) and not block.parameters and (program is None or is_sequence(instances[0])):
            block.node = Items(tuple(block.layers.items()))
        elif program is not None:
            block.vars.update(arguments.constants(program))
            reserved = frozenset({*taken, *arguments.names(), *block.vars, "base" if block.extends else ""})
            literals = arguments.literals(self._programs(instances))
            items = self._loop_names(instances[0], program)
            words = Words(literals, arguments.attributes(program), items, reserved)
            block.inputs, block.program = program_text(program, words)
        return arguments

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

    def _parts(self, block: Block, instances: Sequence[nn.Module], site: Site) -> None:
        """Fill in all but the program, asking `site` about each value; it sees those of the program too."""
        children = [self.children(each) for each in instances]
        if base_layer(instances[0]) is not None:
            calls = [layer_call(each, self.record.layer_inputs.get(each)) for each in instances]
            block.extends = unified(calls, site, ())  # type: ignore[assignment]
        for name in children[0]:
            block.layers[name] = unified([each[name] for each in children], site, (name,))
        tensors = [dict(_tensors(each)) for each in instances]
        inherited = tensors_of_base(instances[0])
        own = self.programs.get(instances[0])
        updated = own.updated() if own is not None else set()
        for name in [each for each in tensors[0] if each not in inherited]:
            shapes = [tuple(each[name].shape) for each in tensors]
            dimensions = tuple(
                site((name, f"size{place}"), sizes) for place, sizes in enumerate(zip(*shapes, strict=True))
            )
            is_parameter = name in instances[0]._parameters
            persistent = name not in instances[0]._non_persistent_buffers_set
            value = self.values[f"{self.paths[instances[0]]}.{name}".lstrip(".")]
            form = TensorForm(tensors[0][name].dtype, dimensions, persistent, value, name in updated)
            (block.parameters if is_parameter else block.buffers)[name] = form
        if instances[0] in self.programs and not is_sequence(instances[0]):
            programs = self._programs(instances)
            for rows in zip(*(each.literals for each in programs), strict=True):
                site(("number",), tuple(each.number for each in rows))
            for name in programs[0].attributes():
                site(
                    (name.partition("[")[0],),
                    tuple(attribute(each, name.partition("[")[0]) for each in instances),
                )


class Arguments:
    """The arguments of a block: what differs between its instances, by names that the author would know."""

    def __init__(self, instances: Sequence[nn.Module]) -> None:
        self.instances = instances
        self.vectors: dict[object, tuple[ArgumentValue, ...]] = {}
        self.labels: dict[object, list[tuple[str, ...]]] = {}
        self.chosen: dict[object, str] = {}

    def collect(self, path: tuple[str, ...], values: tuple[ArgumentValue, ...]) -> ArgumentValue:
        """Take note of one place, and of what each instance has there."""
        if len(set(map(key_of, values))) > 1:
            key = key_of(values)
            self.vectors[key] = values
            self.labels.setdefault(key, []).append(path)
        return values[0]

    def choose_names(self, taken: set[str]) -> None:
        """Give each argument the name of the author's argument that has its values, else one of the place."""
        known = self._known()
        used = set(taken)
        ends = Counter(label[-1] for labels in self.labels.values() for label in labels[:1])
        for key, labels in self.labels.items():
            label = labels[0]
            own = label[-1] if len(label) == 1 or ends[label[-1]] == 1 else "_".join(label[-2:])
            wanted = known.get(key) or (f"{own}_" if own in taken else own).replace(".", "_")
            wanted = f"n{wanted}" if not wanted.isidentifier() else wanted.rstrip("_")
            name, count = wanted, 1
            while name in used:
                count += 1
                name = f"{wanted}{count}"
            used.add(name)
            self.chosen[key] = name

    def _known(self) -> dict[object, str]:
        """Return the vectors that are an argument of the class, which its instances keep under its name."""
        found: dict[object, str] = {}
        for name in inspect.signature(type(self.instances[0]).__init__).parameters:
            if all(name in vars(each) for each in self.instances):
                found.setdefault(key_of(tuple(attribute(each, name) for each in self.instances)), name)
        for key, labels in self.labels.items():
            for label in labels:
                if len(label) == 1 and label[0] in vars(self.instances[0]):
                    found.setdefault(key, label[0])
                word = word_for(self.instances[0], label)
                if word is not None:
                    found.setdefault(key, word)
        return found

    def site(self, path: tuple[str, ...], values: tuple[ArgumentValue, ...]) -> ArgumentValue:
        name = self.chosen.get(key_of(values))
        return Word(name) if name is not None else values[0]

    def names(self) -> set[str]:
        return set(self.chosen.values())

    def arguments(self, place: int = 0) -> list[Argument]:
        """Return the arguments with the values of one instance, those with a default last."""
        made = [
            Argument(name, self.vectors[key][place], self._default(name, self.vectors[key]), first=True)
            for key, name in self.chosen.items()
        ]
        return sorted(made, key=lambda each: each.default is not REQUIRED)

    def _default(self, name: str, values: Sequence[ArgumentValue]) -> object:
        """Return the default that the signature has: the author's, or what most have where that is no number."""
        declared = inspect.signature(type(self.instances[0]).__init__).parameters.get(name)
        default = declared.default if declared is not None else inspect.Parameter.empty
        if isinstance(default, bool | int | float | str) and any(
            key_of(each) == key_of(default) for each in values
        ):
            return default
        if any(isinstance(each, LayerCall) for each in values):
            common, count = Counter(values).most_common(1)[0]
            return common if 2 * count > len(values) else REQUIRED
        return REQUIRED

    def constants(self, program: Program) -> dict[str, ArgumentValue]:
        """Return the attributes that a program reads and all instances share."""
        found: dict[str, ArgumentValue] = {}
        for path in program.attributes():
            name = path.partition("[")[0]
            values = tuple(attribute(each, name) for each in self.instances)
            if key_of(values) not in self.chosen:
                found[name] = values[0]
        return found

    def attributes(self, program: Program) -> dict[str, ast.expr]:
        """Return how a program writes the attributes that it reads."""
        found: dict[str, ast.expr] = {}
        for path in program.attributes():
            name, _, index = path.partition("[")
            values = tuple(attribute(each, name) for each in self.instances)
            word: ast.expr = ast.Name(self.chosen.get(key_of(values), name))
            found[path] = ast.Subscript(word, ast.Constant(int(index[:-1])), ast.Load()) if index else word
        return found

    def literals(self, programs: Sequence[Program]) -> dict[int, str]:
        """Return the numbers of a program that are arguments, by their places."""
        found: dict[int, str] = {}
        for rows in zip(*(each.literals for each in programs), strict=True):
            name = self.chosen.get(key_of(tuple(each.number for each in rows)))
            if name is not None:
                found[rows[0].place] = name
        return found


def attribute(module: nn.Module, name: str) -> ArgumentValue:
    """Return an attribute of a module without the origin of its numbers."""
    found = vars(module).get(name)
    if isinstance(found, tuple | list):
        return tuple(plain(each) for each in found)
    return plain(found)  # type: ignore[no-any-return]


def class_name(cls: type) -> str:
    """Return the name of a block for a class."""
    name = cls.__name__.strip("_")
    return name[:1].upper() + name[1:]


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the parameters and buffers that a module holds itself."""
    for name, each in (*module._parameters.items(), *module._buffers.items()):
        if each is not None:
            yield name, each
