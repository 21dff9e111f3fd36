"""The arguments of a block: what differs between its instances."""

from __future__ import annotations

import ast
import inspect
import math
from collections import Counter
from collections.abc import Sequence

from torch import nn

from compiler.catalogue.layers import REQUIRED
from runtime.importing.authors import computed, expression_for, formula_for, formula_text, names_in, word_for
from runtime.importing.nodes import HOLE, Argument, ArgumentValue, LayerCall, Word, key_of
from runtime.importing.programs import Program
from runtime.importing.sizes import plain


class Arguments:
    """The arguments of a block: what differs between its instances, by names that the author would know."""

    def __init__(self, instances: Sequence[nn.Module]) -> None:
        self.instances = instances
        self.vectors: dict[object, tuple[ArgumentValue, ...]] = {}
        self.labels: dict[object, list[tuple[str, ...]]] = {}
        self.chosen: dict[object, str] = {}
        self.filled: dict[object, object] = {}
        """What stands for a vector with holes."""
        self.constant: dict[str, tuple[ArgumentValue, ...]] = {}
        """Attributes that programs read and all instances share."""
        self.formulas: dict[object, str] = {}
        """What the author computes of other arguments."""
        self.derived: dict[str, str] = {}
        """Attributes that the author computes of others, with their formulas."""
        self.common: dict[object, ArgumentValue] = {}
        """What most instances have that have such a thing at all."""

    def collect(self, path: tuple[str, ...], values: tuple[ArgumentValue, ...]) -> ArgumentValue:
        """Take note of one place, and of what each instance has there."""
        told = [each for each in values if each is not HOLE]
        if len(set(map(key_of, told))) > 1:
            key = key_of(values)
            self.vectors[key] = values
            self.labels.setdefault(key, []).append(path)
        return told[0]

    def choose_names(self, taken: set[str]) -> None:
        """Give each argument the name of the author's argument that has its values, else one of the place."""
        self._fill_holes()
        self._find_derived()
        known = self._known()
        self._find_formulas(known, taken)
        used = {*taken, *self.constant}
        ends = Counter(label[-1] for labels in self.labels.values() for label in labels[:1])
        for key, labels in self.labels.items():
            label = labels[0]
            is_own = len(label) == 1 or (ends[label[-1]] == 1 and label[-1] not in self.constant)
            own = label[-1] if is_own else "_".join(label[-2:])
            wanted = known.get(key) or (f"{own}_" if own in taken else own).replace(".", "_")
            wanted = f"n{wanted}" if not wanted.isidentifier() else wanted.rstrip("_")
            name, count = wanted, 1
            while name in used:
                count += 1
                name = f"{wanted}{count}"
            used.add(name)
            self.chosen[key] = name

    def _fill_holes(self) -> None:
        """Let what only some instances have be an argument that has those values, else one of its own."""
        for key, values in list(self.vectors.items()):
            if HOLE not in values:
                continue
            common, _ = Counter(each for each in values if each is not HOLE).most_common(1)[0]
            whole = tuple(common if each is HOLE else each for each in values)
            found = next((each for each in self.vectors.values() if _agree(values, each)), whole)
            self.filled[key] = key_of(found)
            if found is whole:
                self.common[key_of(found)] = common
            self.vectors.setdefault(key_of(found), found)
            self.labels.setdefault(key_of(found), []).extend(self.labels.pop(key))
            del self.vectors[key]

    def _find_derived(self) -> None:
        """Find the arguments of layers that are what the author computes of other attributes."""
        for name in self.derived:
            key = key_of(tuple(attribute(each, name) for each in self.instances))
            if key in self.vectors and all(len(label) > 1 for label in self.labels[key]):
                self.formulas[key] = name
                del self.vectors[key], self.labels[key]

    def _find_formulas(self, words: dict[object, str], taken: set[str]) -> None:
        """Find the arguments of layers that the author computes of other arguments of the block."""
        often = Counter(words.values())
        values = {
            name: self.vectors[key]
            for key, name in words.items()
            if key in self.vectors and often[name] == 1 and name not in taken
        }
        values |= self.constant
        for key, labels in list(self.labels.items()):
            others = {name: each for name, each in values.items() if key_of(each) != key}
            if key in words or any(len(label) < 2 for label in labels):
                continue
            text = self._formula(labels[0], self.vectors[key], others)
            if text is not None:
                self.formulas[key] = text
                del self.vectors[key], self.labels[key]

    def _formula(
        self,
        label: tuple[str, ...],
        wanted: Sequence[ArgumentValue],
        values: dict[str, tuple[ArgumentValue, ...]],
    ) -> str | None:
        """Return what the constructor of each instance computes an argument of a layer of."""
        text = None
        for place, (instance, value) in enumerate(zip(self.instances, wanted, strict=True)):
            made = expression_for(instance, label)
            known = {name: each[place] for name, each in values.items()}
            found = computed(made, known) if made is not None else None
            if found is None or key_of(found[1]) != key_of(value):
                return None
            text = formula_text(found[0])
        return text

    def _known(self) -> dict[object, str]:
        """Return the vectors that are an argument of the class, which its instances keep under its name."""
        found: dict[object, str] = {}
        for name in inspect.signature(type(self.instances[0]).__init__).parameters:
            if all(name in vars(each) for each in self.instances):
                found.setdefault(key_of(tuple(attribute(each, name) for each in self.instances)), name)
        for key, labels in self.labels.items():
            for label in labels:
                if len(label) == 1 and label[0] in vars(self.instances[0]):
                    found.setdefault(key, label[0])
                word = word_for(self.instances[0], label)
                if word is not None:
                    found.setdefault(key, word)
        return found

    def site(self, path: tuple[str, ...], values: tuple[ArgumentValue, ...]) -> ArgumentValue:
        key = key_of(values)
        name = self.chosen.get(self.filled.get(key, key)) or self.formulas.get(self.filled.get(key, key))
        if name is None and HOLE in values:
            name = self._namesake(path[-1], values)
        return Word(name) if name is not None else next(each for each in values if each is not HOLE)

    def _namesake(self, label: str, values: tuple[ArgumentValue, ...]) -> str | None:
        """Return an argument for something of that name that has these values where there are any."""
        for key, name in self.chosen.items():
            is_called_so = name == label or any(each[-1] == label for each in self.labels[key])
            if is_called_so and _agree(values, self.vectors[key]):
                return name
        return None

    def names(self) -> set[str]:
        return set(self.chosen.values())

    def arguments(self, place: int = 0) -> list[Argument]:
        """Return the arguments with the values of one instance, those with a default last."""
        made = [
            Argument(name, self.vectors[key][place], self._default(name, key), first=True)
            for key, name in self.chosen.items()
        ]
        return sorted(made, key=lambda each: each.default is not REQUIRED)

    def _default(self, name: str, key: object) -> object:
        """Return the default that the signature has: the author's, or what most have where that is no number."""
        values = self.vectors[key]
        declared = inspect.signature(type(self.instances[0]).__init__).parameters.get(name)
        default = declared.default if declared is not None else inspect.Parameter.empty
        if isinstance(default, bool | int | float | str) and any(
            key_of(each) == key_of(default) for each in values
        ):
            return default
        if key in self.common:
            return self.common[key]
        if all(isinstance(each, bool) for each in values):
            return 2 * sum(map(bool, values)) > len(values)
        if any(isinstance(each, LayerCall) for each in values):
            common, count = Counter(values).most_common(1)[0]
            return common if 2 * count > len(values) else REQUIRED
        return REQUIRED

    def derive(self, program: Program) -> None:
        """Find what the author computes of other attributes that the program reads."""
        names = {path.partition("[")[0] for path in program.attributes()}
        for name in sorted(names):
            others = names - {name} - set(self.derived)
            made = [
                formula_for(each, name, {other: attribute(each, other) for other in others})
                for each in self.instances
            ]
            if made[0] is not None and None not in made:
                self.derived[name] = formula_text(made[0])
        for name in names - set(self.derived):
            values = tuple(attribute(each, name) for each in self.instances)
            if len(set(map(key_of, values))) == 1:
                self.constant[name] = values

    def constants(self, program: Program) -> dict[str, ArgumentValue]:
        """Return the attributes that a program reads and all instances share, or compute of others."""
        found: dict[str, ArgumentValue] = {}
        for path in program.attributes():
            name = path.partition("[")[0]
            values = tuple(attribute(each, name) for each in self.instances)
            if key_of(values) not in self.chosen and name not in self.derived and _is_finite(values[0]):
                found[name] = values[0]
        return {**found, **{name: Word(self._in_own_words(text)) for name, text in self.derived.items()}}

    def _in_own_words(self, text: str) -> str:
        """Return the formula of an attribute over the arguments of the block, which may bear other names."""
        made = ast.parse(text, mode="eval").body
        for each in names_in(made):
            values = tuple(attribute(instance, each.id) for instance in self.instances)
            each.id = each.id if each.id in self.derived else self.chosen.get(key_of(values), each.id)
        return formula_text(made)

    def attributes(self, program: Program) -> dict[str, ast.expr]:
        """Return how a program writes the attributes that it reads."""
        found: dict[str, ast.expr] = {}
        for path in program.attributes():
            name, _, index = path.partition("[")
            values = tuple(attribute(each, name) for each in self.instances)
            if not _is_finite(values[0]):
                continue  # written as `inf` where it is read: no variable can be that
            known = name if name in self.derived else self.chosen.get(key_of(values), name)
            word: ast.expr = ast.Name(known)
            found[path] = ast.Subscript(word, ast.Constant(int(index[:-1])), ast.Load()) if index else word
        return found

    def literals(self, programs: Sequence[Program]) -> dict[int, str]:
        """Return the numbers of a program that are arguments, by their places."""
        found: dict[int, str] = {}
        for rows in zip(*(each.literals for each in programs), strict=True):
            name = self.chosen.get(key_of(tuple(each.number for each in rows)))
            if name is not None:
                found[rows[0].place] = name
        return found


def attribute(module: nn.Module, name: str) -> ArgumentValue:
    """Return an attribute of a module without the origin of its numbers."""
    found = vars(module).get(name)
    if isinstance(found, tuple | list):
        return tuple(plain(each) for each in found)
    return plain(found)  # type: ignore[no-any-return]


def _is_finite(value: ArgumentValue) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _agree(some: Sequence[ArgumentValue], others: Sequence[ArgumentValue]) -> bool:
    """Return whether others have no holes, and are the same where the first have none."""
    pairs = [(one, other) for one, other in zip(some, others, strict=True) if one is not HOLE]
    return HOLE not in others and all(key_of(one) == key_of(other) for one, other in pairs)
