"""The page of a sweep: what varies, fronts and maps, tornado, break-even and a table of rows that can be filtered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.report import sweep_facts, words
from planner.report.html import Part
from planner.report.markup import Markup, element, figure, joined, section, table, terms
from planner.report.sweep_figures import sweep_figures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planner.report.sweep_facts import Row, Sweep

MOST_ROWS = 2000
MEASURES = {
    "cost_usd": "cost, $",
    "bound_usd": "proven bound, $",
    "gap": "gap",
    "gpus_used": "GPUs in use",
    "gpus_paid": "GPUs paid",
    "widest_domains": "domains that the widest deployment spans",
    "decode_batch": "decode batch a rank",
    "worst_tpot_s": "longest time per token, s",
    "worst_ttft_s": "longest time to first token, s",
    "imbalance": "imbalance of experts",
}


def sweep_part(sweep: Sweep) -> Part:
    """Write what the page of a sweep holds."""
    drawn = sweep_figures(sweep)
    sections = (_header(sweep), _pareto(drawn), _spread(sweep, drawn), _explorer(sweep), _tornado(sweep, drawn))
    content = joined([*sections, _flips(sweep), _rows(sweep), _rests_on(sweep)])
    data = {"sweeps": {"sweep": _data(sweep)}} if sweep.solved and sweep.keys else {}
    return Part(sweep.title, content, drawn, data, f"{words.counted(len(sweep.rows), 'point')} of a sweep")


def _header(sweep: Sweep) -> Markup:
    known, failed = sweep.solved, sum(row["status"] == "failed" for row in sweep.rows)
    none = len(sweep.rows) - len(known) - failed
    about = [f"Sweep {sweep.name}"]
    if sweep.summary.get("case"):
        about.append(f"of case {sweep.summary['case']}")
    about.append(f": {words.counted(len(sweep.rows), 'point')}, {len(known):,} with a plan, {none:,} without")
    about.append(f", {failed:,} failed." if failed else ".")
    lines = [element("p", " ".join(about).replace(" :", ":").replace(" ,", ",").replace(" .", "."))]
    if sweep.summary.get("description"):
        lines.append(element("p", " ".join(str(sweep.summary["description"]).split())))
    if sweep.summary.get("points", len(sweep.rows)) > len(sweep.rows):
        lines.append(element("p", "The sweep has not ended: this is what it has so far.", _class="warn"))
    if known:
        cheap, dear = (pick(known, key=lambda row: row["cost_usd"]) for pick in (min, max))
        worst = max((row["gap"] for row in known if row["gap"] is not None), default=None)
        lines.append(
            element(
                "p",
                f"{_range(sweep, cheap, dear)}; each is proven within {words.share(worst)}.",
                _class="lead",
            )
        )
    return element("header", element("h1", sweep.title), *lines)


def _range(sweep: Sweep, cheap: Row, dear: Row) -> str:
    low, high = words.usd(cheap["cost_usd"]), words.usd(dear["cost_usd"])
    if low == high:
        return f"Every point with a plan costs {low}"
    return f"Cost runs from {low} ({_at(sweep, cheap)}) to {high} ({_at(sweep, dear)})"


def _at(sweep: Sweep, row: Row) -> str:
    parts = [
        f"{sweep_facts.short(key)} {sweep_facts.shown(row.get(key))}" for key in sweep.keys if row.get(key) is not None
    ]
    return ", ".join(parts) or "the case as it is"


def _pareto(drawn: Mapping[str, Any]) -> Markup:
    if "pareto" not in drawn:
        return Markup("")
    return section(
        "pareto",
        "Cost against latency",
        "Each point is the cheapest plan found that is at least this quick. No plan made of the choices offered lies "
        "below the dotted line: the front is known to within the grey band.",
        figure("pareto", "Cheapest plan for each time; no plan lies below the dotted line, the proven bound."),
    )


def _spread(sweep: Sweep, drawn: Mapping[str, Any]) -> Markup:
    key = sweep_facts.scale_out_key(sweep)
    if "spread" not in drawn or key is None:
        return Markup("")
    sentence = sweep_facts.spread_sentence(sweep, key)
    return section("spread", "Where spreading experts over domains pays", sentence, figure("spread", sentence))


def _explorer(sweep: Sweep) -> Markup:
    if not sweep.solved or not sweep.keys:
        return Markup("")
    caption = "The chosen column over the chosen keys; empty where a point has no plan."
    return section(
        "explore",
        "The points, side by side",
        "Choose what to show and over which keys: two keys make a map, one key makes lines with the proven bound.",
        element("div", _class="controls", id="sweep-controls"),
        element(
            "figure",
            element("div", _class="plot", id="sweep-plot", data_sweep="sweep", role="img", aria_label=caption),
            element("figcaption", caption, id="sweep-caption"),
        ),
    )


def _tornado(sweep: Sweep, drawn: Mapping[str, Any]) -> Markup:
    if "tornado" not in drawn:
        return Markup("")
    entries = sweep.summary["tornado"]
    costs = {key: words.usd_column(entry[key] for entry in entries) for key in ("low_usd", "base_usd", "high_usd")}
    rows = [
        (entry["key"], sweep_facts.shown(entry["low"]), low, base, sweep_facts.shown(entry["high"]), high)
        for entry, low, base, high in zip(entries, *costs.values(), strict=True)
    ]
    return section(
        "tornado",
        "Which assumption moves the cost most",
        "One key at a time to its low and its high value, the others as the case says.",
        figure("tornado", "Cost at the low and the high value of each key, from the cost of the case as it is."),
        table(("Key", "Low", "Cost", "As it is", "High", "Cost"), rows),
    )


def _flips(sweep: Sweep) -> Markup:
    entries = sweep.summary.get("break_even") or []
    if not entries:
        return Markup("")
    rows = [(entry["key"], *_flip(entry)) for entry in entries]
    columns = ("Key", "Turns between", "Below", "Above", "Cost below", "Cost above")
    return section(
        "flips",
        "Where the choice flips",
        "The bracket in which the decision changes, with a certified plan at both of its ends.",
        table(columns, rows, left=4),
    )


def _flip(entry: Mapping[str, Any]) -> tuple[str, ...]:
    below, above = (sweep_facts.shown(entry[key]) for key in ("below", "above"))
    choices = [sweep_facts.shown(entry[key]) for key in ("below_choice", "above_choice")]
    costs = words.usd(entry["below_usd"]), words.usd(entry["above_usd"])
    if not entry["flips"]:
        return f"never from {below} to {above}", choices[0], "the same", *costs
    return f"{below} to {above}", *choices, *costs


def _rows(sweep: Sweep) -> Markup:
    shown = sweep.rows[:MOST_ROWS]
    left = f" The first {MOST_ROWS:,} are here; points.csv holds all." if len(sweep.rows) > MOST_ROWS else ""
    columns = (*(sweep_facts.short(key) for key in sweep.keys), "Status", "Layout or reason")
    costs = words.usd_column(row["cost_usd"] for row in shown)
    body = [
        (
            *(sweep_facts.shown(row.get(key)) for key in sweep.keys),
            row["status"],
            row["layout"] or row.get("reasons") or "",
            cost,
            words.share(row["gap"]),
            words.NONE if row["gpus_used"] is None else f"{row['gpus_used']:,}",
            words.NONE if row["widest_domains"] is None else f"{row['widest_domains']:,}",
            words.duration(row["worst_tpot_s"]),
        )
        for row, cost in zip(shown, costs, strict=True)
    ]
    return section(
        "rows",
        "All points",
        f"Domains: how many the widest deployment spans. Type words to keep the rows that hold them all.{left}",
        filtered(table((*columns, "Cost", "Gap", "GPUs", "Domains", "TPOT"), body, left=len(columns)), "points"),
    )


def _rests_on(sweep: Sweep) -> Markup:
    """Write the inputs that all points share; nothing where the sweep kept none."""
    told = sweep.summary
    if not told.get("case"):
        return Markup("")
    entries = [("Case", f"{told['case']}, solved to a gap of {words.share(told.get('gap'))} at every point")]
    shared, rules, versions = (told.get(key) or {} for key in ("set", "derive", "versions"))
    entries += [(key, f"{sweep_facts.shown(value)}, set for all points") for key, value in shared.items()]
    entries += [(key, f"follows as {rule}") for key, rule in rules.items()]
    if versions:
        entries.append(("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())))
    sentence = "Sources of every number are in the case's files; a solve of one point makes a page that lists them."
    return section("assumptions", "What this rests on", sentence, terms(entries))


def filtered(content: Markup, name: str) -> Markup:
    """Put a box over a table (of `planner.report.markup.table`) that keeps the rows with the words typed into it."""
    named = Markup(content.replace("<table>", f'<table id="{name}">', 1))
    box = element("input", type="search", id=f"{name}-filter", data_table=name, autocomplete="off")
    bar = element("div", element("div", element("label", "Filter", _for=f"{name}-filter"), box), _class="controls")
    return joined([bar, named, element("p", "", _class="count", id=f"{name}-count", role="status")])


def _data(sweep: Sweep) -> dict[str, Any]:
    """Columns that ``sweep.js`` draws: every key, and the measures that the rows have, with six digits."""
    measures = {name: label for name, label in MEASURES.items() if any(row.get(name) is not None for row in sweep.rows)}
    return {
        "keys": [{"key": key, "label": sweep_facts.short(key)} for key in sweep.keys],
        "measures": [{"key": name, "label": label} for name, label in measures.items()],
        "columns": {name: _column(sweep.rows, name) for name in (*sweep.keys, *measures)},
    }


def _column(rows: Sequence[Row], name: str) -> list[Any]:
    values = [row.get(name) for row in rows]
    return [float(f"{value:.6g}") if isinstance(value, float) else value for value in values]
