"""Log lines that tell how balanced an engine ran: no load, for they hold no count of any expert."""

from __future__ import annotations

import re

_NUMBER = r"([0-9.eE+-]+)"
_VLLM = re.compile(rf"EPLB step:?\s*(\d*).*?avg_tokens={_NUMBER},\s*max_tokens={_NUMBER},\s*balancedness={_NUMBER}")
_SGLANG = re.compile(rf"\[Expert Balancedness\].*?forward_pass_id=(\d+).*?current_pass_balancedness={_NUMBER}")


def what_it_holds(text: str) -> str | None:
    """Say what a log of balance holds; None for other text."""
    for engine, pattern, key in (("vLLM", _VLLM, "step"), ("SGLang", _SGLANG, "pass")):
        found = pattern.findall(text)
        values = [float(row[-1]) for row in found if _is_number(row[-1])]
        if values:
            span = f"{min(values):g}" if min(values) == max(values) else f"{min(values):g} to {max(values):g}"
            steps = sorted({int(row[0]) for row in found if row[0]})
            where = f" ({key} {steps[0]}" + (f" to {steps[-1]}" if len(steps) > 1 else "") + ")" if steps else ""
            return (
                f"is a {engine} log of balance, not a load: {len(found)} lines with the mean / max tokens of a rank, "
                f"{span}{where}, and no counts of experts"
            )
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
