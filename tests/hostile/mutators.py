"""Mutators: each takes a valid spec and makes a hostile one of it."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from random import Random
from typing import Any

from tests.hostile.originals import Changed, Original, document, originals, written
from tests.hostile.places import at, places
from tests.hostile.sections import retrain

WORDS = (
    *(
        "Linear",
        "ReLU",
        "relu",
        "x",
        "index",
        "forward",
        "class",
        "self",
        "None",
        "True",
        "*",
        "/",
        "**",
        "_",
    ),
    *("Linear(3", "Linear(-3)", "Linear(n)", "Linear(2**31)", "Linear(0)", "x + 1", "1 / 0", "a.b", "[[1]]"),
    *(
        "float[batch]",
        "float[0]",
        "int64[batch, -1]",
        "float[2**31]",
        "range(10**9)",
        "'t' * 10**9",
        "'t'",
        "",
    ),
    *("lambda: 1", "x.__class__", "eval('1')", "n" * 70, "é", "ﬁ", "x" + "\u0301", "Linear(３)", "K", "ª"),
)
HOSTILE = (
    *(
        "__import__('os').system('true')",
        "{{7*7}}",
        "${jndi:ldap://a/b}",
        "!!python/object:os.system",
        "$(id)",
    ),
    *(
        "`id`",
        "%s%n",
        "{0.__class__}",
        "_target_",
        "../../../../etc/passwd",
        "/dev/zero",
        "file:///etc/passwd",
    ),
    *(
        "\x1b[2J",
        "\u202eabc",
        "\ufeff",
        "\u2028",
        "\x85",
        "\x7f",
        "\U0010ffff",
        "\ue000",
        "\U000f0000",
        "😀" * 20,
    ),
    *("a" * 5000, "((" * 200, "-" * 300 + "1", "not " * 200 + "x", "[" * 64 + "]" * 64, "x." * 200 + "T"),
    *(
        '"',
        "'",
        "'''",
        "\\",
        "\n",
        "\t",
        "#",
        " ",
        ": ",
        "- ",
        "<<",
        "&a",
        "*a",
        "|",
        ">",
        "%YAML 1.1",
        "---",
        "...",
    ),
    *(
        "1" * 400,
        "1e999",
        "0x" + "f" * 40,
        "1_000",
        "010",
        "1j",
        "b'x'",
        "f'{x}'",
        "...",
        "x[...]",
        "*x",
        "**x",
    ),
    *(
        "x := 1",
        "yield x",
        "await x",
        "x if",
        "return",
        "import os",
        "exec",
        "x;y",
        "x\n  y",
        "\\\n",
        "if x:\n",
    ),
)
NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 2, 3, 7, 2**31 - 1, 2**31, 2**53 - 1, 2**53, -(2**53), 10**30, 10**400),
    *(0.0, -0.0, 0.5, 1e-308, 1e308, 100_000, 100_001, 10**6, 10**9),
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    [],
    {},
    [1],
    [[]],
    {"a": 1},
    {"": None},
    [{}],
    *NUMBERS[:6],
    *WORDS,
)
PIECES = (
    *(
        *"()[]{},.:=_-*/#'\"|>&!%@`0aé\n\t \\",
        "if ",
        "not ",
        "None",
        "2**70",
        "Linear",
        "return x",
        "*x.shape, ",
        ".values",
        "self.",
        "--- ",
    ),
    *(
        "&a ",
        "*a",
        "!!set ",
        "<<: ",
        "? ",
        "\ufeff",
        "\u2028",
        "\x00",
        "[[[[",
        "]]]]",
        "${",
        "}}",
        "\r\n",
        "9" * 30,
    ),
)


DONORS = [original for original in originals() if original.main.parent.name == "course"]
"""Specs of which others get parts: a closed list, so that a new spec does not change the mutants of the others."""


# Changes of the document.


def delete(draw: Random, parent: Any, key: Any) -> None:
    del parent[key]


def duplicate(draw: Random, parent: Any, key: Any) -> None:
    if isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    else:
        parent[f"{key}{draw.choice(['2', '_', ' '])}"] = copy.deepcopy(parent[key])


def retype(draw: Random, parent: Any, key: Any) -> None:
    parent[key] = copy.deepcopy(draw.choice(VALUES))


def rename(draw: Random, parent: Any, key: Any) -> None:
    if isinstance(parent, dict):
        others = [*parent, *WORDS, slip(draw, key)]
        replace_key(parent, key, draw.choice(others))


def rekey(draw: Random, parent: Any, key: Any) -> None:
    """Give a layer another key, or the name that programs call it by: good ones and hostile ones."""
    if isinstance(parent, dict) and isinstance(key, str):
        keys = ["1x1", "block1-0", "_fc", "__class__", "_modules", "-", "0", "half", draw.choice(HOSTILE)]
        name = draw.choice([key, key, *parent, "class", "", draw.choice(WORDS)])
        replace_key(
            parent, key, draw.choice([f"{draw.choice(keys)} as {name}", draw.choice(keys), f"{key} as"])
        )


def stand_in(draw: Random, parent: Any, key: Any) -> None:
    """Put a call, or the name of another value, where a block or a variable has something else."""
    names = [*map(str, parent)] if isinstance(parent, dict) else []
    calls = [
        "ReLU",
        "Linear(3)",
        "BatchNorm2d(eps=1e-3)",
        "Linear",
        "relu",
        "[ReLU, Linear(n)]",
        "ReLU() + 1",
    ]
    parent[key] = draw.choice([*calls, *(name.partition("(")[0] for name in names), draw.choice(WORDS)])


def alone(draw: Random, parent: Any, key: Any) -> None:
    """Make the model one call: of a block, of a layer, or of what is none."""
    if isinstance(parent, dict) and "model" in parent:
        blocks = parent.get("blocks")
        names = [*map(str, blocks)] if isinstance(blocks, dict) else []
        calls = [
            "Linear(3)",
            "BatchNorm1d",
            "relu",
            "Sequential",
            "MultiheadAttention(4, 2)",
            draw.choice(WORDS),
        ]
        parent["model"] = draw.choice([*names, *(n.partition("(")[0] for n in names), *calls])


def run_on(draw: Random, parent: Any, key: Any) -> None:
    """Let a repeat name its number, and carry values on: good ones, and ones that grow, fail or are none."""
    node = parent[key] if isinstance(parent[key], dict) and "repeat" in parent[key] else parent
    if isinstance(node, dict) and "repeat" in node:
        after = draw.choice(
            ["n * n", "n + 1", "[n, n]", "n[0]", "1 / index", "ReLU", "n", draw.choice(WORDS)]
        )
        pair = draw.choice([[2, after], [after, 2], [2], [[1], after], draw.choice(VALUES)])
        node["running"] = draw.choice([{"n": pair}, {"index": pair}, {"n": pair, "m": ["n", "m"]}, pair])
        if draw.random() < 0.5:
            node["index"] = draw.choice(["n", "at", "index", *WORDS])


def reorder(draw: Random, parent: Any, key: Any) -> None:
    items = list(parent.items()) if isinstance(parent, dict) else list(parent)
    draw.shuffle(items)
    parent.clear()
    parent.update(items) if isinstance(parent, dict) else parent.extend(items)


def resize(draw: Random, parent: Any, key: Any) -> None:
    """Put an extreme number in place of one."""
    number = draw.choice(NUMBERS)
    if isinstance(parent[key], str):
        found = list(re.finditer(r"\d+(\.\d+)?", parent[key]))
        if found:
            start, end = draw.choice(found).span()
            parent[key] = f"{parent[key][:start]}{number}{parent[key][end:]}"
            return
    parent[key] = number


def deepen(draw: Random, parent: Any, key: Any) -> None:
    """Nest a value, about as deep as is allowed, or deeper."""
    times = draw.choice([1, 2, 10, 20, 31, 40, 60, 70])
    value = parent[key]
    if isinstance(value, str) and draw.random() < 0.5:
        before, after = draw.choice(
            [("(", ")"), ("[", "]"), ("-", ""), ("relu(", ")"), ("not ", ""), ("x[", "]")]
        )
        parent[key] = before * times + value + after * times
        return
    wrap = draw.choice(WRAPPERS)
    for _ in range(times):
        value = wrap(value)
    parent[key] = value


WRAPPERS: tuple[Callable[[Any], Any], ...] = (
    lambda value: [value],
    lambda value: {"a": value},
    lambda value: {"residual": value},
    lambda value: {"repeat": 2, "of": value},
    lambda value: {"repeat": [1, 2], "of": value, "as": "n"},
    lambda value: {"parallel": [value, "ReLU"], "combine": "add"},
    lambda value: {"parallel": {"a": "ReLU", "b": value}, "combine": "cat(dim=1)"},
    lambda value: {"if": "1", "then": value},
    lambda value: {"layer": value},
    lambda value: {"layers": {"a": value}},
    lambda value: {"extends": value, "layers": {"a": "ReLU"}},
)


def close_cycle(draw: Random, parent: Any, key: Any) -> None:
    """Let something contain itself: a layer its block, a variable its own value."""
    title = key.partition("(")[0] if isinstance(key, str) else "Block"
    parent[key] = draw.choice([title, f"{title}()", [title, "ReLU"], f"{key} + 1", {"layers": {"a": title}}])


def poison(draw: Random, parent: Any, key: Any) -> None:
    """Put a hostile text in the place of a text, into it, or in the place of a key."""
    text = draw.choice(HOSTILE)
    if isinstance(parent, dict) and draw.random() < 0.3:
        replace_key(parent, key, draw.choice([text, f"{key}{text}", f"{key}({text})"]))
    elif isinstance(parent[key], str) and draw.random() < 0.5:
        where = draw.randrange(len(parent[key]) + 1)
        parent[key] = parent[key][:where] + text + parent[key][where:]
    else:
        parent[key] = text


def transplant(draw: Random, parent: Any, key: Any) -> None:
    """Put a part of another spec there."""
    other = document(draw.choice(DONORS))
    parent[key] = copy.deepcopy(at(other, draw.choice(places(other))))


def garble(draw: Random, parent: Any, key: Any) -> None:
    if isinstance(parent[key], str):
        parent[key] = slip(draw, parent[key])
    elif isinstance(parent[key], int | float):
        parent[key] += draw.choice([1, -1, 0.5] if abs(parent[key]) < 2**53 else [1, -1])


def replace_key(parent: dict[Any, Any], key: Any, new: str) -> None:
    items = [(new if each == key else each, value) for each, value in parent.items()]
    parent.clear()
    parent.update(items)


def slip(draw: Random, text: str) -> str:
    """Return a text with something too much, too little, or other than it was."""
    start, length = draw.randrange(len(text) + 1), draw.randrange(5)
    return text[:start] + draw.choice(["", *PIECES]) + text[start + length :]


OF_DOCUMENTS = (
    *(
        delete,
        duplicate,
        retype,
        rename,
        rekey,
        stand_in,
        alone,
        run_on,
        reorder,
        resize,
        deepen,
        close_cycle,
        poison,
        transplant,
        garble,
        retrain,
    ),
)

# Changes of the text, and of its bytes.


def truncate(draw: Random, text: bytes) -> bytes:
    return text[: draw.randrange(len(text) + 1)]


def change_encoding(draw: Random, text: bytes) -> bytes:
    code = draw.choice(
        ["utf-16", "utf-16-le", "utf-32", "utf-7", "utf-8-sig", "cp037", "shift_jis", "latin-1"]
    )
    return text.decode("utf-8", "replace").encode(code, "replace")


def damage_bytes(draw: Random, text: bytes) -> bytes:
    where = draw.randrange(len(text) + 1)
    wrong = draw.choice(
        [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\x00", b"\xf4\x90\x80\x80", b"\x80", b"\x1a", b"\r"]
    )
    return text[:where] + wrong * draw.choice([1, 1, 50]) + text[where:]


def change_lines(draw: Random, text: bytes) -> bytes:
    lines = text.split(b"\n")
    a, b = draw.randrange(len(lines)), draw.randrange(len(lines))
    match draw.randrange(5):
        case 0:
            lines[a], lines[b] = lines[b], lines[a]
        case 1:
            lines.insert(b, lines[a])
        case 2:
            del lines[min(a, b) : max(a, b)]
        case 3:
            lines[a] = b" " * draw.randrange(1, 9) + lines[a]
        case _:
            lines[a] = lines[a].strip()
    return draw.choice([b"\n", b"\n", b"\n", b"\r\n", b"\r"]).join(lines)


def bomb(draw: Random, text: bytes) -> bytes:
    """Add aliases that expand to far more than is written, or to themselves."""
    width, height = draw.choice([2, 9, 50]), draw.choice([1, 4, 9, 20, 70])
    rows = [f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width) if i else '1'}]" for i in range(height)]
    own = draw.choice(["", "  b: &b [*b]\n", "  b: &b {c: *b}\n", "  b: *c\n"])
    return (
        text
        + f"\n{draw.choice(['vars', 'dims', 'bomb', 'presets', 'init'])}:\n".encode()
        + ("\n".join(rows) + "\n" + own).encode()
    )


def brackets(draw: Random, text: bytes) -> bytes:
    where, times = draw.randrange(len(text) + 1), draw.choice([10, 63, 64, 65, 2000])
    piece = draw.choice([b"[", b"{", b"{a: ", b"- ", b"(", b"? ", b"[{", b"'", b"!!a "])
    return text[:where] + piece * times + text[where:]


def slip_in_text(draw: Random, text: bytes) -> bytes:
    return slip(draw, text.decode("utf-8", "replace")).encode("utf-8", "surrogatepass")


def anchor(draw: Random, text: bytes) -> bytes:
    """Give an anchor to a value, and use it elsewhere in the place of another."""
    lines = text.split(b"\n")
    valued = [number for number, line in enumerate(lines) if b": " in line]
    if len(valued) > 1:
        first, second = draw.choice(valued), draw.choice(valued)
        lines[first] = lines[first].replace(b": ", b": &hook ", 1)
        lines[second] = lines[second].partition(b": ")[0] + draw.choice(
            [b": *hook", b": !!int 3", b": {<<: *hook}"]
        )
    return b"\n".join(lines)


def append(draw: Random, text: bytes) -> bytes:
    more = (
        b"---\nspec: 1\n",
        b"...\n",
        b"spec: 1\n",
        b"model: [ReLU]\n",
        b"import: {.: [A]}\n",
        b"\x00",
        b"%TAG ! a\n",
    )
    return text + draw.choice(more)


OF_TEXTS = (
    truncate,
    change_encoding,
    damage_bytes,
    change_lines,
    bomb,
    brackets,
    slip_in_text,
    anchor,
    append,
)


def mutant(original: Original, number: int) -> tuple[str, Changed]:
    """Make a hostile spec: an original with one to three changes. Returns what was done and what came of it.

    It depends on the original and the number alone, not on which other specs there are.
    """
    draw = Random(f"{original.text} {number}")
    if draw.random() < 0.3:
        chosen = draw.choices(OF_TEXTS, k=draw.choice([1, 1, 2]))
        data = original.text.encode()
        for change in chosen:
            data = change(draw, data)
        return named(chosen), Changed(original, data)
    value, done = copy.deepcopy(document(original)), []
    for change in draw.choices(OF_DOCUMENTS, k=draw.choice([1, 1, 2, 3])):
        inner = [place for place in places(value) if place]
        if inner:
            place = draw.choice(inner)
            change(draw, at(value, place[:-1]), place[-1])
            done.append(change)
    return named(done), written(original, value, json=draw.random() < 0.2)


def named(changes: Any) -> str:
    return "+".join(change.__name__ for change in changes)
