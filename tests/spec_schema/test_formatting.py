"""The canonical form of a spec's text, rule by rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from spec_schema.canonical import plain
from spec_schema.diagnostics import SpecError
from spec_schema.formatting.canonical_form import as_json, as_yaml, formatted
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.reader import read_text

SPECS = sorted((Path(__file__).parents[2] / "specs").rglob("*.yaml"))
FORMS = {
    "quotes that are not needed": (
        "spec: 1\ndoc: \"A model.\"\nmodel: ['Linear(8)', \"Conv2d(8, 3)\"]\n",
        'spec: 1\ndoc: A model.\nmodel: [Linear(8), "Conv2d(8, 3)"]\n',
    ),
    "quotes that are": (
        "spec: 1\nvars: {a: 'no', b: '1', c: \"'t'\", d: 'null', e: ''}\n",
        "spec: 1\nvars: {a: \"no\", b: \"1\", c: \"'t'\", d: \"null\", e: \"\"}\n",
    ),
    "single quotes around double ones": (
        'spec: 1\nvars:\n  a: "\\"x\\" or \\"y\\""\n',
        "spec: 1\nvars:\n  a: '\"x\" or \"y\"'\n",
    ),
    "words of YAML": ("spec: 1\nvars: {a: ~, b: True, c: 0x10, d: 1e-3}\n",) * 1
    + ("spec: 1\nvars: {a: null, b: true, c: 0x10, d: 1e-3}\n",),
    "the order of sections": (
        "model: [ReLU]\n# of one\ninputs: {x: float32}  # dim\nspec: 1\n",
        "spec: 1\n# of one\ninputs: {x: float32}  # dim\nmodel: [ReLU]\n",
    ),
    "the order of a repeat": (
        "spec: 1\nmodel:\n- of: ReLU\n  repeat: 3\n",
        "spec: 1\nmodel:\n  - repeat: 3\n    of: ReLU\n",
    ),
    "names stay in their order": (
        "spec: 1\nmodel: {layers: {of: ReLU, init: Tanh, doc: ReLU}, doc: x}\n",
        "spec: 1\nmodel: {doc: x, layers: {of: ReLU, init: Tanh, doc: ReLU}}\n",
    ),
    "branches may be called like keys": (
        "spec: 1\nmodel:\n  combine: add\n  parallel: {combine: ReLU, layer: Tanh}\n",
        "spec: 1\nmodel:\n  parallel: {combine: ReLU, layer: Tanh}\n  combine: add\n",
    ),
    "comments in brackets": (
        "spec: 1\nvars: {a: [1,  # one\n  2], # two\n  b: 3}\n",
        "spec: 1\nvars:\n  a:  # two\n    - 1        # one\n    - 2\n  b: 3\n",
    ),
    "comments behind the last entry": (
        "spec: 1\nmodel:\n- ReLU\n# out\n\n  # in\n",
        "spec: 1\nmodel:\n  - ReLU\n# out\n\n# in\n",
    ),
    "comments by their column": (
        "spec: 1\nmodel:\n  - a:\n      - ReLU\n      # inner\n    # middle\n  # outer\n# end\ninit: []\n",
        "spec: 1\nmodel:\n  - a:\n      - ReLU\n      # inner\n    # middle\n  # outer\n# end\ninit: []\n",
    ),
    "comments that are none": (
        "spec: 1\nmodel:\n  forward: |  # a program\n    # its own\n    return x  # too\n  # not its own\n",
        "spec: 1\nmodel:\n  forward: |  # a program\n    # its own\n    return x  # too\n  # not its own\n",
    ),
    "comments behind a key": (
        "spec: 1\nmodel: # the model\n    - ReLU\n",
        "spec: 1\nmodel:  # the model\n  - ReLU\n",
    ),
    "empty lines": (
        "\n\n# a\n\n\nspec: 1\n\n\nmodel:\n\n  - ReLU\n\n\n  - Tanh\n\n\n",
        "# a\n\nspec: 1\n\nmodel:\n  - ReLU\n\n  - Tanh\n",
    ),
    "anchors keep the order": (
        "model: [&a ReLU, *a]\nspec: 1\n",
        "model: [&a ReLU, *a]\nspec: 1\n",
    ),
    "marks of a document": ("\ufeff%YAML 1.2\n---\nspec: 1\r\nmodel: [ReLU]\r\n...\n", "spec: 1\nmodel: [ReLU]\n"),
    "texts of several lines": (
        'spec: 1\ndoc: "a\\nb"\nmodel: {forward: "y = x\\nreturn y\\n"}\n',
        'spec: 1\ndoc: |-\n  a\n  b\nmodel:\n  forward: |\n    y = x\n    return y\n',
    ),
    "folded texts": ("spec: 1\ndoc: >-\n  one\n  two\n", "spec: 1\ndoc: one two\n"),
    "blanks in programs": (
        "spec: 1\nmodel:\n    forward: |\n        y = x  \n\n        return y\n",
        "spec: 1\nmodel:\n  forward: |\n    y = x  \n\n    return y\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), FORMS.values(), ids=FORMS.keys())
def test_the_form(before: str, after: str) -> None:
    assert formatted(before, "a.yaml") == after
    assert formatted(after, "a.yaml") == after


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_the_specs_of_this_project_have_it(path: Path) -> None:
    text = path.read_text()
    assert formatted(text, path.name) == text


def test_long_lines() -> None:
    many = ", ".join(f"name{number}: {number}" for number in range(20))
    call = f"Linear({', '.join(f'argument{number}' for number in range(14))})"
    text = f"spec: 1\nvars: {{{many}}}\nmodel:\n  - {call}\n  - {{if: x, then: '{call}'}}\n"
    found = formatted(text, "a.yaml")
    assert max(map(len, found.splitlines())) <= 120
    assert found.splitlines()[1:4] == [
        "vars:",
        f"  {{{many[: many.index(' name11:')]}",
        f"   {many[many.index('name11:') :]}}}",
    ]
    assert found.splitlines()[4:] == [
        "model:",
        f"  - {call[: call.index(' argument10')]}",
        f"    {call[call.index('argument10') :]}",
        "  - if: x",
        f"    then: {call[: call.index(' argument9')]}",
        f"      {call[call.index('argument9') :]}",
    ]
    assert formatted(found, "a.yaml") == found


def test_json() -> None:
    text = '{"model": ["Conv2d(8, 3)", {"a": "ReLU"}], "spec": 1, "vars": {"e": 1e-3}}'
    json = formatted(text, "a.json")
    assert json.splitlines()[1] == '  "spec": 1,'
    assert formatted(json, "a.json") == json
    yaml = as_yaml(json, "a.json")
    assert yaml == 'spec: 1\nvars: {e: 0.001}\n\nmodel:\n  - Conv2d(8, 3)\n  - a: ReLU\n'  # fmt: skip
    assert as_json(yaml, "a.yaml") == json


@pytest.mark.parametrize("text", ["", "a: [", "spec: 1\nmodle: [ReLU]\n", "spec: 1\nvars: {a: 1, a: 2}\n"])
def test_what_is_no_spec_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        formatted(text, "a.yaml")


def test_a_key_that_is_too_long_for_a_line_stays() -> None:
    text = f"spec: 1\nimport:\n  ? {'a' * 1200}.yaml\n  : [ Block ]\n"
    assert formatted(text, "a.yaml") == text
    assert plain(read_text(text, "a.yaml", DEFAULT_LIMITS))
