"""Parallel shapes as benchmark tables state them: columns tp, pp, attn_dp, moe_tp, ep, or a text for two pools."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from planner.exchange.measured.row import Shape, SkippedRow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.instance.model import MoeModel

POOL = re.compile(r"(prefill|decode): *(\d+|\?)x\(tp(\d+) dp(\d+) etp(\d+) ep(\d+)\)")

NO_SHAPE = "parallel shape not stated"
NO_WORKERS = "worker counts not stated"
UNEVEN_WORKERS = "GPU count against workers"
ONE_POOL = "one pool of a disaggregated run: its shape is not stated"


def two_pools(text: str, gpus: int | None) -> tuple[Shape, Shape]:
    """Prefill and decode pool of ``prefill: 1x(tp1 dp4 etp1 ep4); decode: 4x(tp8 dp1 etp1 ep8)``.

    Raises
    ------
    SkippedRow
        If a pool or a worker count is missing, or the GPUs of the pools are not the ``gpus`` of the row.
    """
    pools = {name: figures for name, *figures in POOL.findall(text)}
    if set(pools) != {"prefill", "decode"}:
        raise SkippedRow(NO_SHAPE)
    if any("?" in figures for figures in pools.values()):
        raise SkippedRow(NO_WORKERS)
    prefill, decode = (_pool(pools[name]) for name in ("prefill", "decode"))
    if gpus is not None and prefill.gpus + decode.gpus != gpus:
        raise SkippedRow(UNEVEN_WORKERS)
    return prefill, decode


def _pool(figures: list[str]) -> Shape:
    count, tensor, data, expert_tensor, expert = (int(figure) for figure in figures)
    return Shape(count, tensor, data, 1, expert, expert_tensor)


def one_pool(row: Mapping[str, int | None], text: str, gpus: int | None, model: MoeModel) -> Shape:
    """Workers of an aggregated row, or of one pool measured by itself.

    A width that the columns leave open is read from ``text`` (``EP72 DP72``, ``TP8 EP2``, ``DEP4``), and attention data
    parallelism fills the GPUs where only expert parallelism is stated, as wide-EP deployments do. GPUs beyond one
    worker's are further equal workers.

    Raises
    ------
    SkippedRow
        If neither a tensor, a data nor an expert width is stated.
    """
    tensor, data, expert = (
        row.get(key) or _stated(text, word) for key, word in (("tp", "TP"), ("attn_dp", "DP"), ("ep", "EP"))
    )
    pipeline = row.get("pp") or 1
    if tensor is None and data is None and expert is None:
        raise SkippedRow(NO_SHAPE)
    attention_dp = bool(re.search(r"attention DP|DP attention|\bDEP\d", text))
    if data is None and gpus is not None:
        data = _filled(tensor, expert, gpus // pipeline, wide=attention_dp)
    tensor = tensor or max(1, (gpus or 1) // pipeline // (data or 1))
    if attention_dp and data is not None and tensor * data * pipeline > (gpus or 0):
        tensor = 1
    if model.moe_layers == 0:
        expert = 1
    worker = tensor * (data or 1) * pipeline
    count = gpus // worker if gpus and gpus % worker == 0 else 1
    return Shape(max(count, 1), tensor, data or 1, pipeline, expert or 1, row.get("moe_tp") or 0)


def _filled(tensor: int | None, expert: int | None, gpus: int, *, wide: bool) -> int | None:
    """Attention ranks where the source states only how the experts are spread."""
    if expert is not None and (tensor in (None, 1) or wide) and expert == gpus:
        return gpus
    return None


def _stated(text: str, word: str) -> int | None:
    found = re.search(rf"(?<![A-Za-z]){word}(\d+)\b", text)
    if found is None and word in ("DP", "EP"):
        found = re.search(r"\bDEP(\d+)\b", text)
    return int(found.group(1)) if found else None
