"""Figures that follow from a plan's document by plain arithmetic; shared by the terminal text and the HTML page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from planner.errors import InstanceError, Problem
from planner.report import words

if TYPE_CHECKING:
    from collections.abc import Mapping

NEEDED_KEYS = (
    *("case", "title", "model", "status", "stop_reason", "cost_usd", "bound_usd", "gap", "horizon_hours", "seconds"),
    *("evaluator_relative_difference", "demand", "assumptions", "decisions", "breakdown_usd", "binding", "placement"),
    *("rounds", "search"),
)


@dataclass(frozen=True)
class ServiceRow:
    """One class on one deployment, or on the whole plan: what is served, times reached and their limits [s]."""

    deployment: str
    name: str
    requests_per_s: float
    ttft_s: float | None
    ttft_limit_s: float | None
    tpot_s: float | None
    tpot_limit_s: float | None


def check_payload(payload: Mapping[str, Any], file: str) -> None:
    """Refuse a document that a report cannot be made of.

    Raises
    ------
    InstanceError
        One problem for every key that is missing.
    """
    missing = [key for key in NEEDED_KEYS if key not in payload]
    if missing:
        remedy = "solve the case again with this version"
        raise InstanceError([Problem(file, f"result.{key}", "is missing", remedy) for key in missing])


def per_hour(payload: Mapping[str, Any], usd: float | None) -> float | None:
    """Turn dollars over the horizon into dollars an hour."""
    return None if usd is None else usd / float(payload["horizon_hours"])


def life_parts(payload: Mapping[str, Any]) -> str:
    """Say what the cost of a whole life holds."""
    return f"pre-training, RL and {words.number(payload['horizon_hours'])} h of serving"


def usd_per_million_output_tokens(payload: Mapping[str, Any]) -> float | None:
    """Cost of the whole plan over the answer tokens it serves; None without any."""
    tokens_per_s = sum(entry["requests_per_s"] * entry["output_tokens"] for entry in payload["demand"])
    cost = per_hour(payload, payload["cost_usd"])
    return cost / (tokens_per_s * 3600.0) * 1e6 if tokens_per_s and cost is not None else None


def deployment_usd_per_hour(payload: Mapping[str, Any]) -> dict[str, float]:
    """Rental of the GPUs that each deployment uses [USD an hour]."""
    prices = {pool["pool"]: pool["usd_per_gpu_hour"] for pool in payload["decisions"]["pools"]}
    return {
        entry["name"]: entry["replicas"] * entry["gpus"] * prices[entry["pool"]]
        for entry in payload["decisions"]["deployments"]
    }


def total_gpus(payload: Mapping[str, Any]) -> dict[str, int]:
    """GPUs used, paid and idle over all pools."""
    pools = payload["decisions"]["pools"]
    return {key: sum(pool[f"gpus_{key}"] for pool in pools) for key in ("used", "paid", "idle")}


def service_rows(payload: Mapping[str, Any]) -> list[ServiceRow]:
    """Every class on every deployment that serves it."""
    limits = {entry["name"]: entry for entry in payload["demand"]}
    return [
        ServiceRow(
            deployment=entry["name"],
            name=name,
            requests_per_s=rate,
            ttft_s=entry["ttft_s"].get(name),
            ttft_limit_s=limits.get(name, {}).get("ttft_s"),
            tpot_s=entry["tpot_s"].get(name),
            tpot_limit_s=limits.get(name, {}).get("tpot_s"),
        )
        for entry in payload["decisions"]["deployments"]
        for name, rate in entry["requests_per_s"].items()
        if rate > 0
    ]


def class_rows(payload: Mapping[str, Any]) -> list[ServiceRow]:
    """Every class with the longest times that any deployment gives it."""
    rows = service_rows(payload)
    result = []
    for entry in payload["demand"]:
        own = [row for row in rows if row.name == entry["name"]]
        result.append(
            ServiceRow(
                deployment="",
                name=entry["name"],
                requests_per_s=entry["requests_per_s"],
                ttft_s=max((row.ttft_s for row in own if row.ttft_s is not None), default=None),
                ttft_limit_s=entry["ttft_s"],
                tpot_s=max((row.tpot_s for row in own if row.tpot_s is not None), default=None),
                tpot_limit_s=entry["tpot_s"],
            )
        )
    return result


def binding_limits(payload: Mapping[str, Any]) -> dict[str, list[str]]:
    """Each limit that is met within 2 %, with the deployments that meet it, and pools without a domain left."""
    found: dict[str, list[str]] = {}
    for entry in payload["binding"]["limits"]:
        found.setdefault(entry["limit"], []).append(entry["deployment"])
    for pool in payload["decisions"]["pools"]:
        if pool["domains"] is not None and pool["domains_used"] >= pool["domains"]:
            found[f"domains of {pool['pool']}"] = [f"{pool['domains_used']:,} of {pool['domains']:,} in use"]
    return found


def breakdown(payload: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """Parts of the cost in the order of a life: name, dollars, share of the cost; parts of 0 $ left out."""
    parts = payload["breakdown_usd"]
    cost, order = sum(parts.values()), list(words.PHASES)
    known = sorted(parts, key=lambda name: order.index(name) if name in order else -1)
    return [(name, parts[name], parts[name] / cost) for name in known if parts[name]]


def hidden_s(terms: Mapping[str, float], overlap_share: float) -> float:
    """Communication time [s] that overlap hides: its share of the shorter of communication and the rest."""
    communication = terms["all_reduce"] + terms["all_to_all"]
    return overlap_share * min(communication, sum(terms.values()) - communication)


def first_class(payload: Mapping[str, Any], deployment: Mapping[str, Any]) -> str:
    """Class whose prefill batch the step terms of a deployment describe: the first that it serves."""
    served = deployment["requests_per_s"]
    return next((entry["name"] for entry in payload["demand"] if served.get(entry["name"], 0.0) > 0), "")


def choosable(payload: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Expert maps over more than one rank: on a single rank there is nothing to balance."""
    return [entry for entry in payload["placement"] if not str(entry["map"]).startswith("1x")]


def memory_share(deployment: Mapping[str, Any]) -> float | None:
    """Share of the usable HBM of the fullest GPU that weights and KV take."""
    taken, usable = deployment["memory_bytes"], deployment["usable_bytes"]
    return taken / usable if usable and taken is not None else None


def saving_texts(payload: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Write savings an hour as billed and of GPUs in use, with one number of decimals for both columns."""
    saved = payload["binding"]["one_more_unit"]
    keys = ("saves_usd", "saves_usd_of_used_gpus")
    texts = words.usd_column(per_hour(payload, entry[key]) for key in keys for entry in saved)
    return list(zip(texts[: len(saved)], texts[len(saved) :], strict=True))
