"""`planner compare`: the same case, every placement strategy, one table."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from planner.cli.options import GapOption, LoadsOption, SetOption, TimeLimitOption
from planner.cli.support import Format, FormatOption, QuietOption, reporting

CasesArgument = Annotated[list[str], typer.Argument(metavar="CASE...", help="Case files or names.")]
StrategiesOption = Annotated[
    str | None,
    typer.Option("--strategies", help="Comma-separated names; all by default (see `planner list strategies`)."),
]


def compare(
    cases: CasesArgument,
    strategies: StrategiesOption = None,
    loads: LoadsOption = None,
    changes: SetOption = None,
    time_limit: TimeLimitOption = None,
    gap: GapOption = 1e-3,
    token_split: Annotated[
        bool, typer.Option("--token-split", help="Also the balance of an engine that splits tokens by an LP.")
    ] = False,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Plan each case with each placement strategy; gaps are to the best proven bound of the case.

    Example: planner compare dsv3_h800_day --strategies contiguous,eplb,local_search
    """
    with reporting(output_format, quiet=quiet) as output:
        from planner.solver.options import SolveOptions
        from planner.studies.api import open_serving_case
        from planner.studies.compare import compare_strategies

        instances = [open_serving_case(case, changes or (), loads) for case in cases]
        names = None if strategies is None else [name.strip() for name in strategies.split(",") if name.strip()]
        rows = compare_strategies(
            instances, names, SolveOptions(time_limit_s=time_limit, gap=gap), token_split=token_split
        )
        output.document({"rows": rows}, lambda: _table(rows))


def _table(rows: list[dict[str, Any]]) -> str:
    heads = ("case", "strategy", "cost $", "GPUs", "balance", "remote", "seconds", "gap %")
    lines = [_cells(row) for row in rows]
    widths = [max(len(line[i]) for line in [heads, *lines]) for i in range(len(heads))]
    text = [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in [heads, *lines]
    ]
    notes = [
        f"{row['case']}, {row['strategy']}: balance {row['token_split_balance']:.4f} if tokens are split by an LP"
        for row in rows
        if row.get("token_split_balance") is not None
    ]
    notes += [f"{row['strategy']}: {row['note']}" for row in rows if row["note"]]
    return "\n".join([*text, *notes])


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    def number(key: str, digits: int, scale: float = 1.0) -> str:
        return "-" if row[key] is None else f"{scale * row[key]:,.{digits}f}"

    return (
        row["case"],
        row["strategy"],
        number("cost_usd", 2),
        number("gpus_used", 0),
        number("balance_mean", 4),
        number("remote_share", 3),
        number("seconds", 1),
        number("gap", 2, 100.0),
    )
