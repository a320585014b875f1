"""`planner report`: the HTML page of finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from planner.cli.support import Format, FormatOption, QuietOption, reporting

RunFolders = Annotated[list[Path], typer.Argument(help="Run folders that hold manifest.json and plan.json.")]


def report(
    run_dirs: RunFolders,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Make report.html again from manifest.json and plan.json of each run folder; none is written if one is wrong.

    Example: planner report outputs/RUN
    """
    with reporting(output_format, quiet=quiet) as output:
        import os

        from planner.errors import InstanceError, Problem
        from planner.files import write_text
        from planner.report.rebuild import page_of_run

        pages: dict[Path, str] = {}
        problems: list[Problem] = []
        for folder in run_dirs:
            try:
                pages[folder / "report.html"] = page_of_run(folder)
            except InstanceError as error:
                problems += error.problems
        if problems:
            raise InstanceError(problems)
        for path, page in pages.items():
            write_text(path, page)
        paths = [os.path.relpath(path) for path in pages]
        output.document({"path": paths[0] if len(paths) == 1 else paths}, lambda: "\n".join(paths))
