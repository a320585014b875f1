"""How far the cost model was off on measured data, beside the answer that rests on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.report import words
from planner.report.markup import Markup, element, section, table

if TYPE_CHECKING:
    from collections.abc import Mapping

METRICS = {"tpot": "time per token", "ttft": "time to first token", "throughput": "tokens a second and GPU"}
TITLE = "How far the cost model is off"


def model_error(payload: Mapping[str, Any]) -> Markup:
    """Write the bands of the plan's calibration, or that it has none."""
    calibration = payload["assumptions"]["calibration"]
    bands = calibration.get("bands")
    if not bands:
        return section(
            "error",
            TITLE,
            f"The calibration {calibration['name']} was not scored against measurements: its error is unknown. "
            "Solve with calibration = fitted to plan with one that was, or see `planner validate`.",
        )
    nominal = words.share(bands["nominal"])
    rows = [
        (label, words.fixed(bands[key]["low"], 2), words.fixed(bands[key]["high"], 2)) for key, label in METRICS.items()
    ]
    known = f"Accelerators of the fit: {', '.join(bands['hardware'])}; engines: {', '.join(bands['engines'])}."
    return section(
        "error",
        TITLE,
        f"Of measured values that were left out of its fit, {nominal} lay between these factors of the prediction. The "
        "certificate holds for the cost model; real machines may be this far from it.",
        table(("What", "Low", "High"), rows),
        element("p", f"{known} Others are less certain."),
        element("p", f"Source: {calibration['sources'].get('bands', words.NONE)}"),
    )
