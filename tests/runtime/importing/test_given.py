"""Inputs that a module does not take, and those that it needs: told before it runs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from runtime.importing.imported import from_module
from spec_schema.diagnostics import SpecError


class Masked(nn.Module):
    def forward(self, image: Tensor, mask: Tensor, scale: float = 1.0) -> Tensor:
        return image * mask * scale


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"image": torch.ones(2)}, "`Masked` needs `mask`, which nobody gave"),
        ({"imagen": torch.ones(2), "mask": torch.ones(2)}, "`Masked` takes no `imagen`"),
    ],
)
def test_what_is_missing_or_unknown(given: dict[str, Tensor], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        from_module(Masked(), given)
    (found,) = caught.value.diagnostics
    assert found.code == "import-input"
    assert found.message == said
    assert found.span is not None
    assert found.span.file.name.endswith("test_given.py")


def test_more_examples_than_inputs() -> None:
    with pytest.raises(SpecError, match="`Linear` takes 1 input, and 2 are given"):
        from_module(nn.Linear(2, 2), [torch.ones(1, 2), torch.ones(1, 2)])


class Idle(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.never = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return x.cos()


def test_a_module_of_which_no_layer_runs_has_no_weights() -> None:
    made = from_module(Idle(), [torch.randn(2, 4)])
    assert "checkpoint" not in made.text
    assert made.report.unused == ("never.",)
