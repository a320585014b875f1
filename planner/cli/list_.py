"""`planner list`: what there is to name in a command or a case."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from planner.cli.support import Format, FormatOption, QuietOption, reporting


class Kind(StrEnum):
    """What can be listed."""

    models = "models"
    hardware = "hardware"
    strategies = "strategies"
    formulations = "formulations"
    cases = "cases"
    families = "families"
    sweeps = "sweeps"
    calibration = "calibration"
    laws = "laws"
    prices = "prices"
    claims = "claims"
    menus = "menus"
    price_tables = "price_tables"
    memory_tiers = "memory_tiers"


_FOLDERS = {Kind.price_tables: "prices/api"}
"""Folder of ``instances`` where it is not the kind's own name."""


def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """List what is shipped, by the names that commands and cases take. Example: planner list hardware."""
    with reporting(output_format, quiet=quiet) as output:
        entries = _entries(kind)
        payload: dict[str, Any] = {
            "kind": kind.value,
            "names": [name for name, _ in entries],
            kind.value: [{"name": name, "title": title} for name, title in entries],
        }
        width = max((len(name) for name, _ in entries), default=0)
        output.document(payload, lambda: "\n".join(f"{name:<{width}}  {title}".rstrip() for name, title in entries))


def _entries(kind: Kind) -> list[tuple[str, str]]:
    if kind is Kind.strategies:
        return _strategies()
    if kind is Kind.formulations:
        return _formulations()
    if kind is Kind.claims:
        return _claims()
    from planner.instance import library
    from planner.instance.loading import read_toml

    folder = _FOLDERS.get(kind, kind.value)
    names = library.names(folder)
    titles = [read_toml(library.find(folder, name)).get("title", "") for name in names]
    return [(name, str(title)) for name, title in zip(names, titles, strict=True)]


def _strategies() -> list[tuple[str, str]]:
    from planner.strategies import STRATEGIES

    return [(name, _first_line(type(strategy).__doc__)) for name, strategy in STRATEGIES.items()]


def _formulations() -> list[tuple[str, str]]:
    import formulations

    return [(name, formulations.get(name).decides) for name in formulations.FORMULATIONS]


def _claims() -> list[tuple[str, str]]:
    from planner.studies.claims.ledger import CLAIMS

    return [(claim.id, claim.statement) for claim in CLAIMS.values()]


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().split("\n")[0]
