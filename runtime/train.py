"""Train: from an artifact with a `train` section to a trained model, saved as one file.

The loop is that of Lightning's Trainer. It was held against a loop of our own (devices, mixed precision, resuming
and progress would all be ours to keep right), against Ignite (an engine of events, in which most of that is still
written by the user) and Accelerate (devices and precision, but no loop, no resuming and no log): only the Trainer
does all of it, and its parts can be replaced one by one, as the checkpoints are here.

Lightning takes seconds to import, so that nothing here imports it before it is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.artifact import Artifact
from compiler.extras import TENSORBOARD, TRAIN
from compiler.training.section import Training
from runtime.placement import Devices
from runtime.training.outcome import Trained
from spec_schema.diagnostics import refuse
from spec_schema.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from pytorch_lightning import Callback, LightningModule
    from pytorch_lightning.loggers import Logger


def train(
    artifact: Artifact,
    *,
    seed: int = 0,
    device: Devices = None,
    out: str | Path = "out",
    epochs: int | None = None,
    resume: str | Path | None = None,
    override: Iterable[str] = (),
    progress: bool = True,
    allow_large: bool = False,
    data_paths: Iterable[str | Path] = (),
    data_limit: int = DEFAULT_LIMITS.data_bytes,
    callbacks: Iterable[Callback] = (),
    loggers: Iterable[Logger] = (),
    loaders: Mapping[str, Any] | None = None,
    mesh: Mapping[str, int] | None = None,
) -> Trained:
    """Train a model as its spec says, and save it as `NAME.safetensors` in the folder `out`.

    A report, `NAME.html`, and the folder `NAME` with checkpoint and log lie beside it. `epochs` stands in for the
    length that the spec gives. `resume` is a checkpoint of the same training, which then goes on as if it had not been
    interrupted; `override` names sections, such as `train.optimizer`, which may be others than they were. `progress`
    writes a line for each epoch to standard error, and a bar if that is a terminal. `allow_large` builds a model that
    may not fit into memory. Data lie below the folder of the spec, or below one of `data_paths`; of their bytes no
    more than `data_limit` are read.

    `callbacks` and `loggers` of Lightning come beside those of the training. `loaders` give the batches of `train`, and
    maybe of `validation` and `test`, instead of the data that the spec names: each batch is a mapping with the fields
    of the spec's data. Whether such a training is resumed exactly is up to them.

    With `mesh`, this process is one of the ranks that `torchrun` started, all of which call this: the model lies on
    them as the section `mesh` of the spec says, with these sizes of axes instead of its own. The first rank writes the
    files and tells how the training goes.

    Raises:
        SpecError: the spec has no `train` section, its data, loss, optimiser or metrics do not fit, or the extra
            `train` is not installed.
        FileError: `resume` is no checkpoint of this training.
        FileNotFoundError: there is no file `resume`.
        Interrupted: Ctrl-C was pressed; the last checkpoint is whole.
        ValueError: there is no such `device`, a section that cannot be overridden, or the ranks are not those of the
            mesh, do not agree or no longer answer (a `RankError`).
    """
    training = training_of(artifact)
    check_installed(training)
    _check_logs(training)
    from runtime.training.fit import Fit
    from runtime.training.override import check_sections

    check_sections(sections := tuple(override))
    paths = tuple(Path(path) for path in data_paths)
    fit = Fit(
        artifact,
        training,
        seed,
        device,
        Path(out),
        epochs,
        allow_large,
        paths,
        data_limit,
        tuple(callbacks),
        tuple(loggers),
        loaders,
        sections,
        mesh,
    )
    return fit.run(resume, progress)


def lightning_module(
    artifact: Artifact,
    *,
    seed: int = 0,
    device: Devices = None,
    epochs: int | None = None,
    allow_large: bool = False,
    data_paths: Iterable[str | Path] = (),
    data_limit: int = DEFAULT_LIMITS.data_bytes,
    loaders: Mapping[str, Any] | None = None,
) -> LightningModule:
    """Return a new model with its data, loss, metrics, optimizer and schedule, for a Trainer of the caller.

    The arguments are those of `train`. How long it trains, on what, in which precision, with what clipping and
    accumulation, and what is kept, is that Trainer's; the schedule has the length that the spec gives, or `epochs`.
    `module.model` is the model, which `runtime.save` saves.

    Raises:
        SpecError, ValueError: as by `train`.
    """
    training = training_of(artifact)
    check_installed(training)
    from runtime.training.fit import Fit

    paths = tuple(Path(path) for path in data_paths)
    fit = Fit(
        artifact, training, seed, device, Path(), epochs, allow_large, paths, data_limit, loaders=loaders
    )
    module, _ = fit.learner()
    return module


def training_of(artifact: Artifact) -> Training:
    """Return the `train` section of a spec, or refuse a spec without one."""
    if artifact.training is None:
        raise refuse(
            "missing-key",
            "the spec does not say how it is trained",
            None,
            help="write a section `train:` with `data`, `loss`, `optimizer`, `batch` and `epochs`",
        )
    return artifact.training


def _check_logs(training: Training) -> None:
    """Refuse a log whose writer is not installed."""
    problem = TENSORBOARD.problem() if training.logs.tensorboard else None
    if problem is not None:
        raise refuse("missing-extra", problem, training.logs.span, help=f"`{TENSORBOARD.command}`")


def check_installed(training: Training | None) -> None:
    """Refuse to train, or to evaluate, with the command that mends it, where what does that is not installed."""
    problem = TRAIN.problem()
    if problem is not None:
        raise refuse(
            "missing-extra",
            problem,
            training.span if training is not None else None,
            help=f"`{TRAIN.command}`",
        )
