"""`planner claims`: the claim ledger, recomputed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.cli.support import Format, FormatOption, QuietOption, reporting

if TYPE_CHECKING:
    from planner.studies.claims.claim import Value

IdsArgument = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Claims, such as C6; default: all.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change an input of a claim.")]

EXAMPLE = "Example: planner claims C6 --set price=5"


def claims(
    ids: IdsArgument = None,
    changes: SetOption = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Recompute the claims of the talk this project grew from: printed, recomputed, verdict, and what would flip it."""
    with reporting(output_format, quiet=quiet) as output:
        from planner.studies.claims.ledger import recompute

        entries = recompute(ids or (), _settings(changes or []))
        output.document({"claims": entries}, lambda: _table(entries) if len(entries) > 1 else _one(entries[0]))


claims.__doc__ = f"{claims.__doc__}\n\n{EXAMPLE}"


def _settings(changes: list[str]) -> dict[str, Value]:
    """Read NAME=VALUE pairs: a number with or without a unit, else a name."""
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

    rows = terminal.empty_table("", ("claim", "verdict", "statement", "printed", "recomputed"), left=3)
    for entry in entries:
        numbers = _number(entry["printed"]), _number(entry["computed"])
        terminal.add_row(rows, entry["id"], entry["verdict"], entry["statement"], *numbers)
    counts: dict[str, int] = {}
    for entry in entries:
        counts[entry["verdict"]] = counts.get(entry["verdict"], 0) + 1
    failed = [line["text"] for entry in entries for line in entry["acceptance"] if not line["holds"]]
    summary = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    lines = [terminal.printed(rows), summary]
    lines += [f"does not reproduce: {text}" for text in failed]
    return "\n".join([*lines, "`planner claims C6` shows one claim with its equation, inputs and figures"])


def _one(entry: dict[str, Any]) -> str:
    unit = f" {entry['unit']}" if entry["unit"] else ""
    lines = [
        f"{entry['id']}  {entry['statement']}",
        f"  equation    {entry['equation']}",
        f"  {entry['quantity']}: printed {_number(entry['printed'])}{unit}, "
        f"recomputed {_number(entry['computed'])}{unit}",
        f"  verdict     {entry['verdict']}: {entry['verdict_means']}",
        f"  why         {entry['why']}",
    ]
    if entry["flip"]:
        flip = entry["flip"]
        where = f"{flip['input']} = {flip['value']:.4g} ({flip['factor']:.3g} x)"
        lines.append(f"  flips       to {flip['verdict']} at {where}")
    inputs = ", ".join(f"{row['name']} = {row['value']} {row['unit']}".strip() for row in entry["inputs"])
    lines.append(f"  inputs      {inputs}")
    for key in ("figures", "otherwise", "field"):
        lines += [_figure_line(key if at == 0 else "", row) for at, row in enumerate(entry[key])]
    return "\n".join(lines)


def _figure_line(heading: str, row: dict[str, Any]) -> str:
    source = f"  ({row['source']})" if row["source"] else ""
    return f"  {heading:<11} {row['name']}: {_number(row['value'])} {row['unit']}".rstrip() + source


def _number(value: float | bool | str | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    return f"{value:,.4g}" if abs(value) < 1e5 else f"{value:.4g}"
