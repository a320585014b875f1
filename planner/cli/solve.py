"""`planner solve`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.options import (
    CaseArgument,
    GapOption,
    LoadsOption,
    OutOption,
    SeedOption,
    SetOption,
    ThreadsOption,
    TimeLimitOption,
)
from planner.cli.support import EXIT_INTERRUPTED, Format, FormatOption, Output, QuietOption, reporting

if TYPE_CHECKING:
    from planner.studies.api import SolvedCase

WriteModelOption = Annotated[Path | None, typer.Option("--write-model", help="Also write the program as .lp or .mps.")]


def solve(
    case: CaseArgument,
    loads: LoadsOption = None,
    out: OutOption = None,
    changes: SetOption = None,
    time_limit: TimeLimitOption = None,
    gap: GapOption = 1e-3,
    threads: ThreadsOption = 2,
    seed: SeedOption = 0,
    write_model: WriteModelOption = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Plan a case at least cost with a proven bound; writes plan.json, report.html and manifest.json.

    Example: planner solve dsv3_2xnvl72 --set pools.nvl72.domains=3
    """
    with reporting(output_format, quiet=quiet) as output:
        from planner.cli.progress import ProgressLine
        from planner.solver.options import SolveOptions
        from planner.studies.api import refuse_outputs, solve_case

        refuse_outputs(out, write_model)
        options = SolveOptions(time_limit_s=time_limit, gap=gap, threads=threads, seed=seed)
        with ProgressLine(shown=not quiet) as progress:
            solved = solve_case(case, changes or (), loads=loads, options=options, progress=progress.update)
        if write_model is not None:
            solved.write_model(write_model)
        if loads is not None:
            from planner.exchange.loads import read_load_file

            for warning in read_load_file(loads).warnings:
                output.note(f"warning: {loads}: {warning}")
        _finish(solved, out, output)


def _finish(solved: SolvedCase, out: Path | None, output: Output) -> None:
    from planner.report.text import render_text
    from planner.solver.result import StopReason

    payload = solved.write(out)
    output.document(payload, lambda: render_text(payload))
    if solved.stop_reason is StopReason.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
