"""What `planner place` leaves in its folder for `planner report` to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from planner.strategies.problem import PlacementRequest
    from planner.strategies.result import PlacementResult


def write(
    out: Path | None, request: PlacementRequest, result: PlacementResult, report: dict[str, Any], top_k: int | None
) -> None:
    """Write views.json beside the map; without a folder nothing. ``top_k`` is None where routing is not known."""
    if out is None:
        return
    from planner.documents import json_ready
    from planner.files import write_text
    from planner.studies.drawings import placement_views
    from planner.studies.views import VIEWS_NAME, views_text

    write_text(out / VIEWS_NAME, views_text(json_ready(placement_views(request, result, report, top_k))))
