"""How long the points of a finished sweep would take on another number of workers, from their measured seconds.

List scheduling, as Ray and joblib do it: points are handed out in order, each to the worker that is free first. The
answer is at most (2 - 1/W) times the shortest possible (Graham 1966). It leaves out what the table does not know:
nodes with other processors, a file system that many nodes share, and nodes that die.
"""

from __future__ import annotations

import heapq
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from planner.errors import InstanceError

if TYPE_CHECKING:
    from collections.abc import Sequence

START_S = 10.0
"""Seconds until workers take points. A new process needs 2.4 CPU seconds to import the planner and solve a first tiny
case (measured, 2026-11-25); the rest is our allowance for Ray's own start and a cold file system. On two cores that
eight jobs shared, Ray and two workers took 43 s."""
HANDOVER_S = 0.007
"""Seconds that the driver spends on a point: 0.0013 of Ray, mean of 300 empty tasks, and 0.0049 until the row is on
the disk, mean of 100 (measured, 2026-11-25, wall time on the same busy machine)."""
MOST_WORKERS = 1_000_000


@dataclass(frozen=True)
class Cluster:
    """Equal nodes.

    Attributes
    ----------
    nodes, workers_per_node
        Machines, and points at a time on each: one solver thread a point.
    start_s
        Seconds before a worker takes its first point.
    handover_s
        Seconds a point that one driver spends to hand it out and to write its row.
    usd_per_node_hour
        Price of a node; ``None``: not known.
    """

    nodes: int
    workers_per_node: int
    start_s: float = START_S
    handover_s: float = HANDOVER_S
    usd_per_node_hour: float | None = None

    @property
    def workers(self) -> int:
        """Points at a time in all."""
        return self.nodes * self.workers_per_node


def parse_cluster(text: str, usd_per_node_hour: float | None = None) -> Cluster:
    """Read NODESxWORKERS, such as ``100x8``.

    Raises
    ------
    InstanceError
        If the text is of another form, or a number is 0 or too large.
    """
    found = re.fullmatch(r"(\d{1,7})x(\d{1,7})", text.strip())
    nodes, each = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= nodes * each <= MOST_WORKERS:
        raise InstanceError.single("command line", "--plan-cluster", f"{text!r} is not NODESxWORKERS", "such as 100x8")
    return Cluster(nodes, each, usd_per_node_hour=usd_per_node_hour)


def makespan_s(seconds: Sequence[float], cluster: Cluster) -> float:
    """Seconds from the start to the last row.

    Parameters
    ----------
    seconds
        Of every point, in the order in which they are handed out.

    Returns
    -------
    float
        For P points of t seconds, W workers and no handing over: start + ceil(P / W) t.
    """
    free = [cluster.start_s] * min(cluster.workers, max(1, len(seconds)))
    last = 0.0
    for number, each in enumerate(seconds):
        # the driver hands out one point after another
        begun = max(heapq.heappop(free), cluster.handover_s * (number + 1))
        heapq.heappush(free, begun + each)
        last = max(last, begun + each)
    return last


def plan_cluster(rows: Sequence[dict[str, Any]], points: int, cluster: Cluster) -> dict[str, Any]:
    """Tell how long all points of a sweep take on a cluster, and how busy it is.

    Parameters
    ----------
    rows
        Rows with their measured ``seconds``, all points or some; the others are taken to be like these, in turn.
    points
        Points of the sweep.

    Raises
    ------
    InstanceError
        If no row has seconds.
    """
    measured = [float(row["seconds"]) for row in rows if row.get("seconds") is not None]
    if not measured:
        remedy = "solve some points first: planner sweep SWEEP"
        raise InstanceError.single("command line", "--plan-cluster", "the table has no measured points", remedy)
    seconds = [measured[at % len(measured)] for at in range(points)]
    wall, work = makespan_s(seconds, cluster), math.fsum(seconds)
    usd = cluster.usd_per_node_hour
    return {
        "nodes": cluster.nodes,
        "workers": cluster.workers,
        "points": points,
        "measured_points": len(measured),
        "seconds_mean": work / points if points else 0.0,
        "seconds_longest": max(seconds, default=0.0),
        "start_s": cluster.start_s,
        "handover_s": cluster.handover_s,
        "wall_s": wall,
        "one_worker_s": work,
        "busy_share": work / (wall * cluster.workers) if wall > 0 else 0.0,
        "node_hours": wall * cluster.nodes / 3600,
        "usd": None if usd is None else usd * wall * cluster.nodes / 3600,
    }


def cluster_text(plan: dict[str, Any]) -> str:
    """Say it to people."""
    cost = "" if plan["usd"] is None else f", {plan['usd']:,.2f} $"
    return "\n".join(
        [
            f"{plan['points']} points on {plan['nodes']} nodes with {plan['workers']} workers: "
            f"{plan['wall_s']:,.1f} s, {plan['node_hours']:,.2f} node-hours{cost}",
            f"one worker here: {plan['one_worker_s']:,.1f} s; workers {100 * plan['busy_share']:.1f} % busy",
            f"from {plan['measured_points']} measured points of {plan['seconds_mean']:.2f} s on average, the longest "
            f"{plan['seconds_longest']:.2f} s; start {plan['start_s']:g} s, handing over {plan['handover_s']:g} s a "
            "point",
            "not counted: other processors, a shared file system, nodes that die",
        ]
    )
