"""What a reader with a minute needs: the answer, how sure it is, where the money goes, what binds, what to buy next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.report import facts, words
from planner.report.markup import Markup, element, joined, section, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PART_COLOURS = {"prefill": "--prefill-0", "decode": "--decode-0", "both": "--both-0"}


def summary(payload: Mapping[str, Any]) -> Markup:
    """Write the first screen of the page."""
    pair = element("div", _money(payload), _binding(payload), _class="columns")
    return joined([_header(payload), _cards(payload), _service(payload), pair, _savings(payload)])


def _header(payload: Mapping[str, Any]) -> Markup:
    pools = payload["decisions"]["pools"]
    used = [f"{words.counted(pool['domains_used'], 'domain')} of {pool['hardware']}" for pool in pools]
    badge = element("span", payload["status"], _class=f"badge {payload['status']}")
    lead = element("p", badge, words.certainty(payload), " ", _stopped(payload), _class="lead")
    about = f"Case {payload['case']}: {payload['model']} on {', '.join(used)}."
    return element("header", element("h1", payload["title"]), element("p", about), lead)


def _stopped(payload: Mapping[str, Any]) -> str:
    if payload["stop_reason"] == "optimal_within_gap":
        return ""
    return f"The search stopped because {words.STOPPED.get(payload['stop_reason'], payload['stop_reason'])}."


def _cards(payload: Mapping[str, Any]) -> Markup:
    hours, gpus = payload["horizon_hours"], facts.total_gpus(payload)
    million = facts.usd_per_million_output_tokens(payload)
    notes = [] if hours == 1 else [f"{words.usd(payload['cost_usd'])} over {words.number(hours)} h"]
    notes += [] if million is None else [f"{words.usd(million)} per million output tokens"]
    bound = words.usd(facts.per_hour(payload, payload["bound_usd"]))
    difference = words.tiny(payload["evaluator_relative_difference"])
    return element(
        "div",
        _card("Cost", words.usd(facts.per_hour(payload, payload["cost_usd"])), "per hour", "; ".join(notes)),
        _card("Proven bound", bound, "per hour", "no plan made of the choices offered costs less than this"),
        _card("Gap", words.share(payload["gap"]), "of the cost", "what a better plan could save at most"),
        _card("Judge's difference", difference, "relative", "cost by an independent evaluator against this one"),
        _card("GPUs", f"{gpus['paid']:,}", "paid", f"{gpus['used']:,} in use, {gpus['idle']:,} idle"),
        _card("Found in", words.duration(payload["seconds"]), "", "calibration: " + str(payload["calibration"])),
        _class="cards",
    )


def _card(name: str, value: str, unit: str, note: str) -> Markup:
    return element(
        "div",
        element("div", name, _class="name"),
        element("div", value, " ", element("small", unit), _class="value"),
        element("div", note, _class="note"),
        _class="card",
    )


def _service(payload: Mapping[str, Any]) -> Markup:
    rows = [
        (
            entry["name"],
            words.number(entry["requests_per_s"]),
            f"{entry['input_tokens']:,}",
            words.percent(entry["cached_share"]),
            f"{entry['output_tokens']:,}",
            words.against(row.ttft_s, row.ttft_limit_s),
            words.against(row.tpot_s, row.tpot_limit_s),
            f"{words.number(100 * entry['percentile'])} %",
        )
        for entry, row in zip(payload["demand"], facts.class_rows(payload), strict=True)
    ]
    columns = (
        "Class",
        "Requests/s",
        "Tokens in",
        "Cached",
        "Tokens out",
        "TTFT of limit",
        "TPOT of limit",
        "Holds for",
    )
    return section(
        "service",
        "What is served, and how fast",
        "Each class of requests with the longest times that any deployment gives it, beside its limits.",
        table(columns, rows),
    )


def _money(payload: Mapping[str, Any]) -> Markup:
    parts = facts.breakdown(payload)
    hours = payload["horizon_hours"]
    hourly = words.usd_column(facts.per_hour(payload, usd) for _, usd, _ in parts)
    total = words.usd_column(usd for _, usd, _ in parts)
    columns = ["Part", "$ an hour", "Share"] if hours == 1 else ["Part", "$ an hour", f"$ over {hours:g} h", "Share"]
    rows: list[Sequence[object]] = []
    for (name, _, part), an_hour, whole in zip(parts, hourly, total, strict=True):
        label = element("span", swatch(PART_COLOURS.get(name, "--idle")), words.PHASES.get(name, name))
        rows.append([label, an_hour, *([] if hours == 1 else [whole]), words.percent(part)])
    return section(
        "money",
        "Where the money goes",
        "Rental of the GPUs in use by what they do, and of GPUs that are paid but idle.",
        element("div", *(_slice(name, part) for name, _, part in parts), _class="bar", role="img", aria_label="shares"),
        table(columns, rows),
        _one_more_request(payload),
    )


def _slice(name: str, part: float) -> Markup:
    style = f"width:{100 * part:.3f}%;background-color:var({PART_COLOURS.get(name, '--idle')})"
    text = words.percent(part) if part > 0.06 else ""
    return element("span", text, style=style, _class="idle" if name == "idle" else "part")


def swatch(colour: str) -> Markup:
    """Write a square in a colour of the page's style sheet."""
    return element("span", _class="swatch", style=f"background-color:var({colour})")


def _binding(payload: Mapping[str, Any]) -> Markup:
    limits = [(limit, ", ".join(names)) for limit, names in facts.binding_limits(payload).items()]
    binds = table(("Limit", "Met by"), limits, left=2)
    return section(
        "binding",
        "What holds the cost up",
        "Limits that the plan meets within 2 %." if limits else "No limit is met within 2 %.",
        binds if limits else "",
    )


def _savings(payload: Mapping[str, Any]) -> Markup:
    saved = payload["binding"]["one_more_unit"]
    largest = max((entry["saves_usd_of_used_gpus"] for entry in saved), default=0.0)
    rows = [
        (entry["limit"], entry["unit"], billed, used, _meter(entry["saves_usd_of_used_gpus"], largest))
        for entry, (billed, used) in zip(saved, facts.saving_texts(payload), strict=True)
    ]
    sentence = (
        "Savings in $ an hour for one more unit of each limit. As billed: change of the plan's cost, idle GPUs paid as "
        "the case says. Of GPUs in use: the same if only GPUs in use were paid; it ranks the limits."
    )
    return section(
        "next",
        "What to buy or loosen next",
        sentence,
        table(("Limit", "One more", "As billed", "Of GPUs in use", ""), rows, left=2),
    )


def _meter(value: float, largest: float) -> Markup:
    width = 100 * max(0.0, value) / largest if largest > 0 else 0.0
    return element("span", _class="meter", style=f"width:{width:.2f}%")


def _one_more_request(payload: Mapping[str, Any]) -> Markup:
    marginal = payload["binding"]["usd_of_one_more_request_per_s"]
    if not marginal:
        return Markup("")
    texts = words.usd_column(facts.per_hour(payload, usd) for usd in marginal.values())
    return joined(
        [
            element("h3", "One more request a second costs"),
            table(("Class", "$ an hour of GPUs in use"), list(zip(marginal, texts, strict=True))),
        ]
    )
