"""System 20: recurrent layers, which return tuples, and convolutions."""

import torch
from torch import Tensor, nn
from twins import assert_twins, built, compiled, drawn


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(30, 16)
        self.lstm = nn.LSTM(16, 32, num_layers=2, batch_first=True)
        self.gru = nn.GRU(32, 24, batch_first=True, bidirectional=True)
        self.head = nn.Linear(48, 30)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        y, (hidden, cell) = self.lstm(self.embedding(tokens))
        y, last = self.gru(y)
        return self.head(y), hidden, cell, last


class Convolutional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ear = nn.Conv1d(2, 8, 5, stride=2)
        self.eye = nn.Conv2d(3, 8, 3, padding=1)
        self.cinema = nn.Conv3d(1, 8, 3, padding="same")
        self.back = nn.ConvTranspose2d(8, 3, 2, stride=2)
        self.head = nn.Linear(24, 10)

    def forward(self, sound: Tensor, image: Tensor, film: Tensor) -> tuple[Tensor, Tensor]:
        heard = torch.relu(self.ear(sound)).mean(dim=-1)
        seen = torch.relu(self.eye(image))
        watched = torch.relu(self.cinema(film)).mean(dim=(2, 3, 4))
        picture = self.back(nn.functional.max_pool2d(seen, 2))
        return self.head(torch.cat((heard, seen.mean(dim=(2, 3)), watched), dim=1)), picture


def tokens(batch: int, time: int) -> Tensor:
    return torch.randint(0, 30, (batch, time), generator=torch.Generator().manual_seed(0))


def test_recurrent_is_the_module_written_by_hand() -> None:
    assert_twins(built("20_recurrent"), Recurrent(), tokens(3, 7))


def test_recurrent_layers_return_tuples() -> None:
    output = built("20_recurrent")(tokens(3, 7))
    assert [tuple(each.shape) for each in output] == [(3, 7, 30), (2, 3, 32), (2, 3, 32), (2, 3, 24)]
    declared = compiled("20_recurrent").inferred.output
    assert isinstance(declared, tuple)
    assert [each.ndim for each in declared] == [3, 3, 3, 3]


def test_states_are_those_of_the_last_step() -> None:
    model = built("20_recurrent")
    steps, (hidden, _) = model.lstm(model.embedding(tokens(3, 7)))
    assert torch.equal(model(tokens(3, 7))[1], hidden)
    assert torch.equal(hidden[-1], steps[:, -1])


def test_convolutional_is_the_module_written_by_hand() -> None:
    inputs = drawn(2, 2, 64), drawn(2, 3, 32, 32), drawn(2, 1, 8, 16, 16)
    assert_twins(built("20_convolutional"), Convolutional(), *inputs)


def test_a_transposed_convolution_leads_back_to_the_size_of_the_image() -> None:
    _, picture = built("20_convolutional")(drawn(2, 2, 64), drawn(2, 3, 32, 32), drawn(2, 1, 8, 16, 16))
    assert picture.shape == (2, 3, 32, 32)
