"""`planner sweep`: a grid of changes of one case."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from planner.cli.options import TimeLimitOption
from planner.cli.support import Format, FormatOption, QuietOption, reporting

SweepArgument = Annotated[str, typer.Argument(metavar="SWEEP", help="A sweep file, or the name of one.")]
WorkersOption = Annotated[int, typer.Option("--workers", min=1, help="Processes that solve points side by side.")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Keep the points that the table already holds.")]
OutFolder = Annotated[Path | None, typer.Option("--out", help="Folder of the table. Default: outputs/sweep_NAME.")]


def sweep(
    name: SweepArgument,
    workers: WorkersOption = 1,
    resume: ResumeOption = False,
    out: OutFolder = None,
    time_limit: TimeLimitOption = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Solve every point of a grid; writes points.jsonl, one line a point, and resumes where it stopped.

    Example: planner sweep h800_kv_and_speed --workers 2
    """
    with reporting(output_format, quiet=quiet) as output:
        from planner.solver.options import SolveOptions
        from planner.studies.runs import DEFAULT_FOLDER
        from planner.studies.sweep import load_sweep, run_sweep

        spec = load_sweep(name)
        payload = run_sweep(
            spec,
            out or DEFAULT_FOLDER / f"sweep_{spec.name}",
            workers=workers,
            resume=resume,
            options=SolveOptions(time_limit_s=time_limit, gap=1e-3),
            on_point=lambda row: output.note(_line(row)),
        )
        output.document(payload, lambda: _text(payload))
        if payload["failed"]:
            raise typer.Exit(3)


def _line(row: dict[str, Any]) -> str:
    point = ", ".join(f"{key}={value}" for key, value in row["point"].items())
    cost = "no plan" if row["cost_usd"] is None else f"{row['cost_usd']:,.2f} $, {row['gpus_used']} GPUs used"
    return f"{point}: {cost}" + (f" ({row['reasons'][0]})" if row["reasons"] else "")


def _text(payload: dict[str, Any]) -> str:
    lines = [_line(row) for row in payload["rows"]]
    counts = f"{payload['done']} of {payload['points']} points done, {payload['failed']} failed"
    return "\n".join([*lines, f"{counts}; table: {payload['table_path']}"])
