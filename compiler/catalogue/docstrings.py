"""torch's own documentation, cut down to what fits beside a name in a list."""

import re


def first_sentence(text: str, name: str) -> str:
    """Return the first sentence of prose in a docstring, or nothing where there is none."""
    paragraph = first_paragraph(text, name)
    end = re.search(r"(?<!e\.g)(?<!i\.e)\.(?=\s|$)", paragraph)
    return paragraph[: end.end()] if end else paragraph


def first_paragraph(text: str, name: str) -> str:
    """Return the first paragraph of prose in a docstring, past the signatures that torch puts in front of it."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip() for line in paragraph.splitlines()]
        prose = [line for line in lines if line and not _is_signature(line, name)]
        if prose and not prose[0].startswith((".. ", "Args:", "Arguments:")):
            return _plain(" ".join(prose))
    return ""


def _is_signature(line: str, name: str) -> bool:
    """Return whether a line of a docstring only repeats how the function is called."""
    call = rf"([\w.]*\b{re.escape(name)}|__init__)\("
    return bool(re.match(call, line) or re.search(r"\) ?-> ?\S+$", line))


def _plain(text: str) -> str:
    """reStructuredText without its roles and quotes, for a terminal."""
    return re.sub(r":\w+:`[~!]?([^`]*)`", r"\1", text).replace("`", "")
