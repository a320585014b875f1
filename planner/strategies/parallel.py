"""Layers side by side on threads: compiled code and HiGHS let other threads run."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Generator, Iterable

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


def default_workers() -> int:
    """Cores this process may use, or ``NUMBA_NUM_THREADS``, which parallel sweeps set in their processes."""
    told = os.environ.get("NUMBA_NUM_THREADS", "")
    if told.isdecimal():
        return max(1, int(told))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_ordered(
    work: Callable[[Item], Outcome], items: Iterable[Item], workers: int, stopped: threading.Event | None = None
) -> Generator[Outcome, None, None]:
    """Yield ``work(item)`` in the order of the items, up to ``workers`` at a time, started in that order.

    After Ctrl-C, an error, or once the caller stops asking, ``stopped`` is set, no further item is started, and those
    under way are waited for.
    """
    if workers <= 1:
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="layer")
    try:
        for future in [pool.submit(work, item) for item in items]:
            yield future.result()
    except BaseException:
        if stopped is not None:
            stopped.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
