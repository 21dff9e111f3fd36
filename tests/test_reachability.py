"""No spec can reach an import, an attribute or a call outside the tables, from any place that holds text."""

from __future__ import annotations

import ast
import builtins
from functools import partial
from typing import Any

import pytest

import compiler
from compiler.verify import VerificationError, verify
from spec_schema.source import Span

ATTEMPTS = (
    "__import__('os').system('true')",
    "eval('1')",
    "exec('1')",
    "open('/etc/passwd')",
    "getattr(x, 'data')",
    "x.__class__",
    "x.__class__.__mro__[1].__subclasses__()",
    "().__class__",
    "'{0.__class__}'.format(1)",
    "torch.load('a')",
    "os.system('true')",
    "compile('1', '', 'eval')",
    "globals()",
    "vars()",
    "breakpoint()",
    "(lambda: 1)()",
    "fft.__loader__",
    "linalg.torch",
    "x.numpy()",
    "x.data_ptr()",
    "x.storage()",
    "x.register_hook(x)",
    "x.backward()",
    "f'{x}'",
    "relu.__globals__",
    "x.shape.__class__",
    "x.weight.data",
    "[c for c in ().__class__.__base__.__subclasses__()]",
    "abs(x, out=x)",
    "x.set_(x)",
    "x.requires_grad_()",
    "x.map_(x, print)",
    "x.__setstate__(1)",
    "einops.os",
    "math.__loader__",
    "nn.Module",
    "self.modules()",
    "print(1)",
    "input()",
    "memoryview(b'')",
    "type(x)",
    "(y := 1)",
    "{**globals()}",
    "relu(*x)",
)
TRAIN = (
    "model: [Linear(4)]\ntrain:\n  data: {{{{file: d.npz, x: x, y: y}}}}\n"
    '  loss: "{loss}"\n  optimizer: "{optimizer}"\n  batch: 2\n  epochs: 1\n'
)
PLACES = {
    "argument of a layer": 'model:\n  - "Linear({})"\n',
    "variable": 'vars: {{a: "{}"}}\nmodel:\n  - Linear(4)\n',
    "repeat": 'model:\n  - {{repeat: "{}", of: ReLU}}\n',
    "condition": 'model:\n  - {{if: "{}", then: ReLU}}\n',
    "operation": 'model:\n  - "flatten({})"\n',
    "combine": 'model:\n  - {{parallel: [ReLU, Tanh], combine: "{}"}}\n',
    "layer": 'model:\n  - "{}"\n',
    "initializer": 'model:\n  - Linear(4)\ninit:\n  - Linear.weight: "{}"\n',
    "checkpoint": 'model:\n  - Linear(4)\ninit:\n  - Linear: "checkpoint({})"\n',
    "argument of checkpoint": "model:\n  - Linear(4)\ninit:\n  - Linear: \"checkpoint('f', skip=[{}])\"\n",
    "long form of checkpoint": 'model:\n  - Linear(4)\ninit:\n  - Linear: {{checkpoint: f, prefix: "${{{}}}"}}\n',
    "buffer": 'model:\n  buffers:\n    b: {{value: "{}"}}\n  forward: |\n    return x + b\n',
    "dimension": 'model:\n  parameters:\n    p: {{tensor: "float[{}]", init: ones}}\n'
    "  forward: |\n    return x * p.sum()\n",
    "block variable": 'model:\n  vars: {{a: "{}"}}\n  forward: |\n    return x * a\n',
    "default of a block": 'blocks:\n  "B(a={})": [ReLU]\nmodel: [B]\n',
    "default of an input": 'blocks:\n  B:\n    "forward(a, b={})": return a\nmodel: [B]\n',
    "name of copies": 'model:\n  - {{repeat: 2, of: ReLU, name: "n{{{}}}"}}\n',
    "items of a repeat": 'model:\n  - {{repeat: ["{}"], as: n, of: ReLU}}\n',
    "long form": 'model:\n  - {{layer: Linear, out_features: "${{{}}}"}}\n',
    "keyword": 'model:\n  - "Linear(4, bias={})"\n',
    "input": 'model: [ReLU]\ninputs: {{x: "float[{}]"}}\n',
    "selector": 'model: [Linear(4)]\nfreeze: ["{}"]\n',
    "key of an init rule": 'model: [Linear(4)]\ninit:\n  - "{}": zeros\n',
    "share": 'model: [Linear(8), Linear(8)]\nshare: {{a: ["0.weight", "{}"]}}\n',
    "name of a layer": 'model:\n  layers: {{"{}": ReLU}}\n',
    "name of a block": 'blocks:\n  "{}": [ReLU]\nmodel: [ReLU]\n',
    "name of a variable": 'vars: {{"{}": 1}}\nmodel: [ReLU]\n',
    "name of the model": 'name: "{}"\nmodel: [ReLU]\n',
    "preset": 'vars: {{n: 1}}\npresets: {{p: {{n: 1, "{}": 2}}}}\nmodel: [ReLU]\n',
    "plugin": 'requires: ["{}"]\nmodel: [ReLU]\n',
    "import": 'import: {{"{}": [A]}}\nmodel: [ReLU]\n',
    "imported block": 'import: {{other.yaml: ["{}"]}}\nmodel: [ReLU]\n',
    "loss": TRAIN.format(loss="{}", optimizer="SGD(lr=0.1)"),
    "optimizer": TRAIN.format(loss="cross_entropy(output, y)", optimizer="{}"),
    "argument of the optimizer": TRAIN.format(loss="cross_entropy(output, y)", optimizer="SGD(lr={})"),
}
BENIGN = {
    "argument of a layer": "4",
    "combine": "add",
    "layer": "ReLU",
    "initializer": "zeros",
    "checkpoint": "'f'",
    "argument of checkpoint": "'a'",
    "long form of checkpoint": "'a'",
    "buffer": "ones(8)",
    "name of copies": "index",
    "keyword": "True",
    "input": "batch, 8",
    "selector": "Linear",
    "key of an init rule": "Linear.weight",
    "share": "1.weight",
    "name of a layer": "fc",
    "name of a block": "B",
    "name of a variable": "n",
    "name of the model": "net",
    "loss": "cross_entropy(output, y)",
    "optimizer": "SGD(lr=0.1)",
}
"""What is fine in a place; a number in the others."""
NOTHING_FITS = {"preset", "plugin", "import", "imported block"}
HEAD = 'spec: 1\ninputs: {x: "float[batch, 8]"}\n'


@pytest.fixture
def _watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if the text of a spec opens one of Python's doors. (Torch itself may use `eval`, on texts of its own.)"""
    real = {door: getattr(builtins, door) for door in ("eval", "exec")}

    def run(door: str, text: Any, *more: Any) -> Any:
        assert text != "1", "a spec ran a text"
        return real[door](text, *more)

    def opened(*_: Any) -> None:
        raise AssertionError("a spec opened a door")

    for door in real:
        monkeypatch.setattr(builtins, door, partial(run, door))
    monkeypatch.setattr(builtins, "breakpoint", opened)
    monkeypatch.setattr("os.system", opened)


@pytest.mark.usefixtures("_watched")
@pytest.mark.parametrize("attempt", ATTEMPTS)
@pytest.mark.parametrize("place", PLACES)
def test_an_attempt_is_refused_where_it_stands(place: str, attempt: str) -> None:
    text = head(place) + PLACES[place].format(attempt)
    start = text.index(attempt)
    spans = refused(text)
    assert any(span.start < start + len(attempt) and span.end > start for span in spans), "located elsewhere"


@pytest.mark.parametrize("place", [place for place in PLACES if place not in NOTHING_FITS])
def test_what_is_fine_compiles_there(place: str) -> None:
    """So that an attempt is refused for what it is, and not for where it stands."""
    compiler.compile_text(head(place) + PLACES[place].format(BENIGN.get(place, "1")))


def head(place: str) -> str:
    return "spec: 1\n" if place == "input" else HEAD


@pytest.mark.usefixtures("_watched")
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_program_cannot_either(attempt: str) -> None:
    text = HEAD + f"model:\n  forward: |\n    y = {attempt}\n    return x\n"
    line = text[: text.index(attempt)].count("\n") + 1
    assert {span.line for span in refused(text)} == {line}


def refused(text: str) -> list[Span]:
    """Compile a text that is refused, and return where."""
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(text, imports={"other.yaml": "spec: 1\nblocks: {A: [ReLU]}\n"})
    spans = [diagnostic.span for diagnostic in caught.value.diagnostics]
    assert None not in spans
    return [span for span in spans if span is not None]


@pytest.mark.parametrize(
    "source",
    [
        "import os",
        "from os import system",
        "import torch.hub",
        "x = y.__class__",
        "x = y._modules",
        "eval('1')",
        "x = torch.load('a')",
        "x = torch.hub",
        "x = __builtins__",
        "def f():\n    global g",
        "with x:\n    pass",
        "with torch.no_grad() as f:\n    pass",
        "with torch.no_grad(), x:\n    pass",
        "with torch.no_grad(x):\n    pass",
        "x = torch.enable_grad()",
        "try:\n    x = 1\nexcept E:\n    x = 2",
        "x = lambda: 1",
        "del x",
        "raise x",
        "async def f():\n    pass",
        "import torch as t",
        "import torch.nn.functional as G",
        "from torch import load",
        "def f():\n    import math",
        "class A:\n    from torch import nn",
        "if x:\n    import torch",
        "from torch import nn as n",
        "from collections import abc",
        "from einops import os",
        "x = torch",
        "f(nn)",
        "x = torch.from_file('a')",
        "x = torch.cuda",
        "x = torch.Tensor.numpy",
        "x = nn.DataParallel",
        "x = F.torch",
        "x = torch.nn.functional.os",
        "from torch import fx",
        "from collections import OrderedDict",
        "from collections.abc import Iterator",
        "x = '{0.a}'.format(y)",
        "x = f.format_map",
        "x = getattr(y, 'z')",
        "class A:\n    def f(self, getattr):\n        return 1\n    x = getattr(1, 'a')",
        "x = (y := 1)",
        "nonlocal_ = yield_\nassert x",
        "@open\nclass A:\n    y = 1",
        "y: open('f') = 1",
        "torch.nn: int = 1",
        "torch.relu = 1",
        "a, nn.Linear = 1, 2",
        "for torch.nn.Linear in y:\n    x = 1",
    ],
)
def test_the_verifier_refuses(source: str) -> None:
    with pytest.raises(VerificationError):
        verify(ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        "import math\nimport torch\nimport torch.nn.functional as F\nfrom torch import Tensor, nn",
        "from collections.abc import Callable\nfrom einops import rearrange",
        "class A(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.fc = nn.Linear(1, 2)",
        "x = torch.fft.rfft(F.gelu(torch.zeros(3, dtype=torch.float64)) * math.pi)",
        "def f(input, compile):\n    open = input\n    return compile(open)",
        "def f(x):\n    return torch.Tensor.add(x, x.mean().format_of)",
    ],
)
def test_the_verifier_lets_emitted_forms_pass(source: str) -> None:
    verify(ast.parse(source))
