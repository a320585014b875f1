"""Lines for people about moves, coverage, targets and whether a new plan pays."""

from __future__ import annotations

from typing import Any


def text(report: dict[str, Any]) -> list[str]:
    """Lines for people."""
    lines = []
    lost = report.get("coverage")
    if lost and lost["gpu_worst"] is not None:
        node = "" if lost["node_worst"] is None else f"; one node {lost['node_mean']:.1f} (worst {lost['node_worst']})"
        lines.append(
            f"experts of a layer lost with one GPU: {lost['gpu_mean']:.1f} on average (worst {lost['gpu_worst']}){node}"
        )
    if target := report.get("target"):
        lines += _target_text(target)
    if moves := report.get("migration"):
        seconds = "" if moves["seconds"] is None else f", {moves['seconds']:.3g} s over the links"
        lines.append(
            f"moved {100 * report['moved_fraction']:.2f} % of the slots (worst layer "
            f"{100 * moves['moved_fraction_worst']:.2f} %): {moves['moves']} experts in {moves['rounds']} rounds"
            + seconds
        )
    if decision := report.get("decision"):
        lines += _decision_text(decision)
    return lines


def _target_text(target: dict[str, Any]) -> list[str]:
    lines = [f"balance {target['balance']:g} needs {target['redundant']} redundant experts a layer"]
    if lower := target["next_lower"]:
        why = (
            f"cannot: its bound is {lower['bound_mean']:.4f}"
            if lower["proven_short"]
            else f"reached {lower['balance_mean']:.4f}, bound {lower['bound_mean']:.4f}: not proven short"
        )
        lines.append(f"  {lower['redundant']} {why}")
    return lines


def _decision_text(decision: dict[str, Any]) -> list[str]:
    even = decision["break_even_s"]
    numbers = (
        f"saves {100 * decision['gain_fraction']:.2f} % of {decision['remaining_s']:g} s = {decision['gain_s']:.3g} s, "
        f"costs {decision['migration_s']:.3g} s"
    )
    numbers += "" if even is None else f"; pays from {even:.0f} s"
    if decision["keep_running_map"]:
        return [f"keep the running map: a new plan {numbers}"]
    return [f"repair only: a new plan {numbers}" if decision["repair_only"] else f"take the new map: it {numbers}"]
