"""What the brackets of a selector stand for: a range of numbers, or one letter of several."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

NUMBERS = re.compile(r"(\d+)-(\d+)", re.ASCII)
LETTER = r"[^\W\d]"
LETTERS = re.compile(rf"(!?)((?:{LETTER}-{LETTER}|{LETTER})+)")
DIGITS = 9
"""Of a number in a range."""
DIGIT = re.compile(r"\d", re.ASCII)


@dataclass(frozen=True)
class Fault:
    """Why a text is no selector, and a way out where there is one of its own."""

    note: str
    help: str | None = None


def bracket_pattern(inside: str) -> str | Fault:
    """Return the regular expression of what is in brackets, or what is wrong with it."""
    numbers, letters = NUMBERS.fullmatch(inside), LETTERS.fullmatch(inside)
    if numbers is not None:
        return _numbers(numbers[1], numbers[2])
    if letters is not None:
        return _letters(letters[1], letters[2])
    if DIGIT.fullmatch(inside):
        return inside
    return _neither(inside)


def _numbers(low: str, high: str) -> str | Fault:
    if max(len(low), len(high)) > DIGITS:
        return Fault(f"a number has more than {DIGITS} digits")
    padded = next((each for each in (low, high) if len(each) > 1 and each[0] == "0"), None)
    if padded is not None:
        return Fault(f"`{padded}` begins with a zero", f"write `[{int(low)}-{int(high)}]`")
    if int(low) > int(high):
        return Fault(f"the range `[{low}-{high}]` is empty")
    return f"(?:{'|'.join(_between(low, high))})"


def _between(low: str, high: str) -> Iterator[str]:
    """Yield patterns of the numbers between two, for each number of digits."""
    for digits in range(len(low), len(high) + 1):
        least = low if digits == len(low) else "1".ljust(digits, "0")
        most = high if digits == len(high) else "9" * digits
        yield _of_one_length(least, most)


def _of_one_length(low: str, high: str) -> str:
    """Return a pattern of the numbers between two of as many digits."""
    if not low:
        return ""
    if low[0] == high[0]:
        return low[0] + _of_one_length(low[1:], high[1:])
    rest, first, last = len(low) - 1, int(low[0]), int(high[0])
    ways = []
    if low[1:] != "0" * rest:
        ways.append(low[0] + _of_one_length(low[1:], "9" * rest))
        first += 1
    if high[1:] != "9" * rest:
        ways.append(high[0] + _of_one_length("0" * rest, high[1:]))
        last -= 1
    if first <= last:
        ways.append(f"[{first}-{last}]" + "[0-9]" * rest)
    return f"(?:{'|'.join(ways)})"


def _letters(negation: str, letters: str) -> str | Fault:
    for low, high in re.findall(r"(\w)-(\w)", letters):
        if low > high:
            return Fault(f"the range `[{low}-{high}]` is empty")
        if low.isupper() != high.isupper():
            return Fault(f"between `{low}` and `{high}` there are other signs than letters")
    return f"[{negation.replace('!', '^')}{letters}]"


def _neither(inside: str) -> Fault:
    note = f"`[{inside}]` is neither a range of numbers, as `[10-12]`, nor letters, as `[abc]`"
    if re.fullmatch(r"\d+", inside, re.ASCII):
        return Fault(
            note, f"write `{{{','.join(inside)}}}` for one of several, or `{inside}` for this number"
        )
    if "!" in inside[:1] and DIGIT.search(inside):
        return Fault(note, "name the numbers that are meant: `[4-11]`")
    if ":" in inside or inside.startswith("-"):
        return Fault(note, f"an index stands right behind the name, without a dot: `h[{inside}]`")
    return Fault(note, "one of several is written `{a,b,10}`")
