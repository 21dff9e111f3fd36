"""What a person is shown of a text that is not ours: on one line, of a bounded length, and only characters that print.

A spec, the name of a file or the key of a tensor may come from a stranger. Shown as it is, it could drive the terminal,
start a line that looks like one of ours, reorder what stands beside it, or fill the screen.
"""

from __future__ import annotations

LONGEST = 1_000
"""Characters of a line."""
_BEGINNING, _END = 600, 300
"""Characters that are left of both ends of a longer one."""
_TAB = " " * 4


class ShownError(Exception):
    """An error whose text may hold a text that is not ours. Its arguments are its lines."""

    def __str__(self) -> str:
        return "\n".join(shown(str(line)) for line in self.args)


def shown(text: str) -> str:
    """Return a text as one line that is safe to print; of one that is too long both ends, and its length."""
    if len(text) <= LONGEST:
        line = escape(text)
        if len(line) <= LONGEST:
            return line
    beginning, end = escape(text[:_BEGINNING])[:_BEGINNING], escape(text[-_END:])[-_END:]
    return f"{beginning} ... ({len(text):,} characters) ... {end}"


def escape(text: str) -> str:
    """Return text with tabs expanded and everything written out that does not simply print."""
    return text if text.isprintable() else "".join(map(_escape_char, text))


def _escape_char(char: str) -> str:
    if char.isprintable():
        return char
    if char == "\t":
        return _TAB
    if char == "\n":
        return "\\n"
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
