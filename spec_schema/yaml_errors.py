"""The YAML parser's complaints, in words that say what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ruamel.yaml.error import MarkedYAMLError, YAMLError

from spec_schema.diagnostics import Diagnostic, Label, SpecError, refuse
from spec_schema.source import SourceFile, Span
from spec_schema.unquoted_call import open_brackets, unquoted_call

_BEYOND_UNICODE = re.compile(r"\\U(?!000|0010)[0-9a-fA-F]{8}")
_PLAIN_VALUE = re.compile(r"^\s*(?:- +)*[^\"'{\[#].*?: +(?P<value>[^\s\"'\[{|>].*)$")
_FLOW = {"[": "]", "{": "}"}


@dataclass(frozen=True)
class _Complaint:
    """One syntax error as the parser sees it."""

    file: SourceFile
    problem: str
    context: str
    at: int
    """Where the parser noticed."""
    since: int
    """Where the construct starts in which it noticed, or `at`."""
    open_at: list[int]

    @property
    def text(self) -> str:
        return self.file.text

    def span(self, start: int | None = None, length: int = 1) -> Span:
        start = self.at if start is None else start
        return Span(self.file, start, min(start + length, len(self.text)))

    def line_to(self, at: int) -> str:
        """Return the text of the line in front of an offset."""
        return self.text[self.text.rfind("\n", 0, at) + 1 : at]

    def same_line(self, first: int, second: int) -> bool:
        return "\n" not in self.text[min(first, second) : max(first, second)]


def explain(file: SourceFile, error: YAMLError, open_at: list[int]) -> SpecError:
    """Return the refusal that says in one line what the parser says in many."""
    complaint = _complaint(file, error, open_at)
    for pattern, explanation in _EXPLANATIONS:
        if re.search(pattern, complaint.problem):
            return explanation(complaint)
    return _syntax(complaint.problem.splitlines()[0].lower() or "this is no YAML", complaint.span())


def explain_crash(file: SourceFile) -> SpecError:
    """Return the refusal of a text on which the parser failed without saying where."""
    escape = _BEYOND_UNICODE.search(file.text)
    if escape:
        return _syntax("there is no such character", Span(file, escape.start(), escape.end()))
    return _syntax("the text cannot be read as YAML", Span(file, 0, min(1, len(file.text))))


def _complaint(file: SourceFile, error: YAMLError, open_at: list[int]) -> _Complaint:
    if not isinstance(error, MarkedYAMLError):
        return _Complaint(file, str(error), "", 0, 0, open_at)
    at = _index(error.problem_mark, _index(error.context_mark, len(file.text)))
    since = _index(error.context_mark, at)
    context = str(error.context or "")
    return _Complaint(file, str(error.problem or context), context, at, since, open_at)


def _index(mark: Any, default: int) -> int:
    return default if mark is None else int(mark.index)


def _syntax(
    message: str, span: Span, *, help: str | None = None, labels: tuple[Label, ...] = ()
) -> SpecError:
    return refuse("yaml-syntax", message, span, help=help, labels=labels)


def _forbidden_start(complaint: _Complaint) -> SpecError:
    char = complaint.text[complaint.at : complaint.at + 1]
    if char != "\t":
        opening = _opening(complaint)
        value = _bracketed(complaint, opening) if opening is not None else None
        help = f"quote it: {value}" if value else "quote the value"
        return _syntax(f"a value cannot start with `{char}`", complaint.span(), help=help)
    if complaint.line_to(complaint.at).strip():
        return _syntax("a tab cannot stand here", complaint.span(), help="use spaces, or quote the text")
    return _syntax("a tab cannot indent YAML", complaint.span(), help="indent with spaces")


def _colon(complaint: _Complaint) -> SpecError:
    line = complaint.line_to(complaint.at)
    matched = _PLAIN_VALUE.match(line)
    if not matched:
        help = "check the indentation of this line and of the one above, or quote the text"
        return _syntax("a `key: value` cannot start here", complaint.span(), help=help)
    rest = complaint.text[complaint.at :].partition("\n")[0].split(" #")[0].rstrip()
    value = matched["value"] + rest
    start = complaint.at - len(matched["value"])
    quoted = value.replace("'", "''")
    return _syntax(
        "`: ` inside a value that is not quoted",
        complaint.span(),
        help=f"quote it: '{quoted}'" if len(quoted) < 80 else "quote the value",
        labels=(Label(complaint.span(start, len(value)), "the value"),),
    )


def _missing_colon(complaint: _Complaint) -> SpecError:
    line = complaint.text[complaint.since :].partition("\n")[0].rstrip()
    span = complaint.span(complaint.since, max(len(line), 1))
    return _syntax(
        "a `key: value` was expected here", span, help="write `: ` behind the key, or indent the line"
    )


def _unclosed_quote(complaint: _Complaint) -> SpecError:
    quote = complaint.text[complaint.since]
    return _syntax(
        "this quote is never closed", complaint.span(complaint.since), help=f"close it with `{quote}`"
    )


def _flow(complaint: _Complaint) -> SpecError:
    opening = complaint.text[complaint.since]
    closing = _FLOW.get(opening, "]")
    call = _torn(complaint)
    if call:
        return SpecError([call])
    if complaint.same_line(complaint.since, complaint.at) and complaint.at < len(complaint.text.rstrip()):
        label = Label(complaint.span(complaint.since), "opened here")
        message = f"expected `,` or `{closing}`"
        value = _bracketed(complaint, complaint.since)
        help = f"quote it: {value}" if value else "quote a value that holds brackets, commas or quotes"
        return _syntax(message, complaint.span(), labels=(label,), help=help)
    return _unclosed_bracket(complaint, complaint.since)


def _torn(complaint: _Complaint) -> Diagnostic | None:
    """Return the diagnostic of a call such as `Conv2d(6, [3, 3])`, torn apart so that its `)` stands alone."""
    if complaint.text[complaint.at : complaint.at + 1] != ")":
        return None
    line = complaint.line_to(complaint.at)
    start = complaint.at - len(line)
    for call in re.finditer(r"[\w.]+\(", line):
        inside = line[call.start() :] + ")"
        if open_brackets(inside) == 0 and open_brackets(inside[:-1]) == 1 and "," in inside:
            span = complaint.span(start + call.start(), len(inside))
            return unquoted_call(span, span.start + inside.index(","))
    return None


def _bracketed(complaint: _Complaint, since: int) -> str | None:
    """Return, in quotes, a value or key such as `float[batch, 3]` that the parser stumbled over in a collection."""
    before = complaint.text[since + 1 : complaint.at]
    start = before[_value_start(before) :].lstrip()
    rest = complaint.text[complaint.at :].partition("\n")[0]
    behind = rest[: _value_end(rest, open_brackets(start))].rstrip()
    value = start + behind
    if not behind:
        return None
    is_selector = start[:1] == "{" and rest[:1] == "."  # `{query,key}.weight`
    if not (start[:1].isalnum() or is_selector) or open_brackets(value) or '"' in value:
        return None
    return f'"{value}"'


def _opening(complaint: _Complaint) -> int | None:
    """Return where the collection in brackets starts, on this line, in which the parser is."""
    line = complaint.line_to(complaint.at)
    stack: list[int] = []
    for at, char in enumerate(line, start=complaint.at - len(line)):
        if char in _FLOW:
            stack.append(at)
        elif char in _FLOW.values() and stack:
            stack.pop()
    return stack[-1] if stack else None


def _value_start(text: str) -> int:
    """Return where the last value of a flow collection starts: behind a comma or `: ` that stands in no bracket."""
    starts = [m.end() for m in re.finditer(r",|: ", text) if not open_brackets(text[: m.start()])]
    return starts[-1] if starts else 0


def _value_end(text: str, depth: int) -> int:
    """Return where a value ends in which so many brackets are open."""
    for at in range(len(text)):
        ends = text[at] in ",]}" or re.match(r":(?!\S)", text[at:])
        if ends and depth + open_brackets(text[:at]) == 0:
            return at
    return len(text)


def _unclosed_bracket(complaint: _Complaint, opening: int) -> SpecError:
    char = complaint.text[opening]
    labels: tuple[Label, ...] = ()
    if complaint.at < len(complaint.text.rstrip()):
        labels = (Label(complaint.span(), "this does not belong into it"),)
    message = f"this `{char}` is never closed"
    help = f"close it with `{_FLOW.get(char, ']')}`"
    return _syntax(message, complaint.span(opening), labels=labels, help=help)


def _no_content(complaint: _Complaint) -> SpecError:
    flow = [at for at in complaint.open_at if complaint.text[at : at + 1] in ("[", "{")]
    if flow and complaint.at >= len(complaint.text.rstrip()):
        return _unclosed_bracket(complaint, flow[-1])
    char = complaint.text[complaint.at : complaint.at + 1]
    message = f"a value was expected, not `{char}`" if char.strip() else "a value was expected"
    help = None if complaint.line_to(complaint.at).strip() else "check the indentation of this line"
    return _syntax(message, complaint.span(), help=help)


def _block(complaint: _Complaint) -> SpecError:
    before = complaint.line_to(complaint.at)
    if before.strip(" -"):
        bracket = before[-1] in "]}"
        help = "a text that starts with a bracket needs quotes" if bracket else "quote the whole value"
        return _syntax("unexpected text behind the value", complaint.span(), help=help)
    if (item := _moved_item(complaint, len(before))) is not None:
        return item
    kind = "list" if "collection" in complaint.context else "mapping"
    label = Label(complaint.span(complaint.since), f"the {kind} starts in this column")
    message = f"this line is indented differently from the {kind} that it is in"
    help = f"start all lines of the {kind} in the same column"
    return _syntax(message, complaint.span(), labels=(label,), help=help)


def _moved_item(complaint: _Complaint, column: int) -> SpecError | None:
    """Return the refusal of a list item that stands at another column than the list above it."""
    lists = _lists_above(complaint) if _is_item(complaint.text[complaint.at :]) else {}
    if not lists or column in lists:
        return None
    nearest = min(lists, key=lambda each: abs(each - column))
    start = complaint.span(lists[nearest])
    count = abs(nearest - column)
    blanks = f"{count} blank{'' if count == 1 else 's'}"
    return _syntax(
        f"this item stands at another column than the list of line {start.line}",
        complaint.span(),
        labels=(Label(start, "the list starts in this column"),),
        help=f"put {blanks} before it" if column < nearest else f"take {blanks} away before it",
    )


def _lists_above(complaint: _Complaint) -> dict[int, int]:
    """Return the columns of the lists that the line above is in, each with the place of its first item."""
    found: dict[int, int] = {}
    start, least = complaint.at - len(complaint.line_to(complaint.at)), complaint.at
    for line in reversed(complaint.text[:start].splitlines(keepends=True)):
        start -= len(line)
        text = line.lstrip(" ")
        column = len(line) - len(text)
        if text.strip() and not text.startswith("#") and column <= least:
            least = column if _is_item(text) else column - 1
            if _is_item(text):
                found[column] = start + column
    return found


def _is_item(text: str) -> bool:
    return re.match(r"-(\s|\Z)", text) is not None


def _list_item(complaint: _Complaint) -> SpecError:
    help = "start the list on a line of its own, or quote the text"
    return _syntax("a list item cannot start here", complaint.span(), help=help)


def _long_key(complaint: _Complaint) -> SpecError:
    return _syntax("a `? ` key cannot start here", complaint.span(), help="quote the text")


def _after_document(complaint: _Complaint) -> SpecError:
    help = "check the indentation of this line and of the ones above"
    return _syntax("the document has ended before this", complaint.span(), help=help)


def _name(complaint: _Complaint) -> SpecError:
    if "tag" in complaint.context:
        return _tag(complaint)
    char = complaint.text[complaint.since]
    message = f"a text that starts with `{char}` needs quotes"
    return _syntax(message, complaint.span(complaint.since), help="quote the whole value")


def _tag(complaint: _Complaint) -> SpecError:
    tag = re.compile(r"\S*").match(complaint.text, complaint.since)
    span = complaint.span(complaint.since, len(tag[0]) if tag else 1)
    return refuse("yaml-tag", "a spec has no YAML tags", span, help="leave the tag out, or quote the text")


def _escape(complaint: _Complaint) -> SpecError:
    char = complaint.text[complaint.at : complaint.at + 1]
    help = "write `\\\\` for a backslash, or use single quotes"
    start = max(complaint.at - 1, 0)
    return _syntax(f"`\\{char}` is no escape in double quotes", complaint.span(start, 2), help=help)


def _hexadecimal(complaint: _Complaint) -> SpecError:
    start = max(complaint.at - 2, 0)
    return _syntax("this escape needs more hexadecimal digits", complaint.span(start, 2))


def _block_header(complaint: _Complaint) -> SpecError:
    help = "start the text on the next line, indented; quote a text that starts with `|` or `>`"
    return _syntax("text cannot follow on this line", complaint.span(), help=help)


def _block_indent(complaint: _Complaint) -> SpecError:
    help = "remove the spaces from the empty lines in front"
    return _syntax(
        "the first line of this text is indented less than an empty line", complaint.span(), help=help
    )


def _flow_colon(complaint: _Complaint) -> SpecError:
    return _syntax("unexpected `:`", complaint.span(), help="quote the text")


_EXPLANATIONS: tuple[tuple[str, Callable[[_Complaint], SpecError]], ...] = (
    ("that cannot start any token", _forbidden_start),
    ("mapping values are not allowed", _colon),
    ("could not find expected ':'", _missing_colon),
    ("unexpected end of stream|unexpected document separator", _unclosed_quote),
    (r"^expected ',' or", _flow),
    ("expected the node content", _no_content),
    ("expected <block end>", _block),
    ("sequence entries are not allowed", _list_item),
    ("mapping keys are not allowed", _long_key),
    ("expected '<document start>'|non-comment content after", _after_document),
    ("undefined tag handle|expected URI|expected '!'", _tag),
    ("unknown escape character", _escape),
    ("expected escape sequence", _hexadecimal),
    ("chomping or indentation indicators|expected a comment or a line break|found 0", _block_header),
    ("more indented follow up line", _block_indent),
    ("unexpected ':'", _flow_colon),
    ("expected alphabetic or numeric|expected ' '", _name),
)
"""By the first pattern found in the parser's own words."""
