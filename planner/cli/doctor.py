"""`planner doctor`: does this installation work."""

from __future__ import annotations

from typing import Any

import typer

from planner.cli.support import Format, FormatOption, QuietOption, reporting


def doctor(output_format: FormatOption = Format.text, quiet: QuietOption = False) -> None:
    """Print versions and the machine, solve a case with a known answer; exit code 3 if something is not well.

    Example: planner doctor
    """
    with reporting(output_format, quiet=quiet) as output:
        from planner.studies.doctor import examine

        report = examine()
        output.document(report, lambda: _text(report))
        if not report["well"]:
            raise typer.Exit(3)


def _text(report: dict[str, Any]) -> str:
    from planner.units import with_prefix

    machine = report["machine"]
    lines = [
        f"{machine['system']}, {machine['cores']} cores, {with_prefix(machine['memory_bytes'], 'B')} memory, "
        f"{with_prefix(machine['free_disk_bytes'], 'B')} free on disk",
        ", ".join(f"{name} {version}" for name, version in report["versions"].items() if version),
        "",
    ]
    for check in report["checks"]:
        remedy = f" -> {check['remedy']}" if check["remedy"] and not check["well"] else ""
        lines.append(f"{'ok  ' if check['well'] else 'FAIL'}  {check['name']}: {check['found']}{remedy}")
    lines += [
        f"{'ok  ' if entry['present'] else '-   '}  {entry['name']} (optional): {entry['for']}"
        for entry in report["optional"]
    ]
    lines.append("all well" if report["well"] else "something is not well, see FAIL above")
    return "\n".join(lines)
