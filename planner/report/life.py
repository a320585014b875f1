"""What the choice of a model and its tokens means, in sentences and rows; shared by the terminal text and the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.report import words

if TYPE_CHECKING:
    from collections.abc import Mapping

SAME = 1e-6
"""Relative difference below which two decode penalties are called the same."""

MEMBER_COLUMNS = ("Member", "Known", "Active", "Total", "Tokens", "Training", "Serving", "Whole life")


def chosen_member(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """Record of the member that the plan trains."""
    name = payload["decisions"]["training"]["member"]
    members: dict[str, Mapping[str, Any]] = {entry["member"]: entry for entry in payload["lifecycle"]["members"]}
    return members[name]


def own_law(payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Row of the case's own law; None where the case takes a law from elsewhere."""
    return next((law for law in payload["lifecycle"]["laws"] if law["chosen"]), None)


def trained(payload: Mapping[str, Any]) -> str:
    """Which member is trained, and on what."""
    member, choice = chosen_member(payload), payload["decisions"]["training"]
    text = f"{member['member']}: {words.magnitude(member['active_params'])} active of "
    text += f"{words.magnitude(member['total_params'])} parameters, on "
    text += f"{words.magnitude(choice['pretraining_tokens'])} tokens"
    return text + (f" and {words.magnitude(choice['rl_tokens'])} RL tokens" if choice["rl_tokens"] else "")


def spend(payload: Mapping[str, Any]) -> str:
    """Shares of pre-training, RL (its rollouts included) and serving, and what serving costs an hour."""
    parts, cost = payload["breakdown_usd"], payload["cost_usd"]
    learning = parts.get("rl_training", 0.0) + parts.get("rl_generation", 0.0)
    serving = cost - parts["pretraining"] - learning
    hourly = words.usd(serving / payload["horizon_hours"])
    shares = [words.percent(usd / cost) for usd in (parts["pretraining"], learning, serving)]
    return f"pre-training {shares[0]}, RL with its rollouts {shares[1]}, serving {shares[2]} ({hourly} an hour)"


def meaning(payload: Mapping[str, Any]) -> list[str]:
    """Say in short sentences what the choice means under the case's own law."""
    law = own_law(payload)
    if law is None or law["cost_usd"] is None:
        return []
    return [_overtraining(law), _penalty(law), _equal_spend(law), _bracket(law)]


def _overtraining(law: Mapping[str, Any]) -> str:
    return (
        f"Over-training: {words.significant(law['overtraining_rule20'], 3)} times the rule of 20 tokens an active "
        f"parameter, {words.significant(law['overtraining_law'], 3)} times what law {law['law']} calls optimal for its "
        f"{words.magnitude(law['effective_params'])} effective parameters."
    )


def _penalty(law: Mapping[str, Any]) -> str:
    penalty, rollouts = law["decode_penalty"], law["decode_penalty_of_rollouts"]
    text = f"Decode penalty that the plan implies: {words.significant(penalty, 3)}. A FLOP of decoding costs "
    text += "that many times a FLOP of training"
    if rollouts is None:
        return f"{text}."
    if abs(rollouts - penalty) <= SAME * abs(penalty):
        return f"{text}; the rollouts of RL were priced with the same number."
    return f"{text}; the rollouts of RL were priced with {words.significant(rollouts, 3)}."


def _equal_spend(law: Mapping[str, Any]) -> str:
    rule = law["equal_spend"]
    start = f"The rule to spend as much on serving as on training leads to {rule['member']}"
    if rule["regret"] is None:
        return f"{start}, which has no plan."
    if rule["member"] == law["member"]:
        return f"{start}, the member chosen here: nothing is lost by it."
    return f"{start}: {words.usd_rounded(rule['cost_usd'])}, {words.share(rule['regret'])} more than this plan."


def _bracket(law: Mapping[str, Any]) -> str:
    training, serving = law["bracket"]["training_only"], law["bracket"]["serving_only"]
    return (
        f"If only training counted: {training['member']}, {words.usd_rounded(training['training_usd'])}. "
        f"If only serving and rollouts counted: {serving['member']}, at least "
        f"{words.usd_rounded(serving['serving_bound_usd'])}. Together {words.usd_rounded(law['bracket']['sum_usd'])}: "
        "no plan costs less than that."
    )


def warnings(law: Mapping[str, Any] | None) -> list[str]:
    """Ways in which the choice lies outside what the law was fitted to."""
    return [] if law is None else [words.plain_powers(text) for text in law.get("warnings", ())]


def law_table(payload: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Columns (one a law, the case's own first and marked) and rows of what is chosen under each law."""
    laws = sorted(payload["lifecycle"]["laws"], key=lambda law: not law["chosen"])
    columns = ["Under law", *(f"{law['law']} (this case)" if law["chosen"] else law["law"] for law in laws)]
    cells = [_law_cells(law) for law in laws]
    names = next((list(column) for column in cells if len(column) > 1), ["Trained"])
    return columns, [[name, *(column.get(name, words.NONE) for column in cells)] for name in names]


def reasons_without_plan(payload: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name the laws under which nothing can be planned, each with its reasons."""
    laws = payload["lifecycle"]["laws"]
    return [(law["law"], "; ".join(law["reasons"])) for law in laws if law["cost_usd"] is None]


def _law_cells(law: Mapping[str, Any]) -> dict[str, str]:
    """Write what is chosen under a law: name of each row and its text."""
    if law["cost_usd"] is None:
        return {"Trained": "no plan"}
    shares, rule, bracket = law["spend_shares"], law["equal_spend"], law["bracket"]
    return {
        "Trained": law["member"],
        "Active parameters": words.magnitude(law["active_params"]),
        "Effective parameters": words.magnitude(law["effective_params"]),
        "Pre-training tokens": words.magnitude(law["pretraining_tokens"]),
        "RL tokens": words.magnitude(law["rl_tokens"]),
        "Loss to reach": words.fixed(law["loss"], 4),
        "Cost of the whole life": words.usd_rounded(law["cost_usd"]),
        "Proven bound": words.usd_rounded(law["bound_usd"]),
        "Gap": words.share(law["gap"]),
        "Spent on pre-training": words.percent(shares["pretraining"]),
        "Spent on RL": words.percent(shares["rl"]),
        "Spent on serving": words.percent(shares["serving"]),
        "Serving over training": words.significant(law["serving_over_training"], 3),
        "Tokens over 20 a parameter": f"{words.significant(law['overtraining_rule20'], 3)} x",
        "Tokens over the law's optimum": f"{words.significant(law['overtraining_law'], 3)} x",
        "Decode penalty": words.significant(law["decode_penalty"], 3),
        "Decode penalty of rollouts": words.significant(law["decode_penalty_of_rollouts"], 3),
        "Equal spend leads to": rule["member"],
        "Regret of equal spend": words.share(rule["regret"]),
        "If only training counted": bracket["training_only"]["member"],
        "its training": words.usd_rounded(bracket["training_only"]["training_usd"]),
        "If only serving counted": bracket["serving_only"]["member"],
        "its serving, at least": words.usd_rounded(bracket["serving_only"]["serving_bound_usd"]),
        "Sum of both": words.usd_rounded(bracket["sum_usd"]),
        "Range of the law": "extrapolated" if law["warnings"] else "inside",
    }


def member_rows(payload: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Rows of all members, as ``MEMBER_COLUMNS`` says; a bound is marked as one."""
    chosen = payload["decisions"]["training"]["member"]
    return [_member_row(entry, entry["member"] == chosen) for entry in payload["lifecycle"]["members"]]


def _member_row(entry: Mapping[str, Any], chosen: bool) -> tuple[str, ...]:
    planned = entry["cost_usd"] is not None
    known = "chosen" if chosen else "out" if entry["reason"] else "planned" if planned else "bound only"
    return (
        entry["member"],
        known,
        words.magnitude(entry["active_params"]),
        words.magnitude(entry["total_params"]),
        words.magnitude(entry["pretraining_tokens"]),
        words.usd_rounded(entry["training_usd"]),
        words.usd_rounded(entry["serving_usd"]) if planned else at_least(entry["serving_bound_usd"]),
        words.usd_rounded(entry["cost_usd"]) if planned else at_least(entry["bound_usd"]),
    )


def members_out(payload: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Members that cannot be chosen, each with its reason."""
    return [(entry["member"], entry["reason"]) for entry in payload["lifecycle"]["members"] if entry["reason"]]


def at_least(value: float | None) -> str:
    """Write a bound in dollars."""
    return words.NONE if value is None else f"\N{GREATER-THAN OR EQUAL TO} {words.usd_rounded(value)}"


def rests_on(payload: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Quality to reach, price of training and the rule for effective parameters."""
    life = payload["lifecycle"]
    quality, training, rule = life["quality"], life["training"], life["rule"]
    target = f"loss {words.fixed(life['target_loss'], 4)}: that of {words.magnitude(quality['active_params'])} active "
    target += f"parameters at sparsity {words.number(quality['sparsity'], 3)}, trained on "
    target += f"{words.magnitude(quality['tokens'])} tokens"
    price = f"{training['hardware']} at {words.usd(training['usd_per_gpu_hour'])} a GPU-hour ({training['price']}), "
    price += f"{words.share(training['efficiency'])} of peak used: "
    price += f"{words.usd(training['usd_per_flop'] * 1e18)} for 1e18 FLOP"
    return [
        ("Quality to reach", target),
        ("Training", price),
        ("Effective parameters", f"rule {rule['name']}: active x sparsity^{words.number(rule['exponent'])}"),
        ("Output tokens served", words.magnitude(life["output_tokens"])),
    ]
