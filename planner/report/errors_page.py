"""The page of a scored cost model: error on measured rows, by group and beside its baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.report import words
from planner.report.figures import document, escaped
from planner.report.html import Part
from planner.report.markup import Markup, element, figure, joined, section, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

METRICS = {"tpot": "time per token", "ttft": "time to first token", "throughput": "tokens a second and GPU"}
COLOURS = {"tpot": "#2f64cc", "ttft": "#c2671a", "throughput": "#1f8a68"}
NEEDED = ("file", "profile", "by", "left_out", "rows", "groups", "overall", "baselines")


def errors_part(payload: Mapping[str, Any]) -> Part:
    """Write the page of what `planner validate serving --format json` printed.

    Raises
    ------
    KeyError, TypeError, AttributeError
        If it is not such a document.
    """
    how = f"each {payload['by']} left out of its own fit" if payload["left_out"] else f"profile {payload['profile']}"
    groups = [(str(entry["group"]).replace("_", " "), entry) for entry in payload["groups"]]
    beside = [("this model", payload["overall"])] if payload["overall"] else []
    beside += [(name.replace("_", " "), entry) for name, entry in payload["baselines"].items()]
    drawn = {"errors": errors_figure(groups)} if groups else {}
    content = joined(
        [
            element(
                "header",
                element("h1", "How far the cost model is off on measured data"),
                element("p", f"{payload['rows']:,} measured rows of {payload['file']}, {how}.", _class="lead"),
            ),
            section(
                "overall",
                "All rows, beside the baselines",
                "Mean absolute error of the prediction, in per cent of the measured value.",
                _table("Model", beside),
            ),
            _groups(payload, groups),
        ]
    )
    return Part("Error of the cost model", content, drawn, {}, how)


def _groups(payload: Mapping[str, Any], groups: list[tuple[str, Mapping[str, Any]]]) -> Markup:
    if not groups:
        return Markup("")
    return section(
        "groups",
        f"By {payload['by']}",
        "Groups of few rows say little: n is the number of rows.",
        figure("errors", "Mean absolute error of each group, per cent."),
        _table("Group", groups),
    )


def _table(name: str, entries: Iterable[tuple[str, Mapping[str, Any]]]) -> Markup:
    rows = [
        (label, f"{entry['n']:,}" if "n" in entry else words.NONE, *(_cell(entry, metric) for metric in METRICS))
        for label, entry in entries
    ]
    return table((name, "n", *(f"{label}, %" for label in METRICS.values())), rows)


def _cell(entry: Mapping[str, Any], metric: str) -> str:
    return words.fixed(entry[f"mape_{metric}"], 1)


def errors_figure(groups: list[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Draw the mean absolute error of every group, a bar a metric."""
    import plotly.graph_objects as go

    drawing = go.Figure()
    names = [escaped(name) for name, _ in groups]
    for metric, label in METRICS.items():
        drawing.add_bar(
            x=[entry[f"mape_{metric}"] for _, entry in groups],
            y=names,
            orientation="h",
            name=label,
            marker_color=COLOURS[metric],
            hovertemplate="%{y}<br>" + label + " %{x:.1f} %<extra></extra>",
        )
    drawing.update_layout(
        barmode="group",
        height=140 + 48 * len(groups),
        xaxis={"title": {"text": "mean absolute error, %"}, "rangemode": "tozero"},
        yaxis={"autorange": "reversed", "automargin": True, "type": "category", "showgrid": False},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
    )
    return document(drawing)
