"""Specs in which one name stands in one position, and whose source uses as much as it can around it."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Mapping
from functools import cache
from textwrap import indent

import torch
from torch import Tensor, nn

import compiler
import runtime
from compiler import Artifact
from compiler.catalogue.operation_table import FUNCTIONS as OPERATIONS
from tests.emitted_file import run_file

NEUTRAL = "Neutral"
PROGRAM = """\
y = relu(x) + len(x.shape) + max(x.ndim, 1) + sum([x.ndim, 2]) + sqrt(16) + x.shape[0] * abs(-2)
for at in range(2):
  y = y + rearrange(zeros(4, 3), 'm n -> n m').mean() + at
y = y + sum([part.max() for part in [x, y]]) + min(x.ndim, round(2.5)) + float(int(2.5))
pairs = [one * two[1] for one, two in zip([1, 2], enumerate([3, 4]))]
y = y + maximum(x, softmax(y, -1)) + len(pairs)
"""
"""A program that uses many builtins, of numbers that are not literal, and what the source imports."""
LAYERS = """\
rows: [{splice: ["Linear(len([4] * 4))"], repeat: "range(sum([1, 1]))"}]
tower: {repeat: "[[4, 1.0], [max(4, 3), 2.0]]", as: [size, rate], of: ["Linear(size)", Scaled(rate), relu, softmax(-1)]}
named: {repeat: 2, of: "Linear(min(4, 5))", name: "copy{index + 1}"}
act: dropout(0.0)
"""
"""Layers that take loops, lists, dictionaries and builtins to make."""
SCALED = """\
Scaled(factor):
  parameters: {gain: {tensor: "float[4]", init: constant(2)}}
  forward: |
    return x * factor * gain
"""
PARTS = {"PROGRAM": PROGRAM, "LAYERS": LAYERS, "SCALED": SCALED}

POSITIONS: Mapping[str, str] = {
    "model": """
name: NAME
inputs: {x: "float[batch, 4]"}
blocks: {A: [ReLU]}
model: [A, Linear(3)]
""",
    "input": """
inputs: {x: "float[batch, 4]", NAME: "float[batch, 4]"}
model:
  forward: |
    PROGRAM
    return y + NAME
""",
    "input of a list": """
inputs: {NAME: "float[batch, 4]"}
model: [{first: Linear(4)}, relu, first]
""",
    "input of a residual": """
inputs: {NAME: "float[batch, 4]"}
model: {residual: [{first: Linear(4)}, relu, first]}
""",
    "input of branches": """
inputs: {NAME: "float[batch, 4]"}
model: {parallel: [Linear(4), relu], combine: cat(dim=1)}
""",
    "input of a block": """
inputs: {x: "float[batch, 4]"}
blocks:
  B:
    forward(x, NAME=None): |
      PROGRAM
      if NAME is not None:
        y = y + NAME
      return y
model:
  layers: {b: B}
  forward: |
    return b(x) + b(x, NAME=x)
""",
    "local": """
inputs: {x: "float[batch, 4]"}
model:
  forward: |
    PROGRAM
    NAME = y * 2
    NAME += 1
    y = NAME - max(1, 2)
    PROGRAM
    NAME, rest = (y + NAME).split(2, 1)
    return y + NAME.sum() + rest.sum()
""",
    "loop": """
inputs: {x: "float[batch, 4]"}
model:
  layers: {h: {repeat: 2, of: Linear(4)}}
  forward: |
    PROGRAM
    for NAME in range(3):
      y = y + NAME + len([1])
    for layer_of_h in h:
      y = layer_of_h(y)
    PROGRAM
    return y
""",
    "loop over layers": """
inputs: {x: "float[batch, 4]"}
model:
  layers: {h: {repeat: 2, of: Linear(4)}}
  forward: |
    y = x + len([1, 2])
    for NAME in h:
      y = NAME(y)
    return y
""",
    "comprehension of a program": """
inputs: {x: "float[batch, 4]"}
model:
  forward: |
    PROGRAM
    ys = [NAME * 2 + maximum(NAME.sum(), y.sum()) + max(1, 2) for NAME in [x, y]]
    return y + sum(ys)
""",
    "argument": """
inputs: {x: "float[batch, 4]"}
blocks:
  SCALED
  B(NAME, final):
    vars: {more: NAME + 1}
    layers:
      LAYERS
      out: Linear(NAME + final)
    buffers:
      ramp: {tensor: "float[NAME]", value: "arange(NAME) / NAME"}
      other:
        value: |
          steps = arange(NAME) * len([1]) + max(1, 2)
          return steps / sum([NAME, final])
    forward: |
      PROGRAM
      y = act(named(tower(rows(y))))
      return out(y * ramp[:4] + other[:4] + NAME + more)
model: ["B(4, 2)", Linear(4), "B(NAME=7, final=3)"]
""",
    "layer as an argument": """
inputs: {x: "float[batch, 4]"}
blocks:
  B(NAME, n): [NAME, Linear(n), NAME, {residual: [Linear(n), NAME]}]
model: ["B(ReLU, 4)", "B(Linear(4), 4)", "B(NAME=Tanh, n=4)"]
""",
    "argument of what is in place": """
inputs: {x: "float[batch, 4]"}
blocks:
  B(NAME):
    - residual: [Linear(NAME), {repeat: "range(len([1, 2]))", of: Linear(NAME), name: "c{index}"}]
      combine: add(alpha=NAME)
    - {parallel: [Linear(NAME), Linear(2 * NAME), relu], combine: cat(dim=1)}
    - Linear(4)
model: [B(4), B(NAME=4)]
""",
    "argument of an inferred size": """
inputs: {x: "float[batch, 4]"}
blocks:
  B(NAME): [{repeat: 2, of: [Linear(NAME), ReLU]}]
  C(n, layer): [{repeat: 2, of: [layer, Linear(n)]}]
model: [B(32), B(64), "C(16, B(NAME=8))", "C(32, B(NAME=16))", "C(32, B(48))"]
""",
    "variable of a block": """
inputs: {x: "float[batch, 4]"}
blocks:
  SCALED
  B(n):
    vars: {NAME: n * 2, more: NAME // 2}
    layers:
      LAYERS
      out: Linear(NAME)
    parameters: {ramp: {tensor: "float[NAME]", init: ones}}
    forward: |
      PROGRAM
      y = act(named(tower(rows(y))))
      return out(y * NAME + more) * ramp
model: [B(4), Linear(4), B(4)]
""",
    "variable of the file": """
inputs: {x: "float[batch, 4]"}
vars: {NAME: 4, other: NAME + 1, sizes: "[NAME, 2]"}
model:
  layers: {first: Linear(NAME), second: "Linear(sizes[0])"}
  forward: |
    PROGRAM
    return second(first(y)) * NAME + other
""",
    "variable that a program changes": """
inputs: {x: "float[batch, 4]"}
vars: {NAME: 4}
blocks:
  B(n):
    forward: |
      PROGRAM
      n = n + 1
      NAME = NAME * n
      return y * NAME
model: [B(2), B(3)]
""",
    "argument that a program changes": """
inputs: {x: "float[batch, 4]"}
blocks:
  B(NAME):
    layers: {first: Linear(NAME)}
    forward: |
      PROGRAM
      if NAME > 5:
        NAME = NAME * 2
      NAME += 1
      return first(y) * NAME
model: [B(4), Linear(4), B(6)]
""",
    "argument and variable of a comprehension": """
inputs: {x: "float[batch, 4]"}
vars: {n: 2}
blocks:
  B(NAME):
    layers:
      first: "Linear(NAME + sum([NAME for NAME in range(NAME)]))"
      second: ["Linear(len([NAME for NAME in range(NAME)]) + len([n for n in range(n)]))"]
    forward: |
      PROGRAM
      y = y + sum([NAME * 2 for NAME in range(NAME)]) + NAME
      return second(first(y))
model: [B(4), Linear(4), B(6)]
""",
    "block": """
inputs: {x: "float[batch, 4]"}
blocks:
  SCALED
  NAME(width):
    layers:
      LAYERS
    forward: |
      return act(named(tower(rows(relu(x)))))
model: [NAME(4), NAME(width=4), {repeat: 2, of: NAME(4)}]
""",
    "layer": """
inputs: {x: "float[batch, 4]"}
model:
  layers: {NAME: Linear(4), other: [Linear(4), relu]}
  forward: |
    PROGRAM
    return other(NAME(y)) + NAME(y)
""",
    "layer of another key": """
inputs: {x: "float[batch, 4]"}
model:
  layers: {1x1 as NAME: Linear(4), _fc as other: [a-1 as a: Linear(4), relu, a]}
  forward: |
    PROGRAM
    return other(NAME(y)) + NAME(y)
""",
    "layer of a list": """
inputs: {x: "float[batch, 4]"}
blocks:
  B(n):
    layers:
      NAME: [{repeat: 2, of: [Linear(n), relu], name: "c{index}"}, {splice: [Linear(n)], repeat: 2}]
model: [B(4), B(5)]
""",
    "layer of a layer": """
inputs: {x: "float[batch, 4]"}
blocks:
  B: {layers: {NAME: Linear(4)}}
model:
  layers: {b: B, h: {repeat: 2, of: [{NAME: Linear(4)}]}}
  forward: |
    PROGRAM
    return b(y) + h(y)
freeze: [b.NAME.weight]
share: {both: [h.0.NAME.weight, h.1.NAME.weight]}
""",
    "item": """
inputs: {x: "float[batch, 4]"}
blocks:
  B(n): {residual: [{NAME: Linear(n)}, relu, {n: Linear(n)}], combine: add(alpha=n)}
model: [{NAME: Linear(4)}, relu, B(4), [{NAME: [ReLU, Linear(4)]}]]
""",
    "item that runs again": """
inputs: {x: "float[batch, 4]"}
model: [{NAME: Linear(4)}, relu, NAME]
""",
    "branch": """
inputs: {x: "float[batch, 4]"}
blocks:
  B(n): {parallel: {NAME: Linear(n), n: ReLU}, combine: cat(dim=1)}
model: [{parallel: {NAME: Linear(4), other: relu}, combine: add}, B(3)]
""",
    "numbered copies": """
inputs: {x: "float[batch, 4]"}
model: [{repeat: 2, of: Linear(4), name: "NAME{index}"}]
""",
    "parameter": """
inputs: {x: "float[batch, 4]"}
blocks:
  B(n):
    parameters: {NAME: {tensor: "float[n]", init: ones}}
    forward: |
      PROGRAM
      return y * NAME + n
model: [B(4)]
""",
    "parameter and argument": """
inputs: {x: "float[batch, 4]"}
blocks:
  B(NAME):
    parameters: {NAME: {tensor: "float[NAME]", init: ones}}
    forward: |
      PROGRAM
      return y * NAME
model: [B(4)]
""",
    "layer and argument": """
inputs: {x: "float[batch, 4]"}
blocks:
  B(NAME):
    layers: {NAME: Linear(NAME), other: Linear(NAME)}
    forward: |
      PROGRAM
      return other(NAME(y))
model: [B(4)]
""",
    "buffer": """
inputs: {x: "float[batch, 4]"}
model:
  buffers:
    NAME:
      value: |
        steps = arange(4)
        return steps / 4
  forward: |
    PROGRAM
    return y * NAME
""",
    "local of a value": """
inputs: {x: "float[batch, 4]"}
blocks:
  B(n):
    buffers:
      ramp:
        value: |
          NAME = arange(n)
          y = NAME / 4 + len([1]) + max(1, 2) + sum([NAME for NAME in range(3)])
          return y + rearrange(zeros(n, 1), 'm n -> n m') + n + sqrt(16)
    forward: |
      PROGRAM
      return y * ramp
model: [B(4)]
""",
    "binding of a repeat": """
inputs: {x: "float[batch, 4]"}
blocks:
  B(k):
    - {repeat: "[3, 4, 6]", as: NAME, of: ["Linear(NAME * k)", ReLU]}
    - repeat: "[[4, 0.5], [k, 1.5]]"
      as: [NAME, slope]
      of: [Linear(NAME), LeakyReLU(slope), "Linear(max(NAME, len([1])))"]
    - {repeat: "[3, 4]", as: NAME, splice: [Linear(NAME), relu]}
model: [B(2), B(3)]
""",
    "comprehension": """
inputs: {x: "float[batch, 4]"}
vars: {n: "[1, 2]"}
blocks:
  B(k):
    - Linear(sum([NAME * k for NAME in [1, 2]]))
    - Linear(len([NAME + v for NAME in range(k) for v in range(NAME)]) + 3)
model: ["Linear(max([NAME for NAME in n] + [4]))", B(2), B(3)]
""",
    "dimension": """
inputs: {x: "float[NAME, 4]", z: "float[NAME, 4]"}
dims: {NAME: 3}
model:
  forward: |
    return x + z
""",
    "group that shares": """
inputs: {x: "float[batch, 4]"}
model: [Linear(4), Linear(4)]
share: {NAME: [0.weight, 1.weight]}
""",
    "name of an import": """
import: {parts.yaml: [{Part: NAME}]}
inputs: {x: "float[batch, 4]"}
model: [NAME(4), NAME(n=3), Linear(4), {residual: NAME(4)}]
""",
}
"""Specs by what `NAME` names in them."""
IMPORTED = {"parts.yaml": "spec: 1\nblocks:\n  Part(n): [Linear(n), relu]\n"}

OWN = (
    *(
        "torch nn F fx math Tensor Callable OrderedDict collections einops rearrange reduce repeat Any"
    ).split(),
    *(
        "self super args kwargs Relay moves Relu Softmax Dropout Model Spec Sequence Residual Parallel"
    ).split(),
    *(
        "make_ramp make_other make_Neutral index index_2 layer layers branch part mode name each title start"
    ).split(),
    *(
        "in_features in_features_2 in_features_list x y z has_b Scaled training shape torch_ len_ self_ F_"
    ).split(),
    *(
        "Tensor2 fft linalg special pi inf nan float32 rows tower named act factor gain width size rate n k v"
    ).split(),
    *(
        "a b c h A B more final out other ys pairs one two at rest steps ramp first second sizes state_dict"
    ).split(),
    *("Part spec None_ i j device dtype len_2 max_ max__ range_ type_ training_").split(),
)
"""What emitted source imports and defines itself, what the compiler calls things, and the names around."""


@cache
def critical() -> list[str]:
    """Return the names of Python, and those that the source has or may have."""
    words = {*dir(builtins), *keyword.kwlist, *keyword.softkwlist}
    return sorted({each for each in words if each.isidentifier()} | set(OWN))


@cache
def every_name() -> list[str]:
    """Return those, and all names of torch."""
    places = (
        torch,
        nn,
        nn.functional,
        nn.init,
        Tensor,
        nn.Module,
        nn.Sequential,
        nn.ModuleList,
        nn.ModuleDict,
    )
    return sorted({*critical(), *(name for place in places for name in dir(place))})


def spec(position: str, name: str) -> str:
    """Return the spec of a position with a name in it."""
    text = POSITIONS[position]
    for title, part in PARTS.items():
        text = re.sub(
            rf"^( *){title}\n", lambda found, part=part: indent(part, found[1]), text, flags=re.MULTILINE
        )  # type: ignore[misc]
    return "spec: 1" + text.replace("NAME", name)


def compiled(position: str, name: str) -> Artifact:
    return compiler.compile_text(spec(position, name), imports=IMPORTED)


def outputs(artifact: Artifact) -> tuple[Tensor, Tensor]:
    """Return what a built model and the emitted file compute, with the same weights, from the same inputs."""
    model = runtime.build(artifact, device="cpu")
    fill(model)
    alone = run_file(artifact.source, artifact.name)
    alone.load_state_dict(model.state_dict())
    inputs = [torch.linspace(-1, 2, 12).reshape(3, 4) + at for at in range(len(artifact.inferred.inputs))]
    return model.eval()(*inputs), alone.eval()(*inputs)


def fill(model: nn.Module) -> None:
    """Give the parameters values that depend on their order alone."""
    with torch.no_grad():
        for at, parameter in enumerate(model.parameters()):
            parameter.copy_(torch.linspace(-0.5, 0.6 + 0.01 * at, parameter.numel()).reshape(parameter.shape))


def refusal(position: str, name: str) -> list[str]:
    """Return the codes with which a name is refused; none if all that is made of it computes what it should."""
    try:
        artifact = compiled(position, name)
    except compiler.SpecError as error:
        return [each.code if each.span else "nowhere" for each in error.diagnostics] or ["nothing"]
    built, alone = outputs(artifact)
    assert torch.equal(alone, built), f"`{name}` as {position}: the emitted file computes something else"
    assert is_of(position, name) or torch.equal(built, reference(position)), (
        f"`{name}` as {position} means another"
    )
    return []


def is_of(position: str, name: str) -> bool:
    """Say whether a spec has the name in other places too, and so computes something else."""
    words = re.findall(r"\w+", spec(position, NEUTRAL))
    return name in words and name not in dir(builtins) and name not in OPERATIONS


@cache
def reference(position: str) -> Tensor:
    """Return what comes of a name that means nothing else."""
    built, alone = outputs(compiled(position, NEUTRAL))
    assert torch.equal(built, alone)
    return built
