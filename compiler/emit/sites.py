"""How a method of a class reaches a tensor, and what it writes for the names of an initialiser there."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from compiler.emit.literals import literal
from compiler.emit.spots import Spot
from compiler.emit.syntax import call, index, load_name, own
from compiler.emit.trees import copy_tree
from spec_schema.selectors import names_of, path_of


class Differs(Exception):
    """An initialiser is not the same in all instances, so that no statement of their class says it."""


@dataclass(frozen=True)
class Site:
    """A place in the source. `module` is the layer that holds the tensor, None where only the tensor is reached."""

    tensor: ast.expr
    module: ast.expr | None
    weight: ast.expr | None
    """The weight of that layer, if it has one: the fans are those of it."""


class Attributes(Protocol):
    """The attributes that hold values of a class."""

    def __call__(self, name: str) -> str | None:
        """Return the attribute for a value."""

    def is_variable(self, name: str, spots: Sequence[Spot]) -> bool:
        """Return whether a name of an initialiser is a variable of the spec, which the class is given."""


class Values:
    """Writes the names of one initialiser, for all tensors that one statement fills."""

    def __init__(self, spots: Sequence[Spot], site: Site, is_own: bool, attribute: Attributes) -> None:
        self.spots, self.site = spots, site
        self.is_own = is_own
        """Whether the names of blocks that the initialiser sees are those of the class at hand."""
        self.attribute = attribute
        """Returns the attribute that holds a value of the class, None if it is none of its own."""

    def __call__(self, name: str) -> ast.expr:
        """Return the expression for a name.

        Raises:
            Differs: it has several values, and nothing in the class tells them apart.
        """
        seen = {spot.sees(name) for spot in self.spots}
        if seen == {True} and (self.is_own or self.attribute.is_variable(name, self.spots)):
            attribute = self.attribute(name)
            if attribute is not None:
                return own(attribute)
        if seen == {False}:
            found = self._of_layer(name)
            if found is not None:
                return found
        return self._literal(name)

    def _values(self, name: str) -> list[object]:
        return [spot.initialisation.names[name] for spot in self.spots]

    def _literal(self, name: str) -> ast.expr:
        values = self._values(name)
        if any(type(each) is not type(values[0]) or each != values[0] for each in values):
            raise Differs
        return literal(values[0])

    def _of_layer(self, name: str) -> ast.expr | None:
        """Return a name of the layer over the module or the tensor."""
        if name == "shape":
            return call("list", ast.Attribute(copy_tree(self.site.tensor), "shape", ast.Load()))
        if name in ("fan_in", "fan_out"):
            return self._fan(name)
        values = self._values(name)
        known = [getattr(spot.row.module, name, None) for spot in self.spots]
        same = all(type(a) is type(b) and a == b for a, b in zip(known, values, strict=True))
        if self.site.module is None or not same or values[0] is None:
            return None
        return ast.Attribute(copy_tree(self.site.module), name, ast.Load())

    def _fan(self, name: str) -> ast.expr | None:
        weights = [getattr(spot.row.module, "weight", None) for spot in self.spots]
        of_layer = all(isinstance(weight, Tensor) for weight in weights)
        linear = all(isinstance(spot.row.module, nn.Linear) for spot in self.spots)
        if linear and self.site.module is not None:
            features = "in_features" if name == "fan_in" else "out_features"
            return ast.Attribute(copy_tree(self.site.module), features, ast.Load())
        shapes = [
            w.shape if isinstance(w, Tensor) else s.plan.shape
            for w, s in zip(weights, self.spots, strict=True)
        ]
        tensor = self.site.weight if of_layer else self.site.tensor
        if tensor is None or any(0 in shape for shape in shapes):
            return None
        rows = copy_tree(tensor)
        if name == "fan_in":
            part: ast.expr = index(rows, 0)
        else:
            everything = ast.Slice(None, None, None)
            part = ast.Subscript(rows, ast.Tuple([everything, ast.Constant(0)], ast.Load()), ast.Load())
        return call(ast.Attribute(part, "numel", ast.Load()))


def by_name(spot: Spot, start: int, name: ast.expr | None = None) -> ast.expr:
    """Return `self.get_parameter("block.0.weight")`; the name begins behind so many steps."""
    path = name or ast.Constant(path_of(spot.row.steps[start:]))
    method = "get_parameter" if spot.row.kind == "parameter" else "get_buffer"
    return call(own(method), path)


def attribute_site(spot: Spot) -> Site | None:
    """Return how a class reaches a tensor of its own, or of a layer that is an attribute, None for any other."""
    inner = spot.inner
    if len(inner) == 1 and spot.row.kind == "parameter":
        return Site(own(inner[0]), None, None) if spot.is_own else _base_site(spot)
    if len(inner) != 2 or spot.is_own or not is_typed(type(spot.row.module), inner[1]):
        return None
    module = own(inner[0])
    weight = ast.Attribute(copy_tree(module), "weight", ast.Load())
    return Site(ast.Attribute(copy_tree(module), inner[1], ast.Load()), module, weight)


def _base_site(spot: Spot) -> Site | None:
    """Return how a class reaches a tensor of the layer that it extends."""
    if not is_typed(type(spot.row.module), spot.inner[0]):
        return None
    return Site(own(spot.inner[0]), load_name("self"), own("weight"))


def named_site(spot: Spot, start: int) -> Site:
    """Return how a class reaches any tensor inside of it, by its name."""
    names = names_of(spot.row.steps[start:])
    weight = None
    if isinstance(getattr(spot.row.module, "weight", None), Tensor):
        weight = call(own("get_parameter"), ast.Constant(".".join((*names[:-1], "weight"))))
    return Site(by_name(spot, start), None, weight)


def is_typed(cls: type, name: str) -> bool:
    """Return whether a class sets an attribute by its name, so that a type checker knows it."""
    codes = (getattr(vars(each).get("__init__"), "__code__", None) for each in cls.__mro__)
    named = any(name in (*code.co_names, *code.co_consts) for code in codes if code is not None)
    return named or _annotation(cls, name) is not None


def is_optional(cls: type, name: str) -> bool:
    """Return whether the annotation of an attribute lets it be None."""
    annotation = str(_annotation(cls, name))
    return annotation != "None" and ("None" in annotation or "Optional" in annotation)


def _annotation(cls: type, name: str) -> object:
    notes = (vars(each).get("__annotations__", {}) for each in cls.__mro__)
    return next((each[name] for each in notes if name in each), None)
