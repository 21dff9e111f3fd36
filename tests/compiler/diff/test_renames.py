"""Renames that are proposed: whatever the names are, they do what is meant, and few of them where that can be."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis.strategies import DrawFn, composite, integers, lists, permutations, sampled_from

from compiler.diff.covers import cover
from compiler.diff.renames import Name, renamed, renames
from spec_schema.renaming import parse_pattern

Names = Mapping[str, str]


def named(wanted: Names, *repeats: str) -> list[Name]:
    """Return names on their way; the copies of `repeats` have numbers."""

    def parts(name: str) -> tuple[str, ...]:
        found = name.split(".")
        return tuple(
            "*" if part.isdigit() and ".".join(found[:at]) in repeats else part
            for at, part in enumerate(found)
        )

    return [Name(now, new, parts(now), parts(new)) for now, new in wanted.items()]


def every(pattern: str, *names: str) -> list[str]:
    return [pattern.format(name) for name in names]


@pytest.mark.parametrize(
    ("now", "wanted", "repeats", "expected"),
    [
        (["a.w", "a.b", "c.w"], ["x.w", "x.b", "c.w"], (), {"a": "x"}),
        (["h.0.a.w", "h.1.a.w"], ["e.h.0.a.w", "e.h.1.a.w"], ("h", "e.h"), {"h": "e.h"}),
        (["e.h.0.a.w", "e.b"], ["h.0.a.w", "b"], ("h", "e.h"), {"/e": "/"}),
        (["h.0.a.w", "h.1.a.w"], ["h.1.a.w", "h.0.a.w"], ("h",), {"/h.{0,1}": "/h.{1,0}"}),
        (["h.2.a.w", "h.4.a.w"], ["h.1.b.w", "h.2.b.w"], ("h",), {"/h.{2,4}": "/h.{1,2}", "a": "b"}),
        (["n.gamma", "n.beta"], ["n.weight", "n.bias"], (), {"{gamma,beta}": "{weight,bias}"}),
        (
            ["h.0.at.self.q.w", "h.0.at.self.k.w", "h.0.at.out.w", "h.1.at.out.w"],
            ["h.0.at.q.w", "h.0.at.k.w", "h.0.o.w", "h.1.o.w"],
            ("h",),
            {"at.{self,out}": "{at,o}"},
        ),
    ],
)
def test_renames_are_as_a_person_would_write_them(
    now: list[str], wanted: list[str], repeats: tuple[str, ...], expected: Names
) -> None:
    names = named(dict(zip(now, wanted, strict=True)), *repeats)
    found = renames(names)
    assert [renamed(name.now, found) for name in names] == wanted
    assert dict(found) == expected


def test_layers_that_change_places_go_through_a_place_of_their_own() -> None:
    names = named({"a.w": "b.w", "a.v": "b.v", "b.w": "a.w"})
    assert dict(renames(names)) == {"/a": "/_.b", "/b": "/_.a", "/_": "/"}


PARTS = ("a", "b", "c", "fc1", "0", "1", "2", "weight")


@composite
def two_namings(draw: DrawFn) -> Names:
    """Draw names that are none inside of others, before and after."""
    every = lists(sampled_from(PARTS), min_size=1, max_size=4).map(".".join)
    now = draw(lists(every, min_size=1, max_size=6, unique=True))
    new = draw(lists(every, min_size=len(now), max_size=len(now), unique=True))
    kept = [
        (one, other)
        for one, other in zip(now, new, strict=True)
        if _is_leaf(one, now) and _is_leaf(other, new)
    ]
    return dict(kept)


def _is_leaf(name: str, names: list[str]) -> bool:
    return not any(each.startswith(f"{name}.") for each in names)


@given(two_namings(), sampled_from([(), ("a",), ("", "a", "b", "a.b")]))
def test_any_names_become_any_others(wanted: Names, repeats: tuple[str, ...]) -> None:
    names = named(wanted, *repeats)
    found = renames(names)
    assert [renamed(name.now, found) for name in names] == list(wanted.values())


@given(
    lists(
        sampled_from(PARTS).flatmap(lambda p: integers(0, 12).map(lambda n: f"{p}.{n}.w")), unique=True
    ).flatmap(permutations),
    integers(0, 20),
)
def test_a_cover_names_what_is_wanted_and_nothing_else(names: list[str], count: int) -> None:
    wanted = names[:count]
    patterns = [parse_pattern(text, None) for text in cover(wanted, sorted(names))]
    assert [name for name in names if any(pattern.match(name) for pattern in patterns)] == wanted


def test_a_cover_is_short() -> None:
    names = [f"h.{at}.{part}" for at in range(12) for part in ("a.w", "a.b", "c")]
    assert cover([name for name in names if int(name.split(".")[1]) > 5], names) == ["/h.[6-11]"]
    assert cover([name for name in names if name.endswith("w")], names) == ["/h.*.a.w"]
    assert cover(names, names) == ["/"]
    assert cover([], names) == []
