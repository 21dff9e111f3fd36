"""Copies of a model: in memory, in files, and in other processes."""

from __future__ import annotations

import copy
import io
import pickle  # noqa: TID251 - a model goes where torch pickles it; nothing of ours unpickles
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from tests.tools.kit import same, tool, trains
from tests.tools.models import Subject


@tool("`copy.deepcopy`")
def deep_copy(subject: Subject) -> None:
    other = copy.deepcopy(subject.model)
    assert type(other) is type(subject.model)
    trains(other, subject)
    assert not torch.equal(other(subject.x), subject.expected)


@tool("`pickle`")
def pickled(subject: Subject) -> None:
    other = pickle.loads(pickle.dumps(subject.model))  # noqa: S301 - of the line itself
    assert type(other) is type(subject.model)
    same(other(subject.x), subject.expected)


@tool("`torch.save` and `load`, of a whole model")
def saved(subject: Subject) -> None:
    file = io.BytesIO()
    torch.save(subject.model, file)
    file.seek(0)
    same(torch.load(file, weights_only=False)(subject.x), subject.expected)  # noqa: TID251 - what is tried


@tool("`torch.save` and `load`, of a state dict")
def saved_state(subject: Subject) -> None:
    file = io.BytesIO()
    torch.save(subject.model.state_dict(), file)
    file.seek(0)
    subject.other.load_state_dict(torch.load(file, weights_only=True))  # noqa: TID251 - what is tried
    same(subject.other(subject.x), subject.expected)


@tool("`safetensors.torch.save_model` and `load_model`")
def safetensors_file(subject: Subject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        safetensors.torch.save_model(subject.model, str(path))
        safetensors.torch.load_model(subject.other, path)
    same(subject.other(subject.x), subject.expected)


# Processes.


def _in_child(index: int, model: nn.Module, x: Tensor, expected: Tensor) -> None:
    same(model(x).detach(), expected)


@tool("`torch.multiprocessing.spawn`")
def spawn(subject: Subject) -> None:
    torch.multiprocessing.spawn(_in_child, (subject.model, subject.x, subject.expected))


class Outputs(Dataset[Tensor]):
    """What a model makes of each part of its input."""

    def __init__(self, model: nn.Module, x: Tensor) -> None:
        self.model, self.x = model, x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Tensor:
        found: Tensor = self.model(self.x[index : index + 1]).detach()[0]
        return found


@tool("a spawned worker of a `DataLoader`")
def worker(subject: Subject) -> None:
    alone = Outputs(subject.model, subject.x)
    loader = DataLoader(alone, batch_size=2, num_workers=1, multiprocessing_context="spawn")
    (found,) = list(loader)
    same(found, torch.stack([alone[0], alone[1]]))


@tool("`nn.DataParallel`, without a GPU")
def data_parallel(subject: Subject) -> None:
    model = nn.DataParallel(subject.model)
    same(model(subject.x), subject.expected)
    trains(model, subject)


@contextmanager
def _one_process() -> Iterator[None]:
    with socket.socket() as port:
        port.bind(("localhost", 0))
        number = port.getsockname()[1]
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://localhost:{number}", rank=0, world_size=1
    )
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


@tool("`nn.parallel.DistributedDataParallel`, on `gloo`")
def distributed(subject: Subject) -> None:
    expected = subject.expected
    with _one_process():
        model = nn.parallel.DistributedDataParallel(subject.model)
        same(model(subject.x), expected)
        trains(model, subject)
