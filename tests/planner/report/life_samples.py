"""Documents of a plan that also chooses its model, and of one beside what was really paid, written by hand."""

from __future__ import annotations

import copy
from typing import Any

from report_samples import PAYLOAD, PLAN

REFERENCE: dict[str, Any] = {
    "cost_usd": 11880.0,
    "source": "a bill of 2026",
    "note": "The floor profile hides\nall traffic; the hand values\ncharge launches.",
    "plans": [
        {
            "calibration": "hand_set",
            "title": "Hand values, not fitted",
            "cost_usd": 9504.0,
            "bound_usd": 9480.0,
            "ratio": 0.8,
            "gpus_used": 112,
        },
        {
            "calibration": "floor",
            "title": "Data-sheet peaks",
            "cost_usd": 2970.0,
            "bound_usd": 2970.0,
            "ratio": 0.25,
            "gpus_used": 40,
        },
    ],
}


def _member(name: str, params: tuple[float, float], **known: float | str) -> dict[str, Any]:
    keys = ("pretraining_tokens", "training_usd", "serving_bound_usd", "serving_usd", "bound_usd", "cost_usd")
    empty: dict[str, Any] = dict.fromkeys(keys)
    return {"member": name, "active_params": params[0], "total_params": params[1], "reason": ""} | empty | known


def _law(name: str, chosen: bool) -> dict[str, Any]:
    return {
        "law": name,
        "chosen": chosen,
        "member": "small",
        "active_params": 20e9,
        "effective_params": 50e9,
        "pretraining_tokens": 30e12,
        "rl_tokens": 0.5e12,
        "loss": 1.85153,
        "cost_usd": 8.0e6,
        "bound_usd": 7.996e6,
        "gap": 0.0005,
        "spend_shares": {"pretraining": 0.73, "rl": 0.03, "serving": 0.24},
        "serving_over_training": 0.24 / 0.76,
        "overtraining_rule20": 75.0,
        "overtraining_law": 6.0,
        "decode_penalty": 2.2,
        "decode_penalty_of_rollouts": 2.2,
        "equal_spend": {"member": "medium", "cost_usd": 9.0e6, "regret": 0.125},
        "bracket": {
            "training_only": {"member": "large", "training_usd": 4.5e6},
            "serving_only": {"member": "small", "serving_bound_usd": 1.996e6},
            "sum_usd": 6.496e6,
        },
        "warnings": [f"5e+10 parameters: law {name} was fitted between 5.7e+07 and 1.62e+10; extrapolated"],
    }


MEMBERS = [
    _member(
        "small",
        (20e9, 400e9),
        pretraining_tokens=30e12,
        training_usd=6.0e6,
        serving_bound_usd=1.99e6,
        serving_usd=2.0e6,
        bound_usd=7.996e6,
        cost_usd=8.0e6,
    ),
    _member(
        "medium",
        (36.6e9, 671e9),
        pretraining_tokens=14.8e12,
        training_usd=5.0e6,
        serving_bound_usd=3.9e6,
        serving_usd=4.0e6,
        bound_usd=8.995e6,
        cost_usd=9.0e6,
    ),
    _member(
        "large",
        (60e9, 1.2e12),
        pretraining_tokens=9.4e12,
        training_usd=4.5e6,
        serving_bound_usd=5.0e6,
        bound_usd=9.5e6,
    ),
    _member("little", (1e9, 20e9), reason="no number of tokens brings it to loss 1.8515"),
]

LIFECYCLE: dict[str, Any] = {
    "target_loss": 1.85153,
    "quality": {"active_params": 36.6e9, "sparsity": 18.3, "tokens": 14.8e12},
    "rule": {"name": "total_over_active", "exponent": 0.302, "sources": {"exponent": "a lecture"}},
    "training": {
        "hardware": "h800",
        "usd_per_gpu_hour": 2.0,
        "price": "a technical report",
        "efficiency": 0.164,
        "usd_per_flop": 1.7117e-18,
    },
    "output_tokens": 2.5344e12,
    "members": MEMBERS,
    "laws": [
        {"law": "besiroglu", "chosen": False, "cost_usd": None, "reasons": ["small: no tokens", "large: no fleet"]},
        _law("hoffmann", True),
        _law("sardana", False) | {"equal_spend": {"member": "small", "cost_usd": 8.0e6, "regret": 0.0}},
    ],
}

CHOICE = {"member": "small", "pretraining_tokens": 30e12, "rl_tokens": 0.5e12}


def life_documents() -> tuple[dict[str, Any], dict[str, Any]]:
    """Payload and plan of a choice among four members: 8 million $, of which 1.92 for 8,000 h of serving."""
    payload, plan = copy.deepcopy(PAYLOAD), copy.deepcopy(PLAN)
    payload |= {"lifecycle": copy.deepcopy(LIFECYCLE), "model": "small", "horizon_hours": 8000.0}
    payload |= {"cost_usd": 8.0e6, "bound_usd": 7.996e6, "gap": 0.0005}
    payload["decisions"]["training"] = plan["training"] = dict(CHOICE)
    payload["breakdown_usd"] = {
        "pretraining": 5.84e6,
        "rl_training": 0.16e6,
        "prefill": 1.0e6,
        "decode": 0.72e6,
        "idle": 0.2e6,
        "rl_generation": 0.08e6,
    }
    return payload, plan


def paid_documents() -> tuple[dict[str, Any], dict[str, Any]]:
    """Payload and plan of serving beside a bill of 11,880 $ a day."""
    return copy.deepcopy(PAYLOAD) | {"reference": copy.deepcopy(REFERENCE)}, copy.deepcopy(PLAN)


def renamed_life(payload: dict[str, Any], name: str) -> None:
    """Give members, laws, reasons and what was paid a hostile text, in place."""
    life = payload["lifecycle"]
    payload["decisions"]["training"]["member"] = payload["model"] = life["members"][0]["member"] = name
    life["members"][-1]["reason"] = life["training"]["price"] = life["rule"]["name"] = name
    life["rule"]["sources"] = {name: name}
    for law in life["laws"]:
        law["law"] = name
        if law["cost_usd"] is None:
            law["reasons"] = [name]
        else:
            law["member"] = law["equal_spend"]["member"] = name
            law["warnings"] = [name]
            law["bracket"]["training_only"]["member"] = law["bracket"]["serving_only"]["member"] = name
    payload["reference"] = copy.deepcopy(REFERENCE) | {"source": name, "note": name}
    for entry in payload["reference"]["plans"]:
        entry["calibration"] = entry["title"] = name
