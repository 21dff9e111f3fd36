"""Models in the formats of others, without what they are made with: that is imported when one is exported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from torch import nn

from compiler.extras import EXPORT
from runtime.exporting.staging import aside, check_file_target

if TYPE_CHECKING:
    from runtime.exporting.agreement import Agreement

NONE: Mapping[str, int] = MappingProxyType({})


def export_onnx(model: nn.Module, path: str | Path, fixed: Mapping[str, int] = NONE) -> Agreement:
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
    EXPORT.require()
    from runtime.exporting.onnx_file import make_onnx, put_onnx

    check_file_target(Path(path))
    with aside() as folder:
        staged = folder / Path(path).name
        found = make_onnx(model, staged, fixed)
        put_onnx(staged, Path(path))
    return found
