"""rebalance_experts with EPLB's shapes: kinds in and out, no doubled copies, groups kept on nodes."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest

import planner
from planner.errors import InstanceError
from planner.exchange.maps import duplicates
from planner.strategies.result import gpu_load

README = [[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86], [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27]]
"""The published example: 2 layers, 12 experts in groups of 3, 16 slots on 8 GPUs of 2 nodes."""


def tensor_class(module: str) -> type:
    """Make the part of torch's tensor that the function may use."""

    class Tensor:
        def __init__(self, values: Any, device: str, dtype: str = "float32") -> None:  # noqa: ANN401
            self.values, self.device, self.kind = np.asarray(values), device, dtype

        def detach(self) -> Tensor:
            return self

        def cpu(self) -> Tensor:
            return type(self)(self.values, "cpu", self.kind)

        def float(self) -> Tensor:
            return type(self)(self.values, self.device)

        def numpy(self) -> np.ndarray[Any, Any]:
            assert self.device == "cpu"
            if self.kind == "bfloat16":
                raise TypeError("Got unsupported ScalarType BFloat16")
            return self.values

    Tensor.__module__ = module
    return Tensor


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_tensors_in_tensors_out(monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    """On the device of the weight, 64-bit, with the numbers that an array gives."""
    tensor = tensor_class("torch")
    fake = types.ModuleType("torch")
    fake.as_tensor = lambda array, device: tensor(array, device)  # type: ignore[attr-defined]
    plain = planner.rebalance_experts(np.array(README), 16, 4, 2, 8)
    monkeypatch.setitem(sys.modules, "torch", fake)
    answers = planner.rebalance_experts(tensor(README, "cuda:1", dtype), 16, 4, 2, 8)
    for answer, array in zip(answers, plain, strict=True):
        assert isinstance(answer, tensor)
        assert (answer.device, answer.values.dtype) == ("cuda:1", np.int64)
        assert answer.values.tolist() == array.tolist()


def test_arrays_in_arrays_out() -> None:
    """Shapes, type and padding; the three answers agree with each other."""
    phy2log, log2phy, logcnt = planner.rebalance_experts(README, 16, 4, 2, 8)
    assert (phy2log.shape, logcnt.shape, log2phy.shape) == ((2, 16), (2, 12), (2, 12, logcnt.max()))
    assert all(array.dtype == np.int64 and type(array) is np.ndarray for array in (phy2log, log2phy, logcnt))
    for layer in range(2):
        for expert in range(12):
            slots = np.flatnonzero(phy2log[layer] == expert).tolist()
            assert logcnt[layer, expert] == len(slots)
            assert log2phy[layer, expert].tolist() == slots + [-1] * (log2phy.shape[2] - len(slots))


def test_no_two_copies_on_one_gpu() -> None:
    """The setting of EPLB issue 22 (256 experts, 288 slots, 32 GPUs, 16 groups, 2 nodes), where EPLB returned one."""
    load = np.random.default_rng(22).lognormal(sigma=1.0, size=(4, 256))
    for kept in (False, True):
        phy2log, _, _ = planner.rebalance_experts(load, 288, 16, 2, 32, groups_on_nodes=kept)
        assert duplicates(phy2log, 32) == []


def test_groups_stay_on_their_nodes() -> None:
    """4 groups of 3 on 2 nodes: each node holds exactly two whole groups."""
    phy2log, _, _ = planner.rebalance_experts(README, 16, 4, 2, 8, groups_on_nodes=True)
    for row in phy2log:
        groups = [set((row[half] // 3).tolist()) for half in (slice(0, 8), slice(8, 16))]
        assert [len(held) for held in groups] == [2, 2]
        assert not groups[0] & groups[1]


def test_kept_groups_balance_as_well_as_the_best_packing_of_groups() -> None:
    """One hot group of four: its node carries half of the other groups' load less; every node's GPUs are even.

    Loads 8, 4, 4, 4 an expert, groups of 4, 2 nodes of 2 GPUs, no copies: the hot group shares its node with one other,
    so that node has 4 x (8 + 4) = 48 tokens, 24 a GPU, and no placement with kept groups has less.
    """
    load = np.repeat([8.0, 4.0, 4.0, 4.0], 4)[None]
    phy2log, _, _ = planner.rebalance_experts(load, 16, 4, 2, 4, groups_on_nodes=True)
    assert gpu_load(phy2log, load, 4)[0].max() == pytest.approx(24.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1.0, 2.0]], 3, 1, 1, 2), "num_replicas: 3 slots for 2 experts do not spread evenly over 2 GPUs"),
        (([[1.0, 2.0, 3.0]], 2, 1, 1, 2), "nearest valid: 4"),
        (([1.0, 2.0], 2, 1, 1, 2), "has 1 axes"),
        (([[1.0, float("nan")]], 2, 1, 1, 2), "not finite"),
        (([[1.0, -1.0]], 2, 1, 1, 2), "negative"),
        (([["a", "b"]], 2, 1, 1, 2), "no table of numbers"),
        (([[1.0, 2.0]], 2, 0, 0, 2), "num_groups: is 0"),
    ],
)
def test_bad_arguments_are_named(arguments: tuple[Any, ...], message: str) -> None:
    """Each argument with what is wrong."""
    with pytest.raises(InstanceError, match=message):
        planner.rebalance_experts(*arguments)


def test_groups_that_do_not_divide_are_refused_only_where_they_count() -> None:
    """5 groups of 12 experts: no matter while groups are free; named where they are kept."""
    assert planner.rebalance_experts(README, 16, 5, 2, 8)[0].shape == (2, 16)
    with pytest.raises(InstanceError, match="12 experts do not divide into 5 groups"):
        planner.rebalance_experts(README, 16, 5, 2, 8, groups_on_nodes=True)
