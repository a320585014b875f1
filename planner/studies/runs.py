"""Run folders: what a solve leaves behind, all at once or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.files import new_folder, write_text
from planner.studies.views import VIEWS_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.plan import Plan

DEFAULT_FOLDER = Path("outputs")
_LONGEST_NAME = 80  # of the case inside a folder's name: file systems stop at 255 bytes


def run_folder(case: str, settings: dict[str, Any], out: Path | None) -> Path:
    """Name of the folder of one run: ``out`` as given, else outputs/<UTC>_<case>_<hash of case and settings>."""
    if out is not None:
        return out
    digest = hashlib.sha256(json.dumps([case, settings], sort_keys=True, default=str).encode()).hexdigest()[:8]
    safe = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in case)
    base = DEFAULT_FOLDER / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}_{safe[:_LONGEST_NAME]}_{digest}"
    return next(path for path in _numbered(base) if not path.exists())


def _numbered(base: Path) -> Iterator[Path]:
    yield base
    number = 2
    while True:
        yield base.with_name(f"{base.name}_{number}")
        number += 1


def relative_path(path: Path) -> str:
    """Path from the working directory."""
    return os.path.relpath(path)


def write_run(folder: Path, plan: Plan, manifest: dict[str, Any], report: str, views: str) -> None:
    """Write plan.json, manifest.json, views.json and report.html into a folder that appears by rename."""
    with new_folder(folder) as draft:
        plan.write(draft / "plan.json")
        write_text(draft / "manifest.json", json.dumps(manifest, indent=1) + "\n")
        write_text(draft / VIEWS_NAME, views)
        write_text(draft / "report.html", report)
