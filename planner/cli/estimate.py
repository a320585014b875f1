"""`planner estimate`: one point of the serving cost model."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from planner.cli import complete
from planner.cli.support import Format, FormatOption, QuietOption, reporting

EXAMPLE = (
    "Example: planner estimate --model deepseek-v3 --hardware h200 --engine sglang --tp 8 --concurrency 64 "
    "--isl 4096 --osl 1024"
)


def estimate(
    model: Annotated[
        str,
        typer.Option(
            help="A shipped model, a hub name or a path to a TOML.", autocompletion=complete.names_of("models")
        ),
    ],
    hardware: Annotated[
        str,
        typer.Option(
            help="A shipped accelerator, a driver's name for it, or a path.",
            autocompletion=complete.names_of("hardware"),
        ),
    ],
    isl: Annotated[int, typer.Option(help="Prompt tokens of a request.")],
    osl: Annotated[int, typer.Option(help="Output tokens of a request.")],
    engine: Annotated[
        str,
        typer.Option(
            help="vllm, sglang, trtllm or other.", autocompletion=complete.one_of("vllm", "sglang", "trtllm", "other")
        ),
    ] = "other",
    tp: Annotated[int, typer.Option(help="Tensor parallel width.")] = 1,
    dp: Annotated[int, typer.Option(help="Attention data parallel ranks.")] = 1,
    ep: Annotated[int | None, typer.Option(help="Expert parallel width; default: tp x dp with dp > 1, else 1.")] = None,
    pp: Annotated[int, typer.Option(help="Pipeline stages.")] = 1,
    batch: Annotated[float | None, typer.Option(help="Sequences per attention rank.")] = None,
    concurrency: Annotated[float | None, typer.Option(help="Requests in flight over the replica.")] = None,
    precision: Annotated[str | None, typer.Option(help="Storage: bf16, fp8, nvfp4, ...; default: the model's.")] = None,
    cached_share: Annotated[float, typer.Option(help="Share of the prompt whose KV is already there.")] = 0.0,
    tokens_per_step: Annotated[float, typer.Option(help="Accepted tokens a decode step; 1: no speculation.")] = 1.0,
    profile: Annotated[
        str | None,
        typer.Option(
            help="Calibration profile; default: the shipped fit.", autocompletion=complete.names_of("calibration")
        ),
    ] = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Price one deployment under load: latencies, throughput, every term of the time, memory and bands."""
    with reporting(output_format, quiet=quiet) as output:
        from planner.studies import estimate as study
        from planner.studies.estimate_question import EstimateQuestion
        from planner.studies.validation.predictor import DEFAULT_PROFILE

        question = EstimateQuestion(
            model=model,
            hardware=hardware,
            engine=engine,
            input_tokens=isl,
            output_tokens=osl,
            tensor_parallel=tp,
            data_parallel=dp,
            expert_parallel=ep,
            pipeline_parallel=pp,
            batch=batch,
            concurrency=concurrency,
            precision=precision,
            cached_share=cached_share,
            tokens_per_step=tokens_per_step,
            profile=profile or DEFAULT_PROFILE,
        )
        payload = study.estimate(question)
        output.document(payload, lambda: _text(payload))


estimate.__doc__ = f"{estimate.__doc__}\n\n    {EXAMPLE}"


def _text(payload: dict[str, Any]) -> str:
    memory, bands = payload["memory"], payload["bands"]
    heading = (
        f"{payload['model']} on {payload['gpus']} x {payload['hardware']}, {payload['engine']}, "
        f"tp {payload['tensor_parallel']} dp {payload['data_parallel']} ep {payload['expert_parallel']} "
        f"pp {payload['pipeline_parallel']}, {payload['concurrency']:g} requests in flight, "
        f"profile {payload['profile']}"
    )
    lines = [heading, ""]
    for label, key, scale, unit in (
        ("TTFT", "ttft_s", 1e3, "ms"),
        ("TPOT", "tpot_s", 1e3, "ms"),
        ("output", "tok_s_per_gpu", 1.0, "tok/s/GPU"),
    ):
        band = f"   {bands[key][0] * scale:,.1f} to {bands[key][1] * scale:,.1f}" if bands else ""
        lines.append(f"  {label:7s} {payload[key] * scale:>10,.1f} {unit:9s}{band}")
    lines.append(f"  bands hold {bands['nominal']:.0%} of measured rows" if bands else "  no band: profile has none")
    lines += ["", "  time per output token"]
    lines += [f"    {name:22s} {value * 1e3:9.3f} ms" for name, value in payload["terms"].items()]
    if payload["ttft_terms"]:
        lines += ["", "  time to first token"]
        lines += [f"    {name:22s} {value * 1e3:9.3f} ms" for name, value in payload["ttft_terms"].items()]
    room = f"does not fit: {memory['sequences_that_fit']:,.0f} requests fit, the rest waits"
    fits = "fits" if memory["fits"] else room
    lines += [
        "",
        f"  memory of a GPU: weights {memory['weight_bytes_per_gpu'] / 1e9:,.1f} GB, "
        f"KV {memory['kv_bytes_per_gpu'] / 1e9:,.1f} GB of {memory['usable_bytes'] / 1e9:,.1f} GB usable: {fits}",
    ]
    return "\n".join(lines)
