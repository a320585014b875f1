"""Views, a sweep and a placement written by hand: small enough to know every number."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from report_samples import PAYLOAD, PLAN

from planner.report.sweep_facts import Sweep

if TYPE_CHECKING:
    from pathlib import Path

RANKS, SLOTS, LAYERS, EXPERTS = 24, 11, 3, 256
MAP = [[(slot + layer) % EXPERTS for slot in range(RANKS * SLOTS)] for layer in range(LAYERS)]
LOAD = [[1.0 + 0.01 * layer * (1 if rank % 2 else -1) for rank in range(RANKS)] for layer in range(LAYERS)]

DRAWING: dict[str, Any] = {
    "name": "decode-24gpu",
    "map": "24x11",
    "ranks": RANKS,
    "gpus_per_rank": 1,
    "slots": SLOTS,
    "per_domain": 16,
    "per_host": 4,
    "stages": 1,
    "unit": "B",
    "layers": list(range(LAYERS)),
    "load": LOAD,
    "port": [[1_000_000 + 1000 * rank for rank in range(RANKS)] for _ in range(LAYERS)],
    "uplink": [[20_000_000, 10_000_000] for _ in range(LAYERS)],
}

CURVE: dict[str, Any] = {
    "deployment": "decode-24gpu",
    "batch": [1, 10, 100, 200],
    "step_s": [0.02, 0.022, 0.035, 0.06],
    "read_s": [0.02, 0.021, 0.03, 0.04],
    "usd_per_million_tokens": [9.0, 1.0, 0.2, 0.15],
    "operating": {"batch": 180, "step_s": 0.049, "usd_per_million_tokens": 0.16},
    "memory_batch": 190,
    "kink_batch": 20,
    "tpot_limit_s": 0.05,
    "context_tokens": 4096.0,
}

FRONT: dict[str, Any] = {
    "deployment": "decode-24gpu",
    "looked_at": 1000,
    "tpot_s": [0.01, 0.02, 0.04],
    "usd_per_million_tokens": [2.0, 0.5, 0.15],
    "layout": ["72 GPUs", "36 GPUs", "24 GPUs"],
    "chosen": {"tpot_s": 0.049, "usd_per_million_tokens": 0.16},
    "limits_s": {"chat": 0.05},
    "context_tokens": 4096.0,
}

VIEWS: dict[str, Any] = {
    "curves": [CURVE],
    "fronts": [FRONT],
    "drawings": [DRAWING],
    "expert_load": [[0.5 + expert / EXPERTS for expert in range(EXPERTS)] for _ in range(LAYERS)],
}

PLAN_WITH_MAP: dict[str, Any] = PLAN | {"expert_maps": {"24x11": MAP}}


def row(point: dict[str, Any], cost_usd: float | None, **columns: Any) -> dict[str, Any]:  # noqa: ANN401 - any column
    """One row of a sweep, flat; without a cost there is no plan."""
    known: dict[str, Any] = {
        "status": "none" if cost_usd is None else "optimal",
        "cost_usd": cost_usd,
        "bound_usd": None if cost_usd is None else 0.99 * cost_usd,
        "gap": None if cost_usd is None else 0.01,
        "stop_reason": "optimal_within_gap",
        "time_limited": False,
        "gpus_used": None if cost_usd is None else 96,
        "gpus_paid": None if cost_usd is None else 144,
        "domains_used": 2,
        "widest_domains": None if cost_usd is None else 1,
        "pools": "racks",
        "layout": None if cost_usd is None else "decode 2x24 tp1 dp24 ep24",
        "member": "large-moe",
        "decode_batch": 180,
        "worst_ttft_s": 1.0,
        "worst_tpot_s": 0.05,
        "imbalance": 1.01,
        "reasons": "" if cost_usd is not None else "not enough GPUs",
        "seconds": 1.0,
        "worker": "here:1",
        "attempt": 1,
    }
    return point | known | columns


def scale_out_sweep() -> Sweep:
    """Two lengths of document by four ratios: at the shorter one, two racks pay up to a ratio of 4."""
    rows = [
        row({"scale_out_ratio": ratio, "document_tokens": tokens}, 100.0 + ratio, widest_domains=wide)
        for tokens in (2048, 16384)
        for ratio, wide in ((2.0, 2), (4.0, 2), (9.0, 1), (18.0, 1))
        if not (wide == 2 and tokens == 16384)
    ]
    rows.append(row({"scale_out_ratio": 2.0, "document_tokens": 16384}, None))
    summary = {
        "case": "two_racks",
        "description": "What slower links change.",
        "points": 7,
        "tornado": [
            {"key": "a.price", "low": 1.0, "high": 3.0, "base_usd": 100.0, "low_usd": 60.0, "high_usd": 150.0},
            {"key": "b.rate", "low": 5, "high": 9, "base_usd": 100.0, "low_usd": 90.0, "high_usd": None},
        ],
        "break_even": [
            {
                "key": "a.price",
                "watch": "layout",
                "flips": True,
                "below": 1.5,
                "above": 1.6,
                "below_choice": "small",
                "above_choice": "large",
                "below_usd": 80.0,
                "above_usd": 81.0,
            }
        ],
    }
    return Sweep("ratio", "Slower links", rows, ("scale_out_ratio", "document_tokens"), summary)


def latency_sweep() -> Sweep:
    """Four limits; the plan at 40 ms costs as much as at 30 ms, and the plan at 20 ms is beaten by nothing."""
    points = ((20, 0.02, 400.0), (30, 0.03, 300.0), (40, 0.035, 300.0), (80, 0.08, 200.0))
    rows = [row({"tpot_limit_ms": limit}, cost, worst_tpot_s=time) for limit, time, cost in points]
    return Sweep("latency", "Quicker answers", rows, ("tpot_limit_ms",), {})


def write_solve(folder: Path) -> Path:
    """Write what a solve leaves behind, but the page."""
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"case": "two_racks", "result": PAYLOAD}))
    (folder / "plan.json").write_text(json.dumps(PLAN_WITH_MAP))
    (folder / "views.json").write_text(json.dumps(VIEWS))
    return folder


def write_sweep(folder: Path, sweep: Sweep) -> Path:
    """Write what a sweep leaves behind."""
    from planner.studies.sweeps.table import write_tables

    folder.mkdir()
    told = {"sweep": sweep.name, "title": sweep.title, **sweep.summary}
    (folder / "sweep.json").write_text(json.dumps(told))
    nested = []
    for flat in sweep.rows:
        rest = {key: value for key, value in flat.items() if key not in sweep.keys}
        point = {key: flat[key] for key in sweep.keys if key in flat}
        nested.append({"point": point} | rest | {"reasons": [flat["reasons"]] if flat["reasons"] else []})
    (folder / "points.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in nested))
    write_tables(folder, nested)
    return folder
