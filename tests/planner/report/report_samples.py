"""A plan's document and domains written by hand: two racks of 72, two classes, 58 MoE layers."""

from __future__ import annotations

from typing import Any

LAYERS = 58

DECODE = {
    "name": "decode-24gpu",
    "pool": "racks",
    "phase": "decode",
    "replicas": 2,
    "gpus": 24,
    "tensor_parallel": 1,
    "data_parallel": 24,
    "expert_parallel": 24,
    "pipeline_parallel": 1,
    "slots_per_gpu": 11,
    "decode_batch": 180,
    "prefill_requests": 0,
    "requests_per_s": {"chat": 80.0, "document": 8.0},
    "tpot_s": {"chat": 0.0493, "document": 0.0493},
    "ttft_s": {},
    "utilisation": 0.931,
    "memory_bytes": 150e9,
    "usable_bytes": 170e9,
    "imbalance": 1.0125,
    "step_terms_s": {
        "attention": 0.020,
        "dense": 0.005,
        "experts": 0.014,
        "all_reduce": 0.0,
        "all_to_all": 0.008,
        "overhead": 0.005,
    },
}

PREFILL = DECODE | {
    "name": "prefill-8gpu",
    "phase": "prefill",
    "replicas": 8,
    "gpus": 8,
    "tensor_parallel": 2,
    "data_parallel": 4,
    "expert_parallel": 8,
    "slots_per_gpu": 32,
    "decode_batch": 0,
    "prefill_requests": 2,
    "tpot_s": {},
    "ttft_s": {"chat": 1.28, "document": 4.95},
    "utilisation": 0.74,
    "memory_bytes": 93e9,
    "imbalance": 1.004,
    "step_terms_s": {
        "attention": 0.03,
        "dense": 0.05,
        "experts": 0.09,
        "all_reduce": 0.012,
        "all_to_all": 0.03,
        "overhead": 0.002,
    },
}


def _class(name: str, requests_per_s: float, input_tokens: int, ttft_s: float) -> dict[str, Any]:
    return {
        "name": name,
        "requests_per_s": requests_per_s,
        "input_tokens": input_tokens,
        "output_tokens": 1000,
        "cached_share": 0.25,
        "ttft_s": ttft_s,
        "tpot_s": 0.05,
        "percentile": 0.95,
    }


def _map(name: str, balance: float, bound: float) -> dict[str, Any]:
    layers = [
        {"layer": layer, "balance": balance - 0.0001 * layer, "bound": bound, "gap": 1 - balance / bound}
        for layer in range(LAYERS)
    ]
    return {
        "map": name,
        "balance_mean": balance,
        "bound_mean": bound,
        "gap_mean": 1 - balance / bound,
        "layers": layers,
    }


PAYLOAD: dict[str, Any] = {
    "case": "two_racks",
    "title": "A large model on two racks",
    "model": "large-moe",
    "status": "optimal",
    "stop_reason": "optimal_within_gap",
    "cost_usd": 9504.0,
    "bound_usd": 9480.0,
    "gap": 24 / 9504,
    "evaluator_relative_difference": 3e-13,
    "horizon_hours": 24.0,
    "calibration": "hand_set",
    "demand": [_class("chat", 80.0, 2048, 2.0), _class("document", 8.0, 32768, 5.0)],
    "assumptions": {
        "model": {
            "name": "large-moe",
            "title": "Large MoE",
            "total_params": 671e9,
            "active_params": 37e9,
            "weight_bytes": 673e9,
            "moe_layers": LAYERS,
            "routed_experts": 256,
            "experts_per_token": 8,
            "kv_format": "bf16",
            "kv_bytes_per_token": 70272.0,
        },
        "calibration": {
            "name": "hand_set",
            "title": "Hand values, not fitted",
            "highest_utilisation": 0.95,
            "sources": {"decode": "a note of 2026"},
        },
        "expert_load": "generated, seed 7, sigma 0.65: recorded tables",
        "overlap": "two_batch",
        "overlap_share": 0.33,
        "case_sources": {"demand": "a planning sheet"},
    },
    "decisions": {
        "deployments": [PREFILL, DECODE],
        "pools": [
            {
                "pool": "racks",
                "hardware": "gb200_nvl72",
                "usd_per_gpu_hour": 2.75,
                "price": "rental, 2026-04: a price list",
                "gpus_per_domain": 72,
                "domains": 2,
                "pays_idle_gpus": True,
                "domains_used": 2,
                "gpus_used": 112,
                "gpus_paid": 144,
                "gpus_idle": 32,
            }
        ],
    },
    "breakdown_usd": {"prefill": 4224.0, "decode": 3168.0, "idle": 2112.0},
    "binding": {
        "limits": [
            {"deployment": "decode-24gpu", "limit": "TPOT of chat"},
            {"deployment": "decode-24gpu", "limit": "TPOT of document"},
            {"deployment": "prefill-8gpu", "limit": "TTFT of document"},
        ],
        "one_more_unit": [
            {"limit": "arithmetic of racks", "unit": "1 %", "saves_usd": 0.0, "saves_usd_of_used_gpus": 74.4},
            {"limit": "TPOT of chat", "unit": "1 ms", "saves_usd": None, "saves_usd_of_used_gpus": 12.0},
            {"limit": "HBM of racks", "unit": "1 GB a GPU", "saves_usd": 0.0, "saves_usd_of_used_gpus": -0.0},
        ],
        "usd_of_one_more_request_per_s": {"chat": 17.5, "document": 650.0},
    },
    "placement": [_map("8x32", 0.996, 1.0), _map("24x11", 0.9877, 0.998)],
    "seconds": 12.3,
    "rounds": 2,
    "search": {
        "candidates": 146,
        "candidates_before_pruning": 3987,
        "rows": 201,
        "columns": 585,
        "nonzeros": 1397,
        "solve_s": 4.5,
        "solves": 4,
        "versions": {"highspy": "1.16.0", "pyomo": "6.10.1"},
        "options": {"gap": 0.003, "threads": 2, "seed": 0},
    },
}

PLAN: dict[str, Any] = {
    "case": "two_racks",
    "deployments": [
        {
            key: entry[key]
            for key in (
                *("name", "pool", "phase", "replicas", "tensor_parallel", "data_parallel", "pipeline_parallel"),
                *("expert_parallel", "slots_per_gpu", "decode_batch", "prefill_requests", "requests_per_s"),
            )
        }
        for entry in (PREFILL, DECODE)
    ],
    "domains": [
        {
            "pool": "racks",
            "domains": 2,
            "holds": [
                {"deployment": "decode-24gpu", "gpus": 24},
                *({"deployment": "prefill-8gpu", "gpus": 8} for _ in range(4)),
            ],
        }
    ],
    "expert_maps": {},
}


def renamed(payload: dict[str, Any], plan: dict[str, Any], name: str) -> None:
    """Give every text that a user chooses the same hostile name, in place."""
    payload["case"] = payload["title"] = payload["model"] = payload["calibration"] = name
    payload["run_dir"] = payload["assumptions"]["expert_load"] = name
    payload["assumptions"]["model"]["title"] = payload["assumptions"]["calibration"]["title"] = name
    payload["assumptions"]["calibration"]["sources"] = payload["assumptions"]["case_sources"] = {name: name}
    pool = payload["decisions"]["pools"][0]
    pool["pool"] = pool["hardware"] = pool["price"] = name
    payload["demand"][0]["name"] = payload["decisions"]["deployments"][0]["name"] = name
    for entry in payload["decisions"]["deployments"]:
        entry["pool"] = name
        for key in ("requests_per_s", "ttft_s", "tpot_s"):
            entry[key] = {name if label == "chat" else label: value for label, value in entry[key].items()}
    for limit in payload["binding"]["limits"] + payload["binding"]["one_more_unit"]:
        limit["limit"] = f"TPOT of {name}"
    payload["placement"][0]["map"] = name
    for use in plan["domains"]:
        use["pool"] = name
        for content in use["holds"]:
            content["deployment"] = name
