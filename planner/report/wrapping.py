"""Lines of terminal text broken at 80 columns, what is broken set below where its own text began."""

from __future__ import annotations

import re
import textwrap

from planner.report.terminal import WIDTH

_HANG_WITHIN = 44
"""A label and its gap may take this many columns; text behind a wider one is set at the left."""
_LABEL = re.compile(r"\s*(?:\S+(?: \S+)*\s{2,})?")


def fitted(text: str, width: int = WIDTH) -> str:
    """Break lines of more than ``width`` columns at spaces; a word that is longer, such as a path, stays whole."""
    return "\n".join(_broken(line, width) for line in text.split("\n"))


def _broken(line: str, width: int) -> str:
    if len(line) <= width:
        return line
    label = _LABEL.match(line)
    hang = label.end() if label is not None else 0
    indent = len(line) - len(line.lstrip())
    if indent == hang or hang > _HANG_WITHIN:
        hang = indent + 2
    return textwrap.fill(
        line,
        width,
        subsequent_indent=" " * hang,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )
