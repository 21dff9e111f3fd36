"""`diff`: what changed between two specs, saved models or revisions."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from compiler.cli.diff.options import (
    AsJson,
    AsMarkdown,
    Everything,
    Maps,
    Names,
    OnlyRule,
    PresetAfter,
    PresetBefore,
    SetAfter,
    SetBefore,
)
from compiler.cli.options import ImportPaths, Plugins, Preset, Settings
from compiler.cli.outcome import Status, UsageProblem, is_bug, report

DIFFERS, TROUBLE = 1, 2
GIT_ARGUMENTS = (7, 9)
"""How many arguments git gives a program that compares: two more for a file that was renamed."""


def diff(
    names: Names,
    set_: Settings = None,
    preset: Preset = None,
    set_a: SetBefore = None,
    set_b: SetAfter = None,
    preset_a: PresetBefore = None,
    preset_b: PresetAfter = None,
    map_: Maps = None,
    plugin: Plugins = None,
    import_path: ImportPaths = None,
    json_: AsJson = False,
    markdown: AsMarkdown = False,
    rule: OnlyRule = False,
    all_: Everything = False,
) -> None:
    """Say what changed between two specs, saved models or revisions: layers, rules, sizes, and whether weights load.

    Exit status: 0 the same model, 1 another one, 2 trouble. With the seven arguments that git gives a program that
    compares, it prints what changed in a file, and the status is 0.
    """
    if len(names) in GIT_ARGUMENTS:
        from compiler.cli.diff.git_driver import from_git

        from_git(names, plugin or ())
        return
    from compiler.cli.diff.printed import Form, print_comparison
    from compiler.cli.diff.sides import Side, compared, own_options

    form = Form.json if json_ else Form.markdown if markdown else Form.rule if rule else Form.text
    try:
        before, after = _sides(names, bool(set_b or preset_b or set_a or preset_a))
        common = (tuple(plugin or ()), tuple(import_path or ()))
        both, own = set_ or (), (set_a or (), set_b or ())
        options = own_options("a", own[0], preset_a), own_options("b", own[1], preset_b)
        sides = (
            Side(before, (*both, *own[0]), preset_a or preset, *common, options[0]),
            Side(after, (*both, *own[1]), preset_b or preset, *common, options[1]),
        )
        found = compared(sides, map_ or ())
        print_comparison(found, sides, form, all_)
    except Exception as error:
        if is_bug(error) or isinstance(error, typer.Exit):
            raise
        report(error)
        raise typer.Exit(TROUBLE) from None
    raise typer.Exit(Status.FINE if found.is_same else DIFFERS)


def _sides(names: Sequence[str], has_values: bool) -> tuple[str, str]:
    match names:
        case [before, after]:
            return before, after
        case [both] if has_values:
            return both, both
        case [_]:
            raise UsageProblem(
                "`diff` compares two", "name another spec, or give one `--set-b` or `--preset-b`"
            )
    raise UsageProblem(f"`diff` compares two, and these are {len(names)}", "name A and B")
