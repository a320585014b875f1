"""Colour on a terminal, for words that say how something ended; none where it is not wanted."""

from __future__ import annotations

import os
import re
import sys

_GREEN, _YELLOW, _RED, _PLAIN = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[0m"
_WORDS = (
    (re.compile(r"^(status +)(optimal)\b"), _GREEN),
    (re.compile(r"^(status +)(feasible)\b"), _YELLOW),
    (re.compile(r"^()(ok)(?= )"), _GREEN),
    (re.compile(r"^()(FAIL)\b"), _RED),
    (re.compile(r"^()(all well)$"), _GREEN),
    (re.compile(r"^(cost [\d,.]+ \$: )(meets every limit)\b"), _GREEN),
    (re.compile(r"^(cost [\d,.]+ \$: )(breaks limits)\b"), _RED),
    (re.compile(r"^()(warning)(?=: )"), _YELLOW),
)


def wanted() -> bool:
    """Whether stdout is a terminal that shows colour, and its user has not switched it off (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") not in ("", "dumb")


def coloured(text: str) -> str:
    """Colour status words at the start of lines, where colour is wanted."""
    return "\n".join(_line(line) for line in text.split("\n")) if wanted() else text


def _line(line: str) -> str:
    for pattern, colour in _WORDS:
        found = pattern.match(line)
        if found:
            start, end = found.span(2)
            return f"{line[:start]}{colour}{line[start:end]}{_PLAIN}{line[end:]}"
    return line
