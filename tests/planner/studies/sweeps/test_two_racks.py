"""The shipped sweep over the scale-out ratio: spreading experts over two racks pays until their links are slow."""

from __future__ import annotations

from planner.instance import library
from planner.studies.sweeps.point import Task, solve_point
from planner.studies.sweeps.run import load_sweep, sweep_options


def test_spreading_over_two_racks_stops_paying() -> None:
    """At one 400 Gb/s NIC a GPU (18) replicas span two racks; at an eighth of that they do not, and it costs more."""
    spec = load_sweep("nvl72_two_racks")
    task = Task(str(library.find("cases", spec.case)), sweep_options(spec))
    fast, slow = (
        solve_point(task, {"scale_out_ratio": ratio}, spec.changes({"scale_out_ratio": ratio})) for ratio in (18, 144)
    )
    assert (fast["widest_domains"], slow["widest_domains"]) == (2, 1)
    assert fast["cost_usd"] < slow["bound_usd"]
    assert max(fast["gap"], slow["gap"]) <= 0.01


def test_shipped_sweeps_make_their_points() -> None:
    """Two hundred and twelve points of the scale-out sweeps; a parameter is no key of the case."""
    assert load_sweep("nvl72_scale_out").size() == 200
    small = load_sweep("nvl72_scale_out_small")
    assert small.size() == len(list(small.points())) == 12
    changes = small.changes({"scale_out_ratio": 18.0, "document_tokens": 65536})
    assert changes["pools.nvl72.override.scale_out_bytes_per_s"] == 50e9
    assert changes["demand.document_32k.requests_per_s"] == 4.0
    assert changes["demand.document_32k.ttft_s"] == 10.0
