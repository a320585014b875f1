"""`planner import map`, `loads` and `routing`: engines' dumps into the files that this program works with."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.cli.support import Format, FormatOption, QuietOption, reporting

if TYPE_CHECKING:
    from planner.exchange.expert_map import ExpertMap, MapReport

OutOption = Annotated[Path | None, typer.Option(help="Where to write the file; default: only look at it.")]


def import_map(
    file: Annotated[Path, typer.Argument(help="A placement map of any engine, or a run folder.")],
    out: OutOption = None,
    gpus: Annotated[int | None, typer.Option(help="Expert-parallel ranks, where the file does not say.")] = None,
    model: Annotated[str | None, typer.Option(help="Model class, where the file holds several maps.")] = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Turn any placement map into ours, and flag doubled experts, missing experts and unequal slots.

    Example: planner import map moe_load_balancer.yaml --gpus 36 --out map.json
    """
    with reporting(output_format, quiet=quiet) as output:
        from planner.exchange.any_map import read_any_map, read_as_written
        from planner.exchange.expert_map import inspect
        from planner.exchange.maps import write_map

        written = read_as_written(file, gpus=gpus, model=model)
        found = read_any_map(file, gpus=gpus, model=model)
        report = inspect(found.rows, found.gpus, found.experts)
        notes = [*found.warnings, *report.notes()]
        if len(found.rows) > len(written.rows):
            notes.append("layers that the file leaves out are filled with 0, 1, 2, ..., as dense")
        if found.gpus is None:
            notes.append("ranks are not in the file: give --gpus to look for doubled experts and unequal slots")
        if out is not None:
            write_map(out, found.rows)
        for note in notes:
            output.note(f"note: {note}")
        payload = _map_document(found, report, notes, out)
        output.document(payload, lambda: _map_text(payload))


def _map_document(found: ExpertMap, report: MapReport, notes: list[str], out: Path | None) -> dict[str, Any]:
    per_rank = None if found.gpus is None else found.rows.shape[1] // found.gpus
    return {
        "kind": found.kind,
        "layers": len(found.rows),
        "slots": found.rows.shape[1],
        "experts": found.experts,
        "gpus": found.gpus,
        "slots_per_gpu": per_rank,
        "redundant": int((found.rows >= 0).sum(axis=1).max()) - found.experts,
        **report.document(),
        "notes": notes,
        "path": None if out is None else os.path.relpath(out),
    }


def _map_text(payload: dict[str, Any]) -> str:
    ranks = "" if payload["gpus"] is None else f" on {payload['gpus']} GPUs"
    lines = [
        f"{payload['kind']}: {payload['layers']} layers, {payload['experts']} experts in {payload['slots']} slots"
        f"{ranks}",
        f"doubled on a GPU {len(payload['duplicates'])}, missing {len(payload['missing'])}, "
        f"layers with unequal slots {len(payload['uneven'])}",
    ]
    if payload["path"]:
        lines.append(f"written to {payload['path']}")
    return "\n".join(lines)


def import_loads(
    file: Annotated[Path, typer.Argument(help="A load file or folder that an engine recorded.")],
    out: OutOption = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Turn any recording of expert loads into a load file, and say what is odd about it.

    Example: planner import loads expert_distribution_recorder_1745.pt --out loads.json
    """
    with reporting(output_format, quiet=quiet) as output:
        from planner.exchange.loads import read_load_file
        from planner.files import write_text

        load = read_load_file(file)
        if out is not None:
            rows = ",\n".join(json.dumps(row) for row in load.table.tolist())
            write_text(out, f'{{"logical_count": [\n{rows}\n]}}\n')
        for warning in load.warnings:
            output.note(f"warning: {warning}")
        dense = int((load.table.sum(axis=1) == 0).sum())
        payload = {
            "kind": load.kind,
            "layers": len(load.table),
            "dense_layers": dense,
            "experts": load.table.shape[1],
            "tokens": float(load.table.sum()),
            "warnings": list(load.warnings),
            "path": None if out is None else os.path.relpath(out),
        }
        text = (
            f"{load.kind}: {len(load.table)} layers ({dense} dense), {load.table.shape[1]} experts, "
            f"{load.table.sum():.6g} assignments" + ("" if out is None else f"\nwritten to {payload['path']}")
        )
        output.document(payload, lambda: text)


def import_routing(
    file: Annotated[Path, typer.Argument(help="An SGLang per_token dump, or a folder of all ranks' dumps.")],
    out: OutOption = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Turn per-token dumps into a routing file (.npz) of logical experts, and flag traffic that touches few experts.

    Example: planner import routing statistics_folder --out routing.npz
    """
    with reporting(output_format, quiet=quiet) as output:
        from planner.exchange.recorded_routing import read_recorded_routing, write_routing
        from planner.exchange.routing import distinct_expert_notes

        found = read_recorded_routing(file)
        rows = [table[(table >= 0).all(axis=1)] for table in found.ids.swapaxes(0, 1)]
        notes = [*found.notes, *distinct_expert_notes(rows, found.experts)]
        if out is not None:
            write_routing(out, found.ids)
        for note in notes:
            output.note(f"note: {note}")
        tokens, layers, chosen = found.ids.shape
        payload = {
            "kind": found.kind,
            "tokens": tokens,
            "layers": list(found.layers),
            "experts": found.experts,
            "experts_per_token": chosen,
            "notes": notes,
            "path": None if out is None else os.path.relpath(out),
        }
        text = f"{found.kind}: {tokens} tokens, {layers} MoE layers, {chosen} of {found.experts} experts a token"
        output.document(payload, lambda: text + ("" if out is None else f"\nwritten to {payload['path']}"))
