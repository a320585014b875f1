"""`planner menu`: a price list that loses on no request."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Any

import typer

from planner.cli.support import Format, FormatOption, QuietOption, reporting


class Aim(StrEnum):
    """What makes one menu better than another."""

    distortion = "distortion"
    mean = "mean"
    margin = "margin"


def menu(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Case of a menu, or a name: `planner list menus`.")],
    aim: Annotated[
        Aim, typer.Option(help="Least worst over-charge, least charge of all demand, or most margin.")
    ] = Aim.distortion,
    tiers: Annotated[int | None, typer.Option(min=1, help="Most context tiers; default: as the file says.")] = None,
    most_overcharge: Annotated[
        float | None, typer.Option(min=1.0, help="Price over cost that no request may pass.")
    ] = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Choose context tiers and the prices of each service and of caching, so that no request is sold below cost.

    Example: planner menu talk_100b --tiers 3
    """
    with reporting(output_format, quiet=quiet) as output:
        from planner.errors import InstanceError
        from planner.instance.menu_case import load_menu_case
        from planner.studies.price_menu import price_menu

        limit = float("inf") if most_overcharge is None else most_overcharge
        if math.isnan(limit):
            raise InstanceError.single("command line", "--most-overcharge", "is no number", "give 1 or more")
        case = load_menu_case(file, tiers)
        answer = price_menu(case, aim.value, limit)
        output.document(answer, lambda: menu_text(answer))


def menu_text(answer: dict[str, Any]) -> str:
    """Text of the answer, at most 80 columns a line."""
    from planner.report import terminal

    services = list(answer["services"])
    columns = ("prompt tokens", *(f"{name} {side}" for name in services for side in ("in", "out")))
    table = terminal.empty_table("", columns, left=1)
    for tier in answer["prices"]:
        pairs = (f"{tier[name][side]:.4g}" for name in services for side in ("input", "output"))
        terminal.add_row(table, _range(tier), *pairs)
    lines = [*_wrapped(f"{answer['title']}: USD per million tokens"), terminal.printed(table)]
    if answer["cache_tiers"]:
        lines.append(_cache_table(answer))
    lines += _measures(answer)
    return "\n".join(lines)


def _wrapped(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, 80, subsequent_indent="  ", break_long_words=False)


def _range(tier: dict[str, Any]) -> str:
    return f"{_short(tier['from_tokens'])} to {_short(tier['up_to_tokens'])}"


def _short(tokens: int) -> str:
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if tokens >= size:
            return f"{tokens / size:g}{letter}"
    return str(tokens)


def _cache_table(answer: dict[str, Any]) -> str:
    from planner.report import terminal

    places = answer["cache_tiers"]
    columns = (
        "prompt tokens",
        "cache read",
        f"write, short ({places['cache_write_short']})",
        f"write, long ({places['cache_write_long']})",
    )
    table = terminal.empty_table("", columns, left=1)
    for tier in answer["prices"]:
        written = (tier[name] for name in ("cache_read", "cache_write_short", "cache_write_long"))
        terminal.add_row(table, _range(tier), *(f"{usd:.3g}" for usd in written))
    return terminal.printed(table)


def _measures(answer: dict[str, Any]) -> list[str]:
    checked = answer["checked"]
    what = {"distortion": "worst over-charge", "mean": "mean over-charge", "margin": "margin, USD/h"}[answer["aim"]]
    lines = [
        f"floor {answer['floor_usd_per_mtok']:.4g} USD/Mtok, kink of the standard class at "
        f"{answer['kink_tokens']:,.0f} tokens",
        f"price over cost: at most {answer['worst_overcharge']:.4g}, {answer['mean_overcharge']:.4g} over all demand",
        f"margin {answer['margin_usd_per_hour']:,.2f} USD/h, {answer['lost_requests_per_s']:.4g} requests/s leave",
        f"proven bound of the {what}: {answer['bound']:,.6g}, gap {answer['gap']:.2g}",
        f"no loss: least price over cost of {checked['requests']:,} requests drawn is "
        f"{checked['least_price_over_cost']:.4f}",
    ]
    if "batch" in answer["services"]:
        lines += _valley(answer)
    if "fast" in answer["services"]:
        bought = (f"{row['price_ratio']:g}x {row['speed_ratio']:.2f}x" for row in answer["fast_menu"])
        lines.append(f"speed that a price ratio buys: {', '.join(bought)}")
    lines += [_published(answer["published_step"], side) for side in ("output", "input") if answer["published_step"]]
    lines += [f"note: {warning}" for warning in answer["warnings"]]
    return [part for line in lines for part in _wrapped(line)]


def _valley(answer: dict[str, Any]) -> list[str]:
    valley, half = answer["valley"], answer["half_price_share"]
    fleets = (f"{row['share']:.1%} {row['fleet']:.2f}" for row in answer["valley_by_share"])
    lines = [
        f"valley: {valley['share']:.1%} of the work waits, fleet {valley['fleet']:.2f}; capacity paid over used: "
        f"{valley['interactive_factor']:.3g} now, {valley['batch_factor']:.3g} batch",
        f"fleet by share that waits: {', '.join(fleets)}",
    ]
    if half is not None:
        lines.append(f"work that waits, at cost, pays half of the interactive price where {half:.1%} of all work waits")
    return lines


def _published(step: dict[str, Any], side: str) -> str:
    found = step[side]
    reach = found["break_even_tokens"]
    even = "at any length" if reach is None or reach > 1e12 else f"up to {reach:,.0f} tokens"
    return (
        f"a printed step of {found['step']:g}x on {side} at {step['threshold_tokens']:,} breaks even {even}; up to "
        f"{step['longest_tokens']:,.0f} the base must be {found['least_base_over_floor']:.3g}x the floor, or the step "
        f"{found['step_that_covers']:.3g}x"
    )
