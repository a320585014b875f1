"""`planner compare`: the same case, every placement strategy, one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from planner.cli import complete
from planner.cli.options import BackendOption, GapOption, LoadsOption, SetOption, TimeLimitOption, WorkersOption
from planner.cli.support import Format, FormatOption, QuietOption, reporting

CasesArgument = Annotated[
    list[str], typer.Argument(metavar="CASE...", help="Case files or names.", autocompletion=complete.names_of("cases"))
]
StrategiesOption = Annotated[
    str | None,
    typer.Option(
        "--strategies",
        help="Comma-separated names; all by default (see `planner list strategies`).",
        autocompletion=complete.strategies,
    ),
]
PageOption = Annotated[Path | None, typer.Option("--out", metavar="FILE.html", help="Page of the tables and figures.")]


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
    workers: WorkersOption = 1,
    backend: BackendOption = "processes",
    out: PageOption = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Plan each case with each placement strategy; gaps are to the best proven bound of the case, best first.

    Example: planner compare dsv3_h800_day --strategies contiguous,eplb,local_search --out compared.html
    """
    with reporting(output_format, quiet=quiet) as output:
        from planner.cli.progress import points_bar
        from planner.solver.options import SolveOptions
        from planner.studies.api import open_serving_case
        from planner.studies.compare import compare_strategies
        from planner.studies.engine import engine_of

        _refuse(out)
        engine = engine_of(backend, workers)
        instances = [open_serving_case(case, changes or (), loads) for case in cases]
        names = None if strategies is None else [name.strip() for name in strategies.split(",") if name.strip()]
        options = SolveOptions(time_limit_s=time_limit, gap=gap)
        with points_bar("compare", shown=not quiet) as update:
            rows = compare_strategies(instances, names, options, token_split=token_split, engine=engine, on_row=update)
        page = {} if out is None else {"path": _write_page(out, rows)}
        output.document({"rows": rows} | page, lambda: "\n".join([_table(rows), *page.values()]))


def _refuse(out: Path | None) -> None:
    """Refuse a page that cannot be written before anything is solved."""
    from planner.errors import InstanceError
    from planner.files import unwritable

    if out is not None and (fault := unwritable(out)) is not None:
        raise InstanceError.single(str(out), "--out", f"cannot be written: {fault}", "name another file")


def _write_page(out: Path, rows: list[dict[str, Any]]) -> str:
    from planner.files import write_text
    from planner.report.compare_page import compare_page
    from planner.studies.runs import relative_path

    write_text(out, compare_page(rows))
    return relative_path(out)


_COLUMNS = {
    "cost $": ("cost_usd", "{:,.2f}", 1.0),
    "gap %": ("gap", "{:.2f}", 100.0),
    "step ms": ("decode_step_s", "{:.2f}", 1e3),
    "balance": ("balance_mean", "{:.4f}", 1.0),
    "off host": ("remote_share", "{:.3f}", 1.0),
    "sends": ("remote_sends_per_token", "{:.2f}", 1.0),
    "moved": ("moved_fraction", "{:.2f}", 1.0),
    "s": ("seconds", "{:.1f}", 1.0),
}


def _table(rows: list[dict[str, Any]]) -> str:
    from planner.report import terminal

    lines = []
    for case in dict.fromkeys(row["case"] for row in rows):
        own = [row for row in rows if row["case"] == case and row["rank"] is not None]
        table = terminal.empty_table(case, ("#", "strategy", *_COLUMNS), left=2)
        for row in own:
            terminal.add_row(table, row["rank"], row["strategy"], *(_cell(row, *spec) for spec in _COLUMNS.values()))
        lines.append(terminal.printed(table))
        lines += [
            f"{row['strategy']}: balance {row['token_split_balance']:.4f} if tokens are split by an LP"
            for row in own
            if row.get("token_split_balance") is not None
        ]
        lines += [f"{row['strategy']}: {row['note']}" for row in rows if row["case"] == case and row["note"]]
    meaning = "off host: share of token-expert assignments that leave the sender's host; sends: distinct other hosts a "
    meaning += "token; moved: share of slots that differ from contiguous placement"
    return "\n".join([*lines, meaning])


def _cell(row: dict[str, Any], key: str, form: str, scale: float) -> str:
    return "-" if row[key] is None else form.format(scale * row[key])
