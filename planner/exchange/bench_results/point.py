"""One benchmark run as its tool reports it, in SI units, and what follows from it by Little's law."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

NAN = float("nan")


@dataclass(frozen=True)
class BenchPoint:
    """What a tool reported; NaN where it said nothing. Lengths are those measured, never those asked for."""

    tool: str
    model: str = ""
    hardware: str = ""
    gpus: int | None = None
    completed: float = NAN
    duration_s: float = NAN
    offered_per_s: float = NAN
    """Requests a second that the tool meant to send; ``inf``: all at once."""
    requests_per_s: float = NAN
    max_concurrency: float = NAN
    input_tokens: float = NAN
    output_tokens: float = NAN
    asked_output_tokens: float = NAN
    output_tok_s: float = NAN
    ttft_s: float = NAN
    tpot_s: float = NAN
    e2e_s: float = NAN
    latency_statistic: str = "mean"
    tensor_parallel: int | None = None
    pipeline_parallel: int | None = None
    expert_parallel: int | None = None
    notes: tuple[str, ...] = field(default_factory=tuple)
    """What a reader should know: derived figures, lengths that differ from those asked, requests not sent in time."""

    @property
    def in_flight(self) -> float:
        """Mean requests in flight: requests a second times mean end-to-end time (Little's law), else the tool's cap."""
        little = self.requests_per_s * self.e2e_s
        return little if math.isfinite(little) else self.max_concurrency
