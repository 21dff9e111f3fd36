"""What a coverage-guided fuzzer calls: `make fuzz`. It needs no torch: specs are read and their names looked up.

The first byte of an input says what the rest is. The inputs that reach something of their own are in `corpus/`;
`test_corpus.py` goes through them without the fuzzer.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

from compiler.catalogue.plugins import Registry
from compiler.load import load
from compiler.pipeline import TextFiles
from compiler.resolve.program import resolve
from spec_schema.clock import timed
from spec_schema.diagnostics import Diagnostic, SpecError
from spec_schema.evaluate import evaluate
from spec_schema.grammar import parse_expression, parse_program
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.reader import read_bytes
from spec_schema.render import render_full, render_json, render_short
from spec_schema.scalars import Scalar
from spec_schema.selectors import parse_selector
from spec_schema.source import SourceFile, Span
from spec_schema.tensors import parse_tensor

NAMES: dict[str, object] = {"n": 4, "rate": 0.5, "sizes": [1, 2, 3], "word": "gelu", "flag": True}
HEAD = 'spec: 1\ninputs: {x: "float[batch, 8]"}\n'
STEPS = ("weight", ""), ("0", "Linear"), ("h", "Sequential")


def scalar(text: str) -> Scalar:
    return Scalar(text, Span(SourceFile("spec.yaml", text), 0, len(text)), "plain", text)


def spec(text: str, name: str) -> None:
    files = TextFiles({name: text, "other.yaml": "spec: 1\nblocks: {A: [ReLU]}\n"})
    resolve(load(name, files), Registry())


def document(data: bytes) -> None:
    read_bytes(data, "spec.yaml", DEFAULT_LIMITS)


def selector(text: str) -> None:
    found = parse_selector(text, scalar(text).span)
    assert found.names(()) <= found.matches(())
    assert found.names(STEPS) <= found.matches(STEPS)


def decoded(read: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: read(data.decode("utf-8", "replace"))


TARGETS: tuple[Callable[[bytes], object], ...] = (
    document,
    decoded(lambda text: spec(text, "spec.yaml")),
    decoded(lambda text: spec(text, "spec.json")),
    decoded(lambda text: spec(f"{HEAD}{text}", "spec.yaml")),
    decoded(lambda text: evaluate(parse_expression(scalar(text)), NAMES)),
    decoded(lambda text: parse_program(scalar(text))),
    decoded(selector),
    decoded(lambda text: parse_tensor(scalar(text))),
)


def one_input(data: bytes) -> None:
    """Try one input. It may be refused in its place; any other error is a bug."""
    target = TARGETS[data[0] % len(TARGETS)] if data else document
    try:
        with timed(DEFAULT_LIMITS.compile_seconds), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target(data[1:])
    except SpecError as error:
        check(error.diagnostics)


def check(diagnostics: tuple[Diagnostic, ...]) -> None:
    """Check that what was refused says where, and can be shown."""
    assert diagnostics
    for each in diagnostics:
        assert each.span is not None, each.code
        assert 0 <= each.span.start <= each.span.end <= len(each.span.file.text), each.code
    for text in (render_full(diagnostics, False, DEFAULT_LIMITS), render_short(diagnostics, DEFAULT_LIMITS)):
        assert all(char == "\n" or char.isprintable() for char in text), "a control character is shown"
    render_json(diagnostics)
