"""Moves in rounds: in each a GPU sends at most one expert and receives at most one, in as few rounds as can be.

Moves are the edges of a bipartite multigraph, senders on one side, receivers on the other; a round is a matching.
Koenig (1916): the edges of a bipartite multigraph fall into as many matchings as the largest degree, no fewer can do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def largest_degree(edges: Sequence[tuple[int, int]]) -> int:
    """Most edges at one sender or one receiver."""
    degrees: dict[tuple[str, int], int] = {}
    for source, target in edges:
        for end in (("send", source), ("receive", target)):
            degrees[end] = degrees.get(end, 0) + 1
    return max(degrees.values(), default=0)


def colour_edges(edges: Sequence[tuple[int, int]]) -> list[int]:
    """Give each edge (sender, receiver) its round, from 0; uses exactly the largest degree many.

    Each edge takes a round free at its sender; where that is busy at its receiver, the path that alternates between it
    and a round free at the receiver is swapped. The path starts at the receiver and cannot come back to the sender: it
    enters senders by the sender's free round only.
    """
    rounds = largest_degree(edges)
    busy: dict[tuple[str, int], list[int | None]] = {}
    for source, target in edges:
        for end in (("send", source), ("receive", target)):
            busy.setdefault(end, [None] * rounds)
    colour = [-1] * len(edges)
    for edge, (source, target) in enumerate(edges):
        first = busy["send", source].index(None)
        second = busy["receive", target].index(None)
        if busy["receive", target][first] is not None:
            _swap_path(edges, busy, colour, ("receive", target), first, second)
        colour[edge] = first
        busy["send", source][first] = edge
        busy["receive", target][first] = edge
    return colour


def _swap_path(
    edges: Sequence[tuple[int, int]],
    busy: dict[tuple[str, int], list[int | None]],
    colour: list[int],
    start: tuple[str, int],
    first: int,
    second: int,
) -> None:
    """Exchange two rounds along the path that leaves ``start`` by an edge of round ``first``."""
    path: list[int] = []
    end, wanted = start, first
    while (edge := busy[end][wanted]) is not None:
        path.append(edge)
        source, target = edges[edge]
        end = ("send", source) if end[0] == "receive" else ("receive", target)
        wanted = second if wanted == first else first
    for edge in path:
        for end in (("send", edges[edge][0]), ("receive", edges[edge][1])):
            busy[end][colour[edge]] = None
    for edge in path:
        colour[edge] = second if colour[edge] == first else first
        for end in (("send", edges[edge][0]), ("receive", edges[edge][1])):
            busy[end][colour[edge]] = edge
