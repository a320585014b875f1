"""`planner claims`: the claim ledger, recomputed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.cli.support import Format, FormatOption, QuietOption, reporting

if TYPE_CHECKING:
    from planner.studies.claims.claim import Value

IdsArgument = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Claims, such as C6; default: all.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change an input of a claim.")]

ReportOption = Annotated[bool, typer.Option("--report", help="Also write the page: figures, ledger, exhibits.")]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE.html", help="File of the page, with --report. Default: outputs/claims.html."),
]

EXAMPLE = "Example: planner claims C6 --set price=5"


def claims(
    ids: IdsArgument = None,
    changes: SetOption = None,
    report: ReportOption = False,
    out: OutOption = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Recompute the claims of the talk this project grew from: printed, recomputed, verdict, and what would flip it."""
    with reporting(output_format, quiet=quiet) as output:
        from planner.cli.claims_page import page_path, write_page
        from planner.cli.progress import counted_bar
        from planner.studies.claims.ledger import recompute

        page = page_path(report=report, out=out)
        with counted_bar("claims", shown=not quiet, what="claims") as told:
            entries = recompute(ids or (), _settings(changes or []), progress=told)
        text = _table if len(entries) > 1 else _only
        if page is None:
            output.document({"claims": entries}, lambda: text(entries))
        else:
            path = write_page(page, entries)
            output.document({"claims": entries, "path": path}, lambda: f"{text(entries)}\n{path}")


claims.__doc__ = f"{claims.__doc__}\n\n{EXAMPLE}"


def _settings(changes: list[str]) -> dict[str, Value]:
    """Read NAME=VALUE pairs: a number, else a name."""
    from planner.errors import InstanceError, Problem

    settings: dict[str, Value] = {}
    problems = []
    for change in changes:
        name, equals, text = change.partition("=")
        if not (equals and name.strip() and text.strip()):
            problems.append(Problem("command line", f"--set {change}", "is not NAME=VALUE", "such as --set price=5"))
            continue
        try:
            settings[name.strip()] = float(text)
        except ValueError:
            settings[name.strip()] = text.strip()
    if problems:
        raise InstanceError(problems)
    return settings


def _table(entries: list[dict[str, Any]]) -> str:
    from planner.report import terminal
    from planner.report.claims_text import shown

    rows = terminal.empty_table("", ("claim", "verdict", "statement", "printed", "recomputed"), left=3)
    for entry in entries:
        numbers = shown(entry["printed"]), shown(entry["computed"])
        terminal.add_row(rows, entry["id"], entry["verdict"], entry["statement"], *numbers)
    counts: dict[str, int] = {}
    for entry in entries:
        counts[entry["verdict"]] = counts.get(entry["verdict"], 0) + 1
    failed = [line["text"] for entry in entries for line in entry["acceptance"] if not line["holds"]]
    summary = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    lines = [terminal.printed(rows), summary]
    lines += [f"does not reproduce: {text}" for text in failed]
    return "\n".join([*lines, "`planner claims C6` shows one claim with its equation, inputs and figures"])


def _only(entries: list[dict[str, Any]]) -> str:
    return _one(entries[0])


def _one(entry: dict[str, Any]) -> str:
    from planner.report.claims_text import shown, shown_flip

    unit = f" {entry['unit']}" if entry["unit"] else ""
    lines = [
        f"{entry['id']}  {entry['statement']}",
        f"  equation    {entry['equation']}",
        f"  {entry['quantity']}: printed {shown(entry['printed'])}{unit}, recomputed {shown(entry['computed'])}{unit}",
        f"  verdict     {entry['verdict']}: {entry['verdict_means']}",
        f"  why         {entry['why']}",
    ]
    if entry["flip"]:
        lines.append(f"  flips       {shown_flip(entry['flip'])}")
    inputs = ", ".join(f"{row['name']} = {shown(row['value'])} {row['unit']}".strip() for row in entry["inputs"])
    lines.append(f"  inputs      {inputs}")
    for key in ("figures", "otherwise", "field"):
        lines += [_figure_line(key if at == 0 else "", row) for at, row in enumerate(entry[key])]
    return "\n".join(lines)


def _figure_line(heading: str, row: dict[str, Any]) -> str:
    from planner.report.claims_text import shown

    source = f"  ({row['source']})" if row["source"] else ""
    return f"  {heading:<11} {row['name']}: {shown(row['value'])} {row['unit']}".rstrip() + source
