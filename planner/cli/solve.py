"""`planner solve`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    from planner.instance.instance import Instance
    from planner.studies.api import SolvedCase

WriteModelOption = Annotated[Path | None, typer.Option("--write-model", help="Also write the program as .lp or .mps.")]
MeasuredOption = Annotated[
    Path | None,
    typer.Option(help="Own benchmark rows (a table or a tool's result): three or more correct the calibration."),
]
MeasuredTpOption = Annotated[
    int | None, typer.Option(min=1, help="Tensor parallel width of --measured, where a tool's result does not say it.")
]


def solve(
    case: CaseArgument,
    loads: LoadsOption = None,
    measured: MeasuredOption = None,
    measured_tp: MeasuredTpOption = None,
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
            given, site = _with_site(case, changes or (), loads, measured, measured_tp)
            solved = solve_case(given, changes or (), loads=loads, options=options, progress=progress.update)
        solved.payload["measured"] = site
        if write_model is not None:
            solved.write_model(write_model)
        if loads is not None:
            from planner.exchange.loads import read_load_file

            for warning in read_load_file(loads).warnings:
                output.note(f"warning: {loads}: {warning}")
        _finish(solved, out, output)


def _with_site(
    case: str, changes: list[str] | tuple[str, ...], loads: Path | None, measured: Path | None, tp: int | None
) -> tuple[str | Instance, dict[str, Any] | None]:
    """Open the case under a calibration that measured rows have corrected, where there are any."""
    if measured is None:
        return case, None
    from planner.studies.api import open_serving_case
    from planner.studies.measured_site import with_measured

    return with_measured(open_serving_case(case, changes, loads), measured, tp)


def _finish(solved: SolvedCase, out: Path | None, output: Output) -> None:
    from planner.report.text import render_text
    from planner.solver.result import StopReason

    payload = solved.write(out)
    output.document(payload, lambda: render_text(payload) + _site_text(payload))
    if solved.stop_reason is StopReason.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)


def _site_text(payload: dict[str, Any]) -> str:
    if payload["measured"] is None:
        return ""
    from planner.studies.measured_site import measured_text

    return "\n\n" + measured_text(payload["measured"])
