"""Figures of the HTML page as plotly documents; the page's own script gives them the colours of the theme."""

from __future__ import annotations

import html
import json
import math
from typing import TYPE_CHECKING, Any

from planner.report import facts, life, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

TERM_COLOURS = {
    "attention": "#4269d0",
    "dense": "#3ca3b8",
    "experts": "#e4695a",
    "all_reduce": "#d99a17",
    "all_to_all": "#9a66d8",
    "overhead": "#8c929b",
}

MEMBER_COLOURS = {"training": "#7a4fc0", "serving": "#2f64cc", "bound": "#9db9ea"}

_LEAST_BALANCE_SPAN = 0.02


def figures(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Draw every figure that the plan has data for: name to plotly document (data, layout)."""
    drawn = {"members": members(payload)} if "lifecycle" in payload else {}
    for phase in ("decode", "prefill"):
        entries = step_deployments(payload, phase)
        if entries:
            drawn[f"step-{phase}"] = step_terms(entries, phase)
    if facts.choosable(payload):
        drawn["balance"] = balance(facts.choosable(payload))
    return drawn


def step_deployments(payload: Mapping[str, Any], phase: str) -> list[Mapping[str, Any]]:
    """Deployments whose terms describe a decode step, or a prefill batch; mixed ones describe a decode step."""
    wanted = ("prefill",) if phase == "prefill" else ("decode", "both")
    entries = payload["decisions"]["deployments"]
    return [entry for entry in entries if entry["phase"] in wanted and entry["step_terms_s"]]


def step_terms(deployments: Sequence[Mapping[str, Any]], phase: str) -> dict[str, Any]:
    """Stack the terms of a step [ms] of each deployment."""
    import plotly.graph_objects as go

    names = [escaped(entry["name"]) for entry in deployments]
    figure = go.Figure()
    for term, label in words.TERMS.items():
        times = [1e3 * entry["step_terms_s"].get(term, 0.0) for entry in deployments]
        if any(times):
            figure.add_bar(
                x=times,
                y=names,
                name=label,
                orientation="h",
                marker_color=TERM_COLOURS[term],
                hovertemplate="%{y}<br>" + label + " %{x:.3g} ms<extra></extra>",
            )
    what = "prefill batch" if phase == "prefill" else "decode step"
    figure.update_layout(
        barmode="stack",
        height=140 + 38 * len(names),
        xaxis={"title": {"text": f"time of a {what}, before overlap, ms"}, "rangemode": "tozero"},
        yaxis={"autorange": "reversed", "automargin": True, "type": "category", "showgrid": False},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
    )
    return document(figure)


def balance(maps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Draw balance and proven bound of every layer, one panel a map."""
    from plotly.subplots import make_subplots

    titles = [f"map {escaped(entry['map'])} (ranks x slots a rank)" for entry in maps]
    height = 110 + 130 * len(maps)
    figure = make_subplots(
        rows=len(maps), cols=1, shared_xaxes=True, subplot_titles=titles, vertical_spacing=min(0.3, 48 / height)
    )
    for row, entry in enumerate(maps, start=1):
        for trace in _balance_traces(entry["layers"], named=row == 1):
            figure.add_trace(trace, row=row, col=1)
        lowest = min(layer["balance"] for layer in entry["layers"])
        # a narrow axis would blow up differences that do not matter
        figure.update_yaxes(range=[min(lowest - 0.005, 1 - _LEAST_BALANCE_SPAN), 1.002], row=row, col=1)
        figure.update_yaxes(title_text="balance", nticks=4, tickformat=".3f", row=row, col=1)
    figure.update_xaxes(title_text="MoE layer", row=len(maps), col=1)
    figure.update_layout(
        height=height, legend={"orientation": "h", "y": 1.0 + 34 / height, "yanchor": "bottom", "x": 0}
    )
    return document(figure)


def _balance_traces(layers: Sequence[Mapping[str, Any]], *, named: bool) -> list[Any]:
    import plotly.graph_objects as go

    numbers = [layer["layer"] for layer in layers]
    bound = go.Scatter(
        x=numbers,
        y=[layer["bound"] for layer in layers],
        name="proven bound: no placement does better",
        mode="lines",
        line={"color": "#d99a17", "width": 2, "shape": "hvh"},
        hovertemplate="layer %{x}<br>bound %{y:.5f}<extra></extra>",
        legendgroup="bound",
        showlegend=named,
    )
    reached = go.Scatter(
        x=numbers,
        y=[layer["balance"] for layer in layers],
        name="reached by this plan",
        mode="markers",
        marker={"color": "#4269d0", "size": 6},
        hovertemplate="layer %{x}<br>balance %{y:.5f}<extra></extra>",
        legendgroup="reached",
        showlegend=named,
    )
    return [bound, reached]  # in this order the marks lie on the line


def members(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Stack training and serving of each member that has a bound; the chosen one is marked, bounds are pale."""
    import plotly.graph_objects as go

    chosen = payload["decisions"]["training"]["member"]
    entries = [entry for entry in payload["lifecycle"]["members"] if entry["bound_usd"] is not None]
    totals = [entry["cost_usd"] or entry["bound_usd"] for entry in entries]
    scale, unit = (1e6, "million $") if max(totals) >= 1e6 else (1.0, "$")
    names = [escaped(entry["member"]) for entry in entries]
    parts = (
        ("training", MEMBER_COLOURS["training"], [entry["training_usd"] for entry in entries]),
        ("serving, planned", MEMBER_COLOURS["serving"], [entry["serving_usd"] for entry in entries]),
        ("serving, proven bound", MEMBER_COLOURS["bound"], [_bound_alone(entry) for entry in entries]),
    )
    figure = go.Figure()
    for label, colour, dollars in parts:
        lengths = [None if usd is None else usd / scale for usd in dollars]
        hover = "%{y}<br>" + label + " %{x:.4g} " + unit + "<extra></extra>"
        figure.add_bar(x=lengths, y=names, name=label, orientation="h", marker_color=colour, hovertemplate=hover)
    figure.data[0].update(
        text=["<b>chosen</b>" if entry["member"] == chosen else "" for entry in entries],
        textposition="inside",
        insidetextanchor="start",
        insidetextfont={"color": "#ffffff"},
    )
    figure.add_scatter(
        x=[total / scale for total in totals],
        y=names,
        text=[_end_text(entry) for entry in entries],
        mode="text",
        textposition="middle right",
        showlegend=False,
        hoverinfo="skip",
    )
    figure.update_layout(
        barmode="stack",
        height=150 + 30 * len(names),
        xaxis={"title": {"text": f"whole life, {unit}"}, "range": [0, 1.4 * max(totals) / scale]},
        yaxis={"autorange": "reversed", "automargin": True, "type": "category", "showgrid": False},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
    )
    return document(figure)


def _bound_alone(entry: Mapping[str, Any]) -> float | None:
    return entry["serving_bound_usd"] if entry["serving_usd"] is None else None


def _end_text(entry: Mapping[str, Any]) -> str:
    """Write at the end of a bar what the member costs, or costs at least."""
    cost = entry["cost_usd"]
    return " " + (life.at_least(entry["bound_usd"]) if cost is None else words.usd_rounded(cost))


def document(figure: Any) -> dict[str, Any]:  # noqa: ANN401 - plotly ships no types
    """Take the figure's data and layout without plotly's own theme."""
    figure.update_layout(template="none", margin={"l": 60, "r": 12, "t": 44, "b": 56}, dragmode="zoom")
    whole = json.loads(figure.to_json())
    whole["layout"].pop("template", None)
    return {"data": whole["data"], "layout": whole["layout"]}


def log_axis(values: Iterable[float]) -> dict[str, Any]:
    """Set up a logarithmic axis with ticks at 1, 2 and 5, or at powers of ten over more than three decades."""
    known = [value for value in values if value > 0]
    low, high = math.log10(min(known, default=1.0)), math.log10(max(known, default=10.0))
    steps = (1,) if high - low > 3 else (1, 2, 5)
    ticks = [step * 10.0**power for power in range(math.floor(low) - 1, math.ceil(high) + 1) for step in steps]
    return {"type": "log", "tickvals": ticks, "ticktext": [words.number(tick) for tick in ticks]}


def escaped(name: object) -> str:
    """Escape a name: plotly reads a subset of HTML in its texts."""
    return html.escape(str(name))
