"""A model as a folder that `AutoModel.from_pretrained(folder, trust_remote_code=True)` loads.

It holds the emitted file, a configuration class whose fields are the variables of the spec, a thin class of
`transformers` around the emitted one, `config.json` and the tensors.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PretrainedConfig

from compiler.artifact import Artifact
from compiler.catalogue.plugins import plugin_modules
from compiler.emit.style import format_text
from compiler.rules.plan import Plan
from runtime.exporting.agreement import Agreement, agreement
from runtime.exporting.first import prepared
from runtime.exporting.loaded_folder import LoadedFolder
from runtime.exporting.problems import failed, not_exported

INSIDE = "model"
"""The attribute of the thin class that holds the emitted model, and so the first part of all names in the file."""

CONFIGURATION = '''"""The configuration of {name}: the variables of its spec."""

from typing import Any

from transformers import PretrainedConfig


class {name}Config(PretrainedConfig):
    model_type = "{kind}"

    def __init__(self, {arguments}tie_word_embeddings: bool = True, **others: Any) -> None:
{fields}        super().__init__(tie_word_embeddings=tie_word_embeddings, **others)
'''

MODELING = '''"""{name} as a model of `transformers`."""

from typing import Any

from torch import nn
from transformers import PreTrainedModel

from .configuration_{file} import {name}Config
from .{file} import {name}


class Pretrained{name}(PreTrainedModel):
    config_class = {name}Config
    base_model_prefix = "{inside}"
    _tied_weights_keys = {ties}

    def __init__(self, config: {name}Config) -> None:
        super().__init__(config)
        self.{inside} = {name}({values})
        for module in self.{inside}.modules():
            for name, buffer in [*module.named_buffers(recurse=False)]:
                module.register_buffer(name, buffer)  # saved: `from_pretrained` computes none
{noted}        self.post_init()
{kept}
    def _init_weights(self, module: nn.Module) -> None:
        """Nothing is left to do: the constructor of {name} gives first values."""

    def forward(self, {inputs}) -> Any:
        return self.{inside}({inputs})
'''

NOTED = """        self.frozen = [name for name, each in self.named_parameters() if not each.requires_grad]
"""
KEPT = '''
    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Freeze again what the constructor froze: the parameters that are loaded are others."""
        loaded = super().from_pretrained(*args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        for name in model.frozen:
            model.get_parameter(name).requires_grad_(False)
        return loaded
'''


def make_folder(model: nn.Module, staged: Path) -> Agreement:
    """Write the folder aside, and load it in another process; see `runtime.export_transformers`."""
    dimensions, trial = prepared(model, {})
    artifact = dimensions.artifact
    _check_alone(artifact)
    staged.mkdir()
    for name, text in _texts(artifact).items():
        Path(staged, name).write_text(text)
    save_file(_tensors(model, artifact.plan), Path(staged, "model.safetensors"), {"format": "pt"})
    with LoadedFolder(staged) as loaded:
        try:
            groups = loaded.ties()
        except RuntimeError as error:
            raise failed(artifact, "transformers does not load what was written", error) from error
        meant = {frozenset(f"{INSIDE}.{name}" for name in names) for names in _tied(artifact.plan).values()}
        if groups != meant:
            raise not_exported(
                artifact, "transformers does not keep the ties", f"{sorted(map(sorted, groups ^ meant))}"
            )
        frozen = {f"{INSIDE}.{row.name}" for row in artifact.plan.parameters if not row.trainable}
        if frozen != (found := loaded.frozen()):
            raise not_exported(artifact, "transformers does not freeze the same", f"{sorted(frozen ^ found)}")
        return agreement(loaded.run, model, dimensions, trial)


def _check_alone(artifact: Artifact) -> None:
    """Refuse what the folder cannot hold."""
    plugins = {*plugin_modules(artifact.inferred.plugins)}
    for node in ast.parse(artifact.source).body:
        if isinstance(node, ast.ImportFrom) and node.module in plugins:
            raise not_exported(
                artifact,
                f"the folder would need `{node.module}`, which is a plugin",
                "transformers would not find it",
            )
    floats = {row.dtype for row in artifact.plan.rows if row.dtype.is_floating_point}
    if len(floats) > 1:
        listed = " and ".join(sorted(str(each).removeprefix("torch.") for each in floats))
        raise not_exported(artifact, f"tensors are {listed}, and `from_pretrained` makes them all one dtype")


def _tied(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Return the names of each parameter that has several, by the one that it is saved under."""
    return {row.name: row.names for row in plan.parameters if len(row.names) > 1}


def _tensors(model: nn.Module, plan: Plan) -> dict[str, Tensor]:
    """Return the tensors under the names that the thin class has for them. Of a tied parameter it is one."""
    held = {**dict(model.named_parameters()), **dict(model.named_buffers(remove_duplicate=False))}
    found = {row.name: held[row.name] for row in plan.parameters}
    found |= {name: held[name].clone() for row in plan.rows if row.kind == "buffer" for name in row.names}
    return {f"{INSIDE}.{name}": value.detach().contiguous() for name, value in found.items()}


def _texts(artifact: Artifact) -> dict[str, str]:
    """Return the files of the folder that are texts."""
    name, file = artifact.name, re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", artifact.name).lower()
    fields = [_Field(key, value) for key, value in _arguments(artifact).items()]
    names = {"name": name, "file": file, "kind": f"blockprint-{file}", "inside": INSIDE}
    configuration = CONFIGURATION.format(
        **names,
        arguments="".join(f"{each.name}: Any = {each.default!r}, " for each in fields),
        fields="".join(f"        self.{each.name} = {each.name}\n" for each in fields),
    )
    is_frozen = any(not row.trainable for row in artifact.plan.parameters)
    modeling = MODELING.format(
        **names,
        ties=_tied_keys(artifact.plan),
        noted=NOTED if is_frozen else "",
        kept=KEPT if is_frozen else "",
        values=", ".join(f"{each.variable}={each.read}" for each in fields),
        inputs=", ".join(each.name for each in artifact.program.model.inputs),
    )
    return {
        f"{file}.py": artifact.source,
        f"configuration_{file}.py": format_text(configuration),
        f"modeling_{file}.py": format_text(modeling),
        "config.json": json.dumps(_config(artifact, file, fields), indent=2) + "\n",
    }


def _config(artifact: Artifact, file: str, fields: Sequence[_Field]) -> dict[str, Any]:
    name = artifact.name
    classes = {
        "AutoConfig": f"configuration_{file}.{name}Config",
        "AutoModel": f"modeling_{file}.Pretrained{name}",
    }
    return {
        "model_type": f"blockprint-{file}",
        "architectures": [f"Pretrained{name}"],
        "auto_map": classes,
        "dtype": _dtype(artifact.plan),
        **{each.name: each.default for each in fields},
    }


def _tied_keys(plan: Plan) -> dict[str, str]:
    """Return what `transformers` ties: the other names of a parameter, and the one that it is saved under."""
    pairs = ((first, other) for first, names in _tied(plan).items() for other in names if other != first)
    return {f"{INSIDE}.{other}": f"{INSIDE}.{first}" for first, other in pairs}


def _dtype(plan: Plan) -> str:
    floats = [row.dtype for row in plan.rows if row.dtype.is_floating_point]
    return str(floats[0]).removeprefix("torch.") if floats else "float32"


class _Field:
    """A field of the configuration, under the name of the variable unless `transformers` means something by that."""

    def __init__(self, variable: str, default: Any) -> None:
        taken = hasattr(PretrainedConfig(), variable)
        self.variable, self.default = variable, default
        self.name = f"{variable}_" if taken else variable
        self.read = f"tuple(config.{self.name})" if isinstance(default, tuple) else f"config.{self.name}"


def _arguments(artifact: Artifact) -> dict[str, Any]:
    """Return the arguments of the emitted class with their defaults, as far as a configuration can hold them."""
    found: dict[str, Any] = {}
    for argument, default in _defaults(artifact):
        try:
            value = ast.literal_eval(default)
            plain = json.loads(json.dumps(value)) == (list(value) if isinstance(value, tuple) else value)
        except (ValueError, TypeError):
            continue
        if plain:
            found[argument] = value
    return found


def _defaults(artifact: Artifact) -> Iterator[tuple[str, ast.expr]]:
    tree = ast.parse(artifact.source)
    root = next(each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == artifact.name)
    for node in root.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            names = [each.arg for each in node.args.args]
            defaults = node.args.defaults
            yield from zip(names[len(names) - len(defaults) :], defaults, strict=True)
            pairs = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            yield from ((each.arg, default) for each, default in pairs if default is not None)
