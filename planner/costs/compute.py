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


PEAK_OF_THE_SHARES = 1e15
"""Peak [FLOP/s] at which a profile's shares of the peak hold; elsewhere see :func:`reached_flop_per_s`."""


def reached_flop_per_s(share: float, peak_flop_per_s: Number, exponent: float = 0.0) -> Number:
    """Rate [FLOP/s] of a matrix product: peak * min(share * (peak / 1 PFLOP/s)^-exponent, 1).

    Faster tensor cores are fed less fully: the same kernels reach a smaller share of the fp8 peak than of the bf16
    peak, and of a later generation's peak. Form and exponent: sources of the profile that has one.
    """
    if exponent == 0.0:
        return share * peak_flop_per_s
    return peak_flop_per_s * np.minimum(share * (peak_flop_per_s / PEAK_OF_THE_SHARES) ** -exponent, 1.0)


def touched_share(
    experts_per_token: Number, slots: Number, tokens: Number, popularity_shape: float | None = None
) -> Number:
    """Share of ``slots`` that at least one of ``tokens`` independent draws touches: 1 - (1 - k/slots)^tokens.

    With a ``popularity_shape`` a the slots' rates are gamma distributed with that shape and mean k/slots, and draws are
    Poisson: 1 - (1 + tokens k / (a slots))^-a, which is less (a to infinity: the equal law), but never below the k
    slots that one token touches. Source: seed claims dossier, section 2.4; the gamma law is the negative binomial's
    probability of no arrival.
    """
    share = np.minimum(experts_per_token / slots, 1.0)
    if popularity_shape is not None:
        law = 1.0 - (1.0 + tokens * share / popularity_shape) ** -popularity_shape
        return np.asarray(np.maximum(law, share * np.minimum(tokens, 1.0)))
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
    tokens_per_sequence: Number = 1.0,
) -> Number:
    """Time [s] of one layer's attention for the new tokens of each sequence: max(KV read, scores and values).

    The tokens that a speculative step verifies of one sequence share the read and not the arithmetic.
    """
    read = sequences * context_tokens * kv_bytes_per_token / bytes_per_s
    compute = sequences * tokens_per_sequence * context_tokens * flop_per_context_token / flop_per_s
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
