"""Seconds that collectives take on the links. Floats or NumPy arrays; bandwidths one-way per GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from planner.costs.compute import Number


def all_reduce_s(
    tokens: Number,
    hidden_bytes: Number,
    ranks: Number,
    *,
    bytes_per_s: Number,
    latency_s: float,
    latency_exponent: float,
    remote_latency_s: Number = 0.0,
) -> Number:
    """Time [s] of one all-reduce over ``ranks``: a ring moves 2 (n-1)/n of the bytes; latency grows as (n/2)^e.

    ``remote_latency_s`` is added where the ranks lie in several domains. Zero for one rank. Source of the form: serving
    prototype dossier, section 1.
    """
    ranks = np.asarray(ranks, dtype=np.float64)
    bytes_moved = 2.0 * (ranks - 1.0) / ranks * tokens * hidden_bytes
    latency = latency_s * (np.maximum(ranks, 2.0) / 2.0) ** latency_exponent + remote_latency_s
    return np.where(ranks > 1.0, latency + bytes_moved / bytes_per_s, 0.0)


def all_to_all_s(
    tokens_per_gpu: Number,
    bytes_per_token: Number,
    *,
    destinations: Number,
    remote_domains: Number,
    scale_up_bytes_per_s: Number,
    scale_out_bytes_per_s: Number,
    imbalance: Number,
    latency_s: Number,
) -> Number:
    """Time [s] of dispatch and combine of one MoE layer.

    Each token goes to ``destinations`` other GPUs inside the fabric and, first, to ``remote_domains`` other domains
    over the scale-out links; both kinds of link work at once, so the slower one counts. The busiest receiver gets
    ``imbalance`` times the mean.
    """
    inside = tokens_per_gpu * destinations * bytes_per_token / scale_up_bytes_per_s
    outside = tokens_per_gpu * remote_domains * bytes_per_token / scale_out_bytes_per_s
    return 2.0 * latency_s + imbalance * np.maximum(inside, outside)


def overlapped_s(communication: Number, rest: Number, overlap_share: Number) -> Number:
    """Step time [s] when ``overlap_share`` of the shorter of the two parts is hidden behind the longer one."""
    return communication + rest - overlap_share * np.minimum(communication, rest)


def pipeline_hop_s(tokens: Number, hidden_bytes: float, *, bytes_per_s: Number, latency_s: float) -> Number:
    """Time [s] to hand the activations of ``tokens`` to the next pipeline stage."""
    return latency_s + tokens * hidden_bytes / bytes_per_s
