"""What is likely behind a failure, from the source of the layer."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import traceback
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
MAKERS = frozenset("tensor zeros ones full arange linspace eye randn rand as_tensor empty".split())
DROPOUTS = frozenset("dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout".split())
REDUCTIONS = frozenset("mean sum var std amax amin max min norm softmax cumsum median any all item".split())
MODULES = ("torch", "np", "numpy", "F", "nn", "math", "random")
RANDOM = ("random.", "np.random", "numpy.random", "torch.Generator", "os.urandom", "secrets.")
SEEDS = ("manual_seed", "random.seed", "set_rng_state")
DTYPES = ("float", "double", "half", "bfloat16", "int", "long")
DEVICES = ("cpu", "cuda")
COMPILING = ("is_exporting", "is_compiling", "is_dynamo_compiling", "is_scripting", "is_tracing")
CONSTRUCTING = ("__init__", "reset_parameters", "_reset_parameters")
"""Methods that no call of the layer runs."""
KEYS = ("_load_from_state_dict", "_save_to_state_dict", "state_dict", "load_state_dict")


def likely_cause(cls: type[nn.Module], property: str) -> str | None:
    """Return what in the source of a layer is known to break a property, with its line."""
    nodes = list(_nodes(cls))
    called = [each for each in nodes if each[0] not in CONSTRUCTING]
    for pattern in PATTERNS.get(property, ()):
        for name, node, place in called if pattern in IN_CALLS else nodes:
            if (found := pattern(node)) is not None:
                return f"{found}, in `{name}` ({place})"
    return None


def place_of(error: Exception, cls: type[nn.Module]) -> str | None:
    """Return the line of a layer's own file that an error comes from, if it comes from there."""
    try:
        file = inspect.getsourcefile(cls)
    except TypeError:
        file = None
    if file is None:
        return None
    lines = [each.lineno for each in traceback.extract_tb(error.__traceback__) if each.filename == file]
    lines += [int(each) for each in re.findall(rf'File "{re.escape(file)}", line (\d+)', str(error))]
    return f"{Path(file).name}:{lines[-1]}" if lines and lines[-1] is not None else None


def _nodes(cls: type[nn.Module]) -> Iterator[tuple[str, ast.AST, str]]:
    """Yield each node of a layer's own methods, from top to bottom, with the method and the place."""
    for name, method in vars(cls).items():
        method = method.__func__ if isinstance(method, staticmethod | classmethod) else method
        if not inspect.isfunction(method):
            continue
        try:
            lines, first = inspect.getsourcelines(method)
        except (OSError, TypeError):  # no source: made by `exec`, or in a shell
            continue
        file = Path(inspect.getsourcefile(method) or "").name
        nodes = ast.walk(ast.parse(textwrap.dedent("".join(lines))))
        for node in sorted(nodes, key=_position):
            yield name, node, f"{file}:{first + getattr(node, 'lineno', 1) - 1}"


def _position(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


# --- gradients ---------------------------------------------------------------------------------------------


def _cut(node: ast.AST) -> str | None:
    if isinstance(node, ast.Attribute) and node.attr in CUTS and not _is_module(node.value):
        return CUTS[node.attr].format(ast.unparse(node), ast.unparse(node.value))
    return None


def _no_grad(node: ast.AST) -> str | None:
    if isinstance(node, ast.Attribute) and node.attr in ("no_grad", "inference_mode"):
        return f"`{ast.unparse(node)}` records no gradient"
    return None


def _own_backward(node: ast.AST) -> str | None:
    """A call of a `torch.autograd.Function`, by the name of its class."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "apply":
        owner = ast.unparse(node.func.value)
        if owner.lstrip("_")[:1].isupper():
            return f"`{owner}` has a `backward` of its own"
    return None


# --- values that are looked at -----------------------------------------------------------------------------


def _looks(node: ast.AST) -> str | None:
    """A branch or a loop on the values of a tensor."""
    if not isinstance(node, ast.If | ast.While | ast.IfExp):
        return None
    calls = [each.func for each in ast.walk(node.test) if isinstance(each, ast.Call)]
    methods = [each for each in calls if isinstance(each, ast.Attribute) and not _is_foreign(each.value)]
    if any(each.attr in REDUCTIONS for each in methods):
        return f"`{ast.unparse(node.test)}` looks at values: use `torch.where`"
    return None


def _other_when_compiled(node: ast.AST) -> str | None:
    if isinstance(node, ast.Attribute) and node.attr in COMPILING:
        return f"`{ast.unparse(node)}` makes it another layer there"
    return None


# --- random numbers ----------------------------------------------------------------------------------------


def _foreign_random(node: ast.AST) -> str | None:
    if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(RANDOM):
        return f"`{ast.unparse(node.func)}` is not torch's global generator"
    return None


def _seed(node: ast.AST) -> str | None:
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(SEEDS):
        return f"`{ast.unparse(node)}` is for the caller to say"
    return None


def _dropout(node: ast.AST) -> str | None:
    if not (isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in DROPOUTS):
        return None
    if any(keyword.arg == "training" for keyword in node.keywords) or len(node.args) > 2:
        return None
    return f"`{ast.unparse(node)}` drops also when evaluating: pass `training=self.training`"


# --- tensors that are not registered, or bound to a place --------------------------------------------------


def _plain_tensor(node: ast.AST) -> str | None:
    """A tensor that is kept in an attribute."""
    if isinstance(node, ast.Assign) and _makes(node.value) and _is_attribute(node.targets[0]):
        title = ast.unparse(node.targets[0])
        name = title.removeprefix("self.")
        return f"`{title}` is a plain tensor: use `self.register_buffer({name!r}, ...)`"
    return None


def _plain_container(node: ast.AST) -> str | None:
    """A list or dictionary of parameters or layers that is kept in an attribute."""
    if not (isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, _CONTAINERS)):
        return None
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    made = [ast.unparse(each.func) for each in ast.walk(node.value) if isinstance(each, ast.Call)]
    made = [each for each in made if each.startswith(("nn.", "torch.nn."))]
    if not made or not _is_attribute(target):
        return None
    kind = "Parameter" if made[0].endswith(".Parameter") else "Module"
    form = "Dict" if isinstance(node.value, ast.Dict | ast.DictComp) else "List"
    return f"`{ast.unparse(target)}` is a plain container: use `nn.{kind}{form}`"


_CONTAINERS = (ast.List, ast.ListComp, ast.Tuple, ast.Dict, ast.DictComp)


def _without_device(node: ast.AST) -> str | None:
    if _makes(node) and not _names(node, "device"):
        return f"`{ast.unparse(node)}` is made on the CPU: pass the `device` of an input"
    return _moved(node, DEVICES)


def _without_dtype(node: ast.AST) -> str | None:
    if _makes(node) and not _names(node, "dtype"):
        return f"`{ast.unparse(node)}` has a dtype of its own: pass the `dtype` of an input"
    return _moved_dtype(node)


def _moved_dtype(node: ast.AST) -> str | None:
    return _moved(node, DTYPES)


def _moved(node: ast.AST, to: tuple[str, ...]) -> str | None:
    """A tensor that is brought to a device or dtype that the source names."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return None
    named = [ast.unparse(each).strip("'").removeprefix("torch.").rstrip("0123456789:") for each in node.args]
    if (node.func.attr in to and not node.args) or (node.func.attr == "to" and set(named) & set(to)):
        return f"`{ast.unparse(node)}` is not what the caller gave"
    return None


# --- state -------------------------------------------------------------------------------------------------


def _in_place(node: ast.AST) -> str | None:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        name = node.func.attr
        if name.endswith("_") and not name.startswith("_") and "parameter" not in name:
            return f"`{ast.unparse(node)}` works in place"
    if isinstance(node, ast.AugAssign) and not _is_attribute(node.target):
        return f"`{ast.unparse(node)}` works in place on a tensor"
    return None


def _keeps(node: ast.AST) -> str | None:
    """Something of the layer that a call changes."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        targets = [node.target]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        name = node.func.attr
        targets = [node.func.value] if name.endswith("_") or name == "append" else []
    if any(_is_attribute(each) for each in targets):
        return f"`{ast.unparse(node)}` changes the layer when it is called"
    return None


def _not_persistent(node: ast.AST) -> str | None:
    if isinstance(node, ast.keyword) and node.arg == "persistent" and ast.unparse(node.value) == "False":
        return "a buffer with `persistent=False` is not in the state dict"
    return None


def _keys(node: ast.AST) -> str | None:
    hook = isinstance(node, ast.Attribute) and "state_dict" in node.attr and "hook" in node.attr
    if hook or (isinstance(node, ast.FunctionDef) and node.name in KEYS):
        name = node.name if isinstance(node, ast.FunctionDef) else ast.unparse(node)
        return f"`{name}` changes the keys: it has to keep the prefix"
    return None


def _bound(node: ast.AST) -> str | None:
    """A function in an attribute that knows `self`: a deep copy gets the same function."""
    if isinstance(node, ast.FunctionDef) and node.name == "__deepcopy__":
        return "it has a `__deepcopy__` of its own"
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda) and _is_attribute(node.targets[0]):
        return f"`{ast.unparse(node.targets[0])}` is a function of this very layer, in a copy too: make it a method"
    return None


def _empty(node: ast.AST) -> str | None:
    makers = ("torch.empty", "torch.Tensor", "empty_like")
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(makers):
        return f"`{ast.unparse(node)}` has whatever was in the memory"
    return None


# --- batches -----------------------------------------------------------------------------------------------


def _batch(node: ast.AST) -> str | None:
    """A reduction over the first dimension, or over all."""
    if isinstance(node, ast.Attribute) and node.attr == "T" and isinstance(node.value, ast.Name):
        return f"`{ast.unparse(node)}` turns the batch into the last dimension"
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return None
    if node.func.attr not in REDUCTIONS or _is_foreign(node.func.value):
        return None
    values = [*node.args, *(each.value for each in node.keywords if each.arg == "dim")]
    over = [ast.unparse(each) for each in values if isinstance(each, ast.Constant | ast.UnaryOp)]
    if "0" in over or not values:
        return f"`{ast.unparse(node)}` is over the items of the batch"
    return None


def _makes(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in {f"torch.{name}" for name in MAKERS}


def _is_attribute(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


def _is_module(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in MODULES


def _is_foreign(node: ast.AST) -> bool:
    """Return whether a node is a module, or what belongs to the layer and not to an input."""
    return _is_module(node) or ast.unparse(node).startswith("self.")


def _names(node: ast.AST, keyword: str) -> bool:
    return isinstance(node, ast.Call) and any(each.arg == keyword for each in node.keywords)


PATTERNS: dict[str, tuple[Pattern, ...]] = {
    "shapes": (_looks, _cut, _without_device),
    "inputs": (_in_place,),
    "evaluation": (_dropout, _foreign_random, _keeps),
    "training": (_foreign_random,),
    "random_state": (_seed, _foreign_random),
    "batch": (_batch,),
    "registration": (_plain_tensor, _plain_container, _keeps),
    "state_dict": (_not_persistent, _plain_tensor, _plain_container, _keeps, _keys),
    "copy": (_bound,),
    "gradients": (_cut, _no_grad),
    "gradcheck": (_own_backward, _cut, _no_grad, _moved_dtype),
    "shared": (_keeps,),
    "dtype": (_plain_tensor, _plain_container, _without_dtype),
    "device": (_plain_tensor, _plain_container, _without_device, _looks),
    "initialisation": (_empty, _foreign_random, _looks),
    "freeze": (_keeps, _plain_tensor, _plain_container),
    "spec": (_keys, _looks, _cut, _plain_tensor, _plain_container),
    "export": (_looks, _other_when_compiled, _cut),
    "compile": (_looks, _other_when_compiled, _cut),
}
"""For each property what is known to break it, the surest first."""

IN_CALLS = frozenset(
    (
        *(_looks, _cut, _no_grad, _in_place, _dropout, _keeps, _batch),
        *(_without_dtype, _without_device, _moved_dtype),
    )
)
"""What breaks nothing in a constructor."""
