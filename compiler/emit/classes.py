"""One class of the emitted file: its constructor and its `forward`."""

from __future__ import annotations

import ast
from collections.abc import Container, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from torch import Tensor

from compiler.catalogue.operation_table import FUNCTIONS as OPERATIONS
from compiler.catalogue.operation_table import LIST_FIRST
from compiler.emit.bound import bound_names, expressions_in, local_names
from compiler.emit.choose import Case, Chooser
from compiler.emit.expressions import Translator
from compiler.emit.groups import ClassGroup
from compiler.emit.moves import ClassMoves
from compiler.emit.nodes import NodeEmitter
from compiler.emit.programs import ProgramTranslator
from compiler.emit.rules import rule_statements, train_method
from compiler.emit.syntax import assign, call, class_, dotted, function, index, literal, name, own, parameters
from compiler.emit.tensors import TensorEmitter
from compiler.infer.values import holds_recipe
from compiler.program import (
    Call,
    Item,
    LayerNode,
    ModuleBody,
    ParallelBody,
    ResidualBody,
    SequenceBody,
)
from compiler.resolve.calls import nodes_of
from compiler.resolve.layer_names import NOT_OF_VALUES
from compiler.resolve.nodes import reuses
from compiler.resolve.values import free_names, is_type
from spec_schema.clock import check_time
from spec_schema.grammar import Expression, Program

if TYPE_CHECKING:
    from compiler.emit.module import ModuleEmitter


class ClassEmitter:
    """Emits the class of one group of instances."""

    def __init__(self, module: ModuleEmitter, group: ClassGroup) -> None:
        self.module = module
        self.group = group
        self.definition = group.definition
        self.states = group.states
        self.values = self._plain_values()
        self.cases = [Case(state, state.values) for state in self.states]
        taken = {*self.values, *(self._layer_names())}
        bound = {self._local(title) for title in bound_names(self.definition)}
        translator = Translator(module.names, self._literals(), self._renamed())
        chooser = Chooser(group, taken | bound, bound, module.names.in_constructor)
        self.nodes = NodeEmitter(module, group, translator, chooser, self._expressions(), set(self.values))
        self.attributes: dict[str, str] = {}
        inputs = {entry.name for entry in self.definition.inputs}
        self.moves = ClassMoves(module.moves, group, self._program_translator(inputs).visit)
        self._constructor_reads: set[str] = set()

    def emit(self) -> ast.ClassDef:
        """Return the class."""
        check_time(self.definition.span)
        body = self.definition.body
        forward = self._forward()
        match body:
            case ModuleBody():
                base, made = self.module.nn("Module"), self._module_statements(body)
            case SequenceBody() | ResidualBody():
                base, made = self._sequence_statements(body.items)
            case ParallelBody():
                base, made = self._parallel_statements(body)
        rules = rule_statements(self.module, self.group)
        constructor = self._constructor([*made, *rules])
        methods: list[ast.stmt] = [
            *([constructor] if _does_something(constructor) else []),
            *train_method(self.module, self.group),
        ]
        return class_(
            self.group.title,
            base,
            self.definition.doc,
            [*methods, *([forward] if forward else [])],
        )

    # The constructor.

    def _constructor(self, made: list[ast.stmt]) -> ast.FunctionDef:
        stored_reads = {read for title in self.attributes for read in self._read_by_variable(title)}
        self._constructor_reads |= stored_reads
        used = {n.id for s in made for n in ast.walk(s) if isinstance(n, ast.Name)} | stored_reads
        start: list[ast.stmt] = []
        first_super = made and isinstance(self.definition.body, SequenceBody | ResidualBody | ParallelBody)
        if not first_super:
            start.append(ast.Expr(call(ast.Attribute(call("super"), "__init__", ast.Load()))))
        start = [*self._variables(used), *start] if first_super else [*start, *self._variables(used)]
        stored = [assign(own(attribute), self._stored(title)) for title, attribute in self.attributes.items()]
        body = [*start, *made, *stored] if first_super else [*start, *stored, *made]
        rows = [(p, self._annotation(p), self._default(p)) for p in self._parameters()]
        only = {title: _annotation_of(list(values.values())) for title, values in self.group.extras.items()}
        positional = [(self._local(title), note, default) for title, note, default in rows]
        return function("__init__", parameters(positional, only), body, ast.Constant(None))

    def _parameters(self) -> list[str]:
        return [p.name for p in self.definition.parameters if p.name in self.values]

    def _default(self, title: str) -> ast.expr | None:
        parameter = next(p for p in self.definition.parameters if p.name == title)
        if parameter.default is None:
            return None
        if any(is_type(each, self.definition.scope) for each in free_names(parameter.default)):
            return literal(self.states[0].values[title])  # who leaves it out is of another class
        translator = Translator(self.module.names, self.definition.scope.variables, {})
        return translator.translate(parameter.default.tree)

    def _annotation(self, title: str) -> ast.expr | None:
        default = self._default(title)
        missing = [None] if isinstance(default, ast.Constant) and default.value is None else []
        return _annotation_of([*(state.values[title] for state in self.states), *missing])

    def _variables(self, used: set[str]) -> list[ast.stmt]:
        """Return the statements for the block's variables that the constructor reads."""
        statements: list[ast.stmt] = []
        needed = set(used)
        for title in reversed(list(self.definition.variables)):
            local = self._local(title)
            if title not in self.values or local not in needed:
                continue
            needed |= self._read_by_variable(title)
            statements.insert(0, assign(local, self.nodes.expression(self.definition.variables[title])))
        return statements

    def _read_by_variable(self, title: str) -> set[str]:
        """Return the names that the expression of a variable reads; none for an argument."""
        if title not in self.definition.variables:
            return set()
        expression = self.nodes.expression(self.definition.variables[title])
        return {n.id for n in ast.walk(expression) if isinstance(n, ast.Name)}

    def _stored(self, title: str) -> ast.expr:
        """Return what an attribute for `forward` is set to."""
        if title in self.definition.variables and not self._read_in_constructor(title):
            return self.nodes.expression(self.definition.variables[title])
        return name(self._local(title))

    def _read_in_constructor(self, title: str) -> bool:
        return title in self._constructor_reads

    # Names.

    def _plain_values(self) -> dict[str, None]:
        """Return the names of the block's own compile-time values, without its recipes."""
        first = self.states[0]
        titles = [*first.arguments, *self.definition.variables]
        return {title: None for title in titles if not holds_recipe(first.values[title])}

    def _literals(self) -> dict[str, object]:
        """Return the values that are written as such: of the file, and those with layers in them."""
        first = self.states[0].values
        own_names = {*self.states[0].arguments, *self.definition.variables}
        of_the_file = {k: v for k, v in self.definition.scope.variables.items() if k not in own_names}
        return {**of_the_file, **{title: first[title] for title in own_names - self.values.keys()}}

    def _renamed(self) -> dict[str, ast.expr]:
        return {title: name(self._local(title)) for title in self.values}

    def _local(self, title: str) -> str:
        return self.module.names.in_constructor(title)

    def _layer_names(self) -> set[str]:
        body = self.definition.body
        return {*body.layers, *body.tensors} if isinstance(body, ModuleBody) else set()

    def _expressions(self) -> list[Expression]:
        found = [e for node in nodes_of(self.definition) for e in expressions_in(node)]
        return [e for e in found if free_names(e)]

    # Bodies.

    def _module_statements(self, body: ModuleBody) -> list[ast.stmt]:
        statements: list[ast.stmt] = TensorEmitter(self.module, self.nodes, self.group, self.cases).emit(body)
        self.nodes.sink = statements
        for title, node in body.layers.items():
            self._layer(title, node, body)
        self._constructor_reads = {n.id for s in statements for n in ast.walk(s) if isinstance(n, ast.Name)}
        return statements

    def _layer(self, title: str, node: LayerNode, body: ModuleBody) -> None:
        used = [state for state in self.states if body.program is None or title in state.used]
        if not used:
            return
        pairs = [(case, case.state.children[title]) for case in self.cases if case.state in used]
        with self.nodes.hinted(title), self.nodes.inner_statements() as made:
            self.nodes.place(node, pairs, lambda layer: assign(own(title), layer))
        if len(used) < len(self.states):
            flags = [case.state in used for case in self.cases]
            made = [self._only_if(self.nodes.choose(flags, self.cases, f"has_{title}"), title, made)]
        for statement in made:
            self.nodes.statement(statement)

    def _only_if(self, test: ast.expr, title: str, made: list[ast.stmt]) -> ast.stmt:
        """Return the statement that makes a layer where it is used, and elsewhere sets its name to None."""
        (last,) = made[-1:]
        if len(made) == 1 and isinstance(last, ast.Assign):
            return assign(own(title), ast.IfExp(test, last.value, ast.Constant(None)))
        return ast.If(test, made, [assign(own(title), ast.Constant(None))])

    def _sequence_statements(self, items: Sequence[Item]) -> tuple[str, list[ast.stmt]]:
        base, keywords = self.module.sequential(self.definition)
        self.nodes.sink = statements = []
        arguments = self.nodes.rows.arguments(items, [(case, case.state) for case in self.cases])
        statements.append(_super_init(arguments, keywords))
        self._constructor_reads = {n.id for s in statements for n in ast.walk(s) if isinstance(n, ast.Name)}
        return base, statements

    def _parallel_statements(self, body: ParallelBody) -> tuple[str, list[ast.stmt]]:
        self.nodes.sink = statements = []
        made = {
            title: self.nodes.emit(item.node, [(case, case.state.children[title]) for case in self.cases])
            for title, item in self.states[0].order
        }
        if all(item.name is None for item in body.branches):
            statements.append(_super_init([ast.List(list(made.values()), ast.Load())]))
            return self.module.nn("ModuleList"), statements
        statements.append(_super_init([ast.Dict([ast.Constant(t) for t in made], list(made.values()))]))
        return self.module.nn("ModuleDict"), statements

    # Forward.

    def _forward(self) -> ast.FunctionDef | None:
        body = self.definition.body
        entries = [(entry.name, self._input_name(entry.name)) for entry in self.definition.inputs]
        start = self.moves.inputs(entries)
        match body:
            case ModuleBody(program=Program() as program):
                statements = self._program(program)
            case ModuleBody():
                statements = self._in_order([own(title) for title in body.layers if self._is_made(title)])
            case SequenceBody():
                if not (start or self._is_written_out(body.items)):
                    return None
                statements = self._sequence_forward(body)
            case ResidualBody():
                statements = self._residual(body)
            case ParallelBody():
                statements = [ast.Return(self._branches(body))]
        return function("forward", parameters(self._inputs()), [*start, *statements], self._returns())

    def _sequence_forward(self, body: SequenceBody) -> list[ast.stmt]:
        if not self._is_written_out(body.items):
            return [ast.Return(call(ast.Attribute(call("super"), "forward", ast.Load()), self._flow()))]
        return self._in_order([self._item(title) for title, _ in self.states[0].order])

    def _is_written_out(self, items: Sequence[Item]) -> bool:
        """Say whether `forward` calls the layers of a list one by one."""
        return reuses(items) or self.moves.has("layer")

    def _is_made(self, title: str) -> bool:
        return any(title in state.children for state in self.states)

    def _item(self, title: str) -> ast.expr:
        """Return an item of a sequence: by its name, or by its place among the items."""
        if not title.isdigit():
            return own(title)
        return index(name("self"), list(self.states[0].children).index(title))

    def _in_order(self, layers: Sequence[ast.expr]) -> list[ast.stmt]:
        flow = self._flow().id
        calls = [call(layer, self.moves.layer(at, name(flow))) for at, layer in enumerate(layers)]
        statements: list[ast.stmt] = [assign(flow, each) for each in calls[:-1]]
        return [*statements, ast.Return(calls[-1] if calls else name(flow))]

    def _residual(self, body: ResidualBody) -> list[ast.stmt]:
        start = self._flow()
        if not self._is_written_out(body.items):
            inner: ast.expr = call(ast.Attribute(call("super"), "forward", ast.Load()), start)
            return [ast.Return(self._combined(body.combine, [start, inner]))]
        statements: list[ast.stmt] = []
        flow, inner = ("y" if start.id != "y" else "z"), start
        for at, (title, _) in enumerate(self.states[0].order):
            statements.append(assign(flow, call(self._item(title), self.moves.layer(at, inner))))
            inner = name(flow)
        return [*statements, ast.Return(self._combined(body.combine, [start, inner]))]

    def _flow(self) -> ast.Name:
        """Return the one input of a block that is written without a program."""
        return name(self._input_name(self.definition.inputs[0].name))

    def _branches(self, body: ParallelBody) -> ast.expr:
        named = any(item.name is not None for item in body.branches)
        branches = call(own("values")) if named else name("self")
        listed = body.combine.target in LIST_FIRST or body.combine.target in self.module.plugins.operations
        if listed and not (self.moves.has("layer") or self.moves.has("result")):
            branch = "branch" if self._flow().id != "branch" else "layer"
            loop = ast.comprehension(ast.Name(branch, ast.Store()), branches, [], 0)
            return self._combined(
                body.combine, [ast.ListComp(call(name(branch), self._flow()), [loop])], True
            )
        titles: list[ast.expr] = [
            index(name("self"), ast.Constant(title if named else int(title)))
            for title, _ in self.states[0].order
        ]
        made = (call(title, self.moves.layer(at, self._flow())) for at, title in enumerate(titles))
        return self._combined(body.combine, [*made])

    def _combined(self, combine: Call | None, values: list[ast.expr], listed: bool = False) -> ast.expr:
        """Return the combination of values; `listed` says that the one value is the list already."""
        values = values if listed else self.moves.results(values)
        if combine is None:
            return ast.BinOp(values[0], ast.Add(), values[1])
        target = combine.target
        plugin = target in self.module.plugins.operations
        operation = (
            self.module.plugin_operation(target) if plugin else self.module.names.function(OPERATIONS[target])
        )
        translator = self._program_translator(set())
        args = [translator.translate(a.value.tree) for a in combine.arguments if a.name is None]  # type: ignore[union-attr]
        keywords = {a.name: translator.translate(a.value.tree) for a in combine.arguments if a.name}  # type: ignore[union-attr]
        self._note_reads(translator)
        if listed:
            return call(operation, *values, *args, **keywords)
        if target in LIST_FIRST or plugin:
            return call(operation, ast.List(values, ast.Load()), *args, **keywords)
        result = values[0]
        for value in values[1:]:
            result = call(operation, result, value, *args, **keywords)
        return result

    def _program(self, program: Program) -> list[ast.stmt]:
        inputs = {entry.name for entry in self.definition.inputs}
        translator = self._program_translator({*local_names(program.body), *inputs})
        statements = [*translator.start(program.body, inputs), *translator.body(program.body)]
        self._note_reads(translator)
        return statements

    def _program_translator(self, local: set[str]) -> ProgramTranslator:
        members = {title: title for title in self._layer_names()}
        taken = NOT_OF_VALUES | {*members, *self._items()}
        for title in self.values:
            members.setdefault(title, self._attribute(title, taken))
        translator = ProgramTranslator(
            self.module.names,
            self.module.plugins,
            self._literals(),
            members,
            local,
            self._device(),
            self.module.call_kinds,
        )
        translator.moves = ClassMoves(self.module.moves, self.group, translator.visit)
        return translator

    def _items(self) -> set[str]:
        """Return the names of the items of a list, which are attributes too."""
        return {title for state in self.states for title in state.children}

    def _attribute(self, title: str, taken: Container[str]) -> str:
        """Return the attribute for a compile-time value."""
        attribute = title
        while attribute in taken or (attribute != title and attribute in self.values):
            attribute += "_"
        return attribute

    def _note_reads(self, translator: ProgramTranslator) -> None:
        """Remember the compile-time values that `forward` reads, which the constructor has to store."""
        for title in self.values:
            if title in translator.reads and title not in self._layer_names():
                self.attributes[title] = translator.members[title]

    def _device(self) -> ast.expr | None:
        """Return the expression for the device of the block's inputs."""
        source = self.group.device_source
        if source is None:
            return None
        is_input = any(entry.name == source for entry in self.definition.inputs)
        return ast.Attribute(
            name(self._input_name(source)) if is_input else own(source), "device", ast.Load()
        )

    def _input_name(self, title: str) -> str:
        return self.module.names.local(title)

    def _inputs(self) -> list[tuple[str, ast.expr | None, ast.expr | None]]:
        rows = []
        for entry in self.definition.inputs:
            values = [state.inputs.get(entry.name) for state in self.states]
            default = self._input_default(entry.default) if entry.default is not None else None
            optional = isinstance(default, ast.Constant) and default.value is None
            rows.append((self._input_name(entry.name), self._input_annotation(values, optional), default))
        return rows

    def _input_default(self, default: Expression) -> ast.expr:
        translator = Translator(self.module.names, self.states[0].values, {})
        return translator.translate(default.tree)

    def _input_annotation(self, values: Sequence[Any], optional: bool) -> ast.expr | None:
        kinds = {type(value) for value in values}
        tensor = all(value is None or isinstance(value, Tensor) for value in values)
        if not tensor or kinds == {type(None)}:
            return None
        self.module.names.used.add("Tensor")
        if type(None) in kinds or optional:
            return ast.BinOp(name("Tensor"), ast.BitOr(), ast.Constant(None))
        return name("Tensor")

    def _returns(self) -> ast.expr | None:
        forms = [_return_form(state.output) for state in self.states]
        if forms[0] is None or any(form != forms[0] for form in forms):
            return None
        self.module.names.used.add("Tensor")
        return ast.parse(forms[0], mode="eval").body


def _return_form(value: Any) -> str | None:
    if isinstance(value, Tensor):
        return "Tensor"
    if isinstance(value, tuple) and value and all(isinstance(part, Tensor) for part in value):
        return f"tuple[{', '.join('Tensor' for _ in value)}]"
    if isinstance(value, dict) and all(isinstance(part, Tensor) for part in value.values()):
        return "dict[str, Tensor]"
    if isinstance(value, list) and all(isinstance(part, Tensor) for part in value):
        return "list[Tensor]"
    return None


def _does_something(constructor: ast.FunctionDef) -> bool:
    """Say whether a constructor does more than the one that a class inherits."""
    arguments = [*constructor.args.args[1:], *constructor.args.kwonlyargs]
    first = constructor.body[0]
    bare = isinstance(first, ast.Expr) and isinstance(first.value, ast.Call) and not first.value.args
    return bool(arguments) or len(constructor.body) > 1 or not bare


def _super_init(
    arguments: Sequence[ast.expr], keywords: Mapping[str, ast.expr] = MappingProxyType({})
) -> ast.stmt:
    return ast.Expr(call(ast.Attribute(call("super"), "__init__", ast.Load()), *arguments, **keywords))


def _annotation_of(values: Sequence[Any]) -> ast.expr | None:
    """Return the annotation of a constructor argument from the values that it takes."""
    names = list(dict.fromkeys("None" if value is None else type(value).__name__ for value in values))
    simple = {"int", "float", "str", "bool", "None", "list", "tuple", "dtype"}
    if not set(names) <= simple:
        return None
    if "float" in names and "int" in names:
        names.remove("int")
    names.sort(key=lambda n: n == "None")
    parts: list[ast.expr] = [ast.Constant(None) if n == "None" else _named(n, values) for n in names]
    result = parts[0]
    for part in parts[1:]:
        result = ast.BinOp(result, ast.BitOr(), part)
    return None if names == ["None"] else result


def _named(title: str, values: Sequence[Any]) -> ast.expr:
    if title == "dtype":
        return dotted("torch.dtype")
    if title == "list":
        inner = {type(item).__name__ for value in values if isinstance(value, list) for item in value}
        if len(inner) == 1 and inner <= {"int", "float", "str", "bool"}:
            return index(name("list"), name(inner.pop()))
    return name(title)
