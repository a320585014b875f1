"""Limits of the token dispatch that a placement meets: buffer of the low-latency kernels, nodes a token can reach."""

from __future__ import annotations

GIB = 2**30
BUFFER_LIMIT_BYTES = 32 * GIB
"""Largest low-latency buffer (vllm issue 57894)."""

SCALE_BLOCK = 128
"""Values that share one fp32 scale."""


def low_latency_buffer_bytes(physical_experts: int, tokens_per_rank: int, hidden_size: int) -> float:
    """Bytes of DeepEP's low-latency dispatch buffer on one rank.

    4 x experts x tokens x (2 hidden + 4 hidden / 128): two bf16 and scale buffers each way for every expert slot of the
    group, redundant ones included. Fitted to the four sizes in vllm issue 57894, which it meets exactly.
    """
    return 4.0 * physical_experts * tokens_per_rank * (2 * hidden_size + 4 * hidden_size / SCALE_BLOCK)


def most_tokens_per_rank(
    physical_experts: int, hidden_size: int, *, step: int = 16, limit_bytes: float = BUFFER_LIMIT_BYTES
) -> int:
    """Most tokens a rank may dispatch at once within the buffer's limit, in multiples of ``step``."""
    each = low_latency_buffer_bytes(physical_experts, 1, hidden_size)
    return int(limit_bytes / each) // step * step


def worst_destination_nodes(nodes: int, experts_per_token: int, groups_per_token: int | None = None) -> int:
    """Most nodes that one token's experts can be on.

    Parameters
    ----------
    nodes
        Nodes of the expert-parallel group.
    experts_per_token
        Experts a token chooses.
    groups_per_token
        Router groups a token may choose from, where every group stays on one node; ``None``: groups are spread.

    Notes
    -----
    Group-limited routing helps only where there are more nodes than groups a token may choose from (EPLB issue 14).
    """
    reach = experts_per_token if groups_per_token is None else min(experts_per_token, groups_per_token)
    return min(nodes, reach)
