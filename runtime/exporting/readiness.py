"""Whether a model can be exported as it is: evaluating, on the CPU, whole."""

from __future__ import annotations

from torch import nn

from compiler.artifact import Artifact
from runtime.classes import artifact_of
from runtime.sharded import any_on_mesh


def ready(model: nn.Module) -> Artifact:
    """Return the artifact of a model that can be exported.

    Raises:
        TypeError: the model was not built from a spec.
        ValueError: it is in training mode, elsewhere than on the CPU, or has no values.
    """
    artifact = artifact_of(model)
    training = next((name for name, each in model.named_modules() if each.training), None)
    if training is not None:
        where = f"`{training}`" if training else "the model"
        raise ValueError(f"{where} is in training mode, and is exported as it evaluates: call `model.eval()`")
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    if any_on_mesh(tensors.values()):
        raise ValueError("the model lies on several ranks: save it, and export the file")
    elsewhere = next(
        ((name, each.device) for name, each in tensors.items() if each.device.type != "cpu"), None
    )
    if elsewhere is not None:
        raise ValueError(f"`{elsewhere[0]}` is on {elsewhere[1]}: load the model with `device='cpu'`")
    return artifact
