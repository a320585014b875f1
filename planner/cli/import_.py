"""`planner import`: other people's files in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.cli.import_dumps import import_loads, import_map, import_routing
from planner.cli.support import Format, FormatOption, QuietOption, reporting

if TYPE_CHECKING:
    from planner.exchange.hf_config import Imported

import_app = typer.Typer(name="import", no_args_is_help=True, help="Read other people's files.")


@import_app.callback()
def import_() -> None:
    """Read other people's files."""


import_app.command("map")(import_map)
import_app.command("loads")(import_loads)
import_app.command("routing")(import_routing)


@import_app.command("hf")
def hf(
    file: Annotated[Path, typer.Argument(help="A Hugging Face config.json.")],
    name: Annotated[str | None, typer.Option(help="Name of the model; default: from the file's name.")] = None,
    quant: Annotated[Path | None, typer.Option(help="An hf_quant_config.json beside it.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="Store the model in this precision, such as bf16, fp8 or nvfp4.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write the TOML; default: stdout.")] = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Turn a Hugging Face config.json into a model TOML, or say which key stands in the way.

    Example: planner import hf config.json --name my-model --out my-model.toml
    """
    with reporting(output_format, quiet=quiet) as output:
        from planner.exchange.hf_config import import_config
        from planner.exchange.model_toml import model_toml, write_whole

        imported = import_config(file, name=name, quantization=quant, weights=weights)
        for note in imported.notes:
            output.note(f"note: {note}")
        toml = model_toml(imported.model)
        if out is not None:
            write_whole(out, toml)
        payload = _payload(imported, out) | ({"toml": toml} if out is None else {})
        output.document(payload, lambda: toml if out is None else _summary(payload), as_it_is=out is None)


def _payload(imported: Imported, out: Path | None) -> dict[str, Any]:
    model = imported.model
    return {
        "name": model.name,
        "family": imported.family,
        "total_params": model.total_params,
        "active_params": model.active_params,
        "active_counts": model.active_counts,
        "active_params_with_embeddings": model.model_copy(update={"active_counts": "all"}).active_params,
        "kv_bytes_per_token": model.kv_bytes_per_token,
        "index_bytes_per_token": model.index_bytes_per_token,
        "state_bytes_per_sequence": model.state_bytes,
        "mtp_params": model.mtp_params,
        "weight_bytes": model.weight_bytes,
        "notes": list(imported.notes),
        "path": None if out is None else _relative(out),
    }


def _relative(path: Path) -> str:
    import os

    return os.path.relpath(path)


def _summary(payload: dict[str, Any]) -> str:
    from planner.units import with_prefix

    state, index = payload["state_bytes_per_sequence"], payload["index_bytes_per_token"]
    kept = f", index {index:,.0f} B a token" if index else ""
    kept += f", state {with_prefix(state, 'B')} a sequence" if state else ""
    return (
        f"{payload['name']} ({payload['family']}): {payload['total_params'] / 1e9:.4g}e9 parameters, "
        f"{payload['active_params'] / 1e9:.4g}e9 active ({payload['active_counts'].replace('_', ' ')}), "
        f"weights {with_prefix(payload['weight_bytes'], 'B')}, "
        f"KV {payload['kv_bytes_per_token']:,.0f} B a token{kept}\n"
        f"written to {payload['path']}"
    )
