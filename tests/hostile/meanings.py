"""Mutators of what a spec says: its names, the programs that compute its buffers, and the arguments of its layers."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from random import Random
from typing import Any

from tests.hostile.mutators import mutant
from tests.hostile.nesting import OF_NESTING
from tests.hostile.originals import Changed, Original, document, written
from tests.hostile.places import at, places
from tests.properties.names import critical


def _listed(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split("|"))


NUMBERS = _listed(r"""
    -1 | 0 | 1 | 2 | 3 | 7 | 0.5 | -0.0 | 1e308 | 1e-308 | 10**9 | 2**31 | 2**63 | -2**63 | 10**30 | True |
    None | n | i | len(y) | y.shape[0] | y.ndim | 1 // 0 | 2 ** 0.5 | max(1, 2) | int(0.5) | make_divisible(n, 8)
""")
ARGUMENTS = NUMBERS + _listed(r"""
    'same' | 'reflect' | '' | 'a b -> (a b)' | 'float32' | 'mean' | 'cuda' | '\x00' | 'é' * 99 | [] | [1, 2] |
    [[1]] | [-1, 0] | (1,) | (2, 2, 2, 2) | [None] | ['a'] | [10**9] * 3 | range(5) | ... | {} | inf | -inf |
    nan | float32 | int8 | pi | x | len | Linear | ReLU | Linear(4) | self | training | 1j | [*[1, 2]] |
    [i for i in range(9)] | [0] * 10**6 | -(-(-1)) | not 1 | 1 < 2 < 3 | 'a' if 1 else 2 | f(1)
""")
"""Arguments that few layers and operations take."""
EXPRESSIONS = _listed(r"""
    arange(N) | zeros(N) | ones(N, N) | full((N,), N) | eye(N) | linspace(0, 1, N) | tensor(N) | rand(N) |
    tril(ones(N, N)) | y | y * N | y + y | y.sum() | y[0] | y[N] | y[:N] | y[..., None] | -y | y @ y | y.T |
    y ** N | y / N | y % N | cat([y, y]) | cat([y] * N) | stack([y, y]) | stack([]) | where(y > N, y, -y) |
    y.reshape(N, -1) | y.expand(N, N) | y.repeat(N) | repeat_interleave(y, N) | one_hot(y, N) |
    y.to(float32) | sort(y) | topk(y, N) | nonzero(y) | unique(y) | y[y > N] | masked_select(y, y > N) |
    meshgrid(y, y) | einsum('i,j->ij', y, y) | y.unbind() | y.split(N) | cumsum(y, N) | len([y]) | len(y) |
    max(y, N) | max([N, 2]) | sum([y]) | sum(y) | [y] * N | range(N) | N | 't' * N | [i, N] | None |
    float(y) | int(y[0]) | y.item() | bool(y) | dropout(y) | relu(y) | y if N else N |
    y if y.sum() > N else y | y and N | [y for i in range(N)] | [i for i in y] | zip(y, y) | enumerate(y) |
    y.shape | y.device | y.dtype | zeros(*y.shape) | x | training | make_divisible(y, N) | make_divisible(N, N)
""")
CONDITIONS = _listed(r"""
    y.sum() > N | y.shape[0] < N | N | y | not y | y is None | len(y) < N | y.ndim == N | 1 < y.sum() < N |
    True | all(y > N) | y.any() or N | isfinite(y) | n > N | y.numel() < N | y.dtype == float32 | [] |
    training | y > y
""")
INITIALISERS = _listed("""
    copy('W') | copy('W.weight') | copy('W[N]') | copy('/') | copy('*') | copy(W) | copy(N) | 2 * copy('W') | copy |
    checkpoint('W')[:N] | cat([checkpoint('W'), normal[:N]]) | sum(checkpoint('W'), dim=N) | checkpoint('W') * N |
    reshape(checkpoint('W'), [N, -1]) | mixture([0.5, checkpoint('W')], [0.5, zeros]) | checkpoint('W')[W] |
    interpolate(checkpoint('W'), size=[N, N]) | normal(std=N)[:N] | w | cat([w, uniform]) | zeros
""")
STATEMENTS = (
    "y = E",
    "y += E",
    "y, z = E",
    "z = E",
    "for i in E:\n  y = E",
    "for i in range(N):\n  y = E",
    "if C:\n  y = E",
    "y = [E, E]",
    "if C:\n  y = E\nelse:\n  y = E",
    "while C:\n  y = E",
    "while C:\n  return E",
    "if C:\n  return E",
    "z = [E for i in E]",
    "pass",
    "for i in E:\n  for j in E:\n    y = E",
    "if C:\n  while C:\n    y = E",
    "y -= E",
    "break",
    "for i in E:\n  if C:\n    break\n  y = E",
    "for i in range(N):\n  y = E\n  if C:\n    continue\n  y = E",
    "while C:\n  y = E\n  if C:\n    break",
    "_, y = E",
    "y = E if C else E",
    "return E",
)


SELECTORS = _listed(r"""
    / | **.weight | Linear | Linear.weight | "*" | bias | **.conv | [01].weight | h[0] | ** | Embedding | LSTM |
    running_mean | *norm*
""")
PARAMETRISED = _listed(r"""
    weight_norm | spectral_norm | weight_norm(N) | weight_norm(dim=N) | spectral_norm(N) | spectral_norm(eps=N) |
    spectral_norm(n_power_iterations=N, dim=N) | orthogonal | weight_norm(dim=None) | weight_norm('weight') | N |
    orthogonal('cayley') | orthogonal('N', use_trivialization=N) | orthogonal(None, True) |
    weight_norm(spectral_norm) | weight_norm(dim=E)
""")


def rename_all(draw: Random, parent: Any, key: Any) -> None:
    """Give a word another meaning, wherever it stands in a part of the document."""
    found = sorted({word for text in _texts(parent) for word in re.findall(r"[A-Za-z_]\w*", text)})
    if found:
        old, new = draw.choice(found), draw.choice(critical())
        new = new[:1].upper() + new[1:] if old[0].isupper() and draw.random() < 0.7 else new
        _replace(parent, re.compile(rf"\b{old}\b"), new)


def compute(draw: Random, parent: Any, key: Any) -> None:
    """Let a program that does anything compute a buffer."""
    lines = [
        "y = " + _filled(draw, draw.choice(EXPRESSIONS[:9])),
        *_statements(draw),
        "return " + _filled(draw, "E"),
    ]
    entry: dict[str, Any] = {"value": "\n".join(lines) + "\n"}
    if draw.random() < 0.3:
        entry["tensor"] = draw.choice(["float[4]", "int64[3, 3]", "float[n]", "bool[2]"])
    if isinstance(parent, dict) and "model" in parent:
        parent["model"] = {"buffers": {"made": entry}, "layers": {"last": "ReLU"}}
    elif isinstance(parent, dict) and ({"layers", "forward", "buffers"} & parent.keys()):
        parent["buffers"] = {"made": entry}
    elif isinstance(parent, dict) and "value" in parent:
        parent["value"] = entry["value"]
    else:
        parent[key] = {"buffers": {"made": entry}, "forward": "return x * made\n"}


def update(draw: Random, parent: Any, key: Any) -> None:
    """Let a program give new values to a buffer, in any way."""
    name = draw.choice(["y", "running_mean", "made"])
    lines = [re.sub(r"\by\b", name, line) for line in _statements(draw)]
    if draw.random() < 0.5:
        lines = ["if training:", *(f"  {part}" for line in lines or ["pass"] for part in line.splitlines())]
    statistics = draw.choice([f"{name}, {name}", f"{name}, None", f"running_var={name}", f"x, {name}"])
    result = draw.choice(
        [name, f"x + {name}", f"batch_norm(x, {statistics})", f"instance_norm(x, {statistics})"]
    )
    entry: dict[str, Any] = {"value": _filled(draw, draw.choice(EXPRESSIONS[:9])), "updated": True}
    if draw.random() < 0.2:
        entry |= draw.choice([{"updated": False}, {"persistent": False}, {"tensor": "float[4]"}])
    body = {"buffers": {name: entry}, "forward": "\n".join([*lines, f"return {result}"]) + "\n"}
    if isinstance(parent, dict) and "model" in parent:
        parent["model"] = body
        parent["freeze"] = draw.choice([[], [name], ["/"]])
    else:
        parent[key] = body


def parametrize(draw: Random, parent: Any, key: Any) -> None:
    """Let rules store weights as something else."""
    rules = [
        {draw.choice(SELECTORS): _filled(draw, draw.choice(PARAMETRISED))}
        for _ in range(draw.choice([1, 1, 2]))
    ]
    if isinstance(parent, dict):
        parent["parametrize"] = rules
    else:
        parent[key] = {"parametrize": rules}


def misuse(draw: Random, parent: Any, key: Any) -> None:
    """Give a call an argument that it hardly takes, in the place of one or beside it."""
    value = parent[key]
    argument = draw.choice(ARGUMENTS)
    if not isinstance(value, str):
        parent[key] = draw.choice([argument, f"${{{argument}}}", [argument], value])
        return
    calls = list(re.finditer(r"\w+\(", value))
    if not calls:
        parent[key] = f"{value}({argument})" if value.isidentifier() else argument
        return
    at = draw.choice(calls).end()
    rest = value[at:]
    title = draw.choice(
        ["", "", "dim=", "bias=", "kernel_size=", "out_features=", "x=", "dtype=", "device=", "p="]
    )
    if draw.random() < 0.5:
        rest = re.sub(r"^[^,()\[\]]*", lambda _: title + argument, rest, count=1)
    else:
        rest = f"{title}{argument}{'' if rest.startswith(')') else ', '}{rest}"
    parent[key] = value[:at] + rest


def fill(draw: Random, parent: Any, key: Any) -> None:
    """Give a part of the model first values that are another part's, or a file's in another shape."""
    words = sorted({word for text in _texts(parent) for word in re.findall(r"[A-Za-z_]\w*", text)}) or ["x"]
    form = re.sub(r"\bW\b", lambda _: draw.choice(words), draw.choice(INITIALISERS))
    value = _filled(draw, form)
    if isinstance(parent, dict) and {"model", "layers", "forward"} & parent.keys():
        rules = parent.get("init")
        parent["init"] = [*(rules if isinstance(rules, list) else []), {draw.choice(words): value}]
    else:
        parent[key] = value


OF_MEANINGS: tuple[Callable[[Random, Any, Any], None], ...] = (
    rename_all,
    compute,
    misuse,
    update,
    parametrize,
    fill,
    *OF_NESTING,
)


def other_meaning(original: Original, number: int) -> tuple[str, Changed]:
    """Make a spec that means another thing: an original with one or two changes of one kind. Returns what was done."""
    draw = Random(f"{original.text} means {number}")
    change = OF_MEANINGS[number % len(OF_MEANINGS)]
    value = copy.deepcopy(document(original))
    for _ in range(draw.choice([1, 1, 2])):
        place = draw.choice([place for place in places(value) if place])
        change(draw, at(value, place[:-1]), place[-1])
    return change.__name__, written(original, value)


def _statements(draw: Random) -> list[str]:
    return [_filled(draw, draw.choice(STATEMENTS)) for _ in range(draw.randrange(4))]


def _filled(draw: Random, text: str) -> str:
    """Put expressions, conditions and numbers into a form of a program."""
    for hole, values in (("C", CONDITIONS), ("E", EXPRESSIONS), ("N", NUMBERS)):
        text = re.sub(rf"\b{hole}\b", lambda _, values=values: _drawn(draw, values), text)  # type: ignore[misc]
    return text


def _drawn(draw: Random, values: tuple[str, ...]) -> str:
    """Draw a form or a number, which is a small one mostly: with another, little is computed."""
    return draw.choice(values[2:6] if values is NUMBERS and draw.random() < 0.7 else values)


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for key, part in value.items() for text in (str(key), *_texts(part))]
    if isinstance(value, list):
        return [text for part in value for text in _texts(part)]
    return [value] if isinstance(value, str) else []


def _replace(value: Any, old: re.Pattern[str], new: str) -> None:
    """Replace a word in the keys and texts of a part of a document."""
    parts = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    for _, part in parts:
        if isinstance(part, dict | list):
            _replace(part, old, new)
    renamed = [(_word(key, old, new), _word(part, old, new)) for key, part in parts]
    value.clear()
    value.update(renamed) if isinstance(value, dict) else value.extend(part for _, part in renamed)


def _word(value: Any, old: re.Pattern[str], new: str) -> Any:
    return old.sub(lambda _: new, value) if isinstance(value, str) else value


def hostile(original: Original, number: int) -> tuple[str, Changed]:
    """Return a hostile spec: every fourth means another thing, the others are of the mutators."""
    return (other_meaning if number % 4 == 3 else mutant)(original, number)
