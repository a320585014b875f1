"""`planner report`: one HTML page of finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from planner.cli.support import Format, FormatOption, QuietOption, reporting

RunFolders = Annotated[
    list[Path],
    typer.Argument(metavar="RUN...", help="Folders of solve runs, sweeps or placements; JSON of planner validate."),
]
OutFile = Annotated[
    Path | None,
    typer.Option("--out", help="The page. Default: report.html in the folder of the run, of several in outputs."),
]


def report(
    runs: RunFolders,
    out: OutFile = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Make one self-contained HTML page of one run, or of several side by side; no page is written if one is wrong.

    Example: planner report outputs/RUN outputs/sweep_dsv3_latency --out page.html
    """
    with reporting(output_format, quiet=quiet) as output:
        import os

        from planner.errors import InstanceError
        from planner.files import unwritable, write_text
        from planner.studies.report_runs import page_of_folders
        from planner.studies.runs import DEFAULT_FOLDER

        path = out or (runs[0] if len(runs) == 1 else DEFAULT_FOLDER) / "report.html"
        page = page_of_folders(runs)
        if (error := unwritable(path)) is not None:
            raise InstanceError.single(str(path), "--out", f"cannot be written: {error}", "name another file")
        write_text(path, page)
        shown = os.path.relpath(path)
        output.document({"path": shown}, lambda: shown)
