"""Systems 13 and 14: a bilinear reduction, and half of the Fourier coefficients."""

import pytest
import torch
from torch import Tensor, nn
from twins import COURSE, assert_same, assert_twins, built, compiled, drawn

import compiler
import runtime


class BilinearReduction(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 6, 4))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("ijk,bi,bj->bk", self.weight, x, x)


class FourierHalf(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.fft(x, dim=-1)[..., : x.shape[-1] // 2]


def test_bilinear_reduction_is_the_module_written_by_hand() -> None:
    assert_twins(built("13_bilinear_reduction"), nn.Sequential(BilinearReduction()), drawn(5, 6))


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_bilinear_reduction_is_the_sum_that_defines_it(batch: int) -> None:
    model, x = built("13_bilinear_reduction").double(), drawn(batch, 6).double()
    weight = model.get_parameter("0.weight")
    wanted = torch.stack([torch.stack([row @ weight[:, :, k] @ row for k in range(4)]) for row in x])
    output = model(x)
    assert output.shape == (batch, 4)
    torch.testing.assert_close(output, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("units", [1, 3])
def test_bilinear_reduction_for_other_numbers_of_outputs(units: int) -> None:
    text = (COURSE / "13_bilinear_reduction.yaml").read_text().replace("Reduction(4)", f"Reduction({units})")
    model = runtime.build(compiler.compile_text(text), device="cpu").double()
    x = drawn(3, 6).double()
    wanted = torch.einsum("bi,bj,ijk->bk", x, x, model.get_parameter("0.weight"))
    torch.testing.assert_close(model(x), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("time", [2, 16, 17])
def test_fourier_half_is_the_first_half_of_torch_fft(time: int) -> None:
    x = drawn(2, 3, time)
    output = built("14_fourier_half")(x)
    assert output.shape == (2, 3, time // 2)
    assert torch.equal(output, torch.fft.fft(x)[:, :, : time // 2])


def test_fourier_half_is_the_module_written_by_hand() -> None:
    assert_same(built("14_fourier_half"), nn.Sequential(FourierHalf()), drawn(2, 3, 16))


def test_fourier_half_finds_a_frequency() -> None:
    time = torch.arange(64) / 64
    wave = torch.cos(2 * torch.pi * 5 * time).expand(1, 1, 64)
    strongest = built("14_fourier_half")(wave).abs().argmax()
    assert strongest == 5


def test_the_complex_output_is_declared() -> None:
    declared = compiled("14_fourier_half").inferred.output
    assert isinstance(declared, Tensor)
    assert declared.dtype == torch.complex64
    output = built("14_fourier_half")(torch.zeros(declared.shape[0], declared.shape[1], 16))
    assert output.dtype == declared.dtype
    assert output.shape == declared.shape
