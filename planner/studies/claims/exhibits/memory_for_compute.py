"""Two trades of memory and compute: activations of a training step, and keys and values while generating."""

from __future__ import annotations

from dataclasses import dataclass

from planner.costs.scaling import PRETRAIN_FLOP_PER_PARAM_TOKEN, SERVE_FLOP_PER_PARAM_TOKEN

STREAM_BYTES = 2.0
"""Bytes of one entry of the residual stream, bf16."""
REVERSIBLE_STREAMS = 2


@dataclass(frozen=True)
class Activations:
    """One way to hold activations between forward and backward pass: bytes kept, and FLOP over 6 N D."""

    bytes_kept: float
    relative_flop: float


def training_activations(layers: int, width: int, tokens: int, bytes_per_entry: float) -> dict[str, Activations]:
    """Activations kept for one sequence of ``tokens``: all, inputs of layers only, or those of one layer.

    ``bytes_per_entry`` is what a layer keeps for each entry of the residual stream (34: Korthikanti et al. 2022,
    without the attention scores). Recomputing from inputs and running backwards both cost one more pass, 2 N D.
    """
    entries = float(tokens) * width
    layer, stream = bytes_per_entry * entries, STREAM_BYTES * entries
    once_more = 1.0 + SERVE_FLOP_PER_PARAM_TOKEN / PRETRAIN_FLOP_PER_PARAM_TOKEN
    return {
        "store": Activations(layers * layer, 1.0),
        "checkpoint": Activations(layers * stream + layer, once_more),
        "reversible": Activations(REVERSIBLE_STREAMS * stream + layer, once_more),
    }


def kv_cache_factor(prompt_tokens: int, output_tokens: int) -> float:
    """FLOP without over FLOP with a KV cache, by tokens that pass the network.

    Without one, generating token t passes the prompt and the t tokens up to it once more; with one, every token passes
    once.
    """
    without = output_tokens * prompt_tokens + output_tokens * (output_tokens + 1) / 2
    return without / (prompt_tokens + output_tokens)
