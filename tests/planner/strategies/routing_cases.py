"""Routing with a known structure, and the measured batch beside the checkout."""

from __future__ import annotations

import numpy as np
from shared_loads import DATA

from planner.strategies.routing import TokenRouting


def clustered_routing(
    tokens: int, seed: int, *, experts: int = 256, racks: int = 2, nodes: int = 4, mixed: bool = True
) -> TokenRouting:
    """Tokens with eight experts of a hidden block structure: experts / (racks * nodes) experts are a node's block.

    Every second token takes all eight from one block, the others, where ``mixed``, four from each of two blocks of one
    rack. With a block on each node a token visits 1 rack and 1 node (the least there is), or 1.5 where mixed.
    """
    draw = np.random.default_rng(seed)
    name, size = draw.permutation(experts), experts // (racks * nodes)
    rows = np.empty((tokens, 8), dtype=np.int64)
    for token in range(tokens):
        block = draw.choice(nodes, 1 + (mixed and token % 2), replace=False) + nodes * draw.integers(racks)
        rows[token] = np.concatenate([b * size + draw.choice(size, 8 // len(block), replace=False) for b in block])
    return TokenRouting((name[rows],))


def qwen_halves() -> tuple[TokenRouting, TokenRouting]:
    """Tokens 1-512 and 513-1024 of the Qwen3-30B batch, 128 experts, top-8."""
    path = DATA / "expert_loads" / "step_routing_traces" / "qwen_b1024_022_016.npz"
    rows = np.load(path, allow_pickle=False)["data"]
    return TokenRouting((rows[:512],)), TokenRouting((rows[512:],))
