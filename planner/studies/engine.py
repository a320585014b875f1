"""Run tasks on a backend: in this process, on joblib's processes, or on a Ray cluster.

Tasks end in any order. When a worker process dies, what it left is tried again, one task at a time, so that a task that
kills its worker is found and the others get their answers. Solver and search threads of each worker
are limited so that workers do not fight for cores.
"""

from __future__ import annotations

import importlib
import os
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from planner.errors import InstanceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Job = Callable[..., dict[str, Any]]

Backend = Literal["processes", "ray"]
MOST_ATTEMPTS = 2
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Engine:
    """Where tasks run.

    Attributes
    ----------
    backend
        ``processes`` on this machine, or ``ray`` on a local or existing Ray cluster (the extra ``ray``).
    workers
        Tasks side by side.
    """

    backend: Backend = "processes"
    workers: int = 1

    def run(self, job: Job, tasks: Sequence[tuple[Any, ...]], died: Job) -> Iterator[dict[str, Any]]:
        """Yield ``job(*task, attempt)`` of every task, in the order in which they end.

        ``died(*task, fault)`` makes the row of a task whose worker dies ``MOST_ATTEMPTS`` times.

        Raises
        ------
        InstanceError
            If the backend is not installed.
        """
        if self.backend == "ray":
            yield from _on_ray(self.workers, job, tasks, died)
        elif self.workers == 1:
            for task in tasks:
                yield job(*task, 1)
        else:
            with _one_thread_each():
                yield from _in_processes(self.workers, job, tasks, died)


def engine_of(backend: str, workers: int) -> Engine:
    """Return an engine by name.

    Raises
    ------
    InstanceError
        If there is no such backend.
    """
    if backend == "ray":
        return Engine("ray", workers)
    if backend != "processes":
        raise InstanceError.single("command line", "--backend", f"no backend {backend!r}", "one of processes, ray")
    return Engine("processes", workers)


def _in_processes(workers: int, job: Job, tasks: Sequence[tuple[Any, ...]], died: Job) -> Iterator[dict[str, Any]]:
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import BrokenProcessPool

    def parallel(count: int) -> Parallel:
        return Parallel(n_jobs=count, return_as="generator_unordered", batch_size=1)

    left = dict(enumerate(tasks))
    driver = os.getpid()
    first = [delayed(_numbered)(driver, job, at, task, 1) for at, task in left.items()]
    try:
        for number, row in parallel(workers)(first):
            del left[number]
            yield row
    except BrokenProcessPool:  # which of those in flight killed its worker is not told
        pass
    for number, task in left.items():
        fault = "its worker died"
        for attempt in range(2, MOST_ATTEMPTS + 1):
            # a pool of its own: one that is still breaking would be blamed on this task
            get_reusable_executor().shutdown(wait=True, kill_workers=True)
            try:
                # two processes: a single one would be this one
                yield next(iter(parallel(2)([delayed(_numbered)(driver, job, number, task, attempt)])))[1]
                break
            except BrokenProcessPool as error:
                fault = str(error).splitlines()[0] if str(error) else fault
        else:
            yield died(*task, fault)


def _numbered(driver: int, job: Job, number: int, task: tuple[Any, ...], attempt: int) -> tuple[int, dict[str, Any]]:
    _end_with(driver)
    return number, job(*task, attempt)


_WATCH = "end with the driver"


def _end_with(driver: int) -> None:
    """Let this worker end with the process that hands it tasks: killed by SIGKILL, that one cannot stop it."""
    if os.getppid() != driver or any(thread.name == _WATCH for thread in threading.enumerate()):
        return  # not a child of the driver, or watched already

    def watch() -> None:
        while os.getppid() == driver:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, name=_WATCH, daemon=True).start()


def _on_ray(workers: int, job: Job, tasks: Sequence[tuple[Any, ...]], died: Job) -> Iterator[dict[str, Any]]:
    """Ray holds the queue and places tasks on nodes; a task whose worker or node died is handed in again."""
    ray = _started_ray(workers)
    remote = ray.remote(num_cpus=1, max_retries=0)(job)
    waiting = {remote.remote(*task, 1): (task, 1) for task in tasks}
    while waiting:
        (done,), _ = ray.wait(list(waiting), num_returns=1)
        task, attempt = waiting.pop(done)
        try:
            yield ray.get(done)
        except ray.exceptions.RayError as error:
            if attempt < MOST_ATTEMPTS:
                waiting[remote.remote(*task, attempt + 1)] = (task, attempt + 1)
            else:
                yield died(*task, f"{type(error).__name__}: {(str(error) or 'its worker died').splitlines()[0]}")


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let workers that start inside have one thread for linear algebra and compiled search each."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _started_ray(workers: int) -> Any:  # noqa: ANN401 - the module, which has no types here
    """Join the cluster that RAY_ADDRESS names, or start one here.

    Raises
    ------
    InstanceError
        If Ray is not installed.
    """
    try:
        ray: Any = importlib.import_module("ray")
        importlib.import_module("ray.exceptions")
    except ImportError as error:
        remedy = "pip install 'moe-planner[ray]', or --backend processes"
        raise InstanceError.single("command line", "--backend", "Ray is not installed", remedy) from error
    if not ray.is_initialized():
        local = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": workers, "include_dashboard": False}
        threads = {"env_vars": dict.fromkeys(_THREAD_VARIABLES, "1")}
        ray.init(log_to_driver=False, logging_level="ERROR", runtime_env=threads, **local)
    return ray
