"""One initialiser as statements that fill a tensor: `nn.init.normal_(self.proj.weight, std=0.02)`, or a computation."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

import torch

from compiler.catalogue.initializer_table import TRANSFORMATION_ARGUMENTS
from compiler.catalogue.operation_table import CONSTANTS, FACTORIES
from compiler.catalogue.operation_table import FUNCTIONS as OPERATIONS
from compiler.catalogue.plugin_files import import_name
from compiler.catalogue.plugins import Registry
from compiler.emit.expressions import Translator, fold
from compiler.emit.literals import literal
from compiler.emit.names import Globals
from compiler.emit.readings import Reading, in_double, is_draw
from compiler.emit.syntax import assign, call, dotted, load_name
from compiler.emit.trees import copy_tree, stored_names
from compiler.rules.initialisation import DRAWN, MIXTURE
from compiler.rules.plan import PlanRow
from spec_schema.names import unused
from spec_schema.walk import walk

HALF = (torch.float16, torch.bfloat16)
LIKE = {"zeros": "torch.zeros_like", "ones": "torch.ones_like"}
POSITIVE = ("xavier_uniform", "xavier_normal")
"""Where torch takes no negative `gain`, whose sign changes nothing."""

ORTHOGONAL = "unitary_"
"""The function that draws what torch's `orthogonal_` cannot: complex matrices."""
ORTHOGONAL_SOURCE = '''
def unitary_(tensor: Tensor, gain: float = 1) -> Tensor:
    """Fill a complex tensor, read as a matrix, with orthogonal rows or columns."""
    matrix = torch.randn_like(tensor).flatten(1)
    wide = matrix.shape[0] < matrix.shape[1]
    q, r = torch.linalg.qr(matrix.mT if wide else matrix)
    q = gain * q * torch.sgn(r.diagonal())
    with torch.no_grad():
        return tensor.copy_((q.mT if wide else q).reshape(tensor.shape))
'''

Value = Callable[[str], ast.expr]
"""Returns the expression for a name of the spec, or of the layer."""


class LawWriter(Translator):
    """Writes the initialiser of one tensor, which the source reaches as `target`."""

    def __init__(
        self,
        names: Globals,
        plugins: Registry,
        row: PlanRow,
        reading: Reading,
        target: ast.expr,
        value: Value,
    ) -> None:
        super().__init__(names, {}, {})
        assert row.initialisation is not None
        self.plugins, self.row, self.reading, self.target, self.value = plugins, row, reading, target, value
        self.tree = row.initialisation.expression.tree
        self.known = row.initialisation.names
        self.taken = {*stored_names(self.tree), DRAWN}
        self.first: list[ast.stmt] = []
        """The statements that bind what is drawn once."""
        self.locals: dict[int, str] = {}
        """The draws that are bound to a local name."""

    def statements(self) -> list[ast.stmt]:
        """Return the statements that fill the tensor."""
        self.names.used.add("nn")
        node = self._decided(self.tree)
        if is_draw(node, self.plugins.initializers) and self._in_place(node):
            return [ast.Expr(self._drawn(node, copy_tree(self.target)))]
        if not self.reading.is_tensor:
            return [ast.Expr(self._constant(self.visit(node)))]
        self._bind_in_loops(node)
        value = self.visit(node)
        copied = call(ast.Attribute(copy_tree(self.target), "copy_", ast.Load()), value)
        return [self._without_gradient([*self.first, ast.Expr(copied)])]

    def _decided(self, node: ast.expr) -> ast.expr:
        """Return the branch that a condition takes, and the draw that a transformation is of."""
        while True:
            if isinstance(node, ast.IfExp) and len(self.reading.taken[id(node)]) == 1:
                node = node.body if True in self.reading.taken[id(node)] else node.orelse
            elif isinstance(node, ast.Call) and _name(node) in TRANSFORMATION_ARGUMENTS:
                node = node.args[0]  # rows of padding are written by themselves
            elif isinstance(node, ast.Name) and self._is_first(node):
                node = self._first_draw()
            else:
                return node

    def _in_place(self, node: ast.expr) -> bool:
        """Return whether a function of torch fills a tensor as it is."""
        name = _name(node)
        if name in self.plugins.initializers:
            return False
        return not (name == "orthogonal" and self.row.dtype in HALF)

    def _constant(self, value: ast.expr) -> ast.expr:
        known = value.value if isinstance(value, ast.Constant) else None
        if type(known) in (int, float) and known in (0, 1):
            return call("nn.init.ones_" if known else "nn.init.zeros_", copy_tree(self.target))
        return call("nn.init.constant_", copy_tree(self.target), value)

    def _without_gradient(self, body: list[ast.stmt]) -> ast.stmt:
        self.names.used.add("torch")
        return ast.With([ast.withitem(call("torch.no_grad"))], body)

    # Draws.

    def _drawn(self, node: ast.AST, into: ast.expr) -> ast.expr:
        """Return the call that fills a tensor with what a node draws."""
        name = _name(node)
        args = [self.visit(each) for each in node.args] if isinstance(node, ast.Call) else []
        keywords = [(k.arg, self.visit(k.value)) for k in node.keywords] if isinstance(node, ast.Call) else []
        named = {key: value for key, value in keywords if key is not None}
        gain = self.reading.arguments.get(id(node), {}).get("gain", 1)
        if name in POSITIVE and gain < 0:
            args, named = [], {"gain": call("abs", args[0] if args else named["gain"])}
        if name == "orthogonal" and self.row.dtype.is_complex:
            self.names.used |= {ORTHOGONAL, "torch", "Tensor"}
            return call(ORTHOGONAL, into, *args, **named)
        if self._by_parts(name):
            self.names.used.add("torch")
            into = call("torch.view_as_real", into)
        return call(f"nn.init.{name}_", into, *args, **named)

    def _by_parts(self, name: str) -> bool:
        """Return whether torch draws real and imaginary parts alone."""
        return name == "trunc_normal" and self.row.dtype.is_complex

    def _fresh(self, node: ast.AST) -> ast.expr:
        """Return a new tensor like the target with what a node draws."""
        self.names.used.add("torch")
        name = _name(node)
        if name in self.plugins.initializers:
            return self._registered(node, name)
        if name in LIKE:
            return call(LIKE[name], copy_tree(self.target))
        dtype: dict[str, ast.expr] = {}
        if name == "orthogonal" and self.row.dtype in HALF:
            dtype = {"dtype": dotted("torch.float32")}
        made = self._drawn(node, call("torch.empty_like", copy_tree(self.target), **dtype))
        return call("torch.view_as_complex", made) if self._by_parts(name) else made

    def _registered(self, node: ast.AST, name: str) -> ast.expr:
        """Return the call of an initialiser of a plugin."""
        made = self.plugins.initializers[name]
        function = load_name(self.names.plugin(made.__name__, import_name(made)))
        args = [self.visit(each) for each in node.args] if isinstance(node, ast.Call) else []
        keywords = node.keywords if isinstance(node, ast.Call) else []
        named = {k.arg: self.visit(k.value) for k in keywords if k.arg is not None}
        shape = ast.Attribute(copy_tree(self.target), "shape", ast.Load())
        return call(function, shape, *args, **named, generator=dotted("torch.default_generator"))

    def _is_first(self, node: ast.Name) -> bool:
        return node.id == DRAWN and DRAWN not in self.known and node.id not in self.bound

    def _first_draw(self) -> ast.expr:
        """Return the draw that `w` stands for."""
        called = {id(n.func) for n in walk(self.tree) if isinstance(n, ast.Call)}
        draws = [n for n in walk(self.tree) if is_draw(n, self.plugins.initializers)]
        inside = [n for n in draws if isinstance(n, ast.Call | ast.Name) and id(n) not in called]
        return min(inside, key=lambda n: (n.lineno, n.col_offset))

    def _local(self, node: ast.expr, wanted: str) -> ast.expr:
        """Return the local name of a draw, which is bound in front of what reads it."""
        if id(node) not in self.locals:
            name = self._unused(wanted)
            made = (
                self._mixed(node)
                if isinstance(node, ast.Call) and _name(node) == MIXTURE
                else self._fresh(node)
            )
            self.first.append(assign(name, made))
            self.locals[id(node)] = name
        return load_name(self.locals[id(node)])

    def _unused(self, wanted: str) -> str:
        name = unused(
            self.names.in_constructor(wanted), {*self.taken} - {DRAWN} if wanted == DRAWN else self.taken
        )
        self.taken.add(name)
        return name

    def _bind_in_loops(self, node: ast.AST) -> None:
        """Bind what is drawn in a list comprehension: all its items have the same values."""
        loops = [each for each in walk(node) if isinstance(each, ast.ListComp)]
        for inner in (n for loop in loops for n in walk(loop)):
            mixes = isinstance(inner, ast.Call) and _name(inner) == MIXTURE
            if isinstance(inner, ast.Call) and (mixes or is_draw(inner, self.plugins.initializers)):
                self._local(inner, "drawn")

    # Mixtures.

    def _mixed(self, node: ast.Call) -> ast.expr:
        """Return a choice between tensors by one uniform draw for each element."""
        self.names.used.add("torch")
        parts = [part for part in node.args if isinstance(part, ast.List | ast.Tuple)]
        bounds, values = self._bounds(parts), [self._of_mixture(part.elts[1]) for part in parts]
        last = self.reading.kinds.get(id(parts[-1].elts[1]))
        chosen = self._unused("u")
        self.first.append(assign(chosen, self._uniform()))
        result = self._whole(values[-1], last == {"number"} or _is_number(values[-1]))
        for bound, value in zip(reversed(bounds[:-1]), reversed(values[:-1]), strict=True):
            below = ast.Compare(load_name(chosen), [ast.Lt()], [bound])
            result = call("torch.where", below, value, result)
        return result

    def _uniform(self) -> ast.expr:
        if self.row.dtype in (torch.float32, torch.float64):
            return call("torch.rand_like", copy_tree(self.target))
        return call("torch.rand", ast.Attribute(copy_tree(self.target), "shape", ast.Load()))

    def _bounds(self, parts: Sequence[ast.List | ast.Tuple]) -> list[ast.expr]:
        """Return the sums of the first weights, computed where the weights are numbers."""
        weights = [self.visit(part.elts[0]) for part in parts]
        known = [_number(weight) for weight in weights]
        total: ast.expr = weights[0]
        bounds = []
        for at, weight in enumerate(weights):
            total = weight if not at else fold(ast.BinOp(total, ast.Add(), copy_tree(weight)))
            if all(each is not None for each in known[: at + 1]):
                exact = sum(each for each in known[: at + 1] if each is not None)
                total = literal(float(f"{exact:.12g}"))
            bounds.append(copy_tree(total))
        return bounds

    def _of_mixture(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Name) and node.id == "zeros":
            return ast.Constant(0.0)
        return self._visited(node)

    def _whole(self, value: ast.expr, is_number: bool) -> ast.expr:
        """Return a part as a tensor: a choice between two numbers would be in torch's default dtype."""
        if not is_number:
            return value
        return call("torch.full_like", copy_tree(self.target), value)

    # Names, calls and operators.

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if isinstance(node.ctx, ast.Store) or node.id in self.bound:
            return super().visit_Name(node)
        if self._is_first(node):
            return self._local(self._first_draw(), DRAWN)
        if node.id in self.known:
            return self.value(node.id)
        if is_draw(node, self.plugins.initializers):
            return self._draw(node)
        return self.names.function(CONSTANTS[node.id])

    def visit_Call(self, node: ast.Call) -> ast.expr:
        name = _name(node)
        if name == MIXTURE:
            return load_name(self.locals[id(node)]) if id(node) in self.locals else self._mixed(node)
        if is_draw(node, self.plugins.initializers):
            return self._draw(node)
        if name in TRANSFORMATION_ARGUMENTS:
            return self._visited(node.args[0])
        arguments = [self._visited(argument) for argument in node.args]
        keywords = [ast.keyword(k.arg, self._visited(k.value)) for k in node.keywords]
        if id(node) not in self.reading.operations:
            return self.builtin(name, arguments, keywords)
        made = ast.Call(self.names.function(OPERATIONS[name]), arguments, keywords)
        return self._in_double(node, made, node.args)

    def _visited(self, node: ast.expr) -> ast.expr:
        made: ast.expr = self.visit(node)
        return made

    def _draw(self, node: ast.expr) -> ast.expr:
        if id(node) in self.locals:
            return load_name(self.locals[id(node)])
        reads_first = any(isinstance(n, ast.Name) and self._is_first(n) for n in walk(self.tree))
        if reads_first and node is self._first_draw():
            return self._local(node, DRAWN)
        return self._fresh(node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        taken = self.reading.taken.get(id(node), {True, False})
        if len(taken) > 1:
            return ast.IfExp(*map(self._visited, (node.test, node.body, node.orelse)))
        return self._visited(self._decided(node))

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        made: ast.expr = super().visit_BinOp(node)
        return self._in_double(node, made, [node.left, node.right])

    # Double precision.

    def _in_double(self, node: ast.expr, made: ast.expr, operands: Sequence[ast.expr]) -> ast.expr:
        """Return an operation that has real numbers of whole ones, in the precision in which they are computed.

        Torch would make them of its default dtype.
        """
        kinds = self.reading.kinds
        inside = [kinds.get(id(each), set()) for each in operands]
        if not in_double(self.row) or kinds.get(id(node)) != {"float"} or {"float"} in inside:
            return made
        self.names.used.add("torch")
        if isinstance(made, ast.BinOp):
            sides = [
                self._double(e, {"other"} == k) for e, k in zip((made.left, made.right), inside, strict=True)
            ]
            return ast.BinOp(sides[0], made.op, sides[1])
        if isinstance(made, ast.Call):
            return self._call_in_double(_name(node), made, inside)
        return made

    def _call_in_double(self, name: str, made: ast.Call, inside: Sequence[set[Any]]) -> ast.Call:
        double = dotted("torch.float64")
        if name in FACTORIES and not any(keyword.arg == "dtype" for keyword in made.keywords):
            return ast.Call(made.func, made.args, [*made.keywords, ast.keyword("dtype", double)])
        if name == "where" and len(made.args) == 3:
            whole = call("torch.tensor", made.args[1], dtype=double)
            return ast.Call(made.func, [made.args[0], whole, made.args[2]], made.keywords)
        args = [self._double(each, kind == {"other"}) for each, kind in zip(made.args, inside, strict=True)]
        return ast.Call(made.func, args, made.keywords)

    def _double(self, made: ast.expr, is_whole: bool) -> ast.expr:
        return call(ast.Attribute(made, "double", ast.Load())) if is_whole else made


def _name(node: ast.AST) -> str:
    """Return what a node names, or calls by its name."""
    target = node.func if isinstance(node, ast.Call) else node
    return target.id if isinstance(target, ast.Name) else ""


def _number(node: ast.expr) -> float | None:
    """Return the number that a quotient of numbers, or a number, is."""
    match node:
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            one, two = _number(left), _number(right)
            return one / two if one is not None and two else None
    return None


def _is_number(node: ast.expr) -> bool:
    """Return whether an expression is a plain number for certain."""
    return isinstance(node, ast.Constant) or (isinstance(node, ast.UnaryOp) and _is_number(node.operand))
