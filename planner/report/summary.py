"""What a reader with a minute needs: the answer, how sure it is, where the money goes, what binds, what to buy next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.report import facts, life, words
from planner.report.life_sections import lifecycle
from planner.report.markup import Markup, element, joined, section, table
from planner.report.reference import beside_reference

if TYPE_CHECKING:
    from collections.abc import Mapping

PART_COLOURS = {
    "pretraining": "--train-0",
    "rl_training": "--train-1",
    "rl_generation": "--train-2",
    "prefill": "--prefill-0",
    "decode": "--decode-0",
    "both": "--both-0",
}


def summary(payload: Mapping[str, Any]) -> Markup:
    """Write the first screen of the page."""
    pair = element("div", _money(payload), _binding(payload), _class="columns")
    top = (_header(payload), _cards(payload), beside_reference(payload), lifecycle(payload))
    return joined([*top, _service(payload), pair, _savings(payload)])


def _header(payload: Mapping[str, Any]) -> Markup:
    pools = payload["decisions"]["pools"]
    used = [f"{words.counted(pool['domains_used'], 'domain')} of {pool['hardware']}" for pool in pools]
    badge = element("span", payload["status"], _class=f"badge {payload['status']}")
    lead = element("p", badge, words.certainty(payload), " ", _stopped(payload), _class="lead")
    about = f"Case {payload['case']}: {payload['model']} on {', '.join(used)}."
    if "lifecycle" in payload:
        about += f" The model was chosen: {life.trained(payload)}."
    return element("header", element("h1", payload["title"]), element("p", about), lead)


def _stopped(payload: Mapping[str, Any]) -> str:
    if payload["stop_reason"] == "optimal_within_gap":
        return ""
    return f"The search stopped because {words.STOPPED.get(payload['stop_reason'], payload['stop_reason'])}."


def _cards(payload: Mapping[str, Any]) -> Markup:
    gpus = facts.total_gpus(payload)
    difference = words.tiny(payload["evaluator_relative_difference"])
    return element(
        "div",
        *_cost_cards(payload),
        _card("Gap", words.share(payload["gap"]), "of the cost", "what a better plan could save at most"),
        _card("Judge's difference", difference, "relative", "cost by an independent evaluator against this one"),
        _card("GPUs", f"{gpus['paid']:,}", "paid", f"{gpus['used']:,} in use, {gpus['idle']:,} idle"),
        _card("Found in", words.duration(payload["seconds"]), "", "calibration: " + str(payload["calibration"])),
        _class="cards",
    )


def _cost_cards(payload: Mapping[str, Any]) -> tuple[Markup, Markup]:
    """Write cost and bound: an hour of a serving plan, or the whole life where the model is chosen too."""
    hours, whole_life = payload["horizon_hours"], "lifecycle" in payload
    million = facts.usd_per_million_output_tokens(payload)
    if whole_life:
        notes = [facts.life_parts(payload)]
        cost, bound, unit = payload["cost_usd"], payload["bound_usd"], "whole life"
    else:
        notes = [] if hours == 1 else [f"{words.usd(payload['cost_usd'])} over {words.number(hours)} h"]
        cost, bound = (facts.per_hour(payload, payload[key]) for key in ("cost_usd", "bound_usd"))
        unit = "per hour"
    notes += [] if million is None else [f"{words.usd(million)} per million output tokens"]
    proven = "no plan made of the choices offered costs less than this"
    return _card("Cost", words.usd(cost), unit, "; ".join(notes)), _card("Proven bound", words.usd(bound), unit, proven)


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
    hours, whole_life = payload["horizon_hours"], "lifecycle" in payload
    hourly = words.usd_column(facts.per_hour(payload, usd) for _, usd, _ in parts)
    total = words.usd_column(usd for _, usd, _ in parts)
    sentence = "Rental of the GPUs in use by what they do, and of GPUs that are paid but idle."
    numbers = {"$ an hour": hourly, f"$ over {hours:g} h": total}
    if whole_life:
        # training has no hourly rate: it is over before the first request
        numbers = {"$ of the whole life": total}
        sentence = f"Training, then {sentence[0].lower()}{sentence[1:]}"
    elif hours == 1:
        numbers = {"$ an hour": hourly}
    rows = [
        [element("span", swatch(_colour(name)), words.PHASES.get(name, name)), *texts, words.percent(part)]
        for (name, _, part), texts in zip(parts, zip(*numbers.values(), strict=True), strict=True)
    ]
    return section(
        "money",
        "Where the money goes",
        sentence,
        element("div", *(_slice(name, part) for name, _, part in parts), _class="bar", role="img", aria_label="shares"),
        table(("Part", *numbers, "Share"), rows),
        _one_more_request(payload),
    )


def _colour(part: str) -> str:
    return PART_COLOURS.get(part, "--idle")


def _slice(name: str, part: float) -> Markup:
    style = f"width:{100 * part:.3f}%;background-color:var({_colour(name)})"
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
    if "lifecycle" in payload:
        sentence += " The model and its tokens stay as chosen."
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
