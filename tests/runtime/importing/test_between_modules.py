"""What modules hand to each other, and what their code asks: dataclasses, tuples, values, modes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runtime.importing.imported import Imported, from_module
from spec_schema.diagnostics import SpecError


def imported(module: nn.Module, *inputs: Tensor) -> Imported:
    made = from_module(module, inputs)
    assert made.report.proof is not None
    assert made.report.proof.trained
    return made


@dataclass
class Output:
    hidden: Tensor
    pooled: Tensor | None = None


class Encoder(nn.Module):
    def __init__(self, pools: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.pools = pools

    def forward(self, x: Tensor) -> Output:
        x = self.linear(x)
        return Output(x, x.mean(1) if self.pools else None)


class Both(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = Encoder(False), Encoder(True)

    def forward(self, x: Tensor) -> Output:
        outputs = self.two(self.one(x).hidden)
        return Output(outputs.hidden * 2, outputs.pooled.tanh() + outputs.hidden[:, 0])


def test_a_dataclass_is_a_dict_and_one_of_one_tensor_is_the_tensor() -> None:
    text = imported(Both(), torch.randn(2, 3, 4)).text
    assert "return linear(x)" in text
    assert "{'hidden': x, 'pooled': x.mean(1)}" in text
    assert "outputs = two(one(x))" in text
    assert "outputs['pooled'].tanh()" in text


class Rotary(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.cos(), x.sin()


class Turned(nn.Module):
    def forward(self, x: Tensor, pair: tuple[Tensor, Tensor]) -> Tensor:
        cos, sin = pair
        return x * cos + x.flip(-1) * sin


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Turned()

    def forward(self, x: Tensor, pair: tuple[Tensor, Tensor]) -> Tensor:
        return self.inner(x, pair) + x


class Turning(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rotary = Rotary()
        self.outer = Outer()

    def forward(self, x: Tensor) -> Tensor:
        pair = self.rotary(x)
        return self.outer(x, pair)


def test_a_tuple_that_is_handed_on_is_not_taken_apart() -> None:
    text = imported(Turning(), torch.randn(2, 4)).text
    assert "outer(x, rotary(x))" in text
    assert "inner(x, pair)" in text


class Dropping(nn.Module):
    """Rates that are zero in evaluation, as attentions of transformers are called."""

    def forward(self, x: Tensor) -> Tensor:
        rate = 0.5 if self.training else 0.0
        x = F.scaled_dot_product_attention(x, x, x, dropout_p=rate)
        return F.dropout(x, p=rate, training=self.training)


def test_what_drops_in_training_alone_is_one_program() -> None:
    assert "if training" not in imported(Dropping(), torch.randn(2, 3, 4)).text


class Looking(nn.Module):
    def __init__(self, at_data: bool) -> None:
        super().__init__()
        self.at_data = at_data

    def forward(self, x: Tensor) -> Tensor:
        seen = x if self.at_data else torch.arange(x.shape[1])
        if (seen > -100).all():
            return x * 2
        return x


def test_where_code_looks_at_values_it_goes_on_with_them() -> None:
    assert imported(Looking(False), torch.randn(2, 3)).report.looks == ()
    (place,) = imported(Looking(True), torch.randn(2, 3)).report.looks
    assert place.startswith(__file__)


class Counting(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.max().item()


def test_a_number_that_data_decide_is_refused() -> None:
    with pytest.raises(SpecError, match="number of Python"):
        from_module(Counting(), [torch.randn(2, 3)])


class Kinds(nn.Module):
    """One module for two kinds of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Table()

    def forward(self, x: Tensor) -> Tensor:
        return self.table(x, "near") + self.table(x, "far")


class Table(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.near, self.far = nn.Parameter(torch.randn(4)), nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor, kind: str) -> Tensor:
        return x * getattr(self, kind)


def test_what_does_something_else_each_time_is_written_where_it_is_called() -> None:
    assert "x * table.near + x * table.far" in imported(Kinds(), torch.randn(2, 4)).text


class Convolving(nn.Module):
    """A layer that bears the name of the operation which is called on its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1d = nn.Conv1d(4, 4, 3, groups=4)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv1d(x, self.conv1d.weight, groups=4)


def test_a_layer_with_the_name_of_an_operation_is_called_otherwise() -> None:
    text = imported(Convolving(), torch.randn(2, 4, 9)).text
    assert "conv1d as conv1d_layer: Conv1d" in text
    assert "conv1d(x, conv1d_layer.weight, groups=4)" in text


def test_parametrised_weights_are_rules() -> None:
    weight_norm, spectral_norm = (
        nn.utils.parametrizations.weight_norm,
        nn.utils.parametrizations.spectral_norm,
    )
    module = nn.Sequential(weight_norm(nn.Conv1d(4, 6, 3), dim=2), spectral_norm(nn.Linear(7, 3)))
    text = imported(module, torch.randn(2, 4, 9)).text
    assert "- /0.weight: weight_norm(dim=2)" in text
    assert "- /1.weight: spectral_norm" in text


class Point(NamedTuple):
    x: Tensor
    y: Tensor


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Splitting()

    def forward(self, x: Tensor) -> Tensor:
        point = self.inner(x)
        return point.x * point.y


class Splitting(nn.Module):
    def forward(self, x: Tensor) -> Point:
        return Point(x + 1, x - 1)


def test_a_named_tuple_is_a_tuple() -> None:
    imported(Named(), torch.randn(2, 4))


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y = x if y is None else y
        half = torch.div(x.shape[1], 2, rounding_mode="trunc")
        return self.lin(x).view(-1, half, 2).flatten(1), y + 1


class InTurn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Pair(), Pair(), Pair()])

    def forward(self, x: Tensor) -> Tensor:
        y = x.cos()
        for block in self.blocks:
            x, y = block(x, y)
        return x + y


def test_both_results_are_given_on_one_by_one() -> None:
    text = imported(InTurn(), torch.randn(2, 4)).text
    assert "x, y = blocks[1](x, y)" in text
    assert "x.shape[1] // 2" in text


class Holding(nn.Module):
    def __init__(self, shift: nn.Module) -> None:
        super().__init__()
        self.shift = shift

    def forward(self, x: Tensor) -> Tensor:
        return self.shift(x).cos()


class HoldingAll(nn.Module):
    """Holds what others call, as CoaT does."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Linear(4, 4)
        self.blocks = nn.Sequential(Holding(self.shift), Holding(self.shift))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)


def test_what_only_others_call_tells_its_sizes() -> None:
    text = imported(HoldingAll(), torch.randn(2, 4)).text
    assert text.count("shift: Linear(in_features=4, out_features=4)") == 2
    assert "shared: [/shift, /blocks.0.shift, /blocks.1.shift]" in text


class Swapped(nn.Module):
    """Takes and gives back names, and leaves a place of a list alone, as hierarchical networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleList([nn.Identity(), nn.Identity(), nn.Linear(4, 4)])

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        shifted = self.steps[2](x)
        x = shifted.cos()
        x = x * shifted.sin()
        shifted = x + 1
        x = shortcut
        x = x + shifted * shifted
        return shortcut + x


def test_names_that_change_places_and_an_empty_place_of_a_list() -> None:
    assert "steps: [{repeat: 2, of: Identity}, Linear(4)]" in imported(Swapped(), torch.randn(2, 4)).text


class Ends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"last": self.drop(self.lin(x)), "first": self.lin(x)}


class Handing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ends = Ends()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return dict(self.ends(x))


def test_a_dict_that_is_handed_on_is_made_once() -> None:
    assert "forward: |\n    return ends(x)\n" in imported(Handing(), torch.randn(2, 4)).text
