"""Where every expert is: hosts, GPUs and links coloured by the load of one layer, and a map of all layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.report.markup import Markup, element, section

if TYPE_CHECKING:
    from collections.abc import Mapping

SENTENCE = (
    "Each cell is a GPU, coloured by its load in the chosen layer over the mean GPU's; the stripes in it are its "
    "expert slots, darker where more tokens go. The line above a cell is its port and thick lines are ways out of a "
    "domain, coloured by what dispatch and combine bring over them. Point at, tap or walk to a GPU with the arrow keys "
    "to see its experts; move the slider to change the layer."
)


def topology(views: Mapping[str, Any], maps: Mapping[str, Any]) -> Markup:
    """Write the place that ``topology.js`` draws in; nothing for a plan without views or experts."""
    drawings = _drawable(views, maps)
    if not drawings:
        return Markup("")
    options = [
        element("option", f"{entry['name']}: {entry['ranks']:,} x {entry['slots']:,} slots", value=str(number))
        for number, entry in enumerate(drawings)
    ]
    last = max(len(entry["layers"]) for entry in drawings) - 1
    return section(
        "topology",
        "Which GPU holds which expert",
        SENTENCE,
        element(
            "div",
            element(
                "div",
                element("label", "Deployment", _for="topology-deployment"),
                element("select", *options, id="topology-deployment"),
            ),
            element(
                "div",
                element("label", "MoE layer", _for="topology-layer"),
                element("input", id="topology-layer", type="range", min="0", max=str(last), value="0", step="1"),
                element("output", "", id="topology-value", _for="topology-layer"),
            ),
            _class="controls",
        ),
        element("div", _class="drawing", id="topology-drawing", data_drawing="topology"),
        element("ul", _class="legend", id="topology-legend"),
        element("div", _class="chosen", id="topology-chosen", role="status"),
        element("h3", "Load of every GPU in every layer"),
        element(
            "figure",
            element("div", _class="plot", id="topology-heat", role="img", aria_label=CAPTION),
            element("figcaption", CAPTION),
        ),
    )


CAPTION = "Load of each rank over the mean of its layer; a click on a layer draws it above."


def drawing_data(views: Mapping[str, Any], maps: Mapping[str, Any]) -> dict[str, Any]:
    """Collect what ``topology.js`` reads."""
    drawings = _drawable(views, maps)
    if not drawings:
        return {}
    used = {entry["map"] for entry in drawings}
    return {
        "drawings": {
            "topology": {
                "drawings": drawings,
                "maps": {key: maps[key] for key in used},
                "expert_load": views["expert_load"],
            }
        }
    }


def _drawable(views: Mapping[str, Any], maps: Mapping[str, Any]) -> list[Any]:
    return [entry for entry in views.get("drawings") or () if entry["map"] in maps]
