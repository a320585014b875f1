"""What the shell offers after Tab: names of shipped files and of strategies, from file names alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from planner.instance import library

if TYPE_CHECKING:
    from collections.abc import Callable

    Completer = Callable[[str], list[str]]

_REGISTRY = Path(__file__).parents[1] / "strategies" / "__init__.py"
_ENTRY = re.compile(r"^from planner\.strategies\.(\w+) import", re.MULTILINE)


def names_of(kind: str) -> Completer:
    """Make the completer of an argument that takes a shipped name of ``kind``, or a path to a TOML file."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in library.names(kind) if name.startswith(incomplete)] + _files(incomplete)

    return complete


def strategies(incomplete: str) -> list[str]:
    """Offer strategies, also for the last of a list with commas.

    Each strategy is the file of its name that the registry imports; importing it here would take a second.
    """
    before, comma, last = incomplete.rpartition(",")
    names = _ENTRY.findall(_REGISTRY.read_text(encoding="utf-8"))
    taken = before.split(",")
    return [f"{before}{comma}{name}" for name in sorted(names) if name.startswith(last) and name not in taken]


def laws(incomplete: str) -> list[str]:
    """Offer the shipped loss laws and ``all``."""
    return [name for name in ["all"] if name.startswith(incomplete)] + names_of("laws")(incomplete)


def one_of(*values: str) -> Completer:
    """Make the completer of an option that takes one of a few words."""
    return lambda incomplete: [value for value in values if value.startswith(incomplete)]


def _files(incomplete: str) -> list[str]:
    """TOML files and folders whose path begins so; nothing before the first letter: the names are enough to read."""
    if not incomplete:
        return []
    folder, _, start = incomplete.rpartition("/")
    head = f"{folder}/" if "/" in incomplete else ""
    try:
        entries = sorted(entry for entry in Path(head or ".").iterdir() if entry.name.startswith(start))
    except OSError:
        return []
    return [
        f"{head}{entry.name}{'/' if entry.is_dir() else ''}"
        for entry in entries
        if entry.is_dir() or entry.suffix == ".toml"
    ]
