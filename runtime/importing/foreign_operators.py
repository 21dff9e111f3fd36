"""The operators of torchvision, declared where its own library was built for another torch.

Without them torchvision cannot be imported at all, although almost none of its models, and none of timm's, uses one.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

OPERATORS = """
    nms qnms deform_conv2d _deform_conv2d_backward qroi_align roi_align _roi_align_backward roi_pool
    _roi_pool_backward ps_roi_align _ps_roi_align_backward ps_roi_pool _ps_roi_pool_backward
""".split()
"""What torchvision registers from Python. None of it belongs to a classifier."""
_declared: list[torch.library.Library] = []
"""The declarations last as long as this."""


def declare_operators() -> None:
    """Load the operators of the torchvision that is found, or declare their names."""
    found = importlib.util.find_spec("torchvision")
    folders = found.submodule_search_locations if found is not None else None
    if not folders or _declared or hasattr(torch.ops.torchvision, "nms"):
        return
    for library in Path(folders[0]).glob("_C*"):
        try:
            torch.ops.load_library(library)  # type: ignore[no-untyped-call]
        except OSError:
            continue
        return
    stubs = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in OPERATORS:
        stubs.define(f"{name}(Tensor x) -> Tensor")  # type: ignore[no-untyped-call]
    _declared.append(stubs)
