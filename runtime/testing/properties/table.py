"""What every layer is expected to have, in the order in which it is tried and reported."""

from __future__ import annotations

from runtime.testing.outcome import Property
from runtime.testing.properties import forward, gradients, graphs, initialisation, moves, specs, state

PROPERTIES: dict[str, Property] = {
    each.name: each
    for each in (
        Property("runs", "it runs on all that it is said to take", forward.runs),
        Property("shapes", "the meta device gives the same shapes", forward.shapes),
        Property("inputs", "inputs stay as they are", forward.inputs),
        Property("evaluation", "evaluation repeats, and changes nothing", forward.evaluation),
        Property("training", "training repeats from the same seed", forward.training),
        Property("random_state", "it draws from torch's generator, unseeded", forward.random_state),
        Property("batch", "a batch is its items one by one", forward.batch),
        Property("registration", "all tensors are parameters or buffers", state.registration),
        Property("state_dict", "the state dict is all that it knows", state.state_dict),
        Property("copy", "a deep copy is the same, and apart", state.copies),
        Property("gradients", "gradients reach all parameters and inputs", gradients.reach),
        Property("gradcheck", "gradients are the finite differences", gradients.gradcheck, 10),
        Property("shared", "gradients sum where it is shared", gradients.shared),
        Property("dtype", "it works in another dtype", moves.dtype),
        Property("device", "it works on another device", moves.device),
        Property("initialisation", "name and seed give the first values", initialisation.by_name, 10),
        Property("freeze", "frozen, it stays, and gradients pass", initialisation.freeze, 10),
        Property("spec", "as a spec, and loaded, it is the same", specs.spec, 10),
        Property("export", "torch.export gives the same", graphs.export, 3),
        Property("compile", "torch.compile gives the same", graphs.compile, 3),
    )
}
