"""The layout of a picture without a browser: the same programs as in the page, run by V8."""

from __future__ import annotations

import atexit
import json
from functools import cache
from typing import TYPE_CHECKING

from compiler.drawing.data import picture_data
from compiler.drawing.drawing import Drawing
from compiler.drawing.files import asset
from compiler.extras import DRAW

if TYPE_CHECKING:
    from py_mini_racer import MiniRacer

ENGINE = """
const waiting = [];
globalThis.window = globalThis;
globalThis.setTimeout = (task) => { waiting.push(task); return waiting.length; };
globalThis.clearTimeout = () => {};
"""
"""What ELK asks of a browser: it lays out in tasks that come after each other."""
TURNS = 100_000


@cache
def engine() -> MiniRacer:
    """Return V8 with ELK and the programs of the picture.

    Raises:
        MissingExtraError: it is not installed.
    """
    DRAW.require()
    from py_mini_racer import MiniRacer

    made = MiniRacer()
    atexit.register(engine.cache_clear)  # it ends while there is still what it needs for that
    for program in (ENGINE, asset("elk.bundled.js"), asset("selectors.js"), asset("picture.js")):
        made.eval(f"{program}\n;0")
    made.eval("const elk = new ELK(); let answer = ''; 0")
    return made


def svg(drawing: Drawing, style: str) -> str:
    """Return the picture of a model as the text of an SVG."""
    data = {**picture_data(drawing), "style": style}
    return answer(f"const data = {json.dumps(data)};return new Picture(data, data.opened, elk).svg({{}});")


def answer(program: str) -> str:
    """Run a program that returns a text, or a promise of one."""
    made = engine()
    done = "(text) => { answer = 'done ' + text; }, (error) => { answer = 'failed ' + error; }"
    made.eval(f"answer = ''; (async () => {{ {program} }})().then({done}); 0")
    for _ in range(TURNS):
        found = str(made.eval("while (waiting.length) waiting.shift()(); answer"))
        if found:
            break
    status, _, text = found.partition(" ")
    if status != "done":
        raise RuntimeError(text or "the layout did not come to an end")
    return text
