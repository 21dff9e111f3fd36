"""Peak memory of whole processes: verbs that only compile, and building and loading GPT-2 beside a module by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.gpt2 import SIZES
from benchmarks.measured import Row, process

ROOT = Path(__file__).parents[1]
SMALL, LARGE = str(ROOT / "specs/digits.yaml"), str(ROOT / "specs/zoo/gpt2.yaml")
VERBS = ("check", "summary", "emit")
MIB = 2**20


def rows(quick: bool) -> Iterator[Row]:
    """Yield a row for each verb, and one each for building and for loading; one verb alone if it has to be quick."""
    rounds = 1 if quick else 2
    commands = {"import torch": ["-c", "import torch"]}
    commands |= {
        f"{verb} specs/digits.yaml": ["-m", "compiler", verb, SMALL] for verb in VERBS[: 1 if quick else None]
    }
    for name, command in commands.items():
        yield Row(0, f"peak memory: `{name}`", _peaks(command, rounds), unit="MiB")
    if not quick:
        yield from of_model(SIZES, rounds)


def of_model(sizes: Mapping[str, int], rounds: int) -> Iterator[Row]:
    """Yield how much a process takes that builds a model, or loads it, by what one by hand takes."""
    artifact = f"compiler.compile({LARGE!r}, set={dict(sizes)})"
    hand = "from benchmarks.gpt2 import Gpt2"
    ours = f"import compiler, runtime; runtime.build({artifact}, device='cpu')"
    theirs = f"{hand}; Gpt2(**{dict(sizes)})"
    name = f"GPT-2, {sizes['depth']} layers"
    yield Row(0, f"peak memory: {name}, built ÷ by hand", _ratios(ours, theirs, rounds))
    with TemporaryDirectory() as folder:
        path = str(Path(folder) / "gpt2.safetensors")
        process("-c", f"import compiler, runtime; runtime.save(runtime.build({artifact}), {path!r})")
        ours = f"import runtime; runtime.load({path!r}, device='cpu')"
        load = f"twin.load_state_dict(load_file({path!r}), strict=False, assign=True)"
        theirs = (
            f"{hand}; import torch; from safetensors.torch import load_file; torch.set_default_device('meta')"
        )
        theirs += f"; twin = Gpt2(**{dict(sizes)}); {load}"
        yield Row(0, f"peak memory: {name}, loaded ÷ by hand", _ratios(ours, theirs, rounds))


def _peaks(command: list[str], rounds: int) -> tuple[float, ...]:
    return tuple(process(*command).peak / MIB for _ in range(rounds))


def _ratios(ours: str, theirs: str, rounds: int) -> tuple[float, ...]:
    return tuple(process("-c", ours).peak / process("-c", theirs).peak for _ in range(rounds))
