"""The plugin of the modules that stay layers of Python: a file of classes whose arguments a spec can give."""

from __future__ import annotations

import inspect
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from compiler.catalogue.plugin_files import PluginError
from compiler.catalogue.plugins import Plugin, load_plugin
from runtime.files.atomic import write_whole
from runtime.importing.kept import given_arguments, is_said
from runtime.importing.leaves import keeping
from spec_schema.diagnostics import refuse

HEAD = '"""Layers of `'
PLAIN = (bool, int, float, str)


@dataclass(frozen=True)
class KeptPlugin:
    """The file of a plugin; where it lies decides how it finds those of the modules."""

    name: str
    classes: tuple[str, ...]
    modules: tuple[str, ...]
    files: tuple[str, ...]
    """Of those modules that no package has."""

    def save(self, folder: Path) -> None:
        """Write the file, unless there is one of that name that somebody else wrote.

        Raises:
            SpecError: there is.
        """
        path = folder / f"{self.name}.py"
        if path.is_file() and not path.read_bytes().startswith(HEAD.encode()):
            said = f"`{path}` is there, and was written by somebody else"
            raise refuse("import-keep", said, None, help="give the spec another name")
        text = self.text(folder.resolve()).encode()
        write_whole(path, lambda file: file.write(text))

    def text(self, folder: Path | None = None) -> str:
        """Return the text of the file in a folder; without one, where all modules have been imported before."""
        found = list(
            dict.fromkeys(os.path.relpath(Path(each).parent, folder) for each in self.files if folder)
        )
        head = [f'{HEAD}{self.name.removesuffix("_layers")}.yaml` that stay Python."""', ""]
        if found:
            head += ["import sys", "from pathlib import Path", ""]
            head += [f"sys.path.append(str(Path(__file__).parent / {each!r}))" for each in found]
            head += [""]
        imports = [f"import {each}{'  # noqa: E402' if found else ''}" for each in self.modules]
        imports += ["", f"from compiler.plugins import layer{'  # noqa: E402' if found else ''}"]
        return "\n".join([*head, *imports, *(f"\n\n{each}" for each in self.classes)]) + "\n"


@contextmanager
def as_plugin(root: nn.Module, types: Sequence[type[nn.Module]], name: str) -> Iterator[KeptPlugin | None]:
    """Let modules of these types be layers of a plugin, which is loaded as a user will load it.

    Raises:
        SpecError: no plugin could have one of them.
    """
    if not types:
        yield None
        return
    made = _plugin_of(root, types, name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{made.name}.py")
        path.write_text(made.text())
        with keeping(_loaded(path), types):
            yield made


def _loaded(path: Path) -> Plugin:
    try:
        return load_plugin(str(path))
    except PluginError as error:
        raise refuse("import-keep", f"no plugin has such layers: {error}", None) from None


def _plugin_of(root: nn.Module, types: Sequence[type[nn.Module]], name: str) -> KeptPlugin:
    plain = re.sub(r"\W", "_", name)
    files = [
        str(sys.modules[cls.__module__].__file__) for cls in types if _is_lone(sys.modules[cls.__module__])
    ]
    return KeptPlugin(
        f"{plain if plain.isidentifier() else f'layers_of_{plain}'}_layers",
        tuple(_class_text(cls, [each for each in root.modules() if type(each) is cls]) for cls in types),
        tuple(dict.fromkeys(cls.__module__ for cls in types)),
        tuple(dict.fromkeys(files)),
    )


def _is_lone(module: object) -> bool:
    """Return whether a module is a file that is in no package, and so is imported from its folder alone."""
    file, name = getattr(module, "__file__", None), getattr(module, "__name__", "")
    return file is not None and "." not in name and "site-packages" not in Path(file).parts


def _class_text(cls: type[nn.Module], instances: Sequence[nn.Module]) -> str:
    """Return a class that takes what a spec can give, and is that type."""
    given = [given_arguments(each) for each in instances]
    taken = []
    for name, parameter in inspect.signature(cls).parameters.items():
        values = [each[name] for each in given if name in each]
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        is_needed = parameter.default is parameter.empty
        if is_needed or (values and is_said(parameter.default)):
            default = "" if is_needed else f" = {parameter.default!r}"
            kinds = [*values, *([] if is_needed else [parameter.default])]
            taken.append((name, f"{name}: {_annotation(parameter.annotation, kinds)}{default}"))
    lines = ["@layer", f"class {cls.__name__}({cls.__module__}.{cls.__name__}):"]
    signature = ", ".join(["self", *(text for _, text in taken)])
    call = ", ".join(f"{name}={name}" for name, _ in taken)
    doc = f'    """{cls.__name__} of {cls.__module__}."""'
    return "\n".join(
        [*lines, doc, "", f"    def __init__({signature}) -> None:", f"        super().__init__({call})"]
    )


def _annotation(written: object, values: Sequence[object]) -> str:
    """Return the type of an argument: that which its author wrote, or what its values are."""
    if written in PLAIN or written in [each.__name__ for each in PLAIN]:
        return getattr(written, "__name__", str(written))
    kinds = dict.fromkeys("None" if each is None else type(each).__name__ for each in values)
    if "float" in kinds:
        kinds.pop("int", None)
    named = {"tuple": "tuple[object, ...]", "list": "list[object]"}
    return " | ".join(named.get(each, each) for each in kinds) or "object"
