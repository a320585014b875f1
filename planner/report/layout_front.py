"""The front of decode layouts: the cheapest for each time per token, beside what the plan chose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.report import words
from planner.report.figures import document, escaped, log_axis
from planner.report.markup import Markup, element, figure, folded, joined, section, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COLOURS = ("#2f64cc", "#c2671a", "#1f8a68", "#7a4fc0")
LIMIT = "#b3261e"
SENTENCE = (
    "Decode layouts and batches that no other beats in both time and cost, out of all that fit in memory: priced "
    "alone, with all places taken and experts spread as evenly as is proven possible, at the context of what each of "
    "the plan's deployments serves. A deployment lies above its line where the rest of the plan pays for it: places "
    "kept free for bursts, GPUs left over, domains rented whole."
)


def drawable_fronts(views: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Fronts that hold a point."""
    return [entry for entry in views.get("fronts") or () if entry["tpot_s"]]


def front(views: Mapping[str, Any]) -> Markup:
    """Write the section of the fronts."""
    entries = drawable_fronts(views)
    if not entries:
        return Markup("")
    return section(
        "front",
        "Cost against time per token",
        SENTENCE,
        figure("front", "Cheapest decode layout for each time per token; diamonds are the deployments of this plan."),
        folded("The same in numbers", *(_numbers(entry) for entry in entries)),
    )


def _numbers(entry: Mapping[str, Any]) -> Markup:
    times, costs = entry["tpot_s"], entry["usd_per_million_tokens"]
    rows = [
        (layout, words.fixed(1e3 * time, 2), words.usd(cost))
        for layout, time, cost in zip(entry["layout"], times, costs, strict=True)
    ]
    title = f"{entry['deployment']}: {entry['looked_at']:,} layouts and batches"
    title += f" at {entry['context_tokens']:,.0f} tokens of context"
    return joined([element("h3", title), table(("Layout", "Time a token, ms", "$ a million tokens"), rows)])


def front_figure(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Draw each front as steps with its deployment as a mark, and the limits of the classes."""
    import plotly.graph_objects as go

    figure_ = go.Figure()
    hover = "%{text}<br>%{x:.3g} ms, $%{y:.3g} a million tokens<extra></extra>"
    for number, entry in enumerate(entries):
        name, colour = escaped(entry["deployment"]), COLOURS[number % len(COLOURS)]
        figure_.add_scatter(
            x=[1e3 * value for value in entry["tpot_s"]],
            y=entry["usd_per_million_tokens"],
            text=[escaped(layout) for layout in entry["layout"]],
            name=f"cheapest for {name}'s requests",
            mode="lines+markers",
            line={"color": colour, "width": 2, "shape": "hv"},
            marker={"size": 5},
            hovertemplate=hover,
        )
        figure_.add_scatter(
            x=[1e3 * entry["chosen"]["tpot_s"]],
            y=[entry["chosen"]["usd_per_million_tokens"]],
            text=[name],
            name=name,
            mode="markers",
            marker={"color": colour, "size": 12, "symbol": "diamond", "line": {"width": 1, "color": "#ffffff"}},
            hovertemplate=hover,
        )
    costs = [cost for entry in entries for cost in (*entry["usd_per_million_tokens"], _own_cost(entry))]
    times = [1e3 * time for entry in entries for time in (*entry["tpot_s"], entry["chosen"]["tpot_s"])]
    _draw_limits(figure_, entries, [min(costs), max(costs)])
    figure_.update_layout(
        height=400,
        xaxis={"title": {"text": "time a token, ms"}} | log_axis(times),
        yaxis={"title": {"text": "$ a million tokens"}} | log_axis(costs),
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    return document(figure_)


def _own_cost(entry: Mapping[str, Any]) -> float:
    return float(entry["chosen"]["usd_per_million_tokens"])


def _draw_limits(figure_: Any, entries: Sequence[Mapping[str, Any]], ends: list[float]) -> None:  # noqa: ANN401 - plotly
    limits = {name: value for entry in entries for name, value in entry["limits_s"].items()}
    for limit in sorted(set(limits.values())):
        names = ", ".join(name for name, value in limits.items() if value == limit)
        figure_.add_scatter(
            x=[1e3 * limit] * 2,
            y=ends,
            name=f"limit of {escaped(names)}",
            mode="lines",
            line={"color": LIMIT, "dash": "dash"},
        )
