"""Text of `planner validate` and `planner calibrate`: error tables, what was left out, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.report.terminal import add_row, empty_table, printed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COLUMNS = ("n", "TPOT", "TTFT", "tok/s/GPU")
NOTE = "Each cell: mean / median absolute error in %, and the median signed error."


def validation_text(payload: Mapping[str, Any]) -> str:
    """Everything that `planner validate serving` says to people."""
    how = f"each {payload['by']} left out of its own fit" if payload["left_out"] else f"profile {payload['profile']}"
    lines = [f"{payload['rows']} rows of {payload['file']} scored, {how}.", *_skipped(payload), NOTE]
    if not payload["groups"]:
        return "\n".join([*lines, "No row is left to score."])
    lines.append(_table("Error by " + payload["by"], ((entry["group"], entry) for entry in payload["groups"])))
    beside = [("this model", payload["overall"]), *payload["baselines"].items()]
    lines.append(_table("All rows, beside the baselines", beside))
    for phase, answers in payload["phases"].items():
        lines.append(_table(f"{phase} rows", answers.items()))
    for part, answers in payload.get("answered_by_other", {}).items():
        lines.append(_table(f"Rows that the other planner answered: {part}", answers.items()))
    lines += [_coverage(payload["coverage"]), *_regret(payload["regret"]), *_wide(payload["wide_ep"])]
    after = ((f"after {entry['points']} points", entry) for entry in payload["after_points"])
    lines.append(_table("With a site's own points (aggregated rows, 20 draws)", after))
    return "\n".join(lines)


def calibration_text(payload: Mapping[str, Any]) -> str:
    """Everything that `planner calibrate` says to people."""
    lines = [f"{payload['rows']} rows used, profile written to {payload['path']}.", *_skipped(payload)]
    if "left_out" in payload:
        lines += [NOTE, _table(f"Left out by {payload['left_out']}", [("fit", payload["left_out_error"])])]
        lines += [f"  {name:40s} {value:12.6g}   prior {payload['prior'][name]:12.6g}"
                  for name, value in payload["fitted"].items()]  # fmt: skip
        return "\n".join(lines)
    for name, entry in payload["fitted"].items():
        lines.append(
            f"  {name}: TPOT x {entry['tpot_factor']:.3f}, TTFT x {entry['ttft_factor']:.3f}, {entry['points']} points"
        )
    lines += [f"  not corrected: {message}" for message in payload["too_few_points"]]
    error = payload["left_out_error"]
    if error["mape_tpot"] is not None:
        lines.append(
            f"  each point left out: TPOT off by {error['mape_tpot']:.1f} %, {error['mape_tpot_before']:.1f} % before"
        )
    return "\n".join(lines)


def _skipped(payload: Mapping[str, Any]) -> list[str]:
    lines = [f"  {count:5d} left out: {reason}" for reason, count in payload["skipped"].items()]
    return lines + [f"  {count:5d} kept: {note}" for note, count in payload.get("notes", {}).items()]


def _table(title: str, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    table = empty_table(title, ("", *COLUMNS))
    for name, entry in rows:
        cells = (_cell(entry, metric) for metric in ("tpot", "ttft", "throughput"))
        add_row(table, str(name).replace("_", " "), entry.get("n", entry.get("n_tpot", "")), *cells)
    return printed(table)


def _cell(entry: Mapping[str, Any], metric: str) -> str:
    mean = entry[f"mape_{metric}"]
    if mean is None:
        return "-"
    return f"{mean:.1f} / {100 * entry[f'median_ape_{metric}']:.1f}  {100 * entry[f'bias_{metric}']:+.0f}"


def _coverage(shares: Mapping[str, float | None]) -> str:
    held = ", ".join(f"{name} {share:.0%}" for name, share in shares.items() if name != "nominal" and share is not None)
    return f"Bands meant to hold {shares['nominal']:.0%} of the rows hold: {held}."


def _regret(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    return [
        f"TPOT limit {1e3 * entry['limit_s']:.0f} ms ({entry['questions_of_shape']} questions): throughput lost by the "
        f"picked shape {entry['one_shape']:.1%}, by the better of the two best-ranked "
        f"{entry['two_shapes_measured']:.1%}, by the fewest GPUs {entry['fewest_gpus']:.1%}."
        for entry in entries
        if entry["one_shape"] is not None
    ]


def _wide(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    return [
        f"{entry['id']} EP{entry['expert_parallel']}, {entry['batch_per_gpu']:.0f} a GPU ({entry['reading']}): "
        f"{entry['predicted_tok_s_per_gpu']:,.0f} against {entry['measured_tok_s_per_gpu']:,.0f} tok/s/GPU, "
        f"{entry['error_throughput']:+.0%}."
        for entry in entries
    ]
