"""Write placement maps in the form each engine loads, with the flags that go with them.

Formats and switches: research notes on expert placement, section 2, with the issue or pull request of each.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.errors import InstanceError
from planner.exchange.expert_map import filler_row
from planner.exchange.maps import map_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class EngineMap:
    """A map that is valid for every engine: all slots filled, every expert there.

    Attributes
    ----------
    rows
        Expert of each slot, shape [moe_layer, slot], rank-major.
    numbers
        Decoder layer of each row.
    layers
        Decoder layers, dense ones included.
    ranks
        Expert-parallel ranks; 1 where they are not known.
    name
        Model class or name, for formats that hold it.
    tensor_parallel, data_parallel, pipeline_parallel
        Layout of the deployment, ``None`` where only the map is known.
    ranks_known
        Whether anything says over how many ranks the slots spread.
    dispatch
        Rule the map was planned for: ``even`` or ``nearest``.
    """

    rows: NDArray[np.int64]
    numbers: tuple[int, ...]
    layers: int
    ranks: int
    name: str = "model"
    tensor_parallel: int | None = None
    data_parallel: int | None = None
    pipeline_parallel: int | None = None
    ranks_known: bool = True
    dispatch: str = "even"

    @property
    def experts(self) -> int:
        """Logical experts."""
        return int(self.rows.max()) + 1

    @property
    def slots(self) -> int:
        """Slots of a layer in all, physical experts."""
        return int(self.rows.shape[1])

    @property
    def redundant(self) -> int:
        """Slots beyond one an expert."""
        return self.slots - self.experts

    @property
    def per_rank(self) -> int:
        """Slots of one rank."""
        return self.slots // self.ranks


@dataclass(frozen=True)
class Engine:
    """How one engine takes a map.

    Attributes
    ----------
    suffix
        Of the file's name.
    write
        The file's text.
    flags
        Command-line flags, given the path of the file.
    notes
        What an operator must know.
    ep_is_tp_times_dp
        Whether the engine has no other expert-parallel size.
    holds_ranks
        Whether the form groups slots by rank, so that their number must be known.
    options
        Text of a second file, given the path of the first, where the engine reads the path from a file.
    """

    suffix: str
    write: Callable[[EngineMap], str]
    flags: Callable[[EngineMap, str], list[str]]
    notes: tuple[str, ...]
    ep_is_tp_times_dp: bool = False
    holds_ranks: bool = False
    options: Callable[[EngineMap, str], str] | None = None


def _sglang(placed: EngineMap) -> str:
    """One key and nothing else, a row for every decoder layer, dense ones filled."""
    rows = np.tile(filler_row(placed.slots, placed.experts), (placed.layers, 1))
    rows[list(placed.numbers)] = placed.rows
    return map_text(rows)


def _sglang_flags(placed: EngineMap, path: str) -> list[str]:
    flags = [
        *([f"--ep-size {placed.ranks}"] if placed.ranks_known else []),
        f"--ep-num-redundant-experts {placed.redundant}",
        f"--init-expert-location {shlex.quote(path)}",
    ]
    if placed.redundant:
        flags.append(f"--ep-dispatch-algorithm {'static' if placed.dispatch == 'nearest' else 'dynamic'}")
    if placed.tensor_parallel and placed.data_parallel:
        flags.insert(0, f"--tp-size {placed.tensor_parallel * placed.data_parallel}")
        if placed.data_parallel > 1:
            flags.insert(1, f"--dp-size {placed.data_parallel} --enable-dp-attention")
    return flags


def _vllm(placed: EngineMap) -> str:
    """Return a list for each MoE layer (vLLM PR 49572)."""
    return _lists(placed.rows) + "\n"


def _vllm_flags(placed: EngineMap, path: str) -> list[str]:
    config = {"num_redundant_experts": placed.redundant, "initial_expert_map_path": path}
    eplb = f"--eplb-config {shlex.quote(json.dumps(config))}"
    return [*_vllm_layout(placed), "--enable-expert-parallel", "--enable-eplb", eplb]


def _vllm_layout(placed: EngineMap) -> list[str]:
    if not (placed.tensor_parallel and placed.data_parallel):
        return []
    sizes = {"tensor": placed.tensor_parallel, "data": placed.data_parallel, "pipeline": placed.pipeline_parallel or 1}
    return [f"--{name}-parallel-size {size}" for name, size in sizes.items() if size > 1]


def _hygon(placed: EngineMap) -> str:
    """Return maps by model class, version 2 (HYGON vllm-plugin-das, PR 34 and 69)."""
    entry = {
        "record_kind": "proposal",
        "model_name": placed.name,
        "model_class": placed.name,
        "num_moe_layers": len(placed.rows),
        "num_logical_experts": placed.experts,
        "num_physical_experts": placed.slots,
        "num_redundant_experts": placed.redundant,
        "physical_to_logical_map": placed.rows.tolist(),
    }
    form = "vllm_offline_eplb_physical_to_logical_by_model"
    return json.dumps({"version": 2, "format": form, "model_maps": {placed.name: entry}}) + "\n"


def _hygon_flags(placed: EngineMap, path: str) -> list[str]:
    config = {"num_redundant_experts": placed.redundant, "expert_map_path": path}
    eplb = f"--eplb-config {shlex.quote(json.dumps(config))}"
    return [*_vllm_layout(placed), "--enable-expert-parallel", "--enable-eplb", eplb]


def _expert_ranks(placed: EngineMap) -> str:
    """Return the rank of every expert, one list for all layers (vLLM issue 34297, PR 34811).

    Raises
    ------
    InstanceError
        If an expert has copies, or layers differ: the form has no place for either.
    """
    ranks = np.argsort(placed.rows, axis=1, kind="stable") // placed.per_rank
    if placed.redundant:
        message = f"has {placed.redundant} redundant experts; a list of ranks has no place for copies"
        raise InstanceError.single("map", "--to", message, "plan with --redundant 0")
    if (ranks != ranks[0]).any():
        message = "differs from layer to layer; a list of ranks holds for all layers"
        raise InstanceError.single("map", "--to", message, "plan on one row: the loads summed over layers")
    return json.dumps({"expert_to_ep_rank": ranks[0].tolist()}) + "\n"


def _expert_ranks_flags(placed: EngineMap, path: str) -> list[str]:
    return [*_vllm_layout(placed), "--enable-expert-parallel", f"--expert-placement-file {shlex.quote(path)}"]


def _ascend(placed: EngineMap) -> str:
    """MoE layers from 0, devices in rank order (vLLM-Ascend)."""
    blocks = placed.rows.reshape(len(placed.rows), placed.ranks, -1).tolist()
    layers = [
        {
            "layer_id": layer,
            "device_count": placed.ranks,
            "device_list": [{"device_id": rank, "device_expert": held} for rank, held in enumerate(ranks)],
        }
        for layer, ranks in enumerate(blocks)
    ]
    return json.dumps({"moe_layer_count": len(layers), "layer_list": layers}) + "\n"


def _ascend_flags(placed: EngineMap, path: str) -> list[str]:
    config = {"eplb_config": {"expert_map_path": path, "num_redundant_experts": placed.redundant}}
    return [
        *_vllm_layout(placed),
        "--enable-expert-parallel",
        f"--additional-config {shlex.quote(json.dumps(config))}",
    ]


def _tensorrt(placed: EngineMap) -> str:
    """MoE layers by decoder layer; static, no layer moves while serving."""
    rows = "\n".join(f"  {number}: {row}" for number, row in zip(placed.numbers, placed.rows.tolist(), strict=True))
    return f"num_slots: {placed.slots}\ninitial_global_assignments:\n{rows}\nlayer_updates_per_iter: 0\n"


def _tensorrt_options(placed: EngineMap, path: str) -> str:
    return f"enable_attention_dp: true\nmoe_config:\n  load_balancer: {json.dumps(path)}\n"


def _tensorrt_flags(placed: EngineMap, path: str) -> list[str]:
    if placed.ranks_known and placed.ranks < 2:
        raise InstanceError.single("map", "--to", "is for one rank", "TensorRT-LLM balances experts over several")
    gpus = placed.ranks
    if placed.tensor_parallel and placed.data_parallel:
        gpus = placed.tensor_parallel * placed.data_parallel
    sizes = [f"--tp_size {gpus}", f"--ep_size {placed.ranks}"] if placed.ranks_known else []
    return [*sizes, f"--extra_llm_api_options {shlex.quote(path)}"]


def _lists(rows: NDArray[np.int64]) -> str:
    return "[\n" + ",\n".join(json.dumps(row) for row in rows.tolist()) + "\n]"


_OPEN_PR = "needs a vLLM with pull request {}, which is open"
ENGINES: dict[str, Engine] = {
    "sglang": Engine(
        ".json",
        _sglang,
        _sglang_flags,
        ("dispatch dynamic splits an expert's tokens evenly over its copies; static prefers near copies",),
    ),
    "vllm": Engine(
        ".json",
        _vllm,
        _vllm_flags,
        (
            _OPEN_PR.format(49572),
            "vLLM plans anew every step_interval (default 3000) steps: raise it to keep the map",
        ),
        ep_is_tp_times_dp=True,
    ),
    "vllm-ranks": Engine(".json", _expert_ranks, _expert_ranks_flags, (_OPEN_PR.format(34811),), True, True),
    "hygon": Engine(
        ".json", _hygon, _hygon_flags, ("--model must be the model class that the plug-in looks up",), True
    ),
    "vllm-ascend": Engine(
        ".json",
        _ascend,
        _ascend_flags,
        ("static loading needs neither DYNAMIC_EPLB nor EXPERT_MAP_RECORD in the environment",),
        ep_is_tp_times_dp=True,
        holds_ranks=True,
    ),
    "trtllm": Engine(
        ".yaml",
        _tensorrt,
        _tensorrt_flags,
        (
            "TensorRT-LLM ignores the section without a word unless attention DP is on, EP is above 1 and the "
            "architecture is on its list (issue 18626)",
        ),
        options=_tensorrt_options,
    ),
}
"""What `planner export --to` knows."""


def engine(name: str) -> Engine:
    """Return an engine by name.

    Raises
    ------
    InstanceError
        If there is none of this name.
    """
    if name not in ENGINES:
        raise InstanceError.single("command line", "--to", f"is {name!r}", f"one of {', '.join(ENGINES)}")
    return ENGINES[name]


def facts(placed: EngineMap) -> dict[str, Any]:
    """Sizes of a map, JSON-ready."""
    return {
        "ranks": placed.ranks if placed.ranks_known else None,
        "experts": placed.experts,
        "slots": placed.slots,
        "slots_per_rank": placed.per_rank if placed.ranks_known else None,
        "redundant": placed.redundant,
        "moe_layers": len(placed.rows),
        "first_moe_layer": placed.numbers[0],
        "layers": placed.layers,
    }
