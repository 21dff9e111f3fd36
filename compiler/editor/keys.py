"""The keys of the language, by the mapping that they stand in, each with what it holds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

_RULES = {
    "share": "tensors that are one: a name, and the selectors of those that share",
    "init": "first values: a list of `selector: initializer`, of which later ones win",
    "freeze": "what is not trained: a list of selectors",
}
_COPIES = {
    "repeat": "how many copies, or a list with an item for each",
    "of": "the layer that is copied",
    "splice": "layers that stand in the list around, once for each copy",
    "as": "the names that the items of the list are bound to",
    "index": "another name for the number of the copy than `index`",
    "running": "values that go from copy to copy: `name: [first, next]`",
    "name": "the name of each copy: `layer{index}`",
}
_CHOICE = {
    "if": "a condition over variables, decided when the spec is compiled",
    "then": "what stands there where it is true",
    "else": "what stands there where it is false",
}
_NODE = {
    **_COPIES,
    "parallel": "branches that get the same input, by names or in a list",
    "residual": "a layer whose output is added to its input",
    "combine": "the operation that makes one value of several: `add`, `cat(dim=1)`",
    **_CHOICE,
    "layer": "a layer or a block whose arguments are the other keys",
}
_BODY = {
    "doc": "what it is, in words; the docstring of the class",
    "vars": "values that are computed once: `name: expression`",
    "extends": "a layer that the block is: its tensors are the block's own",
    "layers": "the layers by their names; without `forward` they run in order",
    "parameters": "tensors that are trained: `name: float[size]`",
    "buffers": "tensors that are not trained",
    "forward": "the program: statements over the layers, the last of which returns. `forward(a, b=None)` names inputs",
    **_RULES,
}
_FORMS: Mapping[str, tuple[str, ...]] = {
    "repeat": (*_COPIES,),
    "parallel": ("combine",),
    "residual": ("combine",),
    "if": ("then", "else", "splice"),
}
"""The keys that go with the one that tells what a mapping in a layer position is."""
KEYS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "document": {
            "spec": "the version of the language: 1",
            "name": "the name of the model",
            "doc": "what the model is, in words",
            "import": "blocks of other files: `file.yaml: [Block]`",
            "requires": "the plugins without which it does not compile",
            "vars": "values with names: `width: 128`; the caller can set each",
            "presets": "sets of values for variables, by names",
            "inputs": "what the model takes: `image: float32[batch, 3, 224, 224]`",
            "dims": "example sizes of open dimensions: `batch: 2`",
            "blocks": "what layers are made of: `Block(width): ...`",
            "model": "the model: a block without a name",
            **_RULES,
            "placement": "devices and dtypes: a list of `selector: cuda:0`",
            "parametrize": "how tensors are made of others: a list of `selector: weight_norm`",
            "mesh": "how the model lies on several ranks",
            "train": "data, loss and optimizer: how it is trained",
        },
        "body": _BODY,
        "node": _NODE,
        "named": _NODE,
        "tensor": {
            "tensor": "dtype and shape: `float[size]`",
            "init": "its first values: an initializer",
            "value": "what it holds: an expression, or a program",
            "persistent": "whether it is saved",
            "updated": "whether the program gives it new values",
        },
        "ruled": {
            "device": "where it lives: `cuda:0`",
            "dtype": "what it is made of: `bfloat16`",
            "checkpoint": "the file or folder that values are read from",
            "prefix": "what all names there begin with",
            "rename": "names of the model, by names there",
            "transpose": "which tensors are turned there",
            "split": "tensors there that are several here",
            "stack": "tensors there that are one here",
            "skip": "what is not read there",
        },
        "condition": {"if": _CHOICE["if"], "then": "rules that hold where it is true"},
        "mesh": {
            "axes": "the axes with their numbers of ranks: `{dp: 2}`",
            "shard": "the axis over which parameters lie in parts",
            "replicate": "the axis over which they lie whole",
            "units": "selectors of what is gathered at once",
            "split": "tensor parallel: a list of `selector: split(...)`",
            "local": "numbers that are those of one rank",
            "recompute": "selectors of what is computed again in the backward",
            "local_statistics": "whether each rank may have statistics of its own",
            "sync_statistics": "whether batch norms take the statistics of all ranks",
        },
        "train": {
            "data": "where batches come from",
            "loss": "an expression over `output` and the fields of the batch",
            "optimizer": "an optimizer with its arguments, or several by selectors",
            "groups": "selector → options of the optimizer",
            "schedule": "how the rate changes",
            "warmup": "in how many steps the rate rises to its own",
            "batch": "how many examples are in a batch",
            "accumulate": "how many batches a step is made from",
            "epochs": "how often the data are gone through",
            "steps": "how many steps are taken",
            "clip": "the largest norm of the gradient",
            "ema": "what an average of the parameters keeps of itself at each step",
            "metrics": "name → metric of torchmetrics",
            "monitor": "the result by which the best epoch is chosen",
            "early_stopping": "when a training ends before its last epoch",
            "precision": "`32-true`, `16-mixed` or `bf16-mixed`",
            "watch": "selectors of what is logged at each step",
            "log": "what is written beside the log in CSV",
        },
        "data": {
            "file": "an array or a table: .npz, .npy, .safetensors, .csv, .parquet, .arrow",
            "folder": "images in folders, or a table in pieces",
            "text": "a text in UTF-8",
            "dataset": "a data set of a plugin",
            "context": "how many characters a window of a text has",
            "test": "the share that is held back, or a place of its own",
            "validation": "the share by which epochs are judged, or a place of its own",
            "stratify": "an array of whose values each split has its share",
            "group": "an array: all items of one value are in one split",
            "shuffle": "whether an epoch goes through the items in another order each time",
            "weights": "how often each item is drawn",
            "workers": "how many processes load batches",
            "transform": "a program over the fields of one item",
        },
        "metric": {
            "metric": "the metric",
            "of": "the two values that it compares",
            "mode": "`max` or `min`: what is better",
        },
        "stopping": {
            "patience": "how many epochs without a better result end it",
            "min_delta": "by how much a result has to be better",
        },
        "log": {
            "report": "whether a page with results is written",
            "tensorboard": "whether events for TensorBoard are written",
        },
    }
)


def keys_beside(kind: str, taken: Collection[str]) -> Mapping[str, str]:
    """Return the keys of a mapping of some kind that go with those that it has."""
    form = next((form for form in _FORMS if form in taken), None) if kind == "node" else None
    known = KEYS.get(kind, {})
    return known if form is None else {key: known[key] for key in _FORMS[form]}
