"""`planner sweep`: many certified solves of one case."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from planner.cli import complete
from planner.cli.options import BackendOption, TimeLimitOption, WorkersOption
from planner.cli.support import Format, FormatOption, Output, QuietOption, reporting

SweepArgument = Annotated[
    str,
    typer.Argument(
        metavar="SWEEP", help="A sweep file, or the name of one.", autocompletion=complete.names_of("sweeps")
    ),
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Keep the points that the folder already holds.")]
OutFolder = Annotated[Path | None, typer.Option("--out", help="Folder of the table. Default: outputs/sweep_NAME.")]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        "--plan-cluster",
        metavar="NODESxWORKERS",
        help="Solve nothing; from the seconds in the table tell how long a cluster such as 100x8 would take.",
    ),
]
NodePriceOption = Annotated[
    float | None, typer.Option("--usd-per-node-hour", min=0.0, help="Price of a node, for --plan-cluster.")
]
MOST_SHOWN = 40


def sweep(
    name: SweepArgument,
    backend: BackendOption = "processes",
    workers: WorkersOption = 1,
    resume: ResumeOption = False,
    out: OutFolder = None,
    time_limit: TimeLimitOption = None,
    plan_cluster: ClusterOption = None,
    usd_per_node_hour: NodePriceOption = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Solve every point of a sweep; a killed sweep goes on with --resume where it stopped.

    Writes points.jsonl while it runs, points.parquet and points.csv at the end.

    Example: planner sweep h800_kv_and_speed --workers 2
    """
    with reporting(output_format, quiet=quiet) as output:
        from planner.cli.progress import points_bar
        from planner.studies.runs import DEFAULT_FOLDER
        from planner.studies.sweeps.run import load_sweep, run_sweep, sweep_options

        spec = load_sweep(name)
        folder = out or DEFAULT_FOLDER / f"sweep_{spec.name}"
        if plan_cluster is not None:
            _plan(output, spec.size(), folder, plan_cluster, usd_per_node_hour)
            return
        with points_bar(spec.name, shown=not quiet) as update:
            payload = run_sweep(
                spec,
                folder,
                workers=workers,
                backend=backend,
                resume=resume,
                options=sweep_options(spec, time_limit),
                on_point=update,
            )
        output.document(payload, lambda: _text(payload))
        if payload["failed"]:
            raise typer.Exit(3)


def _plan(output: Output, points: int, folder: Path, text: str, usd_per_node_hour: float | None) -> None:
    from planner.studies.sweeps.cluster import cluster_text, parse_cluster, plan_cluster
    from planner.studies.sweeps.table import peek

    plan = plan_cluster(peek(folder), points, parse_cluster(text, usd_per_node_hour))
    output.document(plan, lambda: cluster_text(plan))


def _text(payload: dict[str, Any]) -> str:
    from planner.report import terminal

    keys = list(dict.fromkeys(key for row in payload["rows"] for key in row["point"]))
    columns = [*(_short(key) for key in keys), "$", "gap", "GPUs", "layout"]
    table = terminal.empty_table("", columns, left=len(keys))
    table.columns[-1].justify = "left"
    for row in payload["rows"][:MOST_SHOWN]:
        values = (_cell(row["point"].get(key, "as it is")) for key in keys)
        if row["cost_usd"] is None:
            terminal.add_row(table, *values, row["status"], "", "", (row["reasons"] or [""])[0])
        else:
            cost, gap = f"{row['cost_usd']:,.2f}", f"{100 * row['gap']:.2f} %"
            terminal.add_row(table, *values, cost, gap, row["gpus_used"], row["layout"])
    lines = [payload["title"], terminal.printed(table)]
    if len(payload["rows"]) > MOST_SHOWN:
        lines.append(f"{len(payload['rows']) - MOST_SHOWN} more points in the table")
    lines += [_swing(entry) for entry in payload["tornado"]]
    lines += [_flip(entry) for entry in payload["break_even"]]
    counts = f"{payload['done']} of {payload['points']} points done, {payload['failed']} failed"
    limited = f", {payload['time_limited']} at the time limit" if payload["time_limited"] else ""
    return "\n".join([*lines, f"{counts}{limited}; table: {payload['table_path']}"])


def _short(key: str) -> str:
    parts = key.split(".")
    return ".".join(parts[-2:])


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _swing(entry: dict[str, Any]) -> str:
    low, high = (f"{value:,.2f}" if value is not None else "no plan" for value in (entry["low_usd"], entry["high_usd"]))
    return f"{entry['key']}: {entry['low']} -> {low} $, {entry['high']} -> {high} $"


def _flip(entry: dict[str, Any]) -> str:
    if not entry["flips"]:
        return f"{entry['key']}: {entry['watch']} stays {entry['below_choice']} over the whole range"
    where = f"between {entry['below']:.5g} and {entry['above']:.5g}"
    return f"{entry['key']}: {entry['watch']} turns from {entry['below_choice']} into {entry['above_choice']} {where}"
