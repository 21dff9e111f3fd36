"""What changes a model, and what looks into one that runs."""

from __future__ import annotations

import torch
import torch.nn.utils.prune
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from tests.tools.kit import same, tool, trains
from tests.tools.models import Subject


@tool("`torch.ao.quantization.quantize_dynamic`")
def quantised(subject: Subject) -> None:
    model = torch.ao.quantization.quantize_dynamic(subject.model, {nn.Linear})
    kinds = {type(each).__module__ for each in model.modules()}
    assert any("quantized" in kind for kind in kinds)
    same(model(subject.x), subject.expected, 0.1)


@tool("`AveragedModel`, with a moving average")
def averaged(subject: Subject) -> None:
    average = torch.optim.swa_utils.get_ema_multi_avg_fn(0.5)
    model = torch.optim.swa_utils.AveragedModel(subject.model, multi_avg_fn=average)
    model.update_parameters(subject.model)
    model.update_parameters(subject.other)
    names = [name for name, _ in subject.model.named_parameters()]
    for name in names:
        means = (subject.model.get_parameter(name) + subject.other.get_parameter(name)) / 2
        same(model.module.get_parameter(name), means)
    assert model(subject.x).shape == subject.expected.shape


def _chosen(subject: Subject) -> list[nn.Module]:
    """Return some layers of the model, none of them tied."""
    found = [m for name, m in subject.model.named_modules() if name.rpartition(".")[2] in subject.linear]
    assert found
    return found


@tool("`parametrizations.weight_norm` of layers, and back")
def parametrised(subject: Subject) -> None:
    expected, model = subject.expected, subject.model
    for layer in _chosen(subject):
        parametrizations.weight_norm(layer)
    same(model(subject.x), expected)
    trains(model, subject)
    expected = subject.expected
    for layer in _chosen(subject):
        parametrize.remove_parametrizations(layer, "weight")
    same(model(subject.x), expected)


@tool("`torch.nn.utils.prune`")
def pruned(subject: Subject) -> None:
    for layer in _chosen(subject):
        torch.nn.utils.prune.l1_unstructured(layer, "weight", amount=0.5)
        assert bool((layer.weight == 0).any())
    trains(subject.model, subject)
    for layer in _chosen(subject):
        torch.nn.utils.prune.remove(layer, "weight")
        assert "weight" in dict(layer.named_parameters())
    trains(subject.model, subject)


class Low(nn.Module):
    """Adds a matrix of low rank to a weight."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.ones(1, weight.shape[1]))
        self.up = nn.Parameter(torch.zeros(weight.shape[0], 1))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


@tool("LoRA, by `register_parametrization`")
def low_rank(subject: Subject) -> None:
    expected, model = subject.expected, subject.model.requires_grad_(False)
    for layer in _chosen(subject):
        parametrize.register_parametrization(layer, "weight", Low(layer.weight))
    assert all("parametrizations" in name for name, each in model.named_parameters() if each.requires_grad)
    same(model(subject.x), expected)
    trains(model, subject)
    assert not torch.equal(model(subject.x), expected)


@tool("LoRA, by `peft`", "peft")
def peft(subject: Subject) -> None:
    from peft import LoraConfig, get_peft_model

    expected = subject.expected
    model = get_peft_model(subject.model, LoraConfig(r=2, target_modules=list(subject.linear)))
    same(model(subject.x), expected)
    trains(model, subject)
    after = model(subject.x)
    assert not torch.equal(after, expected)
    same(model.merge_and_unload()(subject.x), after)


# What looks into a model while it runs.


@tool("hooks of modules, and `torch.utils.checkpoint`")
def hooks(subject: Subject) -> None:
    seen: list[nn.Module] = []
    for module in subject.model.modules():
        module.register_forward_hook(lambda module, _inputs, _output: seen.append(module))
    found = torch.utils.checkpoint.checkpoint(subject.model, subject.x, use_reentrant=False)
    same(found, subject.expected)
    assert set(seen) >= {each for each in subject.model.modules() if not list(each.children())}


@tool("`torch.profiler`, with stacks and modules")
def profiled(subject: Subject) -> None:
    with torch.profiler.profile(with_stack=True, with_modules=True) as profile:
        same(subject.model(subject.x), subject.expected)
    assert any("linear" in event.key for event in profile.key_averages())


@tool("`FlopCounterMode`")
def counted(subject: Subject) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        subject.model(subject.x)
    assert counter.get_total_flops() > 0


@tool("`torch.autograd.set_detect_anomaly`")
def anomaly(subject: Subject) -> None:
    with torch.autograd.set_detect_anomaly(True):
        trains(subject.model, subject)


@tool("`torch.autocast` to bfloat16")
def autocast(subject: Subject) -> None:
    expected = subject.expected
    with torch.autocast("cpu", torch.bfloat16):
        found = subject.model(subject.x)
    assert found.dtype == torch.bfloat16
    same(found.float(), expected, 0.1)
