"""Hostile specs by the million: `make hostile`, or `python -m tests.hostile.endless [COUNT]`.

It goes on where it was stopped: where it is, and what was found, is kept in `out/hostile.json`. A mutant that is
neither compiled nor refused in its place is kept in `out/hostile/`, and the exit status is 1.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections import Counter
from typing import Any

from tests.hostile.meanings import hostile
from tests.hostile.originals import ROOT, Changed, originals
from tests.hostile.trials import Outcome, attempt, check_shown

STATE = ROOT / "out" / "hostile.json"
CRASHES = ROOT / "out" / "hostile"
TOTAL = 1_000_000
SAVED_EVERY = 1_000
SLOW = 2.0
LARGE = 300
"""Megabytes."""
FRESH: dict[str, Any] = {
    "next": 0, "codes": {}, "compiled": 0, "cpu_seconds": 0.0, "slowest": [0.0, ""], "largest": [0, ""],
    "slow": [], "large": [], "crashes": [],
}  # fmt: skip


def run(total: int) -> dict[str, Any]:
    state = json.loads(STATE.read_text()) if STATE.exists() else dict(FRESH)
    codes = Counter(state["codes"])
    everyone = originals()
    attempt(Changed(everyone[0], everyone[0].text.encode()))  # imports torch
    while state["next"] < total:
        original, number = everyone[state["next"] % len(everyone)], state["next"] // len(everyone)
        attempt_one(state, codes, original, number)
        state["next"] += 1
        if state["next"] % SAVED_EVERY == 0 or state["next"] == total:
            save({**state, "codes": dict(codes.most_common())})
    return state


def attempt_one(state: dict[str, Any], codes: Counter[str], original: Any, number: int) -> None:
    done, files = hostile(original, number)
    title = f"{done} of {original}, number {number}"
    try:
        outcome = attempt(files, original.preset)
        check_shown(outcome.diagnostics)
    except Exception:
        keep(state, title, files.data)
    else:
        codes.update({found.code for found in outcome.diagnostics})
        state["compiled"] += not outcome.diagnostics
        measure(state, title, outcome)


def keep(state: dict[str, Any], title: str, data: bytes) -> None:
    CRASHES.mkdir(parents=True, exist_ok=True)
    place = CRASHES / f"{len(state['crashes'])}"
    place.with_suffix(".yaml").write_bytes(data)
    place.with_suffix(".txt").write_text(f"{title}\n{traceback.format_exc()}")
    state["crashes"].append(title)
    print(f"{title}: see {place}.txt", flush=True)


def measure(state: dict[str, Any], title: str, outcome: Outcome) -> None:
    seconds, megabytes = outcome.seconds, outcome.megabytes
    state["cpu_seconds"] += seconds
    state["slowest"] = max(state["slowest"], [seconds, title])
    state["largest"] = max(state["largest"], [megabytes, title])
    if seconds > SLOW:
        state["slow"].append([seconds, title])
    if megabytes > LARGE:
        state["large"].append([megabytes, title])


def save(state: dict[str, Any]) -> None:
    STATE.parent.mkdir(exist_ok=True)
    fresh = STATE.with_suffix(".new")
    fresh.write_text(json.dumps(state, indent=1))
    fresh.replace(STATE)
    print(
        f"{state['next']:,} mutants, {state['compiled']:,} compiled, {len(state['crashes'])} crashed, "
        f"{state['cpu_seconds']:.0f} s of CPU, slowest {state['slowest'][0]:.2f} s, largest {state['largest'][0]} MB",
        flush=True,
    )


if __name__ == "__main__":
    found = run(int(sys.argv[1]) if len(sys.argv) > 1 else TOTAL)
    sys.exit(bool(found["crashes"]))
