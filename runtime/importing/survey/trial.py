"""One model, imported in a process of its own: `python -m runtime.importing.survey.trial SOURCE`.

The last line of its output is what came of it, as JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

import compiler
from runtime.importing.imported import Imported, from_module
from runtime.importing.inputs import inputs_of
from runtime.importing.skeleton import Skeleton
from runtime.importing.sources import Source
from runtime.importing.survey.modelling_lines import modelling_lines, noted, spec_lines
from runtime.importing.survey.models import made as made_of
from runtime.importing.survey.models import modelling_folders
from spec_schema.diagnostics import Diagnostic, SpecError

LARGEST = 100_000_000
"""Parameters of the largest model whose values are made and compared."""


def outcome(source: str, largest: int = LARGEST) -> dict[str, Any]:
    """Import a model, and return what came of it."""
    found: dict[str, Any] = {"source": source}
    started = time.process_time()
    try:
        with noted(modelling_folders(source.partition(":")[0])) as ran:
            made = _made(source, largest)
            found["parameters"] = _size(made.module)
            _run_once(made)
        found["code_lines"], found["run_lines"] = modelling_lines(ran)
        started = time.process_time()
        proven = _size(made.module) <= largest
        try:
            found |= _imported(made, proven)
        except NotImplementedError:  # it looks at values, and was made without any
            found |= _imported(made_of(source), proven)
    except SpecError as error:
        found |= refusal(error.diagnostics[0])
    except MemoryError as error:
        found |= {"status": "too large", "reason": str(error)}
    except Exception as error:
        found |= _failure(error)
    found["seconds"] = round(time.process_time() - started, 1)
    return found


def _made(source: str, largest: int) -> Source:
    """Return a model, without values where it is large and no value of it stands in its spec."""
    try:
        with torch.device("meta"):
            made = made_of(source)
    except SpecError:
        raise
    except Exception:  # what it computes as it is made needs values
        return made_of(source)
    needed = _size(made.module) <= largest or any(
        each._non_persistent_buffers_set for each in made.module.modules()
    )
    return made_of(source) if needed else made


def _size(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


def _run_once(made: Source) -> None:
    """Run a model without values, to see which of its code runs; what it may raise, the import tells."""
    try:
        inputs, sizes = inputs_of(made.module, made.inputs, made.dims)
        root = Skeleton(made.module).root.eval()
        with torch.no_grad():
            root(**{each.name: each.made(sizes).to("meta") for each in inputs})
    except Exception:
        return


def _imported(made: Source, proven: bool) -> dict[str, Any]:
    result = from_module(made.module, made.inputs, dims=made.dims, prove_it=proven)
    if not proven:
        _compare_names(made.module, result)
    return {"status": "proven" if proven else "imported", "lines": spec_lines(result.text)}


def _compare_names(module: nn.Module, result: Imported) -> None:
    """Compile a spec, and compare the names and shapes of its tensors with those of a module without values."""
    rows = {name: row.shape for row in compiler.compile_text(result.text).plan.rows for name in row.names}
    kept = {name: tuple(each.shape) for name, each in module.named_parameters()}
    unused = tuple(result.report.unused) or ("/",)
    for name, shape in kept.items():
        if not name.startswith(unused) and rows.get(name) != shape:
            raise AssertionError(f"`{name}` is {list(shape)}, and {rows.get(name)} in the spec")


def refusal(first: Diagnostic) -> dict[str, Any]:
    """Return what a diagnosis says of a model."""
    where = first.span.where if first.span is not None else ""
    status = "differs" if first.code == "import-differs" else "refused"
    return {"status": status, "code": first.code, "reason": first.message, "where": where}


def _failure(error: Exception) -> dict[str, Any]:
    said = " ".join(str(error).split())[:300]
    if isinstance(error, RuntimeError) and ("memory" in said and "alloc" in said):
        return {"status": "too large", "reason": said}
    return {"status": "failed", "reason": f"{type(error).__name__}: {said}", "where": _innermost(error)}


def _innermost(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""


def main(arguments: Sequence[str]) -> None:
    """Import one model within a limit of memory, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("--largest", type=int, default=LARGEST)
    parser.add_argument("--memory", type=int, default=0, help="bytes; 0: as much as there is")
    parser.add_argument("--seconds", type=int, default=0, help="of processor time; 0: as long as it takes")
    given = parser.parse_args(arguments)
    for kind, limit in ((resource.RLIMIT_DATA, given.memory), (resource.RLIMIT_CPU, given.seconds)):
        if limit:
            resource.setrlimit(kind, (limit, resource.getrlimit(kind)[1]))
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    print(f"\n{json.dumps(outcome(given.source, given.largest))}")


if __name__ == "__main__":
    main(sys.argv[1:])
