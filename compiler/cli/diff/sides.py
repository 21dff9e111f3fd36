"""The two sides of a comparison: a spec, a saved model, or either in a revision of git, compiled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from compiler.artifact import Artifact
from compiler.cli.console import err, status
from compiler.cli.diff.revisions import Revision, revision_of
from compiler.cli.outcome import UsageProblem
from compiler.cli.subject import MODEL_SUFFIX, Subject
from compiler.pipeline import registry
from spec_schema.diagnostics import SpecError
from spec_schema.shown import shown
from spec_schema.source import Span

if TYPE_CHECKING:
    from compiler.diff.comparison import Comparison


@dataclass(frozen=True)
class Side:
    """What one side names, and how it is compiled."""

    name: str
    settings: Sequence[str] = ()
    preset: str | None = None
    plugins: Sequence[str] = ()
    import_paths: Sequence[Path] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    """What options of this side alone are called; see `own_options`."""

    def artifact(self) -> Artifact:
        """Compile it.

        Raises:
            SpecError: the spec is refused.
            UsageProblem: there is no such file, or no such revision.
            FileError: the file is no saved model.
        """
        revision = revision_of(self.name)
        try:
            return self.subject.artifact() if revision is None else self._at(revision)
        except SpecError as error:
            raise _located(error, self.options) from None

    @property
    def subject(self) -> Subject:
        """The file of its name, with the options that say how to compile it."""
        return Subject(Path(self.name), self.settings, self.preset, self.plugins, self.import_paths)

    def _at(self, revision: Revision) -> Artifact:
        if revision.path.suffix == MODEL_SUFFIX and (self.settings or self.preset):
            raise UsageProblem(f"`{self.name}` is a saved model, whose values are fixed")
        return revision.artifact(self.subject.variables(), self.preset, registry(self.plugins), self.plugins)

    @property
    def title(self) -> str:
        """What it is called in a report: its name, and the values that the caller gives."""
        values = [*([self.preset] if self.preset else []), *self.settings]
        return f"{self.name} ({', '.join(values)})" if values else self.name

    @property
    def weights(self) -> str:
        """The path of its weights, for the rule that loads them: its own, or one beside it of the same name."""
        path = PurePosixPath(self.name.rpartition(":")[2] if ":" in self.name else self.name)
        return str(path) if path.suffix == MODEL_SUFFIX else f"{path.stem}{MODEL_SUFFIX}"


def own_options(letter: str, settings: Sequence[str], preset: str | None) -> dict[str, str]:
    """Return what places in the values of one side are called, by the name that they have for both.

    Raises:
        UsageProblem: a setting gives no value.
    """
    option = f"--set-{letter}"
    for text in settings:
        if not text.partition("=")[0].strip() or "=" not in text:
            raise UsageProblem(f"`{option} {text}` gives no value", f"write `{option} key=value`")
    keys = [text.partition("=")[0].strip() for text in settings]
    presets = {"--preset": f"--preset-{letter}"} if preset is not None else {}
    return {**{f"--set {key}": f"{option} {key}" for key in keys}, **presets}


def _located(error: SpecError, options: Mapping[str, str]) -> SpecError:
    """Return a refusal that points at the options which the caller wrote."""

    def at(span: Span) -> Span:
        name = options.get(span.file.name, span.file.name)
        return replace(span, file=replace(span.file, name=name))

    return SpecError(
        replace(
            each,
            span=None if each.span is None else at(each.span),
            labels=tuple(replace(label, span=at(label.span)) for label in each.labels),
        )
        for each in error.diagnostics
    )


def compared(sides: tuple[Side, Side], maps: Sequence[str]) -> Comparison:
    """Compile both sides and compare them. That a map loads nothing is noted on standard error.

    Raises:
        UsageProblem: a side is not there, or a map names what is not there.
        SpecError: a spec is refused.
    """
    from compiler.diff.comparison import compare
    from compiler.diff.given import MapProblem

    before, after = (side.artifact() for side in sides)
    try:
        with status("comparing"):
            found = compare(before, after, sides[0].weights, maps)
    except MapProblem as problem:
        raise UsageProblem(problem.message, problem.help) from None
    for text in found.idle_maps:
        map_ = " = ".join(part.strip() for part in text.split("=", 1))
        err().print(shown(f"note: the map `{map_}` loads nothing: shapes differ"), soft_wrap=True)
    return found
