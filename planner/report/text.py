"""A certified serving plan as plain text for a terminal."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from planner.report import cache_text, facts, life, words
from planner.report.life_text import print_lifecycle, print_reference, print_titled
from planner.report.terminal import WIDTH, add_row, empty_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table


def render_text(payload: Mapping[str, Any]) -> str:
    """Write the document of a plan (`planner.studies.payload.answer_payload`) as tables.

    Returns
    -------
    str
        No colour codes, at most ``WIDTH`` columns a line.
    """
    from rich.console import Console

    stream = io.StringIO()
    console = Console(file=stream, width=WIDTH, color_system=None, markup=False, emoji=False, highlight=False)
    console.print(f"{words.clean(payload['title'])} ({words.clean(payload['case'])})\n")
    console.print(_headline(payload), "")
    if payload.get("reference"):
        print_reference(console, payload)
    if "lifecycle" in payload:
        print_lifecycle(console, payload)
    parts = (
        _classes,
        _layouts,
        _service,
        _pools,
        _price_sources,
        cache_text.prefixes,
        cache_text.tiers,
        _breakdown,
        _placement,
        _binding,
        _savings,
        _one_more_request,
    )
    for part in parts:
        table = part(payload)
        if table.row_count:
            print_titled(console, table)
    console.print(_closing(payload))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def _headline(payload: Mapping[str, Any]) -> Table:
    from rich.table import Table

    gpus = facts.total_gpus(payload)
    stopped = words.STOPPED.get(payload["stop_reason"], payload["stop_reason"])
    table = Table.grid(padding=(0, 2))
    rows = (
        *(_life_costs(payload) if "lifecycle" in payload else _serving_costs(payload)),
        ("gap", f"{words.share(payload['gap'])}. {words.certainty(payload)}"),
        ("judge", f"relative difference of its cost {words.tiny(payload['evaluator_relative_difference'])}"),
        ("status", f"{payload['status']}; stopped after {words.duration(payload['seconds'])}: {stopped}"),
        ("GPUs", f"{gpus['paid']:,} paid, {gpus['used']:,} in use, {gpus['idle']:,} idle"),
        ("rests on", f"calibration {payload['calibration']}: {payload['assumptions']['calibration']['title']}"),
    )
    for row in rows:
        add_row(table, *row)
    return table


def _serving_costs(payload: Mapping[str, Any]) -> list[tuple[str, str]]:
    hours = payload["horizon_hours"]
    per_million = facts.usd_per_million_output_tokens(payload)
    cost = f"{words.usd(facts.per_hour(payload, payload['cost_usd']))} an hour"
    cost += "" if hours == 1 else f", {words.usd(payload['cost_usd'])} over {words.number(hours)} h"
    cost += "" if per_million is None else f", {words.usd(per_million)} per million output tokens"
    bound = words.usd(facts.per_hour(payload, payload["bound_usd"]))
    return [("cost", cost), ("proven bound", f"{bound} an hour")]


def _life_costs(payload: Mapping[str, Any]) -> list[tuple[str, str]]:
    per_million = facts.usd_per_million_output_tokens(payload)
    each = [] if per_million is None else [("that is", f"{words.usd(per_million)} per million output tokens")]
    return [
        ("trains", life.trained(payload)),
        ("cost", f"{words.usd(payload['cost_usd'])} for the whole life: {facts.life_parts(payload)}"),
        *each,
        ("proven bound", f"{words.usd(payload['bound_usd'])} for the whole life"),
        ("spent on", life.spend(payload)),
    ]


def _classes(payload: Mapping[str, Any]) -> Table:
    table = empty_table(
        "Demand, and the longest times reached",
        ("class", "req/s", "in", "cached", "out", "TTFT / limit", "TPOT / limit", "at"),
    )
    for entry, row in zip(payload["demand"], facts.class_rows(payload), strict=True):
        add_row(
            table,
            entry["name"],
            words.number(entry["requests_per_s"]),
            f"{entry['input_tokens']:,}",
            words.share(entry["cached_share"]),
            f"{entry['output_tokens']:,}",
            _beside(row.ttft_s, row.ttft_limit_s),
            _beside(row.tpot_s, row.tpot_limit_s),
            f"p{words.number(100 * entry['percentile'])}",
        )
    return table


def _beside(reached_s: float | None, limit_s: float | None) -> str:
    return words.against(reached_s, limit_s).replace(" of ", " / ")


def _layouts(payload: Mapping[str, Any]) -> Table:
    # the phase is the first word of each name
    columns = ("name", "pool", "n x GPUs", "TP/DP/EP/PP", "slots/GPU", "batch a rank", "$/h")
    table = empty_table("Deployments", columns, left=2)
    usd = facts.deployment_usd_per_hour(payload)
    for entry in payload["decisions"]["deployments"]:
        add_row(
            table,
            entry["name"],
            entry["pool"],
            f"{entry['replicas']:,} x {entry['gpus']:,}",
            words.layout(entry).replace(" ", ""),
            entry["slots_per_gpu"],
            words.batch(entry),
            words.usd(usd[entry["name"]]),
        )
    return table


def _service(payload: Mapping[str, Any]) -> Table:
    table = empty_table(
        "What each deployment serves",
        ("deployment", "class", "req/s", "TTFT", "TPOT", "busy", "HBM", "imbalance"),
        left=2,
    )
    by_name = {entry["name"]: entry for entry in payload["decisions"]["deployments"]}
    for row in facts.service_rows(payload):
        entry = by_name[row.deployment]
        add_row(
            table,
            row.deployment,
            row.name,
            words.number(row.requests_per_s),
            words.against(row.ttft_s, None),
            words.against(row.tpot_s, None),
            words.percent(entry["utilisation"]),
            words.percent(facts.memory_share(entry)),
            words.fixed(entry["imbalance"], 4),
        )
    return table


def _pools(payload: Mapping[str, Any]) -> Table:
    columns = ("pool", "hardware", "domains used", "GPUs used", "paid", "idle", "$/GPU-hour")
    table = empty_table("Pools", columns, left=2)
    for pool in payload["decisions"]["pools"]:
        add_row(
            table,
            pool["pool"],
            pool["hardware"],
            f"{pool['domains_used']:,}" + ("" if pool["domains"] is None else f" of {pool['domains']:,}"),
            f"{pool['gpus_used']:,}",
            f"{pool['gpus_paid']:,}",
            f"{pool['gpus_idle']:,}",
            words.usd(pool["usd_per_gpu_hour"]),
        )
    return table


def _price_sources(payload: Mapping[str, Any]) -> Table:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.title = "Where the prices come from"
    for pool in payload["decisions"]["pools"]:
        add_row(table, f" {pool['pool']}", pool["price"])
    return table


def _breakdown(payload: Mapping[str, Any]) -> Table:
    column = "$ of the whole life" if "lifecycle" in payload else f"$ over {words.number(payload['horizon_hours'])} h"
    table = empty_table("Where the money goes", ("part", column, "share"))
    parts = facts.breakdown(payload)
    for (name, _, part), text in zip(parts, words.usd_column(usd for _, usd, _ in parts), strict=True):
        add_row(table, words.PHASES.get(name, name), text, words.percent(part))
    return table


def _placement(payload: Mapping[str, Any]) -> Table:
    table = empty_table(
        "Experts on GPUs: mean load over the busiest GPU's, mean over layers",
        ("map: ranks x slots", "layers", "balance", "worst layer", "proven bound", "gap"),
    )
    for entry in payload["placement"]:
        add_row(
            table,
            entry["map"],
            len(entry["layers"]),
            words.fixed(entry["balance_mean"], 5),
            words.fixed(min(layer["balance"] for layer in entry["layers"]), 5),
            words.fixed(entry["bound_mean"], 5),
            f"{words.fixed(100 * entry['gap_mean'], 4)} %",
        )
    return table


def _binding(payload: Mapping[str, Any]) -> Table:
    table = empty_table("What binds (limits met within 2 %)", ("limit", "met by"), left=2)
    for limit, deployments in facts.binding_limits(payload).items():
        add_row(table, limit, ", ".join(deployments))
    return table


def _savings(payload: Mapping[str, Any]) -> Table:
    table = empty_table(
        "What one more unit saves, $ an hour (as billed: idle GPUs paid as the case says)",
        ("limit", "one more", "as billed", "of GPUs in use"),
        left=2,
    )
    saved = payload["binding"]["one_more_unit"]
    for entry, (billed, used) in zip(saved, facts.saving_texts(payload), strict=True):
        add_row(table, entry["limit"], entry["unit"], billed, used)
    return table


def _one_more_request(payload: Mapping[str, Any]) -> Table:
    table = empty_table("One more request/s costs, $ an hour of GPUs in use", ("class", "$/h"))
    marginal = payload["binding"]["usd_of_one_more_request_per_s"]
    texts = words.usd_column(facts.per_hour(payload, usd) for usd in marginal.values())
    for name, text in zip(marginal, texts, strict=True):
        add_row(table, name, text)
    return table


def _closing(payload: Mapping[str, Any]) -> str:
    search = payload["search"]
    lines = [
        f"{words.counted(search['candidates'], 'candidate')} of {search['candidates_before_pruning']:,} before "
        f"pruning; {search['rows']:,} rows, {search['columns']:,} columns; "
        f"{words.counted(search['solves'], 'solve')} in {words.duration(search['solve_s'])}."
    ]
    if payload.get("run_dir"):
        lines.append(f"Written to {words.clean(payload['run_dir'])}: report.html, plan.json, manifest.json")
    return "\n".join(lines)
