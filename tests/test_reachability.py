"""No spec can reach an import, an attribute or a call outside the tables, from any place that holds text."""

from __future__ import annotations

import ast
import builtins
from functools import partial
from typing import Any

import pytest

import compiler
from compiler.verify import VerificationError, verify

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
    "buffer": 'model:\n  buffers:\n    b: {{value: "{}"}}\n  forward: |\n    return x + b\n',
    "dimension": 'model:\n  parameters:\n    p: {{tensor: "float[{}]", init: ones}}\n'
    "  forward: |\n    return x * p.sum()\n",
    "block variable": 'model:\n  vars: {{a: "{}"}}\n  forward: |\n    return x * a\n',
}
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
    refused(HEAD + PLACES[place].format(attempt))


@pytest.mark.usefixtures("_watched")
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_program_cannot_either(attempt: str) -> None:
    refused(HEAD + f"model:\n  forward: |\n    y = {attempt}\n    return x\n")


def refused(text: str) -> None:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(text)
    assert all(diagnostic.span is not None for diagnostic in caught.value.diagnostics)


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
        "try:\n    x = 1\nexcept E:\n    x = 2",
        "x = lambda: 1",
        "del x",
        "raise x",
        "async def f():\n    pass",
    ],
)
def test_the_verifier_refuses(source: str) -> None:
    with pytest.raises(VerificationError):
        verify(ast.parse(source))
