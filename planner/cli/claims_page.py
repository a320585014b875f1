"""The page of `planner claims --report`: where it goes, and writing it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

DEFAULT_PAGE = Path("outputs") / "claims.html"


def page_path(*, report: bool, out: Path | None) -> Path | None:
    """Return the file to write, or None without ``--report``.

    Raises
    ------
    InstanceError
        If a file is named without ``--report``, or it is a folder.
    """
    from planner.errors import InstanceError

    if out is not None and not report:
        raise InstanceError.single(
            "command line", "--out", "says where the page goes, but none is asked for", "add --report"
        )
    if out is not None and out.is_dir():
        raise InstanceError.single("command line", "--out", f"{out} is a folder", "name a file, such as claims.html")
    return (out or DEFAULT_PAGE) if report else None


def write_page(path: Path, entries: list[dict[str, Any]]) -> str:
    """Write the page whole or not at all; return its path relative to the working directory."""
    from planner.files import write_text
    from planner.report.claims_page import render_claims
    from planner.studies.claims.ledger import CLAIMS
    from planner.studies.claims.pictures import pictures

    crossing = CLAIMS["C13"]
    page = render_claims(entries, pictures(crossing.compute(crossing.values())))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)
    return os.path.relpath(path)
