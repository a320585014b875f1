"""Figures of a sweep: fronts with their bounds, how many domains are spanned, tornado and brackets of break-even."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.report import sweep_facts
from planner.report.figures import document, escaped, log_axis

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planner.report.sweep_facts import Row, Sweep

COLOURS = ("#2f64cc", "#c2671a", "#1f8a68", "#7a4fc0", "#b3261e", "#5a6372")
LOW, HIGH = "#2f64cc", "#c2671a"
_LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}


def sweep_figures(sweep: Sweep) -> dict[str, Any]:
    """Draw every figure that the rows have data for: name to plotly document."""
    drawn = {}
    latency = sweep_facts.latency_key(sweep)
    if latency is not None and sweep.solved:
        drawn["pareto"] = pareto(sweep, *latency)
    key = sweep_facts.scale_out_key(sweep)
    if key is not None and sweep.solved:
        drawn["spread"] = spread(sweep, key)
    if any(entry["base_usd"] is not None for entry in sweep.summary.get("tornado") or ()):
        drawn["tornado"] = tornado(sweep.summary["tornado"])
    return drawn


def pareto(sweep: Sweep, key: str, column: str) -> dict[str, Any]:
    """Draw cost against the time reached, with the proven bound below; a line for each setting of the other keys."""
    import plotly.graph_objects as go

    figure = go.Figure()
    others = [name for name in sweep.keys if name != key]
    found = sweep_facts.groups(sweep.solved, others)
    for number, (name, rows) in enumerate(list(found.items())[: sweep_facts.MOST_LINES]):
        colour, line = COLOURS[number % len(COLOURS)], sweep_facts.front(rows, column)
        times = [1e3 * row[column] for row in line]
        label = escaped(name) or "cheapest plan"
        figure.add_scatter(
            x=times,
            y=[row["bound_usd"] for row in line],
            name=f"{label}: proven bound" if name else "proven bound",
            mode="lines",
            line={"color": colour, "dash": "dot", "shape": "hv"},
            hoverinfo="skip",
        )
        figure.add_scatter(
            x=times,
            y=[row["cost_usd"] for row in line],
            text=[_point_text(row, key) for row in line],
            name=label,
            mode="lines+markers",
            line={"color": colour, "width": 2, "shape": "hv"},
            fill="tonexty",
            fillcolor="rgba(128,128,128,.18)",
            hovertemplate="%{text}<br>%{x:.4g} ms, $%{y:,.2f}<extra></extra>",
        )
    what = "token" if column == "worst_tpot_s" else "first token"
    figure.update_layout(
        height=400,
        xaxis={"title": {"text": f"time to a {what} that the plan reaches, ms"}} | _wide_enough(figure),
        yaxis={"title": {"text": "$ over the horizon"}, "rangemode": "tozero"},
        legend=_LEGEND,
    )
    return document(figure)


def _wide_enough(figure: Any) -> dict[str, Any]:  # noqa: ANN401 - plotly ships no types
    """Leave room for the marks at both ends: a filled line else ends at the frame."""
    times = [time for trace in figure.data for time in trace.x]
    room = 0.04 * (max(times) - min(times)) or 1.0
    return {"range": [max(min(times) - room, 0.0), max(times) + room]} if times else {}


def _point_text(row: Row, key: str) -> str:
    text = f"{sweep_facts.short(key)} {sweep_facts.shown(row[key])}: {row['layout']}"
    return escaped(text if len(text) < 110 else text[:107] + "...")


def spread(sweep: Sweep, key: str) -> dict[str, Any]:
    """Draw the domains that the widest deployment spans against how slow the links between domains are."""
    import plotly.graph_objects as go

    figure = go.Figure()
    others = [name for name in sweep.keys if name != key]
    known = [row for row in sweep.solved if row.get(key) is not None]
    lines: dict[tuple[tuple[float, ...], tuple[int, ...]], list[str]] = {}
    for name, rows in sweep_facts.groups(known, others).items():
        line = sorted(rows, key=lambda row: row[key])
        shape = tuple(row[key] for row in line), tuple(row["widest_domains"] for row in line)
        lines.setdefault(shape, []).append(name)
    for number, ((values, domains), names) in enumerate(lines.items()):
        # settings with the same answer share a line
        label = escaped(names[0]) or "cheapest plan"
        figure.add_scatter(
            x=list(values),
            y=list(domains),
            name=label if len(names) == 1 else f"{label} and {len(names) - 1} more settings",
            mode="lines+markers",
            line={"color": COLOURS[number % len(COLOURS)], "width": 2, "shape": "hvh"},
            hovertemplate="%{x:.4g}: %{y} domains<extra></extra>",
        )
    most = max((max(domains) for _, domains in lines), default=1)
    figure.update_layout(
        height=300,
        xaxis={"title": {"text": escaped(sweep_facts.short(key))}} | _scale([value for xs, _ in lines for value in xs]),
        yaxis={"title": {"text": "domains spanned"}, "range": [0, max(most, 2) + 0.5], "dtick": 1},
        legend=_LEGEND,
        showlegend=True,
    )
    return document(figure)


def _scale(values: Sequence[float]) -> dict[str, Any]:
    """Take a logarithmic axis where the values span more than a decade."""
    return log_axis(values) if values and 0 < 10 * min(values) < max(values) else {}


def tornado(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Draw how far each key moves the cost from the base, widest first; ends without a plan are left out."""
    import plotly.graph_objects as go

    base = next(entry["base_usd"] for entry in entries if entry["base_usd"] is not None)
    names = [escaped(sweep_facts.short(entry["key"])) for entry in entries]
    figure = go.Figure()
    for end, colour in (("low", LOW), ("high", HIGH)):
        costs = [entry[f"{end}_usd"] for entry in entries]
        figure.add_bar(
            x=[None if cost is None else cost - base for cost in costs],
            base=base,
            y=names,
            orientation="h",
            name=f"{end} value",
            marker_color=colour,
            text=[escaped(sweep_facts.shown(entry[end])) for entry in entries],
            textposition="inside",
            insidetextfont={"color": "#ffffff"},
            customdata=costs,
            hovertemplate="%{y}: %{text}<br>$%{customdata:,.2f}<extra></extra>",
        )
    figure.update_layout(
        barmode="overlay",
        height=130 + 36 * len(names),
        xaxis={"title": {"text": "$ over the horizon"}},
        yaxis={"autorange": "reversed", "automargin": True, "type": "category", "showgrid": False},
        legend=_LEGEND,
    )
    return document(figure)
