"""Batch curves: step time and cost of each decoding deployment against its batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.report import words
from planner.report.figures import document, log_axis
from planner.report.layout_front import drawable_fronts, front_figure
from planner.report.markup import Markup, element, figure, folded, joined, section, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COST, STEP, READ, MARK, LIMIT = "#c2671a", "#2f64cc", "#8aa8e0", "#b3261e", "#7a8290"


def curves(views: Mapping[str, Any]) -> Markup:
    """Write the section of batch curves, a figure a deployment."""
    entries = views.get("curves") or ()
    if not entries:
        return Markup("")
    figures = [
        joined([element("h3", entry["deployment"]), figure(f"batch-{number}", curve_caption(entry))])
        for number, entry in enumerate(entries)
    ]
    return section(
        "batch",
        "Cost and step time against the batch",
        "A bigger batch shares the reading of the weights among more sequences, until arithmetic, memory or the time "
        "limit ends it. Decode alone with all places taken, at the mean context of the requests served.",
        *figures,
        folded("The same in numbers", _curve_table(entries)),
    )


def curve_caption(entry: Mapping[str, Any]) -> str:
    """Say what the curve of a deployment shows."""
    own = entry["operating"]
    parts = [
        f"The plan runs {own['batch']:,} sequences a rank: {words.duration(own['step_s'])} a token and "
        f"{words.usd(own['usd_per_million_tokens'])} a million tokens"
    ]
    if entry["kink_batch"]:
        parts.append(f"from {entry['kink_batch']:,} on the arithmetic of some weights takes longer than their read")
    if entry["memory_batch"]:
        parts.append(f"memory holds {entry['memory_batch']:,}")
    if entry["tpot_limit_s"]:
        parts.append(f"the limit is {words.duration(entry['tpot_limit_s'])} a token")
    return "; ".join(parts) + "."


def _curve_table(entries: Sequence[Mapping[str, Any]]) -> Markup:
    rows = [
        (
            entry["deployment"],
            f"{entry['operating']['batch']:,}",
            words.fixed(1e3 * entry["operating"]["step_s"], 2),
            words.usd(entry["operating"]["usd_per_million_tokens"]),
            words.NONE if entry["kink_batch"] is None else f"{entry['kink_batch']:,}",
            words.NONE if entry["memory_batch"] is None else f"{entry['memory_batch']:,}",
        )
        for entry in entries
    ]
    columns = ("Deployment", "Batch a rank", "Step, ms", "$ a million tokens", "Kink at batch", "Memory holds")
    return table(columns, rows)


def view_figures(views: Mapping[str, Any]) -> dict[str, Any]:
    """Draw batch curves and front: name to plotly document."""
    drawn = {f"batch-{number}": batch_figure(entry) for number, entry in enumerate(views.get("curves") or ())}
    fronts = drawable_fronts(views)
    return drawn | ({"front": front_figure(fronts)} if fronts else {})


def batch_figure(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Draw step time over cost per token, both against the batch, with kink, limits and the plan's own point."""
    from plotly.subplots import make_subplots

    figure_ = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    batch, own = entry["batch"], entry["operating"]
    times, costs = [1e3 * value for value in entry["step_s"]], entry["usd_per_million_tokens"]
    _line(figure_, 1, batch, [1e3 * value for value in entry["read_s"]], "step were arithmetic free", READ, "dot")
    _line(figure_, 1, batch, times, "step, ms", STEP)
    _line(figure_, 2, batch, costs, "$ a million tokens", COST)
    for row, value in ((1, 1e3 * own["step_s"]), (2, own["usd_per_million_tokens"])):
        figure_.add_scatter(
            x=[own["batch"]],
            y=[value],
            name="this plan",
            mode="markers",
            marker={"color": MARK, "size": 11, "symbol": "diamond"},
            showlegend=row == 1,
            row=row,
            col=1,
        )
    _limits(figure_, entry, max(times), max(costs))
    figure_.update_xaxes(title_text="sequences a rank", row=2, col=1)
    figure_.update_xaxes(**log_axis(batch), row=2, col=1)
    figure_.update_xaxes(**log_axis(batch) | {"showticklabels": False}, row=1, col=1)
    figure_.update_yaxes(title_text="ms a token", rangemode="tozero", row=1, col=1)
    figure_.update_yaxes(title_text="$ a million", **log_axis(costs), row=2, col=1)
    figure_.update_layout(height=430, legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0})
    return document(figure_)


def _limits(figure_: Any, entry: Mapping[str, Any], slowest: float, dearest: float) -> None:  # noqa: ANN401 - plotly
    """Draw upright lines at kink and memory, and a level one at the time limit."""
    if entry["tpot_limit_s"]:
        ends = [entry["batch"][0], entry["batch"][-1]]
        _line(figure_, 1, ends, [1e3 * entry["tpot_limit_s"]] * 2, "time limit", MARK, "dash")
    for key, name, colour in (("kink_batch", "kink", LIMIT), ("memory_batch", "memory is full", COST)):
        value = entry[key]
        if value is None or value > entry["batch"][-1]:
            continue
        cheapest = min(entry["usd_per_million_tokens"])
        _line(figure_, 1, [value, value], [0, slowest], name, colour, "dashdot")
        _line(figure_, 2, [value, value], [cheapest, dearest], name, colour, "dashdot", named=False)


def _line(
    figure_: Any,  # noqa: ANN401 - plotly
    row: int,
    x: Sequence[float],
    y: Sequence[float],
    name: str,
    colour: str,
    dash: str = "solid",
    *,
    named: bool = True,
) -> None:
    line = {"color": colour, "dash": dash, "width": 2}
    figure_.add_scatter(
        x=list(x), y=list(y), name=name, mode="lines", line=line, showlegend=named, legendgroup=name, row=row, col=1
    )
