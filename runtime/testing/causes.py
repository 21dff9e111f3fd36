"""What is likely behind a failure, from the source of the layer."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

from torch import nn

Pattern = Callable[[ast.AST], str | None]
"""Says what is wrong with a node, if it is one of its kind."""

CUTS = {
    "data": "`{0}` cuts the gradient: use `{1}` itself",
    "detach": "`{0}` cuts the gradient",
    "numpy": "`{0}` leaves torch, and cuts the gradient: use torch's functions",
    "item": "`{0}` makes a number of a tensor, which has no gradient and no value on the meta device",
    "tolist": "`{0}` makes numbers of a tensor, which have no gradient and no value on the meta device",
}
MAKERS = (
    "tensor",
    "zeros",
    "ones",
    "full",
    "arange",
    "linspace",
    "eye",
    "randn",
    "rand",
    "as_tensor",
    "empty",
)
DROPOUTS = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")


def likely_cause(cls: type[nn.Module], property: str) -> str | None:
    """Return what in the source of a layer is known to break a property, with its line."""
    for pattern in PATTERNS.get(property, ()):
        for name, node, place in _nodes(cls):
            if (found := pattern(node)) is not None:
                return f"{found}, in `{name}` ({place})"
    return None


def _nodes(cls: type[nn.Module]) -> Iterator[tuple[str, ast.AST, str]]:
    """Yield each node of a layer's own methods, with the method and the place."""
    for name, method in vars(cls).items():
        if not inspect.isfunction(method):
            continue
        try:
            lines, first = inspect.getsourcelines(method)
        except (OSError, TypeError):  # no source: made by `exec`, or in a shell
            continue
        file = Path(inspect.getsourcefile(method) or "").name
        tree = ast.parse(textwrap.dedent("".join(lines)))
        for node in ast.walk(tree):
            yield name, node, f"{file}:{first + getattr(node, 'lineno', 1) - 1}"


def _cut(node: ast.AST) -> str | None:
    if isinstance(node, ast.Attribute) and node.attr in CUTS and not _is_module(node.value):
        return CUTS[node.attr].format(ast.unparse(node), ast.unparse(node.value))
    return None


def _no_grad(node: ast.AST) -> str | None:
    if isinstance(node, ast.Attribute) and node.attr in ("no_grad", "inference_mode"):
        return f"`{ast.unparse(node)}` records no gradient"
    return None


def _foreign_random(node: ast.AST) -> str | None:
    if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(
        ("random.", "np.random", "numpy.random")
    ):
        return f"`{ast.unparse(node.func)}` is not torch's generator"
    return None


def _seed(node: ast.AST) -> str | None:
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
        ("manual_seed", "random.seed", "set_rng_state")
    ):
        return f"`{ast.unparse(node)}` is for the caller to say"
    return None


def _dropout(node: ast.AST) -> str | None:
    if not (isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in DROPOUTS):
        return None
    given = any(keyword.arg == "training" for keyword in node.keywords) or len(node.args) > 2
    return (
        None if given else f"`{ast.unparse(node)}` drops also when evaluating: pass `training=self.training`"
    )


def _constant(node: ast.AST) -> str | None:
    """A tensor that is kept in an attribute, or made without the device and dtype of an input."""
    if isinstance(node, ast.Assign) and _makes(node.value) and _is_attribute(node.targets[0]):
        title = ast.unparse(node.targets[0])
        return (
            f"`{title}` is a plain tensor: use `self.register_buffer({title.removeprefix('self.')!r}, ...)`"
        )
    if isinstance(node, ast.Call) and _makes(node) and not {"device", "dtype"} <= _keywords(node):
        return f"`{ast.unparse(node)}` is made on the CPU, in its own dtype"
    return None


def _in_place(node: ast.AST) -> str | None:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        name = node.func.attr
        if name.endswith("_") and not name.startswith("_") and "parameter" not in name:
            return f"`{ast.unparse(node)}` works in place"
    if isinstance(node, ast.AugAssign):
        return f"`{ast.unparse(node)}` works in place on a tensor"
    return None


def _batch(node: ast.AST) -> str | None:
    """A reduction over the first dimension, or over all."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return None
    if node.func.attr not in (
        "mean",
        "sum",
        "var",
        "std",
        "amax",
        "amin",
        "norm",
        "softmax",
        "cumsum",
        "median",
    ):
        return None
    values = [*node.args, *(each.value for each in node.keywords if each.arg == "dim")]
    over = [ast.unparse(each) for each in values if isinstance(each, ast.Constant | ast.UnaryOp)]
    if "0" in over or not values:
        return f"`{ast.unparse(node)}` is over the items of the batch"
    return None


def _not_persistent(node: ast.AST) -> str | None:
    if isinstance(node, ast.keyword) and node.arg == "persistent" and ast.unparse(node.value) == "False":
        return "a buffer with `persistent=False` is not in the state dict"
    return None


def _empty(node: ast.AST) -> str | None:
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
        ("torch.empty", "torch.Tensor", "empty_like")
    ):
        return f"`{ast.unparse(node)}` has whatever was in the memory"
    return None


def _makes(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in {f"torch.{name}" for name in MAKERS}


def _is_attribute(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


def _is_module(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in ("torch", "np", "numpy", "F", "nn")


def _keywords(node: ast.Call) -> set[str | None]:
    return {each.arg for each in node.keywords}


PATTERNS: dict[str, tuple[Pattern, ...]] = {
    "shapes": (_cut,),
    "inputs": (_in_place,),
    "evaluation": (_dropout, _foreign_random),
    "training": (_foreign_random,),
    "random_state": (_seed, _foreign_random),
    "batch": (_batch,),
    "state_dict": (_not_persistent, _constant),
    "registration": (_constant,),
    "gradients": (_cut, _no_grad),
    "gradcheck": (_cut, _no_grad),
    "dtype": (_constant,),
    "device": (_constant,),
    "initialisation": (_empty, _foreign_random),
    "spec": (_cut,),
    "export": (_cut,),
    "compile": (_cut,),
}
"""For each property what is known to break it."""
