"""Which cuts of a model an engine can load: heads, quantisation blocks, and groups of GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.instance.model import MoeModel


def ways_by_blocks(width: int, block: int) -> tuple[int, ...]:
    """Numbers of GPUs that cut ``width`` into whole blocks of ``block``, all of them.

    A block-quantised matrix has one scale for ``block`` columns: a cut through a block leaves a GPU without its scale
    (vllm-project/vllm#42384, sgl-project/sglang#26107, vllm-project/vllm#52915).
    """
    if width % block:
        return (1,)
    blocks = width // block
    return tuple(ways for ways in range(1, blocks + 1) if blocks % ways == 0)


def splits_whole_blocks(width: int, ways: int, block: int) -> bool:
    """Whether ``ways`` GPUs get whole blocks of a matrix ``width`` wide; without blocks, whole columns."""
    return width % ways == 0 and (ways == 1 or block == 0 or (width // ways) % block == 0)


def padded_work(width: int, ways: int, block: int) -> float:
    """Work of a GPU over the even share where an engine pads each part to whole blocks; 1 where nothing is padded.

    Source: vllm-project/vllm#46001 pads 3072 / 16 = 192 to 256 columns a GPU: 1.33 times the work.
    """
    if ways == 1 or block == 0:
        return 1.0
    part = width / ways
    return -(-part // block) * block / part


def blocked_widths(model: MoeModel) -> dict[str, int]:
    """Widths of the feed-forward matrices that tensor parallelism cuts and that are quantised in blocks.

    Routed experts are not among them: engines serve MiniMax-M2.5 in fp8 with 1536 / 8 = 192 columns of an expert a GPU
    (39 rows of measured_serving_inferencex.csv), so their grouped kernels do not mind.
    """
    if not model.weights.block_size or model.weights.dense_ffn != "fp8":
        return {}
    widths = {"dense blocks": model.dense_intermediate_size, "shared experts": model.shared_intermediate_size}
    return {name: width for name, width in widths.items() if width}


def tensor_parallel_problem(model: MoeModel, tensor_parallel: int, expert_shards: int = 1) -> str | None:
    """Say what stands in the way of cutting attention and dense blocks ``tensor_parallel`` ways; None if nothing does.

    Parameters
    ----------
    model
        In its storage formats.
    tensor_parallel
        GPUs that share attention, dense blocks and shared experts.
    expert_shards
        GPUs that share one routed expert.
    """
    if model.attention.heads % tensor_parallel:
        return f"{tensor_parallel} does not divide {model.attention.heads} attention heads"
    block = model.weights.block_size
    for name, width in blocked_widths(model).items():
        if not splits_whole_blocks(width, tensor_parallel, block):
            return _cut_through(name, width, tensor_parallel, block)
    if model.moe_layers and model.expert_intermediate_size % expert_shards:
        width = model.expert_intermediate_size
        return f"routed experts: {expert_shards} does not divide {width} columns"
    return None


def _cut_through(name: str, width: int, ways: int, block: int) -> str:
    allowed = ", ".join(map(str, ways_by_blocks(width, block)))
    return (
        f"{name}: {width} / {ways} = {width / ways:g} columns a GPU, not a multiple of the quantisation block {block}; "
        f"ways that are: {allowed}"
    )


def valid_tensor_parallel(model: MoeModel, largest: int = 128) -> tuple[int, ...]:
    """Tensor-parallel sizes up to ``largest`` whose GPUs get whole heads and whole quantisation blocks."""
    return tuple(ways for ways in range(1, largest + 1) if tensor_parallel_problem(model, ways) is None)


def expert_data_parallel(
    gpus: int,
    *,
    tensor_parallel: int,
    pipeline_parallel: int,
    expert_parallel: int,
    expert_tensor_parallel: int,
) -> tuple[int, int]:
    """Data-parallel sizes of attention and of experts where both have process groups of their own.

    ``gpus = TP * DP * PP`` for attention and ``ETP * EP * EDP * PP`` for experts, so EP may exceed DP
    (radixark/miles#1102).

    Raises
    ------
    ValueError
        If either product does not divide the GPUs.
    """
    attention = tensor_parallel * pipeline_parallel
    experts = expert_tensor_parallel * expert_parallel * pipeline_parallel
    for name, product in (("TP x PP", attention), ("ETP x EP x PP", experts)):
        if gpus % product:
            raise ValueError(f"{name} = {product} does not divide {gpus} GPUs")
    return gpus // attention, gpus // experts
