"""What hostile specs brought to light, each as small as it gets."""

from __future__ import annotations

import pytest

import compiler
from tests.hostile.trials import check_shown

HEAD = 'spec: 1\ninputs: {x: "float[batch, 4]"}\n'
ELLIPSIS_AS_A_VALUE = {
    "index": 'vars: {n: "..."}\nmodel:\n  forward: |\n    return x[n]\n',
    "argument": 'vars: {n: "..."}\nblocks:\n  B(k): [ReLU]\nmodel: [B(n)]\n',
    "list": "vars: {n: '[...]'}\nmodel: [{repeat: n, of: ReLU}]\n",
    "local": "model:\n  forward: |\n    n = ...\n    return x[n]\n",
    "output": "model:\n  forward: |\n    return x, ...\n",
}


def refused(text: str) -> list[str]:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(text)
    check_shown(caught.value.diagnostics)
    return [found.code for found in caught.value.diagnostics]


@pytest.mark.parametrize("place", ELLIPSIS_AS_A_VALUE)
def test_an_ellipsis_is_an_index_and_no_value(place: str) -> None:
    assert refused(HEAD + ELLIPSIS_AS_A_VALUE[place]) == ["not-in-language"]


def test_an_ellipsis_in_an_index_is_what_it_always_was() -> None:
    compiler.compile_text(
        HEAD + "model:\n  forward: |\n    return x[...] + x[..., :1] + x[(..., 0)][:, None]\n"
    )


def test_what_is_missing_at_the_end_of_a_file_is_inside_it() -> None:
    assert refused(HEAD + "model:\n  - ReLU\n  -") == ["wrong-type"]
