"""`planner export`: what an engine loads next."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.cli import complete
from planner.cli.support import Format, FormatOption, QuietOption, reporting

if TYPE_CHECKING:
    from collections.abc import Iterable

    from planner.exchange.engine_maps import EngineMap
    from planner.instance.model import MoeModel

EXAMPLE = "Example: planner export placement --to sglang --model deepseek-v3 --out expert_location.json"


def export(
    source: Annotated[Path, typer.Argument(help="A run folder of solve or place, or a map file of any kind.")],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="sglang, vllm, vllm-ranks, vllm-ascend, hygon or trtllm.",
            autocompletion=complete.one_of("sglang", "vllm", "vllm-ranks", "vllm-ascend", "hygon", "trtllm"),
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="File or folder; default: beside the source.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Model: its layers, and the limits of its dispatch.", autocompletion=complete.names_of("models")
        ),
    ] = None,
    first_moe_layer: Annotated[int | None, typer.Option(help="Decoder layer of the first MoE layer.")] = None,
    gpus: Annotated[int | None, typer.Option(help="Expert-parallel ranks, where the source does not say.")] = None,
    gpus_per_node: Annotated[int | None, typer.Option(help="Also tell how many nodes a token can reach.")] = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Write the expert map of a plan in the form an engine loads, and print the flags that go with it."""
    with reporting(output_format, quiet=quiet) as output:
        from planner.errors import InstanceError
        from planner.exchange.engine_maps import engine
        from planner.exchange.exports import exports_of, path_of, write_export

        if gpus_per_node is not None and gpus_per_node < 1:
            raise InstanceError.single("command line", "--gpus-per-node", f"is {gpus_per_node}, must be at least 1")
        exports, notes, known = exports_of(source, to, model_name=model, first_moe_layer=first_moe_layer, gpus=gpus)
        notes += [f"{entry.name}: {note}" if entry.name else note for entry in exports for note in entry.notes]
        several = len(exports) > 1
        written = [write_export(entry, to, path_of(source, to, out, entry.name, several)) for entry in exports]
        notes += engine(to).notes
        documents = [
            entry.document(_relative) | {"dispatch": _dispatch(entry.export.placed, known, gpus_per_node)}
            for entry in written
        ]
        for note in notes:
            output.note(f"note: {note}")
        payload = {
            "to": to,
            "files": [name for document in documents for name in document["files"]],
            "gpus_requested": _sum(document["gpus_requested"] for document in documents),
            "flags": _flags(documents),
            "deployments": documents,
            "notes": notes,
        }
        output.document(payload, lambda: "\n".join(map(_text, documents)))


export.__doc__ = f"{export.__doc__}\n\n{EXAMPLE}"


def _relative(path: Path) -> str:
    return os.path.relpath(path)


def _sum(numbers: Iterable[int | None]) -> int | None:
    """Sum, or None where a number is not known."""
    known = list(numbers)
    return None if None in known else sum(number for number in known if number is not None)


def _flags(documents: list[dict[str, Any]]) -> list[str]:
    """List the flags of the only deployment; of several, one entry a deployment, behind its name."""
    if len(documents) == 1:
        return list(documents[0]["flags"])
    return [f"{document['name']}: {' '.join(document['flags'])}" for document in documents]


def _dispatch(placed: EngineMap, model: MoeModel | None, gpus_per_node: int | None) -> dict[str, Any] | None:
    """Limits that the slots of a map set to the dispatch of this model; None where the model is not known."""
    from planner.costs.dispatch_limits import most_tokens_per_rank, worst_destination_nodes

    if model is None:
        return None
    nodes = None if gpus_per_node is None or not placed.ranks_known else -(-placed.ranks // gpus_per_node)
    groups = model.router_groups_per_token if model.router_groups > 1 else None
    chosen = model.experts_per_token
    return {
        "most_tokens_per_rank": most_tokens_per_rank(placed.slots, model.hidden_size),
        "most_tokens_per_rank_without_copies": most_tokens_per_rank(placed.experts, model.hidden_size),
        "worst_destination_nodes": None if nodes is None else worst_destination_nodes(nodes, chosen),
        "worst_destination_nodes_groups_on_nodes": (
            None if nodes is None or groups is None else worst_destination_nodes(nodes, chosen, groups)
        ),
    }


def _text(document: dict[str, Any]) -> str:
    head = f"{document['name']}: " if document["name"] else ""
    ranks = "" if document["ranks"] is None else f" on {document['ranks']} ranks, {document['gpus_requested']} GPUs"
    lines = [
        f"{head}{document['experts']} experts in {document['slots']} slots{ranks}, "
        f"{document['moe_layers']} MoE layers from decoder layer {document['first_moe_layer']}",
        *(f"file   {path}" for path in document["files"]),
        *(f"flag   {flag}" for flag in document["flags"]),
    ]
    dispatch = document["dispatch"]
    if dispatch is not None:
        lines.append(
            f"low-latency dispatch: at most {dispatch['most_tokens_per_rank']} tokens a rank in its 32 GiB buffer "
            f"(without copies {dispatch['most_tokens_per_rank_without_copies']})"
        )
        if dispatch["worst_destination_nodes"] is not None:
            kept = dispatch["worst_destination_nodes_groups_on_nodes"]
            also = "" if kept is None else f", {kept} if router groups stay on a node"
            lines.append(f"nodes a token can reach: at most {dispatch['worst_destination_nodes']}{also}")
    return "\n".join(lines)
