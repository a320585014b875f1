"""The data of a placement program: one layer, one phase."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from planner.errors import InstanceError, NoPlanFound, Problem

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PlacementProblem:
    """Loads of one layer's experts and the GPUs that may hold them; minimise the expected largest load.

    Parameters
    ----------
    load
        Tokens, shape [scenario, expert].
    probability
        Of each scenario, shape [scenario], sum 1.
    slots
        Expert slots, shape [gpu]; 0 for a GPU that holds none.
    speed
        Relative speed, shape [gpu].
    domain
        Node or rack of each GPU, shape [gpu], numbered from 0 without holes.
    max_copies
        Most copies of each expert, shape [expert]; ``None``: as many as fit.
    source_share
        Share of the tokens that start in each domain, shape [domain], sum 1. Given, tokens go to the copies in their
        own domain where there are any, else evenly to all (nearest dispatch); ``None``: evenly to all copies.

    Raises
    ------
    InstanceError
        Wrong shapes or values, all of them at once.
    NoPlanFound
        Fewer slots than experts.
    """

    load: FloatArray
    probability: FloatArray
    slots: IntArray
    speed: FloatArray
    domain: IntArray
    max_copies: IntArray | None = None
    source_share: FloatArray | None = field(default=None)

    def __post_init__(self) -> None:
        problems = [Problem("placement problem", key, message) for key, ok, message in self._rules() if not ok]
        if problems:
            raise InstanceError(problems)
        if int(self.slots.sum()) < self.experts:
            raise NoPlanFound([f"{int(self.slots.sum())} expert slots are fewer than {self.experts} experts"])

    def _rules(self) -> list[tuple[str, bool, str]]:
        """Return (field, whether it is right, what is wrong otherwise) for each rule."""
        load, gpus = np.asarray(self.load), len(self.slots)
        if load.ndim != 2 or 0 in load.shape:
            return [("load", False, f"has shape {list(load.shape)}, expected [scenario, expert], none of them empty")]
        scenarios, experts = load.shape
        domains = int(np.max(self.domain, initial=-1)) + 1
        copies, share = self.max_copies, self.source_share
        return [
            ("load", bool(np.isfinite(load).all() and (load >= 0).all()), "has values negative or not finite"),
            ("probability", _is_shares(self.probability, scenarios), f"must be {scenarios} shares that sum to 1"),
            ("slots", gpus > 0 and bool((np.asarray(self.slots) >= 0).all()), "must not be empty or negative"),
            ("speed", _is_positive(self.speed, gpus), f"must be {gpus} positive numbers"),
            (
                "domain",
                np.shape(self.domain) == (gpus,) and set(np.unique(self.domain).tolist()) == set(range(domains)),
                f"must number the domains of {gpus} GPUs from 0 without holes",
            ),
            ("max_copies", copies is None or _is_positive(copies, experts), f"must be {experts} positive numbers"),
            ("source_share", share is None or _is_shares(share, domains), f"must be {domains} shares that sum to 1"),
        ]

    @classmethod
    def of_equal_gpus(cls, load: FloatArray, gpus: int, slots_per_gpu: int, domains: int = 1) -> PlacementProblem:
        """Return a problem with equal GPUs, numbered domain by domain, and scenarios of equal weight."""
        tokens = np.atleast_2d(np.asarray(load, dtype=np.float64))
        return cls(
            load=tokens,
            probability=np.full(len(tokens), 1.0 / len(tokens)),
            slots=np.full(gpus, slots_per_gpu, dtype=np.int64),
            speed=np.ones(gpus),
            domain=np.arange(gpus, dtype=np.int64) * domains // gpus,
        )

    @property
    def scenarios(self) -> int:
        """Number of load scenarios."""
        return int(self.load.shape[0])

    @property
    def experts(self) -> int:
        """Number of experts."""
        return int(self.load.shape[1])

    @cached_property
    def usable_gpus(self) -> list[int]:
        """GPUs that have a slot."""
        return np.flatnonzero(self.slots > 0).tolist()

    @cached_property
    def domains(self) -> int:
        """Number of domains."""
        return int(self.domain.max()) + 1

    def gpus_of(self, domain: int) -> list[int]:
        """Return the GPUs of a domain that have a slot."""
        return [gpu for gpu in self.usable_gpus if self.domain[gpu] == domain]

    @cached_property
    def most_copies(self) -> IntArray:
        """Most copies each expert can have, shape [expert]: one a GPU, and one slot left for every other expert."""
        fit = min(len(self.usable_gpus), int(self.slots.sum()) - (self.experts - 1))
        limit = np.full(self.experts, fit, dtype=np.int64)
        return limit if self.max_copies is None else np.minimum(limit, self.max_copies)

    @cached_property
    def unit_load(self) -> float:
        """Tokens per unit of speed if all were level, mean over scenarios: the scale that brings rows to about 1."""
        level = float(self.probability @ self.load.sum(axis=1)) / float(self.speed[self.usable_gpus].sum())
        return level or 1.0

    def gpu_load(self, held: BoolArray) -> FloatArray:
        """Return the tokens each GPU computes, shape [scenario, gpu], for ``held`` [expert, gpu]."""
        copies = held.sum(axis=1)
        if (copies == 0).any():
            raise ValueError("an expert has no copy")
        even = held / copies[:, None]
        if self.source_share is None:
            return np.asarray(self.load @ even)
        fraction = np.zeros(held.shape)
        for domain, share in enumerate(self.source_share.tolist()):
            local = held & (self.domain == domain)
            count = local.sum(axis=1)[:, None]
            fraction += share * np.where(count > 0, local / np.maximum(count, 1), even)
        return np.asarray(self.load @ fraction)

    def cost(self, held: BoolArray) -> float:
        """Return the expected largest load over speed, tokens: sum_k p_k max_g load_kg / s_g."""
        return float(self.probability @ (self.gpu_load(held) / self.speed).max(axis=1))


def _is_shares(values: FloatArray, length: int) -> bool:
    array = np.asarray(values)
    return array.shape == (length,) and bool((array >= 0).all()) and abs(float(array.sum()) - 1.0) < 1e-9


def _is_positive(values: FloatArray | IntArray, length: int) -> bool:
    array = np.asarray(values)
    return array.shape == (length,) and bool(np.isfinite(array).all() and (array > 0).all())
