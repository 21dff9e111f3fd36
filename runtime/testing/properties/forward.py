"""Properties of a call: what comes out, whether it is the same again, and what it leaves behind."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compiler.infer.block_parameters import dtype_of
from compiler.infer.values import tensors_in
from runtime.testing.case import MODES, TRAINING, Case, call, fixed_random
from runtime.testing.comparison import difference, form
from runtime.testing.forms import BATCH, tensor_type
from runtime.testing.outcome import Failure, Skip
from spec_schema.evaluate import evaluate
from spec_schema.tensors import TensorType

FLOAT = "float"
"""The dtype of a hint that means the model's."""
FEWEST = 2
"""Items of a batch that could meet each other."""


def runs(case: Case) -> None:
    """The layer can be made and called, in both modes, and gives at least one tensor."""
    for mode in MODES:
        output = call(case.make().train(mode), case.values())
        if not tensors_in(output):
            raise Failure(f"it returns {form(output)}")


def shapes(case: Case) -> None:
    """On the meta device, and as hints say, shapes and dtypes are the real ones."""
    for mode in MODES:
        real = call(case.make().train(mode), case.values())
        with torch.device("meta"):
            layer = case.construct().train(mode)
        meta = layer.to("meta")(**{name: each.to("meta") for name, each in case.values().items()})
        when = "training" if mode == TRAINING else "evaluating"
        if form(meta) != form(real):
            raise Failure(f"{when}, it gives {form(meta)} on the meta device, and {form(real)} on the CPU")
        if wrong := _unlike_hints(case, real):
            raise Failure(f"{when}, it gives {wrong}")


def _unlike_hints(case: Case, output: Any) -> str | None:
    """Return how an output differs from the types that the hints give, None where it does not."""
    given = output_types(case)
    tensors = tensors_in(output)
    if given and len(given) != len(tensors):
        return f"{form(output)}, where the hints say {', '.join(map(str, given))}"
    for wanted, tensor in zip(given, tensors, strict=False):
        sizes = [evaluate(part, case.names) for part in wanted.dimensions]
        dtype = torch.float32 if wanted.dtype == FLOAT else dtype_of(wanted.dtype)
        if list(tensor.shape) != sizes or tensor.dtype != dtype:
            return f"{form(tensor)}, where the hints say {wanted}: {sizes}"
    return None


def output_types(case: Case) -> list[TensorType]:
    """Return the types that the hints give for what comes out."""
    given = case.subject.hints.output or []
    return [tensor_type(case.subject, text) for text in ([given] if isinstance(given, str) else given)]


def inputs(case: Case) -> None:
    """No input is changed in place, unless `inplace=True` asks for that."""
    if case.names.get("inplace") is True:
        raise Skip("`inplace=True` asks for the change")
    for mode in MODES:
        layer, values = case.make().train(mode), case.values()
        with fixed_random(0):
            layer(**values)
        for name, before in case.values().items():
            found = difference(before, values[name], exact=True)
            if found is not None:
                raise Failure(f"`{name}` is changed: from and to {found}", "an operation works in place")


def evaluation(case: Case) -> None:
    """In evaluation mode the output is a function of the inputs, whatever was called in between."""
    layer = case.make()
    before = {name: each.clone() for name, each in layer.state_dict().items()}
    first = call(layer, case.values(), seed=1)
    call(layer, case.values(more=1), seed=2)
    found = difference(first, call(layer, case.values(), seed=3), exact=True)
    if found is not None:
        raise Failure(
            f"the same inputs give {found}", "it draws random numbers, or keeps something, when evaluating"
        )
    for name, each in layer.state_dict().items():
        if (found := difference(before[name], each, exact=True)) is not None:
            raise Failure(
                f"`{name}` changes when evaluating: from and to {found}", "look at `self.training` first"
            )


def training(case: Case) -> None:
    """In training mode the output follows from the seed of torch's generator."""
    first, second = (call(case.make().train(), case.values(), seed=4) for _ in range(2))
    found = difference(first, second, exact=True)
    if found is not None:
        raise Failure(f"the same seed gives {found}", "it draws from another source than torch's generator")


def random_state(case: Case) -> None:
    """Neither constructor nor forward seeds a generator, and none but torch's is drawn from."""
    layer, values = case.make().train(), case.values()
    works: dict[str, Callable[[], object]] = {
        "the constructor": case.construct,
        "forward": lambda: layer(**values),
    }
    for what, work in works.items():
        before = _foreign_states()
        ends = [_torch_state_after(work, seed) for seed in (1, 2)]
        changed = [name for name, state in _foreign_states().items() if state != before[name]]
        if changed:
            raise Failure(
                f"{what} uses {changed[0]}", "draw from torch's generator, which seeds and names reach"
            )
        if torch.equal(*ends):
            raise Failure(f"{what} seeds torch's generator", "leave `torch.manual_seed` to the caller")


def _torch_state_after(work: Callable[[], object], seed: int) -> Tensor:
    with fixed_random(seed):
        work()
        return torch.get_rng_state()


def _foreign_states() -> dict[str, object]:
    numpy: Any = np.random.get_state(legacy=False)
    keys, position = numpy["state"]["key"], numpy["state"]["pos"]
    return {"Python's `random`": random.getstate(), "NumPy's random numbers": (keys.tobytes(), position)}


def batch(case: Case) -> None:
    """Each item of a batch gives, alone, what it gives in the batch."""
    places = {name: each.batch for name, each in case.inputs.items() if each.batch is not None}
    sizes = {case.inputs[name].shape[at] for name, at in places.items()}
    if len(sizes) != 1:
        raise Skip(
            "the hints name no dimension `batch`" if not sizes else "its inputs have batches of several sizes"
        )
    layer, values = case.make(), case.values()
    whole = tensors_in(call(layer, values))
    items = []
    for item in range(sizes.pop()):
        alone = {n: t.narrow(places[n], item, 1) if n in places else t for n, t in values.items()}
        items.append(tensors_in(call(layer, alone)))
    types = output_types(case)
    for number, tensor in enumerate(whole):
        if not types or BATCH in map(str, types[number].dimensions):
            _check_items(tensor, [each[number] for each in items if number < len(each)])


def _check_items(whole: Tensor, items: Sequence[Tensor]) -> None:
    """Compare what a batch gives with what its items give, along the dimension in which those are smaller."""
    if len(items) < FEWEST:
        return
    one = items[0]
    smaller = [at for at, size in enumerate(whole.shape) if at >= one.ndim or one.shape[at] != size]
    at = smaller[0] if smaller else None
    if at is None or any(
        each.ndim != whole.ndim or each.shape[at] * len(items) != whole.shape[at] for each in items
    ):
        raise Failure(f"one item alone gives {form(one)}, and the batch {form(whole)}")
    found = difference(whole, torch.cat(list(items), dim=at))
    if found is not None:
        raise Failure(f"in the batch and alone an item gives {found}", "items of a batch meet each other")
