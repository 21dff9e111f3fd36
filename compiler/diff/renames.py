"""Renames of tensors as a person would write them: `{encoder: transformer, attention.self.query: attention.q_lin}`.

A rename is tried on all names before it is taken, so that what is proposed does what is meant and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from spec_schema.diagnostics import SpecError
from spec_schema.renaming import parse_pattern, parse_template

Parts = tuple[str, ...]
Renames = Mapping[str, str]
WILD = "*"
APART = "_"
"""What names are put under for the time being, where one takes the name of another."""


@dataclass(frozen=True)
class Name:
    """A name on its way: what it is, what it is to be, and its components with `*` for the copies of repeats."""

    now: str
    wanted: str
    parts: Parts
    wanted_parts: Parts


def renames(names: Sequence[Name]) -> Renames:
    """Return the renames, one after the other, that give each name the one that it is to have."""
    balanced = list(map(_balanced, names))
    for ordered in (balanced, balanced[::-1]):
        made = _Renaming(list(ordered)).run()
        if made is not None and _does(made, names):
            shorter = (_merged(made, bare=True), _merged(made, bare=False))
            return next((each for each in shorter if _does(each, names)), made)
    return _one_by_one(names)


def _balanced(name: Name) -> Name:
    """Return a name that is in as many copies before as after; what is beyond is a number like any name."""
    count = min(len(_wild(name.parts)), len(_wild(name.wanted_parts)))
    ours, theirs = _literal(name.now, name.parts, count), _literal(name.wanted, name.wanted_parts, count)
    return Name(name.now, name.wanted, ours, theirs)


def _literal(name: str, parts: Parts, kept: int) -> Parts:
    beyond = set(_wild(parts)[kept:])
    return tuple(
        own if at in beyond else part
        for at, (own, part) in enumerate(zip(name.split("."), parts, strict=True))
    )


def renamed(name: str, by: Renames) -> str:
    """Return a name after renames."""
    for pattern_text, to in by.items():
        pattern = parse_pattern(pattern_text, None)
        match = pattern.match(name)
        name = parse_template(to, pattern, None).fill(match) if match is not None else name
    return name


def _does(by: Renames, names: Iterable[Name]) -> bool:
    try:
        return all(renamed(name.now, by) == name.wanted for name in names)
    except SpecError:
        return False


def _one_by_one(names: Sequence[Name]) -> Renames:
    """Return a rename for each module, or tensor, through a place where none is in the way."""
    wanted = {name.now: name.wanted for name in names}
    moved = dict(_outermost(name.now, name.wanted, wanted) for name in names)
    return {**{f"/{one}": f"/{APART}.{other}" for one, other in moved.items()}, f"/{APART}": "/"}


def _outermost(now: str, new: str, wanted: Mapping[str, str]) -> tuple[str, str]:
    """Return the outermost module around a tensor of which only the path changes, before and after."""
    while True:
        (one, _, name), (other, _, new_name) = now.rpartition("."), new.rpartition(".")
        inside = [each for each in wanted if each.startswith(f"{one}.")]
        if not one or not other or name != new_name:
            return now, new
        if any(wanted[each] != other + each.removeprefix(one) for each in inside):
            return now, new
        now, new = one, other


@dataclass(eq=False)
class _Renaming:
    names: list[Name]
    made: dict[str, str] = field(default_factory=dict)

    def run(self) -> Renames | None:
        """Rename copies of repeats that have other numbers, then everything else. None if a name is in the way."""
        for (before, after), numbers in _copies(self.names).items():
            pattern = f"/{_dotted(before, _braced([one for one, _ in numbers]))}"
            to = f"/{_dotted(after, _braced([other for _, other in numbers]))}"
            if not self._take(
                pattern, to, [_moved(name, before, after, dict(numbers)) for name in self.names]
            ):
                return None
        return self.made if self._inside(self.names) else None

    def _take(self, pattern: str, to: str, expected: list[Name]) -> bool:
        """Add a rename if it gives the names that are expected."""
        if pattern in self.made:
            return False
        try:
            if [renamed(name.now, {pattern: to}) for name in self.names] != [each.now for each in expected]:
                return False
        except SpecError:
            return False
        self.made[pattern] = to
        self.names = expected
        return True

    def _inside(self, names: Sequence[Name]) -> bool:
        """Rename what begins alike as one, then what is inside."""
        left = [name for name in names if name.parts != name.wanted_parts]
        if not left:
            return True
        ours, theirs = _shared(name.parts for name in names), _shared(name.wanted_parts for name in names)
        ours, theirs = self._without_tail(ours, theirs, len(names))
        if ours == theirs or _is_torn(ours, theirs, names):
            return all(self._inside(self._now(group)) for group in _by_next(names, len(ours)))
        return self._rename(ours, theirs) and self._inside(self._now(names))

    def _without_tail(self, ours: Parts, theirs: Parts, count: int) -> tuple[Parts, Parts]:
        """Leave out what both end with, as long as it is still these names, so many, that are meant."""
        while len(ours) > 1 and len(theirs) > 1 and ours[-1] == theirs[-1] and ours != theirs:
            if sum(name.parts[: len(ours) - 1] == ours[:-1] for name in self.names) > count:
                break
            ours, theirs = ours[:-1], theirs[:-1]
        return ours, theirs

    def _now(self, names: Iterable[Name]) -> list[Name]:
        """Return names as they are now."""
        wanted = {name.wanted for name in names}
        return [name for name in self.names if name.wanted in wanted]

    def _rename(self, ours: Parts, theirs: Parts) -> bool:
        """Add the shortest rename that is meant, and no other."""
        if len(_wild(ours)) < len(_wild(theirs)):
            return False
        expected = [_replaced(name, ours, theirs) for name in self.names]
        same = _length(ours, theirs)
        for start in range(min(same, len(ours) - 1, len(theirs) - 1), -1, -1):
            if self._take(".".join(ours[start:]), ".".join(theirs[start:]), expected):
                return True
        return self._take("/" + ".".join(ours), "/" + ".".join(theirs), expected)


def _copies(names: Iterable[Name]) -> Mapping[tuple[str, str], list[tuple[str, str]]]:
    """Return the numbers of copies where some have others, by the paths of the repeats before and after."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for name in names:
        now, wanted = name.now.split("."), name.wanted.split(".")
        for at, place in zip(_wild(name.parts), _wild(name.wanted_parts), strict=False):
            around = ".".join(now[:at]), ".".join(wanted[:place])
            found.setdefault(around, {})[now[at]] = wanted[place]
            if now[at] != wanted[place]:
                break
    moved = {around: list(each.items()) for around, each in found.items()}
    return {around: pairs for around, pairs in moved.items() if any(one != other for one, other in pairs)}


def _moved(name: Name, before: str, after: str, numbers: Mapping[str, str]) -> Name:
    """Return the name of what is in a copy of a repeat, where the copy has another number."""
    inside = name.now.removeprefix(f"{before}.") if before else name.now
    number, dot, rest = inside.partition(".")
    if (inside == name.now and before) or number not in numbers:
        return name
    depth, place = (each.count(".") + bool(each) + 1 for each in (before, after))
    now = _dotted(after, numbers[number]) + dot + rest
    return Name(now, name.wanted, name.wanted_parts[:place] + name.parts[depth:], name.wanted_parts)


def _wild(parts: Parts) -> list[int]:
    return [at for at, part in enumerate(parts) if part == WILD]


def _shared(rows: Iterable[Parts]) -> Parts:
    """Return what all names begin with."""
    first, *others = rows
    length = min((_length(first, other) for other in others), default=len(first))
    return first[:length]


def _length(one: Parts, other: Parts) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (ours, theirs) in pairs if ours != theirs), min(len(one), len(other)))


def _is_torn(ours: Parts, theirs: Parts, names: Sequence[Name]) -> bool:
    """Return whether what begins alike goes to several places, of which `theirs` is but what is around them."""
    if len(names) == 1:
        return False
    if theirs != ours[: len(theirs)]:
        return _wild(ours) != [] and len(_wild(ours)) != len(_wild(theirs))
    same = [name for name in names if name.parts[len(ours) :] == name.wanted_parts[len(theirs) :]]
    return 2 * len(same) < len(names)


def _by_next(names: Sequence[Name], at: int) -> list[list[Name]]:
    groups: dict[str, list[Name]] = {}
    for name in names:
        groups.setdefault(name.parts[at] if at < len(name.parts) else "", []).append(name)
    return list(groups.values()) if len(groups) > 1 else [[name] for name in names]


def _replaced(name: Name, ours: Parts, theirs: Parts) -> Name:
    """Return a name with another beginning, if it has that one."""
    if name.parts[: len(ours)] != ours:
        return name
    now = name.now.split(".")
    found = [part for part, shown in zip(now, name.parts, strict=True) if shown == WILD]
    stars = iter(found[: len(_wild(ours))])
    begin = [next(stars) if part == WILD else part for part in theirs]
    return Name(
        ".".join([*begin, *now[len(ours) :]]),
        name.wanted,
        theirs + name.parts[len(ours) :],
        name.wanted_parts,
    )


def _merged(by: Renames, bare: bool) -> Renames:
    """Return renames with those of layers beside each other as one: `self.{query,key}: {q_lin,k_lin}`.

    Where `bare`, those with nothing in front are taken for such layers too.
    """
    rows: list[tuple[str, str, list[tuple[str, str]]]] = []
    for pattern, to in by.items():
        (around, _, name), (new_around, _, new) = pattern.rpartition("."), to.rpartition(".")
        simple = not {*name, *new} & set("*[{/") and (bare or around != "")
        if rows and simple and rows[-1][:2] == (around, new_around) and rows[-1][2]:
            rows[-1][2].append((name, new))
        else:
            rows.append((around, new_around, [(name, new)] if simple else []))
            if not simple:
                rows[-1] = (pattern, to, [])
    return dict(_row(*row) for row in rows)


def _row(around: str, new_around: str, names: Sequence[tuple[str, str]]) -> tuple[str, str]:
    if not names:
        return around, new_around
    ours, theirs = ([pair[side] for pair in names] for side in (0, 1))
    return _dotted(around, _braced(ours)), _dotted(new_around, _braced(theirs))


def _dotted(around: str, name: str) -> str:
    return f"{around}.{name}" if around else name


def _braced(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{{{','.join(names)}}}"
