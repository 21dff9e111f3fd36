"""A folder of `transformers`, loaded in a process of its own, where this project cannot be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from safetensors.torch import load_file, save_file
from torch import Tensor

from runtime.exporting.dimensions import Trial

PROGRAM = """
import json, sys
sys.modules.update(dict.fromkeys(("compiler", "runtime", "spec_schema")))
import torch
from safetensors.torch import load_file, save_file
from torch.utils._pytree import tree_leaves
from transformers import AutoModel, logging
logging.set_verbosity_error()
logging.disable_progress_bar()
model = AutoModel.from_pretrained(sys.argv[1], trust_remote_code=True)
names = {}
for name, parameter in model.named_parameters(remove_duplicate=False):
    names.setdefault(id(parameter), []).append(name)
print(json.dumps([each for each in names.values() if len(each) > 1]), flush=True)
print(json.dumps([name for name, each in model.named_parameters() if not each.requires_grad]), flush=True)
for line in sys.stdin:
    given = load_file(line.strip() + ".given")
    with torch.no_grad():
        found = tree_leaves(model(*[given[f"{at}"] for at in range(len(given))]))
    tensors = [each for each in found if isinstance(each, torch.Tensor)]
    save_file({f"{at}": each.clone().contiguous() for at, each in enumerate(tensors)}, line.strip() + ".found")
    print("done", flush=True)
"""


class LoadedFolder:
    """The process. It is ended with the `with` statement that it stands in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> LoadedFolder:
        self.scratch = tempfile.TemporaryDirectory()
        self.said = Path(self.scratch.name, "said")
        with self.said.open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(self.folder.resolve())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                cwd=self.scratch.name,
                env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": self.scratch.name},
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.communicate()
        self.scratch.cleanup()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            said = self.said.read_text(errors="replace").strip().splitlines() or ["it ended without a word"]
            raise RuntimeError(said[-1])
        return line

    def ties(self) -> set[frozenset[str]]:
        """Return the names of each parameter that has several. RuntimeError if the folder cannot be loaded."""
        return {frozenset(names) for names in json.loads(self._line())}

    def frozen(self) -> set[str]:
        """Return the names of the parameters that are not trained, each once. It is asked after the ties."""
        return set(json.loads(self._line()))

    def run(self, trial: Trial) -> Mapping[str, Tensor]:
        """Run the loaded model. RuntimeError if it fails."""
        at = Path(self.scratch.name, "trial")
        save_file({f"{number}": each.contiguous() for number, each in enumerate(trial.inputs)}, f"{at}.given")
        assert self.process.stdin is not None
        self.process.stdin.write(f"{at}\n")
        self.process.stdin.flush()
        self._line()
        found = load_file(f"{at}.found")
        return {f"output {number}": found[f"{number}"] for number in range(len(found))}
