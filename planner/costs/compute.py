"""Seconds of arithmetic and of reading weights and KV on one GPU.

Every function takes floats or NumPy arrays that broadcast; one MAC is two FLOP; rates are peaks times an efficiency.
The forms follow the serving prototype dossier, section 1.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Number: TypeAlias = float | NDArray[Any]


def gemm_s(
    params: Number,
    tokens: Number,
    *,
    weight_bytes_per_param: Number,
    flop_per_s: Number,
    bytes_per_s: Number,
    half_tokens: float = 0.0,
) -> Number:
    """Time [s] of a dense matrix product: max(weights read, 2 * params * (tokens + half_tokens) / rate).

    ``half_tokens`` is the batch at which the product reaches half of its rate: short batches fill tiles badly.
    """
    read = params * weight_bytes_per_param / bytes_per_s
    compute = 2.0 * params * (tokens + half_tokens) / flop_per_s
    return np.maximum(read, compute)


def touched_share(experts_per_token: Number, slots: Number, tokens: Number) -> Number:
    """Share of ``slots`` that at least one of ``tokens`` independent draws touches: 1 - (1 - k/slots)^tokens.

    Source: seed claims dossier, section 2.4.
    """
    share = np.minimum(experts_per_token / slots, 1.0)
    return 1.0 - (1.0 - share) ** tokens


def expert_compute_s(
    tokens_on_busiest_gpu: Number,
    touched_slots: Number,
    expert_params: Number,
    *,
    flop_per_s: Number,
    half_tokens: float,
) -> Number:
    """Arithmetic time [s] of routed experts on the busiest GPU; each touched slot also pays ``half_tokens``."""
    return 2.0 * expert_params * (tokens_on_busiest_gpu + half_tokens * touched_slots) / flop_per_s


def expert_read_s(touched_slots: Number, expert_bytes: Number, *, bytes_per_s: Number) -> Number:
    """Time [s] to read the weights of the touched expert slots."""
    return touched_slots * expert_bytes / bytes_per_s


def attention_decode_s(
    sequences: Number,
    context_tokens: Number,
    *,
    kv_bytes_per_token: Number,
    flop_per_context_token: Number,
    flop_per_s: Number,
    bytes_per_s: Number,
) -> Number:
    """Time [s] of one layer's attention for one new token of each sequence: max(KV read, scores and values)."""
    read = sequences * context_tokens * kv_bytes_per_token / bytes_per_s
    compute = sequences * context_tokens * flop_per_context_token / flop_per_s
    return np.maximum(read, compute)


def state_s(
    sequences: Number,
    *,
    state_bytes: Number,
    flop: Number,
    flop_per_s: Number,
    bytes_per_s: Number,
) -> Number:
    """Time [s] to move what one layer keeps of each sequence whatever its length, and to compute on it."""
    return np.maximum(sequences * state_bytes / bytes_per_s, sequences * flop / flop_per_s)


def attention_prefill_s(
    requests: Number, pairs: Number, *, flop_per_context_token: Number, flop_per_s: Number
) -> Number:
    """Time [s] of one layer's attention over ``pairs`` query-key pairs of each of ``requests`` prompts."""
    return requests * pairs * flop_per_context_token / flop_per_s


def causal_pairs(input_tokens: Number, new_tokens: Number, window_tokens: Number | None = None) -> Number:
    """Query-key pairs of a prompt whose last ``new_tokens`` are computed; each sees at most ``window_tokens``."""
    cached = input_tokens - new_tokens
    full = (input_tokens * (input_tokens + 1.0) - cached * (cached + 1.0)) / 2.0
    return full if window_tokens is None else np.minimum(full, new_tokens * window_tokens)


def visible_context(context_tokens: Number, window_tokens: Number | None) -> Number:
    """Context tokens that a layer reads: all, or at most its sliding window."""
    return context_tokens if window_tokens is None else np.minimum(context_tokens, window_tokens)
