"""What recorded routing, a model and hardware add to the answer of `planner place`."""

from __future__ import annotations

import csv
import io
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from planner.cli.place_traffic import TrafficInputs
    from planner.strategies.problem import PlacementRequest
    from planner.strategies.result import PlacementResult

FRONTIER_NAME = "frontier.csv"


def report(
    inputs: TrafficInputs, request: PlacementRequest, result: PlacementResult, out: Path | None
) -> dict[str, Any]:
    """Keys that routing, model and hardware add to the answer; a frontier is also written as CSV to ``out``."""
    from planner.strategies.objective import cost_report, step_seconds
    from planner.strategies.routed_traffic import estimated_traffic, routed_traffic, traffic_report

    if inputs.top_k is None:
        return {}
    rows, step = result.physical_to_logical_map, inputs.step
    if inputs.routing is not None:
        traffic = routed_traffic(request, rows, inputs.routing)
    else:
        traffic = estimated_traffic(request, rows, inputs.top_k)
    sent = None if step is None else step.step_tokens(request) * step.bytes_per_send
    report: dict[str, Any] = {
        "destinations_per_token": traffic.destinations_per_token,
        "destinations_bound": _bound(inputs, request, result),
        "traffic": {
            "source": "drawn independently from the loads" if inputs.routing is None else "recorded routing",
            **traffic_report(traffic, sent, deduplicate=inputs.options.deduplicate),
        },
    }
    report |= _floor_report(inputs, request, result)
    if "frontier" in report:
        report["frontier_path"] = write_frontier(report["frontier"], out)
    if step is not None:
        report |= cost_report(request, step_seconds(request, rows, step, traffic), step)
    return report


def _bound(inputs: TrafficInputs, request: PlacementRequest, result: PlacementResult) -> dict[str, Any] | None:
    """Lower bounds on the destinations of the recorded tokens: for any map, and for maps at least as well balanced."""
    from planner.strategies.result import mean_over
    from planner.strategies.traffic_bound import destinations_lower_bound

    if inputs.routing is None:
        return None
    balance = float(mean_over(result.balance))
    worst = float(min(value for value in result.balance if value == value))
    known = int(request.slots.sum()) == request.experts and request.equal_speed and request.scenarios == 1
    return {
        "any_balance": float(mean_over(destinations_lower_bound(request, inputs.routing))),
        "at_this_balance": (
            float(mean_over(destinations_lower_bound(request, inputs.routing, min(worst, balance)))) if known else None
        ),
        "note": "of the recorded tokens; at_this_balance is null with copies, where no bound is known",
    }


def _floor_report(inputs: TrafficInputs, request: PlacementRequest, result: PlacementResult) -> dict[str, Any]:
    """Floor asked and planned for, where the search had one, and the frontier."""
    from planner.strategies.coactivation import DEFAULT_FLOOR, planned_floor
    from planner.strategies.frontier import frontier
    from planner.strategies.result import mean_over

    if inputs.routing is None:
        return {}
    added: dict[str, Any] = {"balance_floor": None, "frontier": None}
    if result.strategy == "coactivation" and (planned := planned_floor(request)) is not None:
        asked = DEFAULT_FLOOR if inputs.options.floor is None else inputs.options.floor
        reached = float(mean_over(result.balance))
        added["balance_floor"] = {
            "asked": asked,
            "planned": planned,
            "margin": planned - asked,
            "met": reached >= asked,
        }
    if inputs.options.frontier:
        added["frontier"] = [point.as_row() for point in frontier(request, inputs.options.frontier)]
    return added


def write_frontier(points: list[dict[str, Any]] | None, out: Path | None) -> str | None:
    """Write the frontier as CSV for figures; return its path relative to the working directory."""
    from planner.files import write_text

    if not points or out is None:
        return None
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(points[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(points)
    write_text(out / FRONTIER_NAME, stream.getvalue())
    return os.path.relpath(out / FRONTIER_NAME)


def text(report: dict[str, Any]) -> list[str]:
    """Lines for people."""
    lines = []
    if "traffic" in report:
        levels = report["traffic"]["levels"]
        parts = [f"{name} {values['destinations_per_token']:.3f}" for name, values in levels.items()]
        lines.append(f"distinct destinations a token ({report['traffic']['source']}): {'  '.join(parts)}")
    if report.get("balance_floor"):
        floor = report["balance_floor"]
        lines.append(
            f"balance floor {floor['asked']:.3f}, planned for {floor['planned']:.3f} so that unseen tokens keep it"
        )
    if "step_seconds" in report:
        seconds = report["step_seconds"]
        lines.append(
            f"{report['layers_priced']} MoE layers of a step take {1e3 * seconds['total']:.3f} ms: "
            f"experts {1e3 * seconds['expert']:.3f} "
            f"(imbalance {1e3 * report['imbalance_seconds']:.3f}), links {1e3 * seconds['link']:.3f}"
        )
        if report["usd"] is not None:
            hour = report["usd"]["per_hour"]
            lines.append(
                f"an hour costs {hour['total']:.2f} USD ({report['usd']['price_column']}): "
                f"experts {hour['expert']:.2f}, imbalance {hour['imbalance']:.2f}, links {hour['link']:.2f}, "
                f"replica memory {hour['replica_memory']:.2f}"
            )
    if report.get("frontier"):
        lines.append("frontier   floor  balance  destinations  unseen: balance  destinations")
        lines.extend(
            f"  {row['plan'][:12]:12} {'-' if row['floor'] is None else format(row['floor'], '.3f'):>5}  "
            f"{row['balance']:.4f}  {row['destinations_per_token']:10.3f}  {row['balance_unseen']:15.4f}  "
            f"{row['destinations_unseen']:10.3f}"
            for row in report["frontier"]
        )
    return lines
