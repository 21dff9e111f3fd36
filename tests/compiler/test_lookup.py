"""Many rules are looked up at once: the same are found as one by one, without a look at each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import compiler
from compiler.rules import lookup
from compiler.rules.lookup import Lookup, Node
from spec_schema.selectors import Step, parse_selector

COMPONENTS = [
    "h",
    "a1",
    "a2",
    "0",
    "1",
    "Linear",
    "weight",
    "*",
    "**",
    "a?",
    "{a1,h}",
    "x{0,1}",
    "[0-1]",
    "h[0]",
]
COMPONENTS += ["h[-1]", "*[1:]", "Base", "[ah]*"]
PATHS = st.lists(
    st.builds(
        Step,
        st.sampled_from(["h", "a1", "a2", "0", "1", "x0", "weight", ""]),
        st.sampled_from(["", "Linear", "Sequential"]),
        st.sampled_from([None, (0, 2), (1, 2)]),
        st.sampled_from(["", "Base"]),
    ),
    max_size=4,
)
SELECTORS = st.builds(
    lambda anchor, parts: anchor + ".".join(parts),
    st.sampled_from(["", "/"]),
    st.lists(st.sampled_from(COMPONENTS), min_size=1, max_size=4),
)


@given(st.lists(SELECTORS, max_size=6), st.lists(PATHS, min_size=1, max_size=4))
def test_the_same_rules_are_found_as_one_by_one(texts: list[str], paths: list[list[Step]]) -> None:
    selectors = [parse_selector(text, None).bound({}) for text in texts]
    found = Lookup((selector, number) for number, selector in enumerate(selectors))
    for path in paths:
        assert list(found.matching(path)) == [n for n, each in enumerate(selectors) if each.matches(path)]
        assert list(found.naming(path)) == [n for n, each in enumerate(selectors) if each.names(path)]


def test_the_empty_path_is_named_by_the_root_and_by_stars() -> None:
    found = Lookup((parse_selector(text, None), text) for text in ["/", "**", "h", "/**.h"])
    assert list(found.naming([])) == list(found.matching([])) == ["/", "**"]


SECTIONS = {
    "init": lambda at: f"  - h.{at}.weight: zeros\n",
    "init of items": lambda at: f"  - h[{at}].weight: zeros\n",
    "init of choices": lambda at: f'  - "h.{{{at},{at}}}.weight": zeros\n',
    "freeze": lambda at: f"  - h.{at}\n",
    "placement": lambda at: f"  - h.{at}: cpu\n",
    "parametrize": lambda at: f"  - h.{at}.weight: spectral_norm\n",
    "share": lambda at: f"  g{at}: [h.{2 * at}, h.{2 * at + 1}]\n",
}


def spec(section: str, count: int) -> str:
    """Return a spec with one rule for each layer, or for each pair of layers."""
    rules = "".join(SECTIONS[section](at) for at in range(count))
    layers = 2 * count if section == "share" else count
    head = 'spec: 1\ninputs: {x: "float32[batch, 4]"}\nmodel:\n  layers:\n    h:'
    return (
        f"{head} {{repeat: {layers}, of: Linear(4)}}\n  forward: return h(x)\n{section.split()[0]}:\n{rules}"
    )


@pytest.mark.parametrize("section", SECTIONS)
def test_a_rule_for_each_layer_takes_steps_in_proportion(
    section: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    beyond, names = Node.beyond, lookup._names

    def counted(self: Node, step: Step) -> list[Node]:
        found = list(beyond(self, step))
        looks.append(1 + len(found))
        return found

    def tried(*arguments: object) -> bool:
        looks.append(1)
        return names(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Node, "beyond", counted)
    monkeypatch.setattr(lookup, "_names", tried)
    taken = []
    for count in (20, 80):
        looks.clear()
        compiler.compile_text(spec(section, count))
        taken.append(sum(looks))
    assert 0 < taken[1] <= 4.2 * taken[0]
