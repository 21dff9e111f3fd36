"""The names of devices, as a spec and `--device` write them."""

from __future__ import annotations

import re

from spec_schema.diagnostics import Diagnostic
from spec_schema.source import Span
from spec_schema.suggest import did_you_mean

AUTO = "auto"
DEVICE_TYPES = (
    *"cpu cuda ipu xpu mkldnn opengl opencl ideep hip ve fpga maia xla lazy vulkan".split(),
    *"mps meta hpu mtia privateuseone".split(),
)
"""The types of devices that torch knows, here without torch: a spec is read before it is needed."""
LAST_INDEX = 127


def device_name(written: str) -> str:
    """Return the one name of a device: `cuda` is `cuda:0`, and `cpu:0` is `cpu`."""
    kind = written.removesuffix(":0")
    if kind in (AUTO, "cpu", "meta"):
        return kind
    return written if ":" in written else f"{written}:0"


def device_problem(written: str, place: Span | None) -> Diagnostic | None:
    """Return what is wrong with the name of a device, whether or not this computer has the device."""
    if written == AUTO or _is_device(written):
        return None
    kind, colon, index = written.partition(":")
    near = "cuda" if kind.lower() == "gpu" else did_you_mean(kind, (AUTO, *DEVICE_TYPES))
    help = "write `auto` for the first accelerator, `cpu`, or a device of torch, such as `cuda:1`"
    if kind in DEVICE_TYPES:
        help = f"number it from 0: `{kind}:0`"
    elif near and device_problem(near + colon + index, place) is None:
        help = f"did you mean `{near}{colon}{index}`?"
    return Diagnostic("unknown-device", f"torch has no device `{written}`", place, help=help)


def _is_device(written: str) -> bool:
    """Return whether torch takes a name of a device; the number is one that it keeps in a byte."""
    kind, colon, index = written.partition(":")
    numbered = re.fullmatch(r"0|[1-9][0-9]{0,2}", index) is not None and int(index) <= LAST_INDEX
    return kind in DEVICE_TYPES and (numbered or not colon)
