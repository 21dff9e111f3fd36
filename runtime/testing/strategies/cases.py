"""Examples of a layer: its arguments, and the inputs that it is given."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from hypothesis import Phase, assume, find, settings
from hypothesis import strategies as st

from compiler.catalogue.layer_types import REQUIRED, Argument
from runtime.testing.case import Case, Input, call, fixed_random
from runtime.testing.forms import BATCH, Form, expression, hinted_forms, is_met, possible_forms
from runtime.testing.hint_checks import check_hints
from runtime.testing.strategies.arguments import arguments
from runtime.testing.strategies.tensors import Draw
from runtime.testing.subject import HintError, Subject
from spec_schema.evaluate import evaluate
from spec_schema.tensors import TensorType

SIZES = (1, 4)
TRIED = 4
"""The size that follows from an input, in the trials that find what a layer takes. Each other size is its own."""
REFUSALS = (ValueError, AssertionError)
"""What a constructor raises for arguments that do not go together."""


def cases(subject: Subject) -> st.SearchStrategy[Case]:
    """Return a strategy of examples of a layer; the simplest has the smallest sizes, and writes no argument.

    Arguments that the layer's constructor refuses by ValueError or AssertionError are not drawn.

    Raises:
        HintError: what the layer takes is not known, and a hint has to say it.
    """
    check_hints(subject)
    forms = hinted_forms(subject) if subject.hints.inputs else tried_forms(subject)
    values = {each.name: _values(subject, each) for each in subject.layer.arguments}
    return _cases(subject, forms, values)


@st.composite
def _cases(
    draw: Draw, subject: Subject, forms: Sequence[Form], values: Mapping[str, st.SearchStrategy[Any] | None]
) -> Case:
    form = draw(st.sampled_from(forms))
    inferred, written = {}, {}
    for argument in subject.layer.arguments:
        strategy = values[argument.name]
        if argument.deferred is not None:
            inferred[argument.name] = draw(strategy if strategy is not None else st.integers(*SIZES))
        elif strategy is not None and (_is_needed(subject, argument) or draw(st.integers(0, 2)) == 2):
            written[argument.name] = draw(strategy)
    known = {each.name for each in subject.layer.arguments}
    sizes = {
        name: draw(st.integers(*subject.hints.sizes.get(name, SIZES)))
        for name in form.names()
        if name not in known
    }
    case = with_inputs(Case(subject, written, inferred, {}, sizes, draw(st.integers(0, 99))), form)
    assume(case is not None and _allowed(case))
    assert case is not None
    return case


def _is_needed(subject: Subject, argument: Argument) -> bool:
    """Return whether an argument may not be left out: it has no default, or hints allow only other values."""
    hint = subject.hints.arguments.get(argument.name)
    return argument.default is REQUIRED or (isinstance(hint, Sequence) and argument.default not in hint)


def with_inputs(case: Case, form: Form) -> Case | None:
    """Return a case with inputs of a form, None where a dimension is no size."""
    inputs = {}
    for name, each in form.types.items():
        shape = tuple(evaluate(part, case.names) for part in each.dimensions)
        if any(type(size) is not int or size < 0 for size in shape):
            return None
        inputs[name] = Input(each.dtype, shape, _batch(case, each, shape), *_bounds(case, name))
    return Case(case.subject, case.written, case.inferred, inputs, case.sizes, case.seed)


def _batch(case: Case, tensor: TensorType, shape: tuple[int, ...]) -> int | None:
    """Return the dimension of the items of a batch: the first that grows with it."""
    if BATCH not in case.sizes:
        return None
    more = {**case.names, BATCH: case.sizes[BATCH] + 1}
    grows = [evaluate(part, more) > size for part, size in zip(tensor.dimensions, shape, strict=True)]
    return grows.index(True) if True in grows else None


def _bounds(case: Case, name: str) -> tuple[float | None, float | None]:
    given = case.subject.hints.values.get(name)
    if given is None:
        return None, None
    low, high = (
        evaluate(expression(case.subject, each), case.names) if isinstance(each, str) else each
        for each in given
    )
    return low, high


def _allowed(case: Case) -> bool:
    """Return whether the conditions of the hints are met, and the constructor takes the arguments."""
    if not all(is_met(case.subject, "where", text, case.names) for text in case.subject.hints.where):
        return False
    try:
        with fixed_random(0):
            case.construct()
    except REFUSALS:
        return False
    except Exception:  # any other error is for the property `runs` to tell
        return True
    return True


def _values(subject: Subject, argument: Argument) -> st.SearchStrategy[Any] | None:
    """Return what to draw for an argument; None leaves it out."""
    hint = subject.hints.arguments.get(argument.name)
    if hint is not None:
        return hint if isinstance(hint, st.SearchStrategy) else st.sampled_from(list(hint))
    found = arguments(argument)
    if found is None and argument.default is REQUIRED and argument.deferred is None:
        raise HintError(
            f"{subject.layer.name}: its annotation does not say what `{argument.name}` may be; "
            f"give values in hints.arguments"
        )
    return found


def tried_forms(subject: Subject) -> list[Form]:
    """Return the forms of inputs on which the layer runs, of those that can be tried.

    Raises:
        HintError: it runs on none of them.
    """
    found: list[Form] = []
    reason: Exception | None = None
    for form in possible_forms(subject):
        if found and (form.dtype != found[0].dtype or form.rank == 1):
            continue
        error = _trial(subject, form)
        if error is None:
            found.append(form)
        elif reason is None:
            reason = error
    if not found:
        said = f": {type(reason).__name__}: {reason}" if reason is not None else ""
        raise HintError(
            f"{subject.layer.name} ran on none of the inputs that were tried{said}",
            f"say what it takes, for example @layer(hints=Hints(inputs={_example(subject)}))",
        )
    return found


def _example(subject: Subject) -> dict[str, str]:
    """Return hints of the form that is tried first, to start from."""
    form = next(possible_forms(subject), None)
    return {} if form is None else {name: str(each) for name, each in form.types.items()}


def _trial(subject: Subject, form: Form) -> Exception | None:
    """Return what a layer raises on inputs of a form, with arguments as simple as they can be."""
    simple = {
        argument.name: _simplest(subject, argument)
        for argument in subject.layer.arguments
        if argument.default is REQUIRED and argument.deferred is None
    }
    inferred = {each.name: TRIED for each in subject.layer.arguments if each.deferred is not None}
    sizes = {name: TRIED + number for number, name in enumerate(form.names(), start=1)}
    case = with_inputs(Case(subject, simple, inferred, {}, sizes), form)
    assert case is not None
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call(case.make(), case.values())
    except Exception as error:
        return error
    return None


def _simplest(subject: Subject, argument: Argument) -> Any:
    strategy = _values(subject, argument)
    assert strategy is not None
    return find(strategy, lambda value: True, settings=settings(database=None, phases=[Phase.generate]))
