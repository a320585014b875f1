"""The page of a placement: how even it is, layer by layer against the proven bound, and where every expert is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.report import words
from planner.report.figures import balance
from planner.report.html import Part
from planner.report.markup import Markup, element, figure, folded, joined, section, table
from planner.report.topology import drawing_data, topology

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def placement_part(name: str, views: Mapping[str, Any]) -> Part:
    """Write what the page of a placement holds; ``name`` is its folder's."""
    summary = views["summary"]
    layers = [entry for entry in summary.get("layers") or () if entry.get("balance") is not None]
    title = f"Experts on {summary['gpus']:,} GPUs" if summary.get("gpus") else "Experts on GPUs"
    shape = next((f"{entry['ranks']}x{entry['slots']}" for entry in views["drawings"]), name)
    drawn = {"balance": balance([{"map": shape, "layers": layers}])} if layers else {}
    content = joined(
        [
            element("header", element("h1", title), *_lead(name, summary)),
            _layers(layers),
            topology(views, views["maps"]) if views["drawings"] else _undrawn(summary),
            _traffic(summary),
        ]
    )
    return Part(title, content, drawn, drawing_data(views, views["maps"]), _gist(summary))


def _undrawn(summary: Mapping[str, Any]) -> Markup:
    """Say why there is no drawing of a placement whose loads are known."""
    if not summary.get("layers"):
        return Markup("")
    return element("p", "There are too many GPUs to draw; the map itself is in this folder.")


def _gist(summary: Mapping[str, Any]) -> str:
    return f"balance {words.fixed(summary.get('balance_mean'), 4)}" if summary.get("layers") else ""


def _lead(name: str, summary: Mapping[str, Any]) -> list[Markup]:
    if not summary.get("layers"):
        return [
            element("p", f"Placement {name}: this folder holds the map alone, without the loads it was made for."),
            element("p", "Place the experts again with this version to see loads, bounds and the drawing."),
        ]
    lines = [
        element(
            "p",
            f"Balance {words.fixed(summary['balance_mean'], 4)} (mean over the busiest GPU's load, mean over layers), "
            f"worst layer {words.fixed(summary['balance_min'], 4)}. Proven: no placement does better than "
            f"{words.fixed(summary['bound_mean'], 4)}, so the gap is {words.share(summary['gap_mean'])}.",
            _class="lead",
        )
    ]
    lines += [element("p", str(warning), _class="warn") for warning in summary.get("warnings") or ()]
    return [element("p", f"Placement {name}, found in {words.duration(summary['seconds'])}."), *lines]


def _layers(layers: Sequence[Mapping[str, Any]]) -> Markup:
    if not layers:
        return Markup("")
    rows = [
        (
            entry["layer"],
            words.fixed(entry["balance"], 5),
            words.fixed(entry["bound"], 5),
            f"{words.fixed(100 * entry['gap'], 4)} %" if entry["gap"] is not None else words.NONE,
        )
        for entry in layers
    ]
    return section(
        "experts",
        "How evenly the experts are spread",
        "Balance is the mean load of the GPUs over the busiest one's: 1 is perfect.",
        figure("balance", "Balance of each layer and its proven bound."),
        folded("The same in numbers", table(("Layer", "Balance", "Proven bound", "Gap"), rows)),
    )


def _traffic(summary: Mapping[str, Any]) -> Markup:
    traffic = summary.get("traffic")
    if not traffic:
        return Markup("")
    rows = [
        (
            level,
            f"{entry['units']:,}",
            words.fixed(entry["destinations_per_token"], 3),
            words.fixed(entry["remote_destinations_per_token"], 3),
            words.percent(entry["remote_share"]),
        )
        for level, entry in traffic["levels"].items()
    ]
    columns = ("Level", "Units", "Distinct destinations a token", "Of them elsewhere", "Assignments that leave")
    return section("traffic", "Where tokens go", f"Source: {traffic['source']}.", table(columns, rows))
