"""One measured row, and rows as columns."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from planner.costs.points import ENGINES, ServingPoints, Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from planner.instance.hardware import Accelerator
    from planner.instance.model import MoeModel

    Column = NDArray[np.float64]

NAN = float("nan")
Entry = TypeVar("Entry")


class SkippedRow(Exception):
    """A row that cannot be used, with the reason that is counted; ``row`` where only one figure is open (NaN in it)."""

    def __init__(self, reason: str, row: MeasuredRow | None = None) -> None:
        super().__init__(reason)
        self.row = row


@dataclass(frozen=True)
class Shape:
    """Equal workers of one pool."""

    count: int
    tensor: int
    data: int
    pipeline: int
    expert: int
    expert_tensor: int = 0
    """GPUs that share one expert as the source states it; 0 where it says nothing."""

    @property
    def gpus(self) -> int:
        """GPUs of the pool."""
        return self.count * self.tensor * self.data * self.pipeline


@dataclass(frozen=True)
class MeasuredRow:
    """One row: identity, operating point, and what was measured (NaN where it was not). Times in seconds."""

    identity: str
    model: MoeModel
    accelerator: Accelerator
    engine: str
    """One of :data:`planner.costs.points.ENGINES`."""
    phase: int
    """Index into :data:`planner.costs.points.PHASES`."""
    shape: Shape
    prefill_shape: Shape
    gpus: int
    concurrency: float
    input_tokens: float
    output_tokens: float
    ttft_s: float = NAN
    tpot_s: float = NAN
    tok_s_per_gpu: float = NAN
    input_tok_s_per_gpu: float = NAN
    cached_share: float = 0.0
    tokens_per_step: float = 1.0
    redundant_experts: int = 0
    imbalance: float = NAN
    fixed_length: bool = False
    overlapped: bool = False
    precision: str = ""
    engine_version: str = ""
    date: str = ""
    source: str = ""
    quality: str = ""
    notes: str = ""
    mode: str = ""
    parallelism: str = ""
    total_tok_s: float = NAN
    """Output tokens a second over the whole deployment, where the source states it; a check, never a target."""

    @property
    def group(self) -> str:
        """Model, accelerator and engine: the unit that is left out."""
        return f"{self.model.name} {self.accelerator.name} {self.engine}"

    @property
    def run(self) -> tuple[str, ...]:
        """Identity of the benchmark job: what one job sweeps over concurrency and shape."""
        return (self.group, self.engine_version, self.precision, self.date)

    @property
    def seconds_per_request(self) -> float:
        """First token and all that follow [s]."""
        return self.ttft_s + self.tpot_s * max(self.output_tokens - 1.0, 0.0)


@dataclass(frozen=True)
class Measured:
    """Rows of one file with what was left out and why."""

    file: str
    rows: tuple[MeasuredRow, ...]
    skipped: dict[str, list[str]] = field(default_factory=dict)
    """Reason -> identities of the rows left out for it."""
    notes: Counter[str] = field(default_factory=Counter)
    """What was assumed about rows that are kept -> how many."""
    open: tuple[MeasuredRow, ...] = ()
    """Rows left out because one figure is not stated: requests in flight or accepted tokens a step, NaN here."""

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, of: Callable[[MeasuredRow], float]) -> Column:
        """One number a row [row]."""
        return np.array([of(row) for row in self.rows], dtype=np.float64)

    def take(self, keep: Sequence[bool] | NDArray[np.bool_]) -> Measured:
        """Keep some rows; what is dropped is not counted (see :meth:`without`)."""
        kept = tuple(row for row, wanted in zip(self.rows, keep, strict=True) if wanted)
        return Measured(
            self.file, kept, {reason: list(ids) for reason, ids in self.skipped.items()}, self.notes, self.open
        )

    def without(self, reasons: Sequence[str | None]) -> Measured:
        """Leave out the rows with a reason, and count them."""
        kept = self.take([reason is None for reason in reasons])
        for row, reason in zip(self.rows, reasons, strict=True):
            if reason is not None:
                kept.skipped.setdefault(reason, []).append(row.identity)
        return kept

    @property
    def points(self) -> ServingPoints:
        """The operating points, columns [row]."""
        return points_of(self.rows)


def points_of(rows: Sequence[MeasuredRow]) -> ServingPoints:
    """Operating points of rows, columns [row]."""
    models, model = _unique([row.model for row in rows], lambda entry: entry.model_dump_json())
    accelerators, accelerator = _unique([row.accelerator for row in rows], lambda entry: entry.model_dump_json())

    def numbers(of: Callable[[MeasuredRow], float]) -> Column:
        return np.array([of(row) for row in rows], dtype=np.float64)

    return ServingPoints(
        models=models,
        accelerators=accelerators,
        model=model,
        accelerator=accelerator,
        engine=np.array([ENGINES.index(row.engine) for row in rows], dtype=np.int64),
        phase=np.array([row.phase for row in rows], dtype=np.int64),
        workers=_workers([row.shape for row in rows]),
        prefill_workers=_workers([row.prefill_shape for row in rows]),
        concurrency=numbers(lambda row: row.concurrency),
        input_tokens=numbers(lambda row: row.input_tokens),
        output_tokens=numbers(lambda row: row.output_tokens),
        cached_share=numbers(lambda row: row.cached_share),
        tokens_per_step=numbers(lambda row: row.tokens_per_step),
        redundant_experts=np.array([row.redundant_experts for row in rows], dtype=np.int64),
        imbalance=numbers(lambda row: row.imbalance),
        fixed_length=np.array([row.fixed_length for row in rows], dtype=bool),
        overlapped=np.array([row.overlapped for row in rows], dtype=bool),
    )


def _workers(shapes: Sequence[Shape]) -> Workers:
    table = np.array(
        [(shape.count, shape.tensor, shape.data, shape.pipeline, shape.expert) for shape in shapes], dtype=np.int64
    ).reshape(-1, 5)
    return Workers(*(np.array(column) for column in table.T))


def _unique(entries: Sequence[Entry], key: Callable[[Entry], str]) -> tuple[tuple[Entry, ...], NDArray[np.int64]]:
    """Distinct entries in order of appearance and the index of each; equal objects are serialised once."""
    seen: dict[int, int] = {}
    places: dict[str, int] = {}
    distinct: list[Entry] = []
    index = np.empty(len(entries), dtype=np.int64)
    for row, entry in enumerate(entries):
        if id(entry) not in seen:
            place = places.setdefault(key(entry), len(distinct))
            if place == len(distinct):
                distinct.append(entry)
            seen[id(entry)] = place
        index[row] = seen[id(entry)]
    return tuple(distinct), index
