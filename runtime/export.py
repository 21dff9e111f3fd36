"""Models in the formats of others, without what they are made with: that is imported when one is exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from torch import nn

from compiler.extras import EXPORT, TRANSFORMERS
from runtime.exporting.staging import aside, check_file_target, check_folder_target, put_file, put_folder

if TYPE_CHECKING:
    from runtime.exporting.agreement import Agreement

Sizes: TypeAlias = Mapping[str, int]
NONE: Sizes = MappingProxyType({})


@dataclass(frozen=True)
class Target:
    """A format, and how it is written: aside first, and then put in place."""

    check: Callable[[Path], None]
    make: Callable[[nn.Module, Path, Sizes], Agreement]
    put: Callable[[Path, Path], None]


def export_onnx(model: nn.Module, path: str | Path, fixed: Sizes = NONE) -> Agreement:
    """Write a model as ONNX, all of it or nothing, and return how near the file came to it in onnxruntime.

    Open dimensions stay open but for those in `fixed`, which get a size. Tensors have the names that they have in the
    model, a tied one that under which it is saved.

    Raises:
        MissingExtraError: the packages of the extra `export` are not installed.
        SpecError: torch or ONNX cannot express the model, or what was written does something else.
        TypeError: the model was not built from a spec.
        ValueError: the model is in training mode, or elsewhere than on the CPU; or there is no such dimension.
        OSError: the file cannot be written; what was there is unchanged.
    """
    return export_all(model, {"onnx": Path(path)}, fixed)["onnx"]


def export_pt2(model: nn.Module, path: str | Path, fixed: Sizes = NONE) -> Agreement:
    """Write a model as a program of `torch.export`, and return how near it came to it; see `export_onnx`.

    `torch.export.load` reads it where neither this project nor the source of the model is. A tied tensor is one
    parameter of the program, under the name that it is saved by.
    """
    return export_all(model, {"pt2": Path(path)}, fixed)["pt2"]


def export_transformers(model: nn.Module, folder: str | Path) -> Agreement:
    """Write a model as a new folder that `AutoModel.from_pretrained(folder, trust_remote_code=True)` loads.

    It is loaded in another process, and compared, before it is put in place; see `export_onnx`.
    """
    return export_all(model, {"transformers": Path(folder)})["transformers"]


def export_all(model: nn.Module, paths: Mapping[str, Path], fixed: Sizes = NONE) -> dict[str, Agreement]:
    """Write a model in several formats: none of them is put in place before all are right. See `export_onnx`."""
    targets = {name: TARGETS[name] for name in paths}
    check_targets(paths)
    with aside() as folder:
        staged = {name: folder / name / path.name for name, path in paths.items()}
        found = {}
        for name, target in targets.items():
            staged[name].parent.mkdir()
            found[name] = target.make(model, staged[name], fixed)
        for name, target in targets.items():
            target.put(staged[name], paths[name])
    return found


def check_targets(paths: Mapping[str, Path]) -> None:
    """Make sure of all that can be known before a model is there.

    Raises:
        MissingExtraError: packages are not installed.
        OSError: something can surely not be written.
    """
    if "onnx" in paths:
        EXPORT.require()
    if "transformers" in paths:
        TRANSFORMERS.require()
    for name, path in paths.items():
        TARGETS[name].check(path)


def _make_onnx(model: nn.Module, staged: Path, fixed: Sizes) -> Agreement:
    from runtime.exporting.onnx_file import make_onnx

    return make_onnx(model, staged, fixed)


def _make_pt2(model: nn.Module, staged: Path, fixed: Sizes) -> Agreement:
    from runtime.exporting.pt2 import make_pt2

    return make_pt2(model, staged, fixed)


def _make_folder(model: nn.Module, staged: Path, fixed: Sizes) -> Agreement:
    from runtime.exporting.transformers_folder import make_folder

    return make_folder(model, staged)


BESIDE = ".data"
"""What the file is called that holds the tensors of a file of ONNX where they are too large for it."""


def _put_onnx(staged: Path, path: Path) -> None:
    """Put a file in place after what stands beside it."""
    beside = staged.with_name(f"{staged.name}{BESIDE}")
    if beside.exists():
        put_file(beside, path.with_name(beside.name))
    put_file(staged, path)


TARGETS = {
    "onnx": Target(check_file_target, _make_onnx, _put_onnx),
    "pt2": Target(check_file_target, _make_pt2, put_file),
    "transformers": Target(check_folder_target, _make_folder, put_folder),
}
